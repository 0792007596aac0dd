import json

import pytest

from trivet.core.batch import InstanceConfig
from trivet.core.errors import InvalidArgument
from trivet.core.signature import Signature, TensorSpec
from trivet.jobs.shape import Ways
from trivet.jobs.values import ValueShape
from trivet.sources.base import Unreadable, Values

ANYTHING = Signature((TensorSpec("instance", "json"),))


def batch(*lines, unreadable=(), tabular=False, **config):
    shape = ValueShape(Ways(InstanceConfig(**config), ANYTHING, False, tabular))
    return shape.batch("f", Values(range(10, 10 + len(lines)), unreadable, 0, lines))


def test_a_line_is_sent_as_it_is():
    lines = (b'{"b": 1,  "a": 12345678901234567890}', b"[1]", b'"x"', b"not JSON, which the decoder will say")
    made = batch(*lines)
    assert made.sent is made.shown
    assert tuple(made.sent) == lines
    assert not made.failed


def test_fields_keep_their_texts_and_their_order():
    line = b'{"id": 12345678901234567890, "b": 1.50, "a": {"x": [ ]}}'
    made = batch(line, key="id")
    assert (made.keys, made.sent, made.shown) == (
        [b"12345678901234567890"],
        [b'{"b":1.50,"a":{"x": [ ]}}'],
        [line],
    )
    assert batch(line, excluded=("b",)).sent == [b'{"id":12345678901234567890,"a":{"x": [ ]}}']
    assert batch(line, excluded=("b",)).shown == [line]
    made = batch(line, included=("a", "b"))
    assert made.sent == made.shown == [b'{"a":{"x": [ ]},"b":1.50}']
    assert batch(line, type="array", included=("a", "b")).sent == [b'[{"x": [ ]},1.50]']
    assert batch(b"[1, 2]", b" [1]", type="array").sent == [b"[1, 2]", b" [1]"]
    assert batch(b'{"": 1, "a": 2}', excluded=("a",)).sent == [b'{"":1}']


def test_a_sink_with_columns_gets_whole_records():
    line = b'{"id": 1, "a": 2}'
    assert batch(line, tabular=True, included=("a",)).shown == [line]
    made = batch(line, tabular=True, type="array", included=("a",))
    assert (made.sent, made.shown) == ([b"[2]"], [line])


def test_what_is_no_json_is_left_to_the_decoder_where_it_may_be_an_array():
    made = batch(b"[1, 2", b"[" * 5000, type="array")
    assert (made.sent, made.failed) == ([b"[1, 2", b"[" * 5000], [])


@pytest.mark.parametrize(
    ("line", "config", "message"),
    [
        (b"[1]", {"key": "id"}, "expected an object"),
        (b'{"a": 1}', {"key": "id"}, "id: missing"),
        (b'{"a": 1}', {"included": ("a", "b")}, "b: missing"),
        (b'{"a": 1', {"key": "a"}, "not valid JSON"),
        (b'{"a": 1}', {"type": "array"}, "includedFields is needed"),
        (b"[1]", {"type": "array", "included": ("a",)}, "an array has no fields"),
        (b"1", {"type": "object"}, "expected an object"),
    ],
)
def test_a_line_that_cannot_be_shaped_fails_alone(line, config, message):
    made = batch(b'{"id": 1, "a": 1, "b": 2}', line, b'{"id": 2, "a": 1, "b": 2}', **config)
    (failed,) = [one for one in made.failed if one.failure.offset == 11]
    assert message in failed.failure.message
    assert failed.failure.code == 3
    json.loads(failed.shown)


def test_what_cannot_be_read_is_shown_as_a_string():
    (failed,) = batch(unreadable=[Unreadable(3, b"\xffx", "not UTF-8")]).failed
    assert json.loads(failed.shown) == "\\xffx"


@pytest.mark.parametrize(
    ("config", "format_", "kind", "message"),
    [
        ({"included": ("a",), "excluded": ("b",)}, "jsonl", "values", "exclude each other"),
        ({"type": "object"}, "csv", "rows", "instanceConfig.instanceType: not for csv"),
        ({"type": "array"}, "tf-record", "blobs", "not for tf-record"),
        ({"key": "a"}, "file-list", "blobs", "no fields"),
        ({"key": "a", "included": ("a",)}, "jsonl", "values", "is the keyField"),
        ({"included": ("a", "a")}, "jsonl", "values", "named twice"),
    ],
)
def test_configs_that_contradict_themselves_or_the_format_are_refused(config, format_, kind, message):
    with pytest.raises(InvalidArgument, match=message):
        InstanceConfig(**config).check(format_, kind, native=False)


def test_the_key_may_be_among_what_is_excluded_too():
    InstanceConfig(type="object", key="id", excluded=("id",)).check("bigquery", "rows", native=True)
    made = batch(b'{"id": 7, "a": 1}', key="id", excluded=("id",))
    assert (made.sent, made.keys) == ([b'{"a":1}'], [b"7"])


def test_natively_rows_of_a_csv_file_may_be_objects():
    InstanceConfig(type="object").check("csv", "rows", native=True)
