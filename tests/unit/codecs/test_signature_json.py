import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.codecs.test_json_body import SIGNATURES
from tests.unit.codecs.test_json_rows import BYTES, FLOWER
from trivet.codecs import example, signature_json
from trivet.codecs.json_rows import RowDecoder
from trivet.core.errors import FailedPrecondition
from trivet.core.signature import Signature, TensorSpec


def test_a_folder_without_the_file_declares_nothing(tmp_path):
    assert signature_json.read(tmp_path) is None


def test_what_is_shown_can_be_read_again(tmp_path):
    shown = signature_json.shown(FLOWER)
    del shown["parameters"]
    (tmp_path / "signature.json").write_text(json.dumps({**shown, "example": [1, 2, 3]}))
    assert signature_json.read(tmp_path) == FLOWER
    assert signature_json.read(tmp_path).example == [1, 2, 3]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "signature.json: the body is not valid JSON"),
        ('{"input": []}', "unknown field `input`"),
        ('{"inputs": [{"name": "a"}]}', "missing required field `dtype`"),
        ('{"inputs": [{"name": "a", "dtype": "float"}]}', "Invalid enum value 'float'"),
        ('{"inputs": [{"name": "a", "dtype": "int8", "fields": ["x"]}]}', "1 fields, but shape ()"),
        ('{"inputs": [{"name": "a", "dtype": "int8"}, {"name": "a", "dtype": "int8"}]}', "a is named twice"),
    ],
)
def test_a_wrong_file_names_what_is_wrong(tmp_path, content, message):
    (tmp_path / "signature.json").write_text(content)
    with pytest.raises(FailedPrecondition) as caught:
        signature_json.read(tmp_path)
    assert message in str(caught.value)


@given(st.sampled_from([*SIGNATURES, BYTES]))
def test_the_example_fits_its_signature(signature):
    instance = example.instance(signature)
    assert RowDecoder(signature).decode([json.loads(json.dumps(instance))]).count == 1


def test_a_given_example_is_used():
    assert example.instance(Signature((TensorSpec("x", "json"),), example={"a": 1})) == {"a": 1}
