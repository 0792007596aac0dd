import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.codecs.test_json_body import INTEGERS, SIGNATURES, decode, fitting, outcome, rows
from trivet.codecs.json_lines import LineDecoder
from trivet.core.errors import InvalidArgument
from trivet.core.signature import Signature, TensorSpec

ANYTHING = Signature((TensorSpec("instance", "json"),))


@given(st.data())
def test_an_instance_is_decoded_alone_as_it_is_in_a_body(data):
    signature = data.draw(st.sampled_from([*SIGNATURES, ANYTHING]))
    instances = data.draw(st.lists(st.one_of(fitting(signature), rows), min_size=1, max_size=4))
    texts = [json.dumps(instance).encode() for instance in instances]
    expected, refused = outcome(lambda: decode(signature, {"instances": instances})[0])
    actual, refused_too = outcome(lambda: LineDecoder(signature).decode(texts))
    assert bool(refused) == bool(refused_too)
    if expected is None:
        return
    assert list(actual.columns) == list(expected.columns)
    for name, column in expected.columns.items():
        assert actual.columns[name].dtype == column.dtype
        np.testing.assert_array_equal(actual.columns[name], column)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b'{"a": 1, "b": 2.5, "c": 3}', "b: expected int32"),
        (b"7", "expected an array of"),
        (b"[1, 2", "not valid JSON: "),
        (b"\xff", "not valid JSON: "),
        (b"[" * 100_000, "the instance is nested too deeply"),
    ],
)
def test_what_does_not_fit_is_named_without_a_position(text, message):
    with pytest.raises(InvalidArgument) as refused:
        LineDecoder(INTEGERS).decode([text])
    assert str(refused.value).startswith(message)


def test_one_line_is_one_instance():
    # both would be as many rows as there are lines, were these joined to one text
    for texts in ([b"[1,2,3],[3,4,5]", b"[1,2", b"3]"], [b"[1,2,", b"3]"]):
        with pytest.raises(InvalidArgument):
            LineDecoder(INTEGERS).decode(texts)


def test_nesting_is_bounded():
    decoder = LineDecoder(ANYTHING)
    assert decoder.decode([b"[" * 100 + b"]" * 100]).count == 1
    for depth in (101, 900):
        with pytest.raises(InvalidArgument, match="nested too deeply"):
            decoder.decode([b"[" * depth + b"]" * depth])


def test_integers_of_any_size_stay_what_they_are():
    values = LineDecoder(ANYTHING).decode([b"9007199254740993", b"123456789012345678901234567890"])
    assert values.columns["instance"].tolist() == [9007199254740993, 123456789012345678901234567890]


def test_instances_of_one_shape_that_follow_each_other_are_together():
    decoder = LineDecoder(Signature((TensorSpec("ids", "int64", (None,)),)))
    texts = [b"[1]", b"[2.0]", b"[3,4]", b"[]", b"[]", b"[5]"]
    assert decoder.dynamic
    assert decoder.refused([*texts, b"[1.5]", b"x"]) == {
        6: "[0]: expected int64; got the number 1.5",
        7: "not valid JSON: JSON is malformed: invalid character (byte 0)",
    }
    runs = [made.columns["ids"].tolist() for made in decoder.runs(texts)]
    assert runs == [[[1], [2]], [[3, 4]], [[], []], [[5]]]


@given(st.data())
def test_each_is_refused_for_itself(data):
    signature = data.draw(st.sampled_from([*SIGNATURES, ANYTHING]))
    texts = data.draw(
        st.lists(st.one_of(fitting(signature), rows).map(json.dumps).map(str.encode), max_size=4)
    )
    decoder = LineDecoder(signature)
    refused = decoder.refused(texts)
    for index, text in enumerate(texts):
        made, why = outcome(lambda text=text: decoder.decode([text]))
        assert (index in refused) == (made is None) == bool(why)
