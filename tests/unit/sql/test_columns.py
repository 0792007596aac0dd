from types import SimpleNamespace

import numpy as np
import pytest

from trivet.core.errors import InvalidArgument
from trivet.core.instances import Predictions, object_column
from trivet.core.signature import ParameterSpec, Signature, TensorSpec, matrix
from trivet.sql import columns
from trivet.sql.bind import arguments
from trivet.sql.columns import Declared
from trivet.sql.model import SqlModel
from trivet.sql.names import ObjectName
from trivet.sql.types import BOOL, BYTES, FLOAT64, INT64, JSON, STRING, Field, array

MATRIX = Signature((matrix(2, ["a", "b"], "float32", nullable=True),), (TensorSpec("prediction", "float32"),))


def inputs(*specs, declared=None):
    return columns.of(Signature(specs), "TRIVET", Declared(inputs=declared), {})[0]


def outputs(sample, type_="TRIVET", told=(), **declared):
    count = len(next(iter(sample.values())))
    signature = Signature((TensorSpec("x", "float32"),), told)
    return columns.of(signature, type_, Declared(**declared), {}, Predictions(sample, count))[1]


@pytest.mark.parametrize(
    ("spec", "type_"),
    [
        (TensorSpec("x", "float16"), FLOAT64),
        (TensorSpec("x", "uint8"), INT64),
        (TensorSpec("x", "bool"), BOOL),
        (TensorSpec("x", "string"), STRING),
        (TensorSpec("x", "bytes"), BYTES),
        (TensorSpec("x", "category"), JSON),
        (TensorSpec("x", "float32", (3,)), array(FLOAT64)),
        (TensorSpec("x", "string", (None,)), array(STRING)),
        (TensorSpec("x", "uint8", (64, 64, 3)), array(INT64)),
        (TensorSpec("x", "float32", (1,)), FLOAT64),
    ],
)
def test_a_tensor_is_a_column(spec, type_):
    assert inputs(spec) == (Field("x", type_, required=True),)


def test_a_matrix_with_names_is_a_column_each_and_one_without_an_array():
    assert inputs(*MATRIX.inputs) == (Field("a", FLOAT64), Field("b", FLOAT64))
    assert inputs(matrix(2, None, "int64")) == (Field("features", array(INT64), required=True),)


def test_inputs_that_differ_in_case_alone_are_refused():
    for declared in (None, (Field("a", FLOAT64), Field("b", FLOAT64))):
        with pytest.raises(InvalidArgument, match="inputs a and A are one name to SQL"):
            inputs(*(TensorSpec(name, "float32") for name in ("a", "b", "A")), declared=declared)
    model = SqlModel(ObjectName("p", "ds", "m"), "SKLEARN", (Field("a", FLOAT64), Field("A", FLOAT64)), ())
    with pytest.raises(InvalidArgument, match="inputs a and A are one name to SQL"):
        arguments(model, [Field("a", FLOAT64)], "")


def test_columns_that_are_declared_are_packed_into_a_matrix():
    declared = (Field("u", INT64), Field("v", FLOAT64))
    assert inputs(matrix(2, None, "float64", nullable=True), declared=declared) == declared
    assert columns.packs(Signature((matrix(2, None, "float32"),)), declared)
    assert not columns.packs(MATRIX, declared)
    one = (Field("features", array(FLOAT64)),)
    assert not columns.packs(Signature((matrix(2, None, "float32"),)), one)


def test_any_json_has_no_columns_but_those_declared():
    spec = TensorSpec("instance", "json", nullable=True)
    assert inputs(spec) == ()
    declared = (Field("u", INT64), Field("v", STRING))
    assert inputs(spec, declared=declared) == declared


@pytest.mark.parametrize(
    ("column", "type_"),
    [
        (np.float32([0.5]), FLOAT64),
        (np.uint8([1]), INT64),
        (np.array([True]), BOOL),
        (np.array(["a"]), STRING),
        (object_column(["a"]), STRING),
        (object_column([b"a"]), BYTES),
        (object_column([{"a": 1}]), JSON),
        (object_column([None]), JSON),
        (np.zeros((1, 3)), array(FLOAT64)),
        (np.zeros((1, 2, 2), np.int32), array(INT64)),
        (np.array([["a", "b"]], object), array(STRING)),
    ],
)
def test_an_answer_says_what_the_outputs_are(column, type_):
    assert outputs({"y": column}) == (Field("y", type_),)


