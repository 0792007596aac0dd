import os
import sys
from contextlib import suppress

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from skl2onnx import to_onnx
from sklearn.cluster import KMeans
from sklearn.datasets import load_iris

from tests.zoo.onnx import CASES
from trivet.codecs.json_rows import RowDecoder
from trivet.core.errors import FailedPrecondition, InvalidArgument
from trivet.core.signature import Signature, TensorSpec, declare
from trivet.runtimes import onnx_file
from trivet.runtimes.base import Artifact
from trivet.runtimes.onnx import RUNTIME

FLOAT, INT64 = TensorProto.FLOAT, TensorProto.INT64
value = helper.make_tensor_value_info


def graph_of(nodes, inputs, outputs, constants=()):
    return helper.make_graph(nodes, "graph", inputs, outputs, list(constants))


def model_of(*parts, opset=18):
    graph = graph_of(*parts)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def identity(shape, dtype=FLOAT, op="Identity", opset=18):
    node = helper.make_node(op, ["x"], ["y"])
    return model_of([node], [value("x", dtype, shape)], [value("y", dtype, shape)], opset=opset)


def load(folder, model, declared=None):
    path = folder / "model.onnx"
    path.write_bytes(model.SerializeToString())
    return RUNTIME.load(Artifact(path, declared))


def softmax(dtype=FLOAT):
    nodes = [
        helper.make_node("ArgMax", ["x"], ["label"], axis=1, keepdims=0),
        helper.make_node("Softmax", ["x"], ["p"], axis=1),
    ]
    outputs = [value("label", INT64, ["N"]), value("p", dtype, ["N", 2])]
    return model_of(nodes, [value("x", dtype, ["N", 2])], outputs)


def add_columns(shape=("N", 1), dtype=FLOAT):
    node = helper.make_node("Add", ["a", "b"], ["y"])
    return model_of([node], [value("a", dtype, shape), value("b", dtype, shape)], [value("y", dtype, shape)])


def without_inputs():
    """Answers the same, whatever it is asked: it is asked for nothing."""
    value = helper.make_tensor("value", TensorProto.FLOAT, [1], [7.0])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])
    return model_of([helper.make_node("Constant", [], ["y"], value=value)], [], [y])


def reshape():
    """Return a model that gives an output whose rank follows from a value: nobody knows it beforehand."""
    inputs = [value("x", FLOAT, ["N", 2]), value("s", INT64, ["N"])]
    output = helper.make_tensor_value_info("y", FLOAT, None)
    cut = helper.make_node("Reshape", ["x", "s"], ["y"])
    return model_of([cut], inputs, [output])


def ask(predictor, rows, output=None):
    instances = RowDecoder(predictor.signature).decode(rows)
    [column] = predictor.predict(instances, {"output": output} if output else {}).columns.values()
    return column


@pytest.fixture(params=CASES, ids=str)
def case(request):
    return request.param


def test_one_row_and_many_are_answered_bit_for_bit_as_a_plain_session_does(case, zoo):
    predictor = RUNTIME.load(Artifact(zoo(case)))
    for output in case.outputs:
        for rows in (case.rows, case.rows[:1]):
            expected = case.expect(zoo(case), rows, output)
            instances = RowDecoder(predictor.signature).decode(rows)
            parameters = {} if output == "values" else {"output": output}
            columns = predictor.predict(instances, parameters).columns
            by_name = expected if isinstance(expected, dict) else dict.fromkeys(columns, expected)
            assert list(columns) == list(by_name)
            assert len(columns) == (len(expected) if isinstance(expected, dict) else 1)
            for name, answer in columns.items():
                assert answer.dtype == np.asarray(by_name[name]).dtype
                assert np.array_equal(answer, by_name[name])


def test_a_detailed_answer_names_the_classes(zoo):
    by_name = {case.name: case for case in CASES}
    for name in ("onnx-zipmap", "onnx-binary"):
        predictor = RUNTIME.load(Artifact(zoo(by_name[name])))
        instances = RowDecoder(predictor.signature).decode(by_name[name].rows)
        answer = predictor.predict(instances, {"output": "detailed"}).columns
        best = np.take_along_axis(answer["classes"], answer["scores"].argmax(1)[:, None], 1)[:, 0]
        assert best.tolist() == answer["predicted_class"].tolist()


