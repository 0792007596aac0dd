"""Files of every text format, and TFRecords, damaged at random: no crash, no hang, no record that is lost."""

import gzip
import struct
from contextlib import suppress

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.sources.reading import read, records_of
from trivet.core.errors import FailedPrecondition
from trivet.sources.crc32c import masked


def record(blob):
    head = struct.pack("<Q", len(blob))
    return head + struct.pack("<I", masked(head)) + blob + struct.pack("<I", masked(blob))


WHOLE = {
    "jsonl": b'\xef\xbb\xbf{"a": 1}\n[1, 2]\r\n\n"\xc3\xbc"\n  \n{"b": "two\\n"}\nnull\n' * 3,
    "csv": b'\xef\xbb\xbfa,"b",c\r\n1,2,3\n"x, y","l1\nl2",\n\n4,"q""uote",-1e-5\r\n5,\xc3\xbc,NaN\n'
    + b"1,2,3\n" * 9,
    "tf-record": b"".join(map(record, (b"one", b"", b"x" * 40, bytes(range(256))))),
}
PACKED = {"": bytes, "gzip": gzip.compress, "zstd": zstandard.compress}

EDITS = st.lists(
    st.tuples(
        st.integers(0, 1 << 16),
        st.sampled_from(
            [b"", b'"', b"\n", b",", b"\r", b"\x00", b"\xff", b'""', b"\x1f\x8b", b"9" * 30, b'"\n']
        ),
        st.integers(0, 3) | st.integers(0, 100),
    ),
    min_size=1,
    max_size=4,
)


def damaged(content, edits, cut):
    for place, text, length in edits:
        at = place % (len(content) + 1)
        content = content[:at] + text + content[at + length :]
    return content if cut is None else content[: cut % (len(content) + 1)]


@pytest.mark.parametrize("packed", PACKED)
@pytest.mark.parametrize("name", WHOLE)
@settings(max_examples=150, deadline=None)
@given(edits=EDITS, cut=st.none() | st.integers(0, 1 << 16), before=st.booleans(), strict=st.booleans())
def test_damage_is_found_and_told(tmp_path_factory, name, packed, edits, cut, before, strict):
    pack = PACKED[packed]
    content = WHOLE[name]
    content = pack(damaged(content, edits, cut)) if before else damaged(pack(content), edits, cut)
    path = tmp_path_factory.mktemp("damaged") / "input"
    path.write_bytes(content)
    found = None
    with suppress(FailedPrecondition):
        found = read(name, path, strict=strict)
    for shard_bytes in (1, 40):
        if found is None:
            with pytest.raises(FailedPrecondition):
                read(name, path, strict=strict, shard_bytes=shard_bytes)
        else:
            again = read(name, path, strict=strict, shard_bytes=shard_bytes)
            assert repr(again) == repr(found)
    if found is not None and (before or not packed):
        text = damaged(WHOLE[name], edits, cut)
        if text[:2] != b"\x1f\x8b":  # which would say that it is compressed
            check(name, text, set(found))


def check(name, text, found):
    """Every line that is not blank is a record, or is in one that is not readable."""
    if name == "jsonl":
        lines = text.removeprefix(b"\xef\xbb\xbf").split(b"\n")
        assert found == {index for index, line in enumerate(lines) if line.strip()}
    elif name == "csv":
        rows = records_of(text.removeprefix(b"\xef\xbb\xbf"))
        filled = [index for index, row in enumerate(rows) if row not in (b"\n", b"\r\n", b"\r")]
        assert {index - filled[0] - 1 for index in filled[1:]} == found if filled else not found
    else:
        assert found == set(range(len(found)))
        assert bool(found) == bool(text)


@pytest.mark.parametrize("packed", ["gzip", "zstd"])
@pytest.mark.parametrize("name", WHOLE)
def test_a_compressed_file_that_ends_early_gives_what_is_there_and_says_so(tmp_path, name, packed):
    content = PACKED[packed](WHOLE[name] * 50)
    expected = read(name, write(tmp_path / "whole", content))
    for cut in range(len(content) // 2, len(content), 7):
        try:
            found = read(name, write(tmp_path / "cut", content[:cut]))
        except FailedPrecondition as error:
            assert name == "csv"
            assert f"no header can be read: the {packed} file ends early" in str(error)  # noqa: PT017
            continue
        *good, last = found
        assert f"the {packed} file ends early" in str(found[last]), cut
        assert {at: found[at] for at in good} == {at: expected[at] for at in good}
        assert good == list(expected)[: len(good)]


def write(path, content):
    path.write_bytes(content)
    return path
