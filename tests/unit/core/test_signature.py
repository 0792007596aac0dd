from dataclasses import replace

import pytest

from trivet.core.errors import FailedPrecondition, InvalidArgument
from trivet.core.signature import ParameterSpec, Signature, TensorSpec, declare, matrix

OUTPUT = ParameterSpec("output", ("labels", "probabilities"))
IRIS = Signature((matrix(2, ["length", "width"], "float32"),), classes=("a", "b"), parameters=(OUTPUT,))


def test_a_matrix_has_one_value_per_field():
    assert IRIS.names == ("length", "width")
    assert [spec.describe() for _, spec in IRIS.values()] == ["float32", "float32"]


def test_fields_must_fill_the_shape():
    with pytest.raises(ValueError, match="2 fields"):
        TensorSpec("x", "float32", (3,), ("a", "b"))


def test_duplicate_names_make_a_matrix_unnamed():
    assert matrix(2, ["a", "a"], "float64").fields == ()


def test_types_read_as_people_write_them():
    assert TensorSpec("x", "float32", (None, 3)).describe() == "float32[any,3]"
    assert TensorSpec("x", "string", nullable=True).describe() == "string or null"


def test_parameters_are_completed_by_the_defaults_of_the_deployment():
    defaults = {"output": "probabilities"}
    assert IRIS.defaults() == {"output": "labels"}
    assert IRIS.resolve(None, defaults) is defaults
    assert IRIS.resolve({"output": "labels"}, defaults) == {"output": "labels"}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"outptu": "labels"}, "parameters.outptu: unknown parameter; did you mean 'output'?"),
        ({"output": "all"}, "parameters.output: expected one of labels, probabilities; got 'all'"),
        ({"output": ["labels"]}, "parameters.output: expected one of labels, probabilities; got ['labels']"),
    ],
)
def test_a_wrong_parameter_is_named_with_what_was_expected(given, message):
    with pytest.raises(InvalidArgument) as caught:
        IRIS.resolve(given, IRIS.defaults())
    assert str(caught.value) == message


def test_a_model_of_open_parameters_takes_any():
    signature = Signature((TensorSpec("instance", "json"),), parameters=None)
    assert signature.resolve({"anything": [1]}, {"a": 1}) == {"a": 1, "anything": [1]}


def test_declared_columns_name_the_fields_of_a_matrix():
    unnamed = Signature((matrix(2, None, "float32"),))
    declared = Signature((TensorSpec("a", "float64"), TensorSpec("b", "int64")))
    assert declare(unnamed, declared).inputs == (matrix(2, ["a", "b"], "float32"),)


def test_declared_classes_and_example_fill_what_was_not_inferred():
    declared = Signature((), classes=("no", "yes"), example=[1, 2])
    merged = declare(replace(IRIS, classes=()), declared)
    assert (merged.classes, merged.example, merged.inputs) == (("no", "yes"), [1, 2], IRIS.inputs)


@pytest.mark.parametrize(
    ("declared", "message"),
    [
        (Signature((TensorSpec("a", "float64"),)), "the model takes 2 features, 1 are declared"),
        (Signature((TensorSpec("a", "string"), TensorSpec("b", "int8"))), "a is declared string"),
        (Signature((TensorSpec("features", "float32", (3,)),)), "features is declared float32[3], but the"),
        (Signature((TensorSpec("features", "int8", (2,), nullable=True),)), "int8 has no null"),
        (Signature((), classes=("x",)), "the model has ['a', 'b'], ['x'] are declared"),
        (Signature((TensorSpec("a", "float32", (2, 2)),)), "the model has ['features'], ['a'] are declared"),
    ],
)
def test_a_declaration_that_contradicts_the_artifact_is_refused(declared, message):
    with pytest.raises(FailedPrecondition) as caught:
        declare(IRIS, declared)
    assert message in str(caught.value)