class TestRecognition:
    def test_whatever_the_suffix(self, case, zoo, tmp_path):
        copy = tmp_path / "weights.bin"
        copy.write_bytes(zoo(case).read_bytes())
        assert RUNTIME.recognises(copy)

    @pytest.mark.parametrize(
        "content", [b"", b"\x08\x08", b"\x08\x08:\x05a", b"PK\x03\x04", b"{}", b"\x80\x05]."]
    )
    def test_nothing_else(self, tmp_path, content):
        file = tmp_path / "model.onnx"
        file.write_bytes(content)
        assert not RUNTIME.recognises(file)
        assert not RUNTIME.recognises(tmp_path)
        assert not RUNTIME.recognises(tmp_path / "missing")


class TestRefusedModels:
    @pytest.mark.parametrize(
        ("model", "message"),
        [
            (identity(["N", 2], op="Nope"), "No Op registered for Nope"),
            (identity(["N", 2], opset=999), "Opset 999 is under development"),
            (identity(["N", 2], TensorProto.BFLOAT16), r"input 'x' has type tensor\(bfloat16\)"),
            (identity([]), "input 'x' has no axis of instances"),
            (identity([8, 2]), "batches of exactly 8; export it with a dynamic first axis"),
            (reshape(), "output 'y' has no axis of instances.*declare it in signature.json"),
            (without_inputs(), "the model has no inputs"),
            (model_of([], [], []), "as ONNX model: ort_value_name_idx_map"),
        ],
    )
    def test_the_reason_is_told_without_the_path(self, tmp_path, model, message):
        with pytest.raises(FailedPrecondition, match=message) as told:
            load(tmp_path, model)
        assert str(tmp_path) not in str(told.value)
        assert "onnxruntime_src" not in str(told.value)

    def test_the_path_is_not_told_whatever_the_suffix(self, tmp_path):
        file = tmp_path / "weights.bin"
        file.write_bytes(identity(["N", 2], op="Nope").SerializeToString())
        with pytest.raises(FailedPrecondition, match=r"^weights.bin cannot be read as ONNX model") as told:
            RUNTIME.load(Artifact(file))
        assert str(tmp_path) not in str(told.value)

    def test_a_sequence_as_input(self, tmp_path):
        node = helper.make_node("SequenceAt", ["x", "i"], ["y"])
        inputs = [helper.make_tensor_sequence_value_info("x", FLOAT, None), value("i", INT64, ["N"])]
        with pytest.raises(FailedPrecondition, match=r"input 'x' has type seq"):
            load(tmp_path, model_of([node], inputs, [value("y", FLOAT, ["N"])]))

    def test_a_cut_off_file(self, case, zoo, tmp_path):
        content = zoo(case).read_bytes()
        file = tmp_path / "model.onnx"
        for size in (0, 1, 10, len(content) // 2, len(content) - 1):
            file.write_bytes(content[:size])
            with pytest.raises(FailedPrecondition, match=r"model.onnx cannot be read as"):
                RUNTIME.load(Artifact(file))

    def test_a_missing_library_is_named_with_the_command_that_installs_it(self, monkeypatch, zoo):
        monkeypatch.setitem(sys.modules, "onnxruntime", None)
        with pytest.raises(FailedPrecondition, match=r"onnxruntime.*pip install 'trivet\[onnx\]'"):
            RUNTIME.load(Artifact(zoo(CASES[0])))


class TestShapes:
    def test_a_model_exported_for_one_instance_is_asked_row_by_row(self, tmp_path):
        predictor = load(tmp_path, identity([1, 3]))
        assert predictor.signature.inputs[0].shape == (3,)
        assert ask(predictor, [[1, 2, 3], [4, 5, 6]]).tolist() == [[1, 2, 3], [4, 5, 6]]

    def test_any_size_where_an_axis_is_dynamic(self, tmp_path):
        assert load(tmp_path, identity(["N", "M"])).signature.inputs[0].shape == (None,)

    def test_names_from_the_metadata(self, tmp_path):
        model = identity(["N", 2])
        helper.set_model_props(model, {"feature_names": '["age", "income"]'})
        assert load(tmp_path, model).signature.names == ("age", "income")

    @pytest.mark.parametrize("names", ['["one"]', "{", '["a", "a"]', "7", "[" * 100_000])
    def test_names_that_do_not_fit_are_ignored(self, tmp_path, names):
        model = identity(["N", 2])
        helper.set_model_props(model, {"feature_names": names})
        assert load(tmp_path, model).signature.names == ("x",)

    def test_names_belong_to_no_matrix_where_there_are_two(self, tmp_path):
        model = add_columns(["N", 2])
        helper.set_model_props(model, {"feature_names": '["age", "income"]'})
        assert load(tmp_path, model).signature.names == ("a", "b")

    def test_the_suffix_does_not_say_how_the_bytes_are_read(self, tmp_path):
        file = tmp_path / "model.ort"
        file.write_bytes(identity(["N", 2]).SerializeToString())
        assert ask(RUNTIME.load(Artifact(file)), [[1, 2]]).tolist() == [[1, 2]]

    def test_float64_stays_float64(self, tmp_path):
        model = load(tmp_path, softmax(TensorProto.DOUBLE), Signature((), classes=(0, 1)))
        assert ask(model, [[1, 2]], "probabilities").dtype == np.float64
        assert model.signature.outputs[1].dtype == "float64"

    def test_clusters_are_no_classes(self, tmp_path):
        x = load_iris().data.astype(np.float32)
        model = KMeans(3, n_init=1, random_state=0).fit(x)
        predictor = load(tmp_path, to_onnx(model, x[:1], target_opset={"": 18, "ai.onnx.ml": 3}))
        assert predictor.signature.parameters == ()
        assert [spec.name for spec in predictor.signature.outputs] == ["label", "scores"]

    def test_classes_that_no_operator_knows_may_be_declared(self, tmp_path):
        model = softmax()
        unknown = load(tmp_path, model).signature
        assert unknown.parameters[0].choices == ("labels", "probabilities", "tensors")
        known = load(tmp_path, model, Signature((), classes=(0, 1))).signature
        assert known.classes == (0, 1)
        assert known.parameters[0].choices == ("labels", "probabilities", "detailed", "tensors")


class TestDeclarations:
    def test_null_is_taken_where_it_is_declared(self, tmp_path):
        declared = Signature((TensorSpec("a", "float32", nullable=True), TensorSpec("b", "float32")))
        predictor = load(tmp_path, identity(["N", 2]), declared)
        assert not predictor.signature.inputs[0].nullable
        instances = RowDecoder(declare(predictor.signature, declared)).decode([[None, 1]])
        [answer] = predictor.predict(instances, {}).columns["y"].tolist()
        assert np.isnan(answer[0])
        assert answer[1] == 1

    @pytest.mark.parametrize(
        ("model", "spec", "message"),
        [
            (add_columns(), TensorSpec("a", "int64"), "a is declared int64, but the model takes float32$"),
            (add_columns(), TensorSpec("b", "float64"), "b is declared float64, but the model takes float"),
            (identity(["N", 2]), TensorSpec("x", "float64", (2,)), r"takes float32\[2\]"),
            (identity(["N"], TensorProto.STRING), TensorSpec("x", "category"), "takes string"),
            (
                identity(["N"], TensorProto.STRING),
                TensorSpec("x", "string", nullable=True),
                "x is declared string or null, but the model takes string$",
            ),
            (identity(["N"], INT64), TensorSpec("x", "int64", nullable=True), "int64 or null"),
        ],
    )
    def test_what_the_model_does_not_take_is_refused_at_load(self, tmp_path, model, spec, message):
        with pytest.raises(FailedPrecondition, match=r"^signature.json: inputs: .*" + message):
            load(tmp_path, model, Signature((spec,)))

    def test_other_than_as_many_classes_as_scores(self, tmp_path):
        with pytest.raises(FailedPrecondition, match=r"gives 2 scores, 3 classes are declared"):
            load(tmp_path, softmax(), Signature((), classes=("a", "b", "c")))

    def test_an_output_whose_shape_nobody_knows_may_be_declared(self, tmp_path):
        output = TensorSpec("y", "float32", (None, None))
        predictor = load(tmp_path, reshape(), Signature((), (output,)))
        assert predictor.signature.outputs == (output,)
        assert ask(predictor, [[[1, 2], 2], [[3, 4], 2]]).tolist() == [[1, 2], [3, 4]]


def test_instances_whose_sizes_do_not_go_together_are_the_callers_fault(tmp_path):
    predictor = load(tmp_path, add_columns(["N", None]))
    with pytest.raises(InvalidArgument, match=r"^the model refuses these values: .*2 by 3$"):
        ask(predictor, [[[1, 2], [1, 2, 3]]])


def test_a_value_the_model_refuses_is_the_callers_fault_and_nothing_is_printed(tmp_path, capfd):
    weights = numpy_helper.from_array(np.arange(3, dtype=np.float32), "w")
    node = helper.make_node("Gather", ["w", "x"], ["y"])
    predictor = load(
        tmp_path, model_of([node], [value("x", INT64, ["N"])], [value("y", FLOAT, ["N"])], [weights])
    )
    with pytest.raises(InvalidArgument, match=r"^the model refuses these values: indices element out of"):
        ask(predictor, [7])
    assert ask(predictor, [2]).tolist() == [2.0]
    assert capfd.readouterr() == ("", "")


def external(location, name="w"):
    tensor = TensorProto(name=name, data_type=FLOAT, dims=[2], data_location=TensorProto.EXTERNAL)
    for key, text in (("location", location), ("length", "8")):
        tensor.external_data.add(key=key, value=text)
    return tensor


def add(constants=(), nodes=()):
    sum_of = helper.make_node("Add", ["x", "w"], ["y"])
    shape = ["N", 2]
    return model_of([*nodes, sum_of], [value("x", FLOAT, shape)], [value("y", FLOAT, shape)], constants)


def dense(location):
    return add([external(location)])


def sparse(location):
    model = add()
    indices = numpy_helper.from_array(np.array([0, 1]), "i")
    model.graph.sparse_initializer.append(helper.make_sparse_tensor(external(location), indices, [2]))
    return model


def constant(location):
    node = helper.make_node("Constant", [], ["w"])
    node.attribute.append(helper.make_attribute("value", external(location)))
    return add(nodes=[node])


def branch(location):
    def inner(tensors):
        made = helper.make_node("Identity", ["v"], ["w"])
        return graph_of([made], [], [value("w", FLOAT, [2])], tensors)

    node = helper.make_node(
        "If",
        ["c"],
        ["w"],
        then_branch=inner([external(location, "v")]),
        else_branch=inner([numpy_helper.from_array(np.zeros(2, np.float32), "v")]),
    )
    return add([numpy_helper.from_array(np.array(True), "c")], [node])


def training(location):
    model = add([numpy_helper.from_array(np.zeros(2, np.float32), "w")])
    model.training_info.add().algorithm.CopyFrom(dense(location).graph)
    return model


def function(location):
    model = add([numpy_helper.from_array(np.zeros(2, np.float32), "w")])
    node = constant(location).graph.node[0]
    model.functions.append(
        helper.make_function("mine", "F", [], ["w"], [node], [helper.make_opsetid("", 18)])
    )
    return model


EVERYWHERE = (dense, sparse, constant, branch, training, function)


class TestExternalData:
    def test_beside_the_model_it_is_read(self, tmp_path):
        (tmp_path / "sub").mkdir()
        (tmp_path / "sub" / "w.bin").write_bytes(np.array([10, 20], np.float32).tobytes())
        assert ask(load(tmp_path, dense("sub/w.bin")), [[1, 2]]).tolist() == [[11, 22]]

    @pytest.mark.parametrize("place", EVERYWHERE)
    @pytest.mark.parametrize(
        "location", ["../secret.bin", "a/../../secret.bin", "/etc/hostname", "..\\secret.bin", "c:x", ""]
    )
    def test_a_location_outside_the_folder_is_refused_wherever_it_stands(self, tmp_path, place, location):
        folder = tmp_path / "model"
        folder.mkdir()
        (tmp_path / "secret.bin").write_bytes(bytes(8))
        with pytest.raises(FailedPrecondition, match=r"expected a relative path within the model's folder"):
            load(folder, place(location))

    def test_it_lies_beside_the_file_that_a_link_to_the_model_leads_to(self, tmp_path):
        for name, content in (("real", [10, 20]), ("served", [0, 0])):
            (tmp_path / name).mkdir()
            (tmp_path / name / "w.bin").write_bytes(np.array(content, np.float32).tobytes())
        (tmp_path / "real" / "model.onnx").write_bytes(dense("w.bin").SerializeToString())
        link = tmp_path / "served" / "model.onnx"
        link.symlink_to(tmp_path / "real" / "model.onnx")
        assert ask(RUNTIME.load(Artifact(link)), [[1, 2]]).tolist() == [[11, 22]]

    def test_a_file_that_is_too_short(self, tmp_path):
        (tmp_path / "w.bin").write_bytes(bytes(4))
        with pytest.raises(FailedPrecondition, match=r"model.onnx cannot be read as ONNX model") as told:
            load(tmp_path, dense("w.bin"))
        assert str(tmp_path) not in str(told.value)

    @pytest.mark.parametrize("place", EVERYWHERE)
    def test_links_are_refused(self, tmp_path, place):
        folder = tmp_path / "model"
        folder.mkdir()
        secret = tmp_path / "secret.bin"
        secret.write_bytes(bytes(8))
        (folder / "soft").symlink_to(secret)
        (folder / "up").symlink_to(tmp_path)
        os.link(secret, folder / "hard")
        for location, message in (
            ("soft", "symbolic link"),
            ("up/secret.bin", "symbolic"),
            ("hard", "hard link"),
        ):
            with pytest.raises(FailedPrecondition, match=message):
                load(folder, place(location))

    def test_what_is_no_file_is_refused(self, tmp_path):
        (tmp_path / "folder").mkdir()
        for location, message in (("none", "it is missing"), ("folder", "not a plain file")):
            with pytest.raises(FailedPrecondition, match=message):
                load(tmp_path, dense(location))

    def test_an_address_in_memory_is_refused_even_where_such_a_file_exists(self, tmp_path):
        inner = tmp_path / "*" / "_ORT_MEM_ADDR_"
        inner.mkdir(parents=True)
        (inner / "*").write_bytes(bytes(8))
        with pytest.raises(FailedPrecondition, match="address in its own memory"):
            load(tmp_path, dense("*/_ORT_MEM_ADDR_/*"))

    def test_a_tensor_that_does_not_say_where_it_is(self, tmp_path):
        tensor = external("w")
        tensor.ClearField("external_data")
        with pytest.raises(FailedPrecondition, match="does not say in which"):
            load(tmp_path, add([tensor]))


class TestTheFileReader:
    def test_it_reads_what_the_onnx_package_wrote(self, case, zoo):
        content = zoo(case).read_bytes()
        found, expected = onnx_file.inspect(content), onnx.load_from_string(content)
        assert found.producer == expected.producer_name
        assert found.opset == max(one.version for one in expected.opset_import if not one.domain)
        assert [(node.op_type, node.inputs, node.outputs) for node in found.nodes] == [
            (node.op_type, tuple(node.input), tuple(node.output)) for node in expected.graph.node
        ]

    @pytest.mark.parametrize("labels", [[0, 1, 2], [-5, 64, 2**40], ["a", "b\u00e9"], [64, 64]])
    @pytest.mark.parametrize("packed", [False, True])
    def test_class_labels(self, labels, packed):
        node = helper.make_node("ZipMap", ["p"], ["z"], domain="ai.onnx.ml")
        kind = "strings" if isinstance(labels[0], str) else "int64s"
        node.attribute.append(helper.make_attribute(f"classlabels_{kind}", labels))
        content = model_of([node], [], []).SerializeToString()
        if packed and kind == "int64s":
            inner = node.attribute[0]
            body = b"".join(varint(label) for label in labels)
            inner.ClearField("ints")
            raw = inner.SerializeToString() + b"\x42" + varint(len(body)) + body
            content = wrap(b"\x3a", wrap(b"\x0a", wrap(b"\x2a", raw)))
            content = b"\x08\x08" + content
        assert onnx_file.inspect(content).nodes[0].classes == tuple(labels)

    def test_graphs_nested_too_deep(self):
        graph = b""
        for _ in range(40):
            graph = wrap(b"\x0a", wrap(b"\x2a", wrap(b"\x32", graph)))
        with pytest.raises(ValueError, match="nested more than 32 deep"):
            onnx_file.inspect(b"\x08\x08" + wrap(b"\x3a", graph))

    @settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(data=st.data())
    def test_no_bytes_make_it_raise_anything_but_value_error(self, data):
        content = bytearray(data.draw(st.sampled_from(SEEDS)))
        for _ in range(data.draw(st.integers(1, 8))):
            at = data.draw(st.integers(0, len(content) - 1))
            content[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=4))
        with suppress(ValueError):
            onnx_file.inspect(bytes(content))

    @given(st.binary(max_size=200))
    def test_nor_does_garbage(self, content):
        with suppress(ValueError):
            onnx_file.inspect(b"\x08\x08:" + content)


def varint(number):
    number %= 1 << 64
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*found, number])


def wrap(tag, content):
    return tag + varint(len(content)) + content


SEEDS = [place("w.bin").SerializeToString() for place in EVERYWHERE]
