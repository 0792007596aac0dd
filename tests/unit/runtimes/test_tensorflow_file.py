"""The reader of saved_model.pb agrees with protobuf's own classes, and any bytes are one clear error."""

from contextlib import suppress

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests import saved_models
from trivet.core.errors import FailedPrecondition, PermissionDenied
from trivet.runtimes import tensorflow_file, tensorflow_safety, tensorflow_signature
from trivet.runtimes.base import Artifact
from trivet.runtimes.tensorflow import RUNTIME

MAKERS = (
    saved_models.regressor, saved_models.named, saved_models.lookup, saved_models.texts, saved_models.hashing,
    saved_models.images, saved_models.series, saved_models.examples, saved_models.two_types,
    saved_models.several,
)  # fmt: skip


def messages(content):
    """Read with protobuf's classes, which TensorFlow brings."""
    saved_models.libraries()
    from tensorflow.core.protobuf import saved_model_pb2

    message = saved_model_pb2.SavedModel()
    message.ParseFromString(content)
    return message


def tensors(entry):
    return {
        name: (
            one.name,
            one.dtype,
            None if one.tensor_shape.unknown_rank else tuple(d.size for d in one.tensor_shape.dim),
        )
        for name, one in entry.items()
    }


@pytest.mark.parametrize("make", MAKERS)
def test_signatures_operators_and_functions_are_read_as_tensorflow_reads_them(make, saved_model):
    content = (saved_model(make) / "saved_model.pb").read_bytes()
    graph, expected = tensorflow_file.inspect(content), messages(content).meta_graphs[0]
    assert set(graph.signatures) == set(expected.signature_def)
    for name, entry in graph.signatures.items():
        for mine, theirs in (
            (entry.inputs, expected.signature_def[name].inputs),
            (entry.outputs, expected.signature_def[name].outputs),
        ):
            assert {key: (one.tensor, one.dtype, one.shape) for key, one in mine.items()} == tensors(theirs)
    library = {one.signature.name: one for one in expected.graph_def.library.function}
    assert set(graph.functions) == set(library)
    groups = [(graph.nodes.values(), expected.graph_def.node)]
    for name, function in graph.functions.items():
        assert function.arguments == [one.name for one in library[name].signature.input_arg]
        groups.append((function.nodes, library[name].node_def))
    for mine, theirs in groups:
        assert [(one.name, one.op, one.inputs) for one in mine] == [
            (one.name, one.op, list(one.input)) for one in theirs
        ]
        for node, other in zip(mine, theirs, strict=True):
            types = {key: value.type for key, value in other.attr.items() if value.type}
            assert types.items() <= node.types.items()
            named = [value.func.name for value in other.attr.values() if value.func.name]
            assert set(named) <= set(node.functions)
    assert graph.restore == expected.saver_def.restore_op_name


@pytest.mark.parametrize("name", ["lower", "count", "serving_default"])
def test_a_signature_alone_becomes_the_default_and_the_rest_stays(name, saved_model):
    content = (saved_model(saved_models.several) / "saved_model.pb").read_bytes()
    graph = tensorflow_file.inspect(content)
    made, before = messages(tensorflow_file.alone(content, graph, name)), messages(content)
    assert list(made.meta_graphs[0].signature_def) == ["serving_default"]
    expected = before.meta_graphs[0]
    assert made.meta_graphs[0].signature_def["serving_default"] == expected.signature_def[name]
    del made.meta_graphs[0].signature_def["serving_default"]
    expected.signature_def.clear()
    assert made == before


def read(content):
    """Do all that is done with a file before a library sees it."""
    graph = tensorflow_file.inspect(content)
    chosen = tensorflow_signature.choose(graph, "saved_model.pb", None)
    return list(tensorflow_safety._reaching(graph, chosen.entry))


