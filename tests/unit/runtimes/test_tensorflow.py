"""SavedModels: the answers of TensorFlow, whichever library gives them; signatures; what is refused."""

import json
import shutil
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from tests import saved_models
from trivet.codecs import signature_json
from trivet.codecs.json_rows import RowDecoder
from trivet.core.errors import FailedPrecondition, InvalidArgument, PermissionDenied
from trivet.core.instances import Instances
from trivet.core.signature import Signature, declare
from trivet.runtimes import tensorflow_session
from trivet.runtimes.base import Artifact, Permissions
from trivet.runtimes.tensorflow import RUNTIME

WORDS = ["the cat SAT, on!", "ÜNÏcödé dog", "a dog!", "", "the the mat"]


def load(path, permissions=None):
    return RUNTIME.load(Artifact(path, signature_json.read(path), permissions or Permissions()))


def some(spec, count, rng):
    """Return a column that fits an input."""
    shape = (count, *(size or 3 for size in spec.shape))
    if spec.dtype in ("string", "bytes"):
        return rng.choice(np.array([*WORDS, *saved_models.COLOURS], object), shape)
    if spec.dtype.startswith(("int", "uint")):
        return rng.integers(0, 100, shape).astype(spec.dtype)
    return (rng.normal(size=shape) * 10).astype(spec.dtype)


def differs(predictor, path, counts=(1, 7, 64)):
    """Return the largest difference to TensorFlow's own answers, in relation to the largest value."""
    rng, found = np.random.default_rng(0), [0.0]
    signature = predictor.signature
    for count in counts:
        columns = {spec.name: some(spec, count, rng) for spec in signature.inputs}
        answers = predictor.predict(Instances(columns, count), {}).columns
        expected = saved_models.answers(path, columns, signature.name)
        assert list(answers) == list(expected)
        for name, values in answers.items():
            other = expected[name]
            if other.dtype == object:
                other = np.array([one.decode() for one in other.ravel()], object).reshape(other.shape)
            assert (values.dtype, values.shape) == (other.dtype, other.shape)
            if values.dtype.kind == "f":
                found.append(float(np.abs(values - other).max() / max(1, np.abs(other).max())))
            else:
                assert values.tolist() == other.tolist()
    return max(found)


@pytest.mark.parametrize(
    ("make", "library"),
    [
        (saved_models.regressor, "OpenVINO"),
        (saved_models.named, "OpenVINO"),
        (saved_models.lookup, "OpenVINO"),
        (saved_models.texts, "TensorFlow"),
        (saved_models.hashing, "OpenVINO"),
        (saved_models.images, "OpenVINO"),
        (saved_models.series, "OpenVINO"),
        (saved_models.two_types, "OpenVINO"),
    ],
)
def test_it_answers_as_tensorflow_does(make, library, saved_model):
    predictor = load(saved_model(make))
    assert predictor.library == library
    assert differs(predictor, saved_model(make)) <= 1e-6


@pytest.mark.parametrize("part", ["embedding", "stacked", "final"])
def test_the_autoencoder_answers_as_tensorflow_does(part, saved_model):
    path = saved_model(saved_models.autoencoder) / part
    predictor = load(path)
    assert predictor.library == "OpenVINO"
    assert predictor.signature.names == ("input_layer",)
    assert differs(predictor, path) <= 1e-6
    names = [spec.name for spec in predictor.signature.outputs]
    assert names == (sorted((*saved_models.FINAL, "encoded")) if part == "final" else ["output_0"])
    if part == "final":
        shapes = {spec.name: spec.shape for spec in predictor.signature.outputs}
        assert (shapes["denormalized_MAE"], shapes["encoded"]) == ((), (4,))


def test_examples_are_answered_by_tensorflow(saved_model):
    tf = saved_models.libraries().tf
    predictor = load(saved_model(saved_models.examples))
    assert predictor.library == "TensorFlow"
    assert [(spec.name, spec.dtype) for spec in predictor.signature.inputs] == [("examples", "bytes")]

    def example(*values):
        feature = tf.train.Feature(float_list=tf.train.FloatList(value=values))
        return tf.train.Example(features=tf.train.Features(feature={"a": feature})).SerializeToString()

    rows = Instances({"examples": np.array([example(1, 2), example(3, 4)], object)}, 2)
    assert predictor.predict(rows, {}).columns["y"].tolist() == [[5.0], [11.0]]
    with pytest.raises(InvalidArgument, match="the model refuses these values: Could not parse example"):
        predictor.predict(Instances({"examples": np.array([b"\0"], object)}, 1), {})