def test_what_the_signature_says_of_objects_holds():
    told = (TensorSpec("y", "string"), TensorSpec("z", "json"))
    sample = {"y": object_column([None]), "z": object_column(["a"])}
    assert outputs(sample, told=told) == (Field("y", STRING), Field("z", JSON))


def test_one_value_in_an_array_is_bare_where_the_type_of_model_or_an_option_says_so():
    sample = {"y": np.zeros((1, 1))}
    assert outputs(sample, "ONNX") == (Field("y", FLOAT64),)
    assert outputs(sample, "XGBOOST") == (Field("predicted_label", FLOAT64),)
    assert outputs(sample, "TENSORFLOW") == (Field("y", array(FLOAT64)),)
    assert outputs(sample, "TENSORFLOW", options={"scalar_outputs": True}) == (Field("y", FLOAT64),)
    assert outputs(sample, "ONNX", options={"scalar_outputs": False}) == (Field("y", array(FLOAT64)),)


def test_outputs_of_tensorflow_are_in_the_order_of_ascii():
    one = np.zeros(1)
    names = [field.name for field in outputs({"b": one, "a": one, "B": one, "a_1": one}, "TENSORFLOW")]
    assert names == ["B", "a", "a_1", "b"]


def test_some_of_several_outputs_may_be_declared_with_a_type_of_their_own():
    sample = {"a": np.zeros(1), "b": np.zeros(1, np.int64), "c": np.zeros(1)}
    assert outputs(sample, outputs=(Field("B", FLOAT64), Field("a", JSON))) == (
        Field("a", JSON), Field("b", FLOAT64),
    )  # fmt: skip
    with pytest.raises(InvalidArgument, match="OUTPUT: d: unknown output; known: a, b, c"):
        outputs(sample, outputs=(Field("d", FLOAT64),))
    with pytest.raises(InvalidArgument, match="OUTPUT: a is declared STRING; the model gives FLOAT64"):
        outputs(sample, outputs=(Field("a", STRING),))
    with pytest.raises(InvalidArgument, match="OUTPUT: expected at least one column"):
        outputs(sample, outputs=())


def test_without_an_answer_the_signature_says_what_there_is():
    parts = (TensorSpec("classes", "string", (2,)), TensorSpec("scores", "float32", (2,)),
             TensorSpec("predicted_class", "string"))  # fmt: skip
    choices = ParameterSpec("output", ("labels", "probabilities", "detailed"))
    signature = Signature(MATRIX.inputs, parts, ("a", "b"), (choices,))
    for output, names in {
        None: ["predicted_class"],
        "probabilities": ["scores"],
        "detailed": ["classes", "scores", "predicted_class"],
    }.items():
        options = {"output": output} if output else {}
        parameters = columns.parameters_of(signature, "SKLEARN", options, signature.defaults())
        found = columns.of(signature, "SKLEARN", Declared(options=options), parameters)[1]
        assert [one.name for one in found] == names
    assert columns.of(Signature(MATRIX.inputs), "SKLEARN", Declared(), {})[1] == (Field("prediction", JSON),)


def test_imported_models_answer_as_their_library():
    def parameters(type_, defaults=None, **options):
        signature = Signature(MATRIX.inputs, parameters=(ParameterSpec("output", ("labels", "booster")),))
        return columns.parameters_of(signature, type_, options, defaults or signature.defaults())

    assert parameters("XGBOOST") == {"output": "booster"}
    assert parameters("XGBOOST", output="labels") == {"output": "labels"}
    assert parameters("TRIVET") == {"output": "labels"}
    assert parameters("TRIVET", defaults={"output": "booster"}) == {"output": "booster"}
    with pytest.raises(
        InvalidArgument, match=r"^OPTIONS\(output\): expected one of labels, booster; got 'x'$"
    ):
        parameters("TRIVET", output="x")
    with pytest.raises(InvalidArgument, match=r"^OPTIONS\(output\): the model has but one form of answer; "):
        columns.parameters_of(MATRIX, "TRIVET", {"output": "x"}, {})


def test_a_model_that_refuses_its_example_is_described_by_its_signature():
    class Refusing:
        signature = MATRIX

        def predict(self, instances, parameters):
            raise ValueError("no")

    info = SimpleNamespace(signature=MATRIX, defaults={})
    found = columns.described(SimpleNamespace(info=info, predictor=Refusing()), "XGBOOST", Declared())
    assert found == ((Field("a", FLOAT64), Field("b", FLOAT64)), (Field("predicted_label", FLOAT64),), {})