@settings(max_examples=400, deadline=None)
@given(st.binary(max_size=200))
@example(b"")
@example(b"\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01")
@example(b"\x12\x80")
@example(b"\x12\x02\x0b\x0c")
@example(b"\x08\x01\x12\x05\x0a\x03\x22\x01\xff")
def test_any_bytes_are_a_graph_or_one_clear_error(content):
    with pytest.raises((ValueError, FailedPrecondition)):
        read(content)


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_a_model_with_a_few_other_bytes_is_a_model_or_one_clear_error(data, saved_model):
    content = bytearray((saved_model(saved_models.several) / "saved_model.pb").read_bytes())
    for _ in range(data.draw(st.integers(1, 8))):
        at = data.draw(st.integers(0, len(content) - 1))
        content[at] = data.draw(st.integers(0, 255))
    with suppress(ValueError, FailedPrecondition):
        read(bytes(content))


def field(number, payload):
    return tensorflow_file._message(number, payload)


def test_functions_nested_without_end_are_refused():
    attribute = b""
    for _ in range(2000):
        attribute = field(10, field(2, field(1, b"f") + field(2, attribute)))
    node = field(1, b"n") + field(5, field(1, b"f") + field(2, attribute))
    content = field(2, field(1, field(4, b"serve")) + field(2, field(1, node)))
    with pytest.raises(ValueError, match="nested more than 8 deep"):
        tensorflow_file.inspect(content)


def test_names_that_are_there_twice_are_refused():
    node = field(1, field(1, b"n"))
    function = field(2, field(1, field(1, field(1, b"f"))))
    for graph, what in ((node * 2, "node 'n'"), (function * 2, "function 'f'")):
        content = field(2, field(1, field(4, b"serve")) + field(2, graph))
        with pytest.raises(ValueError, match=f"the {what} is there twice"):
            tensorflow_file.inspect(content)


def test_a_file_without_a_graph_for_serving_says_which_there_are(tmp_path):
    (tmp_path / "saved_model.pb").write_bytes(field(2, field(1, field(4, b"train"))))
    with pytest.raises(FailedPrecondition, match=r"saved_model.pb .* tag 'serve'; found 0 \(tags: train\)"):
        RUNTIME.load(Artifact(tmp_path))


def test_a_wide_constant_is_seen_in_both_of_its_forms():
    for values, wide in (([1, -5], False), ([1, 2**31], True), ([-(2**31) - 1], True)):
        packed = np.array(values, "<i8").tobytes()
        as_field = b"".join(_varint(value) for value in values)
        for payload in (field(4, packed), field(10, as_field)):
            assert tensorflow_file._wide(b"\x08\x09" + payload, 0, len(payload) + 2) is wide


def _varint(value):
    value %= 1 << 64
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*found, value))