def signed(path, folder, **declared):
    """Copy a model, with a `signature.json`."""
    copy = shutil.copytree(path, folder / "model")
    (copy / "signature.json").write_text(json.dumps(declared))
    return copy


def test_a_signature_is_chosen_by_its_name(saved_model, tmp_path):
    path = saved_model(saved_models.several)
    assert load(path).signature.name == "serving_default"
    predictor = load(signed(path, tmp_path, signature_name="lower"))
    assert predictor.library == "OpenVINO"
    assert [(one.name, one.shape) for one in predictor.signature.inputs] == [("pair", (2,)), ("text", ())]
    assert differs(predictor, path) == 0


def test_whole_numbers_of_64_bits_are_exact(saved_model, tmp_path):
    path = signed(saved_model(saved_models.several), tmp_path, signature_name="count")
    predictor = load(path)
    assert predictor.library == "TensorFlow"
    columns = {"m": np.array([2**30, -(2**31)], np.int32), "n": np.array([2**62, -(2**53) - 1])}
    answers = predictor.predict(Instances(columns, 2), {}).columns
    assert answers["n"].tolist() == [2**62 + 1, -(2**53)]
    assert answers["m"].tolist() == [-(2**31), 0]


@pytest.fixture
def without_tensorflow(monkeypatch):
    """Have Trivet believe that TensorFlow is not installed."""
    monkeypatch.setattr(tensorflow_session, "installed", lambda: False)


def one(folder, function, **inputs):
    """Save one function; its inputs have one value per instance."""
    tf = saved_models.libraries().tf
    specs = {name: (getattr(tf, dtype), [None]) for name, dtype in inputs.items()}
    return saved_models.saved(folder / "model", {"serving_default": (function, specs)})


def test_texts_are_answered_by_openvino_where_there_is_no_tensorflow(saved_model, without_tensorflow):
    path = saved_model(saved_models.texts)
    predictor = load(path)
    assert predictor.library == "OpenVINO"
    assert differs(predictor, path) <= 1e-6
    with pytest.raises(InvalidArgument, match=r"text: OpenVINO, .* takes no spaces but those of ASCII"):
        predictor.predict(Instances({"text": np.array(["the\u00a0cat"], object)}, 1), {})


def test_nan_is_refused_by_openvino_and_tensorflows_where_it_is_declared(saved_model, tmp_path):
    path = saved_model(saved_models.named)
    names = [f"f{index}" for index in range(10)]
    rows = Instances({name: np.full((1, 1), np.nan, np.float32) for name in names}, 1)
    with pytest.raises(InvalidArgument, match=r"f\d: OpenVINO, .* takes no NaN; declare the input nullable"):
        load(path).predict(rows, {})
    inputs = [{"name": name, "dtype": "float32", "shape": [1], "nullable": True} for name in names]
    predictor = load(signed(path, tmp_path, inputs=inputs))
    assert predictor.library == "TensorFlow"
    expected = saved_models.answers(path, rows.columns)["kinds"]
    assert np.array_equal(predictor.predict(rows, {}).columns["kinds"], expected, equal_nan=True)


def test_a_model_that_looks_for_nan_gets_it(tmp_path):
    tf = saved_models.libraries().tf
    path = one(tmp_path, lambda x: {"y": tf.where(tf.math.is_nan(x), -1.0, x)}, x="float32")
    predictor = load(path)
    assert predictor.library == "OpenVINO"
    rows = Instances({"x": np.array([np.nan, 2.0], np.float32)}, 2)
    assert predictor.predict(rows, {}).columns["y"].tolist() == [-1.0, 2.0]


@pytest.mark.parametrize(("dtype", "beyond"), [("int64", 2**31), ("int32", 2**24)])
def test_whole_numbers_that_openvino_would_change_are_refused(dtype, beyond, tmp_path, without_tensorflow):
    tf = saved_models.libraries().tf

    def ask(x):
        small = tf.cast(x, tf.int32) if dtype == "int64" else tf.reduce_sum(tf.stack([x, x], 1), 1)
        return {"y": tf.cast(small, tf.float32)}

    predictor = load(one(tmp_path, ask, x=dtype))
    assert predictor.predict(Instances({"x": np.array([3, -4], dtype)}, 2), {}).columns["y"].shape == (2,)
    with pytest.raises(InvalidArgument, match=r"x: OpenVINO, .* takes no whole numbers beyond"):
        predictor.predict(Instances({"x": np.array([beyond], dtype)}, 1), {})


