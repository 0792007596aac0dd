"""What the answers of applications mean."""

import msgspec
import pytest

from trivet.containers.answers import predictions, refusal, texts
from trivet.core.errors import Internal, InvalidArgument, ResourceExhausted, Unavailable


def test_any_json_values_are_predictions():
    body = '{"predictions": [1, 1.0, "ä", null, {"a": [true]}], "more": 1}'.encode()
    assert predictions(body, 5) == [1, 1.0, "ä", None, {"a": [True]}]
    assert [bytes(one).decode() for one in texts(body, 5)] == ["1", "1.0", '"ä"', "null", '{"a": [true]}']


@pytest.mark.parametrize("read", [predictions, texts])
def test_a_wrong_number_of_predictions_is_told(read):
    with pytest.raises(Internal, match="the container gave 2 predictions for 3 instances"):
        read(b'{"predictions": [1, 2]}', 3)


@pytest.mark.parametrize("read", [predictions, texts])
@pytest.mark.parametrize(
    "content",
    [
        b"", b"<html>Internal Server Error</html>", b"[1]", b'{"prediction": [1]}', b'{"predictions": 1}',
        b"null", b'{"predictions": [NaN]}', b'{"predictions": ["\xff"]}', b'{"predictions": [1]} x',
        b"[" * 100_000,
    ],
    ids=["empty", "html", "list", "name", "number", "null", "nan", "utf8", "more", "deep"],
)  # fmt: skip
def test_what_is_no_predictions_is_shown(read, content):
    with pytest.raises(Internal, match=r"the container answered .*expected JSON, as \{.predictions") as told:
        read(content, 1)
    assert len(str(told.value)) < 500


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, InvalidArgument), (404, InvalidArgument), (422, InvalidArgument), (429, ResourceExhausted),
     (500, Internal), (502, Internal), (503, Unavailable), (504, Internal), (302, Internal), (204, Internal)],
)  # fmt: skip
def test_a_status_says_whose_fault_it_is(status, kind):
    error = refusal(status, None, b'{"detail": "no column age"}')
    assert type(error) is kind
    assert str(error) == f"""the container answered {status}: '{{"detail": "no column age"}}'"""


def test_only_the_beginning_of_a_body_is_shown():
    error = refusal(500, None, "ü".encode() * 100_000)
    assert len(str(error)) < 250


@pytest.mark.parametrize(
    ("given", "seconds"), [("7", 7.0), ("3600", 60.0), ("-1", 0.0), ("Wed, 21 Oct 2015", None), (None, None)]
)
def test_a_full_container_says_when_to_come_again(given, seconds):
    assert refusal(429, given, b"").retry_after == seconds


def test_texts_are_json_that_can_be_written_on():
    (text,) = texts(b'{"predictions": [ {"a" : 1} ]}', 1)
    assert msgspec.json.encode({"predictions": [text]}) == b'{"predictions":[{"a" : 1}]}'
