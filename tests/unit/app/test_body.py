import gzip
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trivet.app import body as bodies

LIMIT = 1000


def receiver(pieces):
    """Return what an ASGI server would: the pieces of a body, or a disconnect for None."""
    left = list(pieces)

    async def receive():
        piece = left.pop(0)
        if piece is None:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": piece, "more_body": bool(left)}

    return receive


async def read(*pieces, **headers):
    given = [(name.replace("_", "-").encode(), value) for name, value in headers.items()]
    return await bodies.read(receiver(pieces), given, LIMIT)


@pytest.mark.parametrize("pieces", [[b"abc"], [b"a", b"", b"bc"], [b"", b"abc"]])
async def test_the_pieces_of_a_body_are_put_together(pieces):
    assert await read(*pieces) == b"abc"


async def test_gzip_is_undone():
    assert await read(gzip.compress(b"abc"), content_encoding=b"GZIP") == b"abc"


@pytest.mark.parametrize(
    ("pieces", "headers", "status"),
    [
        ([b"x" * 600, b"x" * 600], {}, 413),
        ([b""], {"content_length": b"1001"}, 413),
        ([gzip.compress(b"x" * 1001)], {"content_encoding": b"gzip"}, 413),
        ([gzip.compress(b"abc")[:-1]], {"content_encoding": b"gzip"}, 400),
        ([gzip.compress(b"abc") + b"more"], {"content_encoding": b"gzip"}, 400),
        ([zlib.compress(b"abc")], {"content_encoding": b"gzip"}, 400),
        ([b"abc"], {"content_encoding": b"gzip, gzip"}, 415),
    ],
)
async def test_a_body_is_refused_with_its_own_status(pieces, headers, status):
    with pytest.raises(bodies.BodyRefused) as caught:
        await read(*pieces, **headers)
    assert caught.value.status == status


async def test_a_caller_that_leaves_in_the_middle_is_noticed():
    with pytest.raises(bodies.CallerLeft):
        await read(b"abc", None)


@given(st.binary(max_size=300))
async def test_any_bytes_are_unzipped_or_refused(content):
    try:
        plain = await read(content, content_encoding=b"gzip")
    except bodies.BodyRefused as refused:
        plain = refused.status
    assert plain in (400, 413) or gzip.decompress(content) == plain