OTHERWISE = {
    "float64": (lambda tf, x: x * x, "float64", "Mul of float64 in float32"),
    "uint8": (lambda tf, x: x * x, "uint8", "not wrap Mul of uint8"),
    "int64": (lambda tf, x: x * x, "int64", "Mul of int64 in 32 bits"),
    "constant": (lambda tf, x: tf.where(x > 0, tf.constant(2**40, tf.int64), 0), "float32", "Const of int64"),
    "division": (lambda tf, x: x // (x - 3), "int32", "FloorDiv divides by zero"),
    "pattern": (lambda tf, x: tf.strings.regex_replace(x, r"\w+", "_"), "string", "StaticRegexReplace"),
    "lower": (lambda tf, x: tf.strings.lower(x, encoding="utf-8"), "string", "StringLower"),
    "join": (lambda tf, x: tf.strings.join([x, x]), "string", "StringJoin"),
    "ragged": (
        lambda tf, x: tf.strings.split(x).to_tensor("")[:, :1],
        "string",
        "RaggedTensorToTensor|Concat",
    ),
}


@pytest.mark.parametrize(("function", "dtype", "says"), OTHERWISE.values(), ids=OTHERWISE)
def test_what_openvino_would_compute_otherwise_is_tensorflows(function, dtype, says, tmp_path, monkeypatch):
    """Each was found different, or to end the process."""
    tf = saved_models.libraries().tf
    path = one(tmp_path, lambda x: {"y": function(tf, x)}, x=dtype)
    predictor = load(path)
    assert predictor.library == "TensorFlow"
    if dtype != "int32":
        assert differs(predictor, path) == 0
    monkeypatch.setattr(tensorflow_session, "installed", lambda: False)
    with pytest.raises(FailedPrecondition, match=rf"({says}).*pip install tensorflow-cpu"):
        load(path)


def test_an_index_beyond_a_table_is_refused(tmp_path):
    tf = saved_models.libraries().tf
    table = tf.constant([[1.0], [2.0], [3.0]])
    predictor = load(one(tmp_path, lambda key: {"y": tf.gather(table, key)}, key="int64"))
    assert predictor.predict(Instances({"key": np.array([2, 0])}, 2), {}).columns["y"].tolist() == [[3], [1]]
    with pytest.raises(InvalidArgument, match=r"indices\[0\] = 4 is not in \[0, 3\)"):
        predictor.predict(Instances({"key": np.array([4])}, 1), {})


def test_without_tensorflow_the_operators_that_it_would_need_are_named(saved_model, without_tensorflow):
    with pytest.raises(FailedPrecondition, match=r"OpenVINO has no ParseExampleV2; .*pip install tensorflow"):
        load(saved_model(saved_models.examples))


def test_an_only_signature_of_another_name_is_used_and_of_several_one_must_be_named(tmp_path):
    path = saved_models.several(tmp_path / "model", default=False)
    with pytest.raises(FailedPrecondition, match=r"the signatures count, lower, weigh, .*signature_name"):
        load(path)
    (path / "signature.json").write_text('{"signature_name": "wiegh"}')
    with pytest.raises(FailedPrecondition, match="did you mean 'weigh'"):
        load(path)
    (path / "signature.json").write_text('{"signature_name": "weigh"}')
    assert differs(load(path), path) <= 1e-6
    tf = saved_models.libraries().tf
    only = {"only": (lambda x: {"y": x * 2.0}, {"x": (tf.float32, [None])})}
    assert load(saved_models.saved(tmp_path / "only", only)).signature.name == "only"
    with pytest.raises(FailedPrecondition, match=r"it has no signatures; .*model.export"):
        load(saved_models.saved(tmp_path / "none", {}))


def test_outputs_may_be_chosen(saved_model, tmp_path):
    path = saved_model(saved_models.named)
    outputs = [{"name": "score", "dtype": "float32", "shape": [1]}]
    predictor = load(signed(path, tmp_path, outputs=outputs))
    rows = RowDecoder(predictor.signature).decode([[0.5] * 10])
    assert list(predictor.predict(rows, {}).columns) == ["score"]
    with pytest.raises(FailedPrecondition, match="outputs: scores: unknown output; did you mean 'score'"):
        load(signed(path, tmp_path / "other", outputs=[{**outputs[0], "name": "scores"}]))


def test_an_input_that_is_declared_otherwise_is_refused(saved_model, tmp_path):
    path = saved_model(saved_models.regressor)
    inputs = [{"name": "x", "dtype": "int64", "shape": [10]}]
    with pytest.raises(FailedPrecondition, match=r"x is declared int64\[10\], but the model takes float32"):
        load(signed(path, tmp_path, inputs=inputs))


def test_the_columns_of_a_matrix_may_be_named(saved_model, tmp_path):
    path = saved_model(saved_models.regressor)
    inputs = [{"name": f"c{index}", "dtype": "float32"} for index in range(10)]
    copy = signed(path, tmp_path, inputs=inputs)
    declared = declare(load(copy).signature, signature_json.read(copy))
    assert declared.names == tuple(f"c{index}" for index in range(10))


def test_a_text_may_be_declared_bytes(saved_model, tmp_path):
    path = saved_model(saved_models.texts)
    copy = signed(path, tmp_path, inputs=[{"name": "text", "dtype": "bytes"}])
    assert load(copy).signature.inputs[0].dtype == "bytes"


def test_columns_of_one_value_are_taken_bare_or_as_arrays(saved_model):
    signature = load(saved_model(saved_models.lookup)).signature
    assert [spec.shape for spec in signature.inputs] == [(1,), (1,)]
    decoder = RowDecoder(signature)
    bare, arrays = decoder.decode([["red", 1.5]]), decoder.decode([{"colour": ["red"], "size": [1.5]}])
    assert all(bare.columns[name].tolist() == arrays.columns[name].tolist() for name in signature.names)


def test_texts_that_numpy_would_cut_are_refused_and_others_arrive_whole(saved_model, tmp_path):
    predictor = load(signed(saved_model(saved_models.several), tmp_path, signature_name="lower"))
    pair = np.array([["a\0b", " x "]], object)
    answer = predictor.predict(Instances({"pair": pair, "text": np.array([""], object)}, 1), {})
    assert answer.columns["both"].tolist() == [["a\0b", " x "]]
    with pytest.raises(InvalidArgument, match=r"text: .* ends with NUL"):
        predictor.predict(Instances({"pair": pair, "text": np.array(["a\0"], object)}, 1), {})


def test_a_model_for_one_row_is_asked_row_by_row_and_for_more_it_is_refused(tmp_path):
    tf = saved_models.libraries().tf
    for count in (1, 8):
        inputs = {"x": (tf.float32, [count, 2])}
        saved_models.saved(tmp_path / str(count), {"serving_default": (lambda x: {"y": x * 2.0}, inputs)})
    rows = Instances({"x": np.arange(6, dtype=np.float32).reshape(3, 2)}, 3)
    assert load(tmp_path / "1").predict(rows, {}).columns["y"].tolist() == [[0, 2], [4, 6], [8, 10]]
    with pytest.raises(FailedPrecondition, match="batches of exactly 8"):
        load(tmp_path / "8")


def test_no_rows_are_no_rows(saved_model):
    predictor = load(saved_model(saved_models.named))
    answer = predictor.predict(RowDecoder(predictor.signature).decode([]), {})
    assert [column.shape for column in answer.columns.values()] == [(0, 3), (0, 1)]


@pytest.mark.parametrize("make", [saved_models.images, saved_models.lookup, saved_models.texts])
def test_threads_get_their_own_answers(make, saved_model):
    """As DuckDB asks: other rows on each thread, several at once, while copies of the model are made."""
    predictor, rng = load(saved_model(make)), np.random.default_rng(0)
    asked = []
    for count in range(1, 40):
        columns = {spec.name: some(spec, count, rng) for spec in predictor.signature.inputs}
        asked.append(Instances(columns, count))
    expected = [predictor.predict(rows, {}).columns for rows in asked]
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda rows: predictor.predict(rows, {}).columns, asked * 5))
    for columns, other in zip(answers, expected * 5, strict=True):
        for name, values in columns.items():
            np.testing.assert_allclose(values, other[name], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("count", [3000])
def test_many_rows_are_asked_in_parts(count, saved_model):
    for make in (saved_models.regressor, saved_models.texts):
        assert differs(load(saved_model(make)), saved_model(make), (count,)) <= 1e-6


@pytest.mark.parametrize(
    ("function", "inputs", "says"),
    [
        (lambda tf: lambda x: {"y": tf.math.real(x)}, {"x": ("complex64", [None])}, "'x' is complex64"),
        (lambda tf: lambda x: {"y": tf.reduce_sum(x)}, {"x": ("float32", [None])}, "'y' is a single value"),
        (lambda tf: lambda x: {"y": x * 2.0}, {"x": ("float32", [])}, "'x' is a single value"),
        (lambda tf: lambda x: {"y": x * 2.0}, {"x": ("float32", None)}, "'x' is of no known rank; declare"),
    ],
)
def test_what_no_column_can_hold_is_refused_by_name(function, inputs, says, tmp_path):
    tf = saved_models.libraries().tf
    specs = {name: (getattr(tf, dtype), shape) for name, (dtype, shape) in inputs.items()}
    path = saved_models.saved(tmp_path / "model", {"serving_default": (function(tf), specs)})
    with pytest.raises(FailedPrecondition, match=says):
        load(path)


def test_an_input_of_no_known_rank_may_be_declared(tmp_path):
    tf = saved_models.libraries().tf
    inputs = {"x": (tf.float32, None)}
    path = saved_models.saved(tmp_path / "model", {"serving_default": (lambda x: {"y": x * 2.0}, inputs)})
    both = [{"name": name, "dtype": "float32", "shape": [2]} for name in "xy"]
    (path / "signature.json").write_text(json.dumps({"inputs": both[:1], "outputs": both[1:]}))
    predictor = load(path)
    rows = Instances({"x": np.ones((3, 2), np.float32)}, 3)
    assert predictor.predict(rows, {}).columns["y"].tolist() == [[2, 2]] * 3


def test_sparse_and_composite_tensors_are_refused(saved_model):
    from trivet.runtimes import tensorflow_file, tensorflow_signature

    content = (saved_model(saved_models.regressor) / "saved_model.pb").read_bytes()
    graph = tensorflow_file.inspect(content)
    entry = graph.signatures["serving_default"]
    for kind in ("sparse", "composite (ragged, or of several tensors)"):
        odd = {"x": replace(entry.inputs["x"], kind=kind)}
        graph.signatures["serving_default"] = replace(entry, inputs=odd)
        with pytest.raises(FailedPrecondition, match=f"input 'x' is {kind[:6]}"):
            tensorflow_signature.choose(graph, "saved_model.pb", None)


def test_files_of_keras_are_told_apart_with_the_next_step(tmp_path):
    keras = saved_models.libraries().keras
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.save(tmp_path / "model.keras")
        model.save(tmp_path / "model.h5")
    for name in ("model.keras", "model.h5"):
        assert RUNTIME.recognises(tmp_path / name)
        with pytest.raises(FailedPrecondition, match=rf"load_model\('{name}'\)\.export"):
            load(tmp_path / name)


def test_a_graph_that_does_more_than_compute_needs_the_operators_permission(tmp_path):
    tf = saved_models.libraries().tf
    secret = tmp_path / "secret.txt"
    secret.write_text("secret")

    def ask(x):
        return {"y": tf.strings.join([x, tf.io.read_file(str(secret))])}

    inputs = {"x": (tf.string, [None])}
    path = saved_models.saved(tmp_path / "model", {"serving_default": (ask, inputs)})
    with pytest.raises(PermissionDenied, match=r"does more than compute: ReadFile.*--allow-pickle"):
        load(path)
    predictor = load(path, Permissions(pickle=True))
    assert predictor.library == "TensorFlow"
    rows = Instances({"x": np.array(["a "], object)}, 1)
    assert predictor.predict(rows, {}).columns["y"].tolist() == ["a secret"]


def test_a_model_without_signatures_has_none_of_that_name():
    inferred, declared = Signature(()), Signature((), name="serving_default")
    with pytest.raises(FailedPrecondition, match=r"'serving_default' is named, but .* has no name"):
        declare(inferred, declared)
