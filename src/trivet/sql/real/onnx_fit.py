"""Makes an ONNX model one that BigQuery imports: operators that it knows, and tensors alone.

BigQuery runs ONNX Runtime 1.12: operators of version 17, those of classic models of version 3, and files of
IR version 8. What fits is left as it is, and needs no library.
Source: https://cloud.google.com/bigquery/docs/reference/standard-sql/bigqueryml-syntax-create-onnx
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from trivet.core.errors import FailedPrecondition
from trivet.runtimes import onnx_file
from trivet.runtimes.protobuf import BYTES, VARINT, fields, varint
from trivet.storage.libraries import found

OPSET, CLASSIC, IR = 17, 3, 8


def library(module: str, install: str) -> Any:
    """Import a library that only conversions need, or say which command installs it."""
    return found(module, install, "to convert the model for BigQuery")


def versions(content: bytes) -> tuple[int, dict[str, int]]:
    """Return the IR version of a model, and those of its operators by domain; raises ValueError."""
    ir, opsets = 0, {}
    for number, wire, start, stop in fields(content, 0, len(content)):
        if number == 1 and wire == VARINT:
            ir = varint(content, start, stop)[0]
        elif number == 8 and wire == BYTES:
            domain, version = "", 0
            for inner, kind, at, end in fields(content, start, stop):
                if inner == 1 and kind == BYTES:
                    domain = content[at:end].decode()
                elif inner == 2 and kind == VARINT:
                    version = varint(content, at, end)[0]
            opsets[domain if domain != "ai.onnx" else ""] = version
    return ir, opsets


def fitted(path: Path) -> tuple[bytes, list[str]] | None:
    """Return a model for BigQuery and what was changed; None where it can stay as it is.

    Raises FailedPrecondition that says how to export it otherwise.
    """
    content = path.read_bytes()
    try:
        found = onnx_file.inspect(content)
        ir, opsets = versions(content)
    except ValueError as error:
        raise FailedPrecondition(f"{path.name} cannot be read as ONNX model: {error}") from None
    zipped = any(node.op_type == "ZipMap" for node in found.nodes)
    if set(opsets) - {"", "ai.onnx.ml"}:
        others = ", ".join(sorted(set(opsets) - {"", "ai.onnx.ml"}))
        raise FailedPrecondition(
            f"it uses operators of {others}, which BigQuery's ONNX Runtime does not have"
        )
    if opsets.get("ai.onnx.ml", 1) > CLASSIC:
        raise FailedPrecondition(
            f"it uses version {opsets['ai.onnx.ml']} of ai.onnx.ml; BigQuery knows {CLASSIC}: export it with "
            f"target_opset={{'': {OPSET}, 'ai.onnx.ml': {CLASSIC}}}"
        )
    fits = ir <= IR and opsets.get("", 1) <= OPSET
    if fits and not zipped and not found.locations:
        return None
    onnx = library("onnx", "onnx")
    model = onnx.load(str(path))  # with its external data, which goes into the file
    done = ["tensors of other files taken in"] if found.locations else []
    if zipped:
        unzip(model)
        done.append("ZipMap taken out")
    if opsets.get("", 1) > OPSET:
        model = _older(onnx, model, opsets[""])
        done.append(f"operators of version {opsets['']} written as {OPSET}")
    model.ir_version = min(model.ir_version, IR)
    return model.SerializeToString(), done or [f"IR version {ir} written as {IR}"]


def _older(onnx: Any, model: Any, version: int) -> Any:
    library("onnx.version_converter", "onnx")
    domains = {one.domain: one.version for one in model.opset_import}  # skl2onnx lists one twice
    del model.opset_import[:]
    model.opset_import.extend(onnx.helper.make_opsetid(name, number) for name, number in domains.items())
    try:
        return onnx.version_converter.convert_version(model, OPSET)
    except Exception as error:  # noqa: BLE001 - the converter raises RuntimeError, and what its checks do
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise FailedPrecondition(
            f"it uses operators of version {version}, and cannot be written with those of {OPSET}, which "
            f"BigQuery knows ({reason[-1][:200]}): export it with opset {OPSET}"
        ) from None


def unzip(model: Any) -> None:
    """Take out ZipMap: the output of that name becomes the tensor of scores that it was made of."""
    from onnx import helper

    graph = model.graph
    for node in [one for one in graph.node if one.op_type == "ZipMap"]:
        scores, named = node.input[0], node.output[0]
        labels = [a for a in node.attribute if a.name.startswith("classlabels")]
        classes = max((len(a.strings) or len(a.ints) for a in labels), default=None)
        graph.node.remove(node)
        for output in graph.output:
            if output.name == named:
                output.CopyFrom(helper.make_tensor_value_info(named, 1, [None, classes]))
        graph.node.append(helper.make_node("Identity", [scores], [named], name=f"{named}_scores"))


def columns(model: Any, matrix: str, names: Sequence[str]) -> None:
    """Give a model an input of shape [N, 1] for each name, in the place of its matrix."""
    from onnx import helper

    graph = model.graph
    old = next(one for one in graph.input if one.name == matrix)
    kind = old.type.tensor_type.elem_type
    graph.input.remove(old)
    for name in names:
        graph.input.append(helper.make_tensor_value_info(name, kind, [None, 1]))
    graph.node.insert(0, helper.make_node("Concat", list(names), [matrix], axis=1, name="columns"))


def outputs(model: Any, wanted: Mapping[str, tuple[str, bool]]) -> None:
    """Give a model these outputs alone: by name, which of its own each is, and whether it is bare."""
    from onnx import helper

    graph = model.graph
    own = {one.name: one for one in graph.output}
    made = []
    for name, (source, bare) in wanted.items():
        kind = own[source].type.tensor_type.elem_type
        if bare:
            shape = helper.make_tensor(f"{name}_shape", 7, [1], [-1])
            graph.initializer.append(shape)
            graph.node.append(helper.make_node("Reshape", [source, shape.name], [name], name=f"{name}_rows"))
            made.append(helper.make_tensor_value_info(name, kind, [None]))
        else:
            graph.node.append(helper.make_node("Identity", [source], [name], name=f"{name}_as"))
            info = helper.make_tensor_value_info(name, kind, None)
            info.type.CopyFrom(own[source].type)
            made.append(info)
    del graph.output[:]
    graph.output.extend(made)
