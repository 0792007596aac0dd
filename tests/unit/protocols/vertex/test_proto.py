import json

import msgspec
import pytest

from trivet.core.errors import InvalidArgument
from trivet.protocols.vertex.proto import Message


class Inner(msgspec.Struct, rename="camel"):
    some_bytes: bytes = b""
    more_bytes: list[bytes] = []
    by_name: "dict[str, Inner]" = {}


class Outer(msgspec.Struct, rename="camel"):
    first_list: list[Inner] = []
    at_most: Inner | None = None
    number: float | str = 0


READ = Message(Outer).read


@pytest.mark.parametrize(
    ("body", "read"),
    [
        ({}, Outer()),
        ({"firstList": [{"someBytes": "aGk="}]}, Outer([Inner(b"hi")])),
        ({"first_list": [{"some_bytes": "aGk"}]}, Outer([Inner(b"hi")])),
        (
            {"atMost": {"moreBytes": ["_-8", "/+8=", "_-8="]}},
            Outer(at_most=Inner(more_bytes=[b"\xff\xef"] * 3)),
        ),
        (
            {"at_most": {"by_name": {"a_b": {"some_bytes": None}}}},
            Outer(at_most=Inner(by_name={"a_b": Inner()})),
        ),
        ({"firstList": None, "atMost": None, "number": None, "newerField": None}, Outer()),
        ({"number": "a_b", "newer_field": 1}, Outer(number="a_b")),
    ],
)
def test_a_message_has_many_forms(body, read):
    assert READ(json.dumps(body).encode()) == read


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"{", "not valid JSON"),
        (b"\xff", "not valid JSON"),
        (b"[]", "the body: Expected `object`, got `array`"),
        (b'{"first_list": {}}', "the body: Expected `array`, got `object` - at `$.firstList`"),
        (b'{"firstList": [null]}', "the body: Expected `object`, got `null` - at `$.firstList[0]`"),
        (b'{"atMost": {"someBytes": "a"}}', "the body: Invalid base64 encoded string"),
        (b'{"atMost": {}, "at_most": {}}', "atMost: given twice, as atMost and as at_most"),
    ],
)
def test_what_is_no_message_is_refused(body, said):
    with pytest.raises(InvalidArgument) as raised:
        READ(body)
    assert said in str(raised.value)
