import math

import numpy as np
import pytest

from trivet.codecs.json_rows import RowDecoder
from trivet.core.errors import InvalidArgument
from trivet.core.signature import Signature, TensorSpec, matrix

FLOWER = Signature((matrix(3, ["length", "width", "age"], "float32"),))
MIXED = Signature(
    (
        TensorSpec("age", "float64", nullable=True),
        TensorSpec("job", "string"),
        TensorSpec("visits", "int32"),
        TensorSpec("group", "category"),
        TensorSpec("member", "bool"),
    )
)
IMAGE = Signature((TensorSpec("image", "float32", (None, 2)),))
TEXT = Signature((TensorSpec("text", "string"),))
BYTES = Signature((TensorSpec("image", "bytes"),))
TWO = Signature((TensorSpec("ids", "int64", (2,)), TensorSpec("weight", "float32")))


def decode(signature, *instances):
    return RowDecoder(signature).decode(list(instances)).columns


def test_arrays_and_objects_in_any_order_are_the_same_row():
    columns = decode(FLOWER, [1, 2.5, 3], {"age": 3, "width": 2.5, "length": 1}, {"features": [1, 2.5, 3]})
    assert columns["features"].dtype == np.float32
    assert columns["features"].tolist() == [[1.0, 2.5, 3.0]] * 3


def test_columns_of_several_types():
    row = {"age": None, "job": "nurse", "visits": 2.0, "group": 7.0, "member": True}
    columns = decode(MIXED, row, [41.5, "cook", 3, "a", False])
    assert math.isnan(columns["age"][0])
    assert columns["job"].tolist() == ["nurse", "cook"]
    assert (columns["visits"].tolist(), columns["visits"].dtype) == ([2, 3], np.int32)
    assert columns["group"].tolist() == [7, "a"]
    assert columns["member"].tolist() == [True, False]


def test_an_instance_of_one_tensor_is_the_tensor():
    assert decode(IMAGE, [[1, 2], [3, 4]])["image"].tolist() == [[[1.0, 2.0], [3.0, 4.0]]]
    assert decode(IMAGE, {"image": [[1, 2]]})["image"].shape == (1, 1, 2)
    assert decode(IMAGE, [])["image"].shape == (1, 0, 2)


def test_an_instance_of_one_value_may_be_bare():
    assert decode(TEXT, "a", ["b"], {"text": "c"})["text"].tolist() == ["a", "b", "c"]


def test_bytes_are_decoded_where_the_signature_says_bytes():
    columns = decode(BYTES, {"b64": "aGk="}, {"image": {"b64": "aGk="}}, "hi")
    assert columns["image"].tolist() == [b"hi"] * 3


def test_several_tensors():
    columns = decode(TWO, [[1, 2], 0.5], {"weight": 1, "ids": [3, 4]})
    assert columns["ids"].tolist() == [[1, 2], [3, 4]]
    assert columns["weight"].tolist() == [0.5, 1.0]


def test_any_json_passes_undecoded_where_the_model_takes_objects():
    signature = Signature((TensorSpec("instance", "json", nullable=True),))
    given = [1, "a", None, {"b64": "aGk="}, [[1], []], 2**70]
    assert decode(signature, *given)["instance"].tolist() == given


@pytest.mark.parametrize("signature", [FLOWER, MIXED, IMAGE, TEXT, TWO])
def test_no_instances_give_empty_columns(signature):
    rows = RowDecoder(signature).decode([])
    assert rows.count == 0
    assert all(len(column) == 0 for column in rows.columns.values())


@pytest.mark.parametrize(
    ("signature", "instances", "message"),
    [
        (FLOWER, [[1, 2]], "instances[0]: expected 3 values (length, width, age); got 2 values"),
        (
            FLOWER,
            [[1, 2, 3], [1, 2, 3, 4]],
            "instances[1]: expected 3 values (length, width, age); got 4 values",
        ),
        (FLOWER, [{"length": 1, "age": 2}], "instances[0].width: missing; expected float32"),
        (
            FLOWER,
            [{"length": 1, "widht": 2, "age": 2}],
            "instances[0].widht: unknown field; did you mean 'width'?",
        ),
        (FLOWER, [[1, "x", 3]], "instances[0].width: expected float32; got the string 'x'"),
        (FLOWER, [[1, None, 3]], "instances[0].width: expected float32; got null"),
        (FLOWER, [[1, True, 3]], "instances[0].width: expected float32; got true"),
        (FLOWER, [[1, [2], 3]], "instances[0].width: expected float32; got an array of 1 values"),
        (FLOWER, [[1, 1e39, 3]], "instances[0].width: the number 1e+39 is beyond the range of float32"),
        (FLOWER, [[1, 10**5000, 3]], "an integer of more than 20 digits is beyond the range of float32"),
        (
            FLOWER,
            [7],
            "instances[0]: expected an array of 3 values (length, width, age) or an object by name; "
            "got the number 7",
        ),
        (MIXED, [[1, "a", 2**31, "b", True]], "visits: the number 2147483648 is beyond the range of int32"),
        (MIXED, [[1, "a", 1.5, "b", True]], "instances[0].visits: expected int32; got the number 1.5"),
        (MIXED, [[1, "a", 1, 1.5, True]], "instances[0].group: expected category; got the number 1.5"),
        (MIXED, [[1, "a", 1, "b", 1]], "instances[0].member: expected bool; got the number 1"),
        (MIXED, [["1", "a", 1, "b", True]], "instances[0].age: expected float64 or null; got the string '1'"),
        (IMAGE, [[[1, 2], [3]]], "instances[0][1]: expected an array of 2 values; got 1 values"),
        (IMAGE, [[1, 2]], "instances[0][0]: expected an array of 2 values; got the number 1"),
        (IMAGE, [[[1, 2]], [[1, 2], [3, 4]]], "instances[1]: expected shape [1, 2] like instances[0]"),
        (IMAGE, [{"img": []}], "instances[0].img: unknown field; did you mean 'image'?"),
        (BYTES, [{"b64": "?"}], "instances[0].b64: not valid base64"),
        (BYTES, [{"b64": "é"}], "instances[0].b64: not valid base64"),
        (BYTES, [5], 'instances[0]: expected bytes as {"b64": "..."}; got the number 5'),
        (TWO, [[[1, 2.5], 1]], "instances[0].ids[1]: expected int64; got the number 2.5"),
    ],
)
def test_what_does_not_fit_is_named_with_what_was_expected_and_what_came(signature, instances, message):
    with pytest.raises(InvalidArgument) as caught:
        RowDecoder(signature).decode(instances)
    assert message in str(caught.value)


def test_ragged_tensors_within_an_instance_are_refused():
    signature = Signature((TensorSpec("x", "float32", (None, None)),))
    with pytest.raises(InvalidArgument, match=r"instances\[0\]\[1\]: expected 2 values as in the arrays"):
        RowDecoder(signature).decode([[[1, 2], [3]]])