class TestSafety:
    """What a graph may do, and which files it may name."""

    def reaching(self, path):
        graph = tensorflow_file.inspect((path / "saved_model.pb").read_bytes())
        return list(tensorflow_safety._reaching(graph, graph.signatures["serving_default"]))

    @pytest.mark.parametrize("make", MAKERS)
    def test_ordinary_models_compute_and_no_more(self, make, saved_model):
        assert self.reaching(saved_model(make)) == []

    def table(self, tmp_path, file):
        tf = saved_models.libraries().tf
        (tmp_path / "words.txt").write_text("red\ngreen\n")
        kinds = tf.string, tf.lookup.TextFileIndex.WHOLE_LINE, tf.int64, tf.lookup.TextFileIndex.LINE_NUMBER
        words = tf.lookup.StaticVocabularyTable(tf.lookup.TextFileInitializer(file, *kinds), 1)
        inputs = {"word": (tf.string, [None])}
        return saved_models.saved(
            tmp_path / "model",
            {"serving_default": (lambda word: {"id": words.lookup(word)}, inputs)},
            words=words,
        )

    def test_a_table_may_be_filled_from_an_asset(self, tmp_path):
        path = self.table(tmp_path, str(tmp_path / "words.txt"))
        assert self.reaching(path) == []
        assert RUNTIME.load(Artifact(path)).library == "TensorFlow"

    def test_and_from_no_other_file(self, tmp_path):
        """The asset's place is taken by a constant, in the file that says what is an asset."""
        path = self.table(tmp_path, str(tmp_path / "words.txt"))
        message = messages((path / "saved_model.pb").read_bytes())
        del message.meta_graphs[0].asset_file_def[:]
        (path / "saved_model.pb").write_bytes(message.SerializeToString())
        with pytest.raises(
            PermissionDenied, match=r"InitializeTableFromTextFileV2 .of a file that is no asset"
        ):
            RUNTIME.load(Artifact(path))

    def test_nor_from_one_whose_variable_is_given_something_else(self, tmp_path):
        path = self.table(tmp_path, str(tmp_path / "words.txt"))
        message = messages((path / "saved_model.pb").read_bytes())
        nodes = message.meta_graphs[0].graph_def.node
        asset = next(one for one in nodes if one.name == "Variable/Assign")
        other = nodes.add()
        other.CopyFrom(asset)
        other.name = "again"
        (path / "saved_model.pb").write_bytes(message.SerializeToString())
        assert self.reaching(path) == ["InitializeTableFromTextFileV2 (of a file that is no asset)"]

    @pytest.mark.parametrize("file", ["../../secret.txt", "/etc/passwd", "a/../../../x", "missing.txt"])
    def test_assets_are_files_in_their_folder(self, file, tmp_path):
        path = self.table(tmp_path, str(tmp_path / "words.txt"))
        message = messages((path / "saved_model.pb").read_bytes())
        for asset in message.meta_graphs[0].asset_file_def:
            asset.filename = file
        (path / "saved_model.pb").write_bytes(message.SerializeToString())
        with pytest.raises(FailedPrecondition, match=r"is refused|is missing"):
            RUNTIME.load(Artifact(path))

    def test_links_out_of_the_folder_are_refused(self, tmp_path):
        path = self.table(tmp_path, str(tmp_path / "words.txt"))
        (path / "assets/words.txt").unlink()
        (path / "assets/words.txt").symlink_to(tmp_path / "words.txt")
        with pytest.raises(FailedPrecondition, match=r"assets/words\.txt is a link to outside"):
            RUNTIME.load(Artifact(path))

    def test_writing_while_loading_is_refused_and_does_not_happen(self, tmp_path):
        tf = saved_models.libraries().tf
        inputs = {"x": (tf.float32, [None])}
        path = saved_models.saved(tmp_path / "model", {"serving_default": (lambda x: {"y": x}, inputs)})
        message = messages((path / "saved_model.pb").read_bytes())
        graph = message.meta_graphs[0].graph_def
        for name, text in (("file", str(tmp_path / "mark")), ("what", "x")):
            node = graph.node.add(name=name, op="Const")
            node.attr["dtype"].type = 7
            node.attr["value"].tensor.dtype = 7
            node.attr["value"].tensor.tensor_shape.SetInParent()
            node.attr["value"].tensor.string_val.append(text.encode())
        graph.node.add(name="write", op="WriteFile", input=["file", "what"])
        next(one for one in graph.node if one.name == "NoOp").input.append("^write")
        (path / "saved_model.pb").write_bytes(message.SerializeToString())
        with pytest.raises(PermissionDenied, match="WriteFile"):
            RUNTIME.load(Artifact(path))
        assert not (tmp_path / "mark").exists()

    @pytest.mark.parametrize(
        "op",
        ["PyFunc", "EagerPyFunc", "PyFuncStateless", "ReadFile", "WriteFile", "MatchingFiles", "SaveV2",
         "RestoreV2", "MergeV2Checkpoints", "TextLineDataset", "TFRecordReaderV2", "DecodeProtoV2",
         "ImmutableConst", "LoadAndRemapMatrix", "DebugIdentityV2", "_HostSend", "CreateSummaryFileWriter"],
    )  # fmt: skip
    def test_operators_that_reach_further(self, op):
        assert tensorflow_safety._reaches(tensorflow_file.Node("n", op))

    @pytest.mark.parametrize(
        "op", ["DecodeCSV", "DecodeJpeg", "MatMul", "Assert", "ParseExampleV2", "PrintV2"]
    )
    def test_and_those_that_do_not(self, op):
        assert not tensorflow_safety._reaches(tensorflow_file.Node("n", op))

    def test_printing_to_a_file_reaches_further(self):
        node = tensorflow_file.Node("n", "PrintV2", texts={"output_stream": b"file:///tmp/x"})
        assert tensorflow_safety._reaches(node)
