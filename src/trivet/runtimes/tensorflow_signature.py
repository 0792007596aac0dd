"""What a SavedModel takes and gives, as one of its signatures says it.

The first axis of every input and output is that of the instances; it is left out here. What a map of a
file holds has no order, so that inputs and outputs are in that of their names.
"""

from dataclasses import dataclass, replace

from trivet.core.errors import FailedPrecondition
from trivet.core.signature import FLOATS, DType, Signature, TensorSpec, unknown
from trivet.runtimes.tensorflow_graph import Entry, Graph, Tensor

DEFAULT = "serving_default"
BFLOAT16 = 14

DTYPES: dict[int, DType] = {
    1: "float32",
    2: "float64",
    3: "int32",
    4: "uint8",
    5: "int16",
    6: "int8",
    7: "string",
    9: "int64",
    10: "bool",
    BFLOAT16: "float32",  # NumPy has no such type; every one of its values is a float32
    17: "uint16",
    19: "float16",
    22: "uint32",
    23: "uint64",
}
_OTHERS = {
    8: "complex64",
    18: "complex128",
    11: "qint8",
    12: "quint8",
    13: "qint32",
    15: "qint16",
    16: "quint16",
    20: "resource",
    21: "variant",
}
_TAKE_BYTES = ("ParseExample", "ParseSingleExample", "ParseSequenceExample", "ParseSingleSequence", "Decode")


@dataclass(frozen=True, slots=True)
class Chosen:
    """One signature of a SavedModel. `single` says that it takes one instance at a time."""

    name: str
    entry: Entry
    signature: Signature
    single: bool = False


def choose(graph: Graph, file: str, declared: Signature | None) -> Chosen:
    """Return the default signature, or the one that `signature.json` names, or the only one there is.

    What `signature.json` names as outputs is given, and no others. Raises FailedPrecondition where that is
    none that Trivet can serve.
    """
    asked = declared or Signature(())
    name = _name(graph, file, asked.name)
    entry = graph.signatures[name]
    where = f"{file}: signature {name!r}"
    if not entry.inputs or not entry.outputs:
        raise FailedPrecondition(f"{where}: it has no {'outputs' if entry.inputs else 'inputs'}")
    takes_bytes = _takes_bytes(graph, entry)
    given = {one.name: one for one in asked.inputs}
    inputs = [
        _input(where, name, entry.inputs[name], given.get(name), takes_bytes) for name in sorted(entry.inputs)
    ]
    known = {one.name: one for one in asked.outputs}
    if other := known.keys() - entry.outputs.keys():
        raise FailedPrecondition(
            f"signature.json: outputs: {min(other)}: {unknown(min(other), sorted(entry.outputs), 'output')}"
        )
    outputs = [
        _spec(f"{where}: output {name!r}", name, entry.outputs[name], known.get(name))
        for name in known or sorted(entry.outputs)
    ]
    sizes = {one.shape[0] for one in entry.inputs.values() if one.shape and one.shape[0] >= 0}
    if sizes - {1}:
        raise FailedPrecondition(
            f"{where}: it takes batches of exactly {max(sizes)}; export the model with None as its first axis"
        )
    signature = Signature(tuple(inputs), tuple(outputs), name=name)
    return Chosen(name, entry, signature, single=bool(sizes))


def _name(graph: Graph, file: str, asked: str) -> str:
    names = sorted(name for name in graph.signatures if not name.startswith("__"))
    if not names:
        raise FailedPrecondition(
            f"{file}: it has no signatures; save it with tf.saved_model.save(model, path, signatures=...), "
            "or from Keras with model.export(path)"
        )
    if asked and asked not in names:
        raise FailedPrecondition(
            f"signature.json: signature_name {asked!r}: {unknown(asked, names, 'signature')}"
        )
    if asked or DEFAULT in names or len(names) == 1:
        return asked or (DEFAULT if DEFAULT in names else names[0])
    raise FailedPrecondition(
        f"{file}: it has the signatures {', '.join(names)}, and none called {DEFAULT}; put a signature.json "
        f'into its folder that names one: {{"signature_name": "{names[0]}"}}'
    )


def _takes_bytes(graph: Graph, entry: Entry) -> bool:
    """Whether the one text that a signature takes is a file's content, or a tf.train.Example."""
    if sum(DTYPES.get(one.dtype) == "string" for one in entry.inputs.values()) != 1:
        return False
    return any(node.op.startswith(_TAKE_BYTES) for node in graph.reached(entry.asked()))


def _input(where: str, name: str, one: Tensor, given: TensorSpec | None, takes_bytes: bool) -> TensorSpec:
    spec = _spec(f"{where}: input {name!r}", name, one, given)
    if spec.dtype != "string":
        _agree(spec, given)
        return spec
    # TensorFlow Serving's rule: what ends so is bytes
    found = replace(spec, dtype="bytes" if takes_bytes or name.endswith("_bytes") else "string")
    if given and given.dtype in ("string", "bytes") and not given.nullable:
        return replace(found, dtype=given.dtype)
    _agree(found, given)
    return found


def _agree(found: TensorSpec, given: TensorSpec | None) -> None:
    """Raise FailedPrecondition where an input is declared as what the model does not take.

    Shapes are compared elsewhere.
    """
    if given and (given.dtype != found.dtype or (given.nullable and found.dtype not in FLOATS)):
        raise FailedPrecondition(
            f"signature.json: inputs: {found.name} is declared {given.describe()}, "
            f"but the model takes {found.describe()}"
        )


def _spec(where: str, name: str, one: Tensor, given: TensorSpec | None) -> TensorSpec:
    if one.kind:
        raise FailedPrecondition(f"{where} is {one.kind}; expected a plain tensor")
    if one.dtype not in DTYPES:
        found = _OTHERS.get(one.dtype, f"of the unknown type {one.dtype}")
        raise FailedPrecondition(f"{where} is {found}; expected one of {_listed()}")
    dtype = DTYPES[one.dtype]
    if one.shape is None and given:
        return replace(given, dtype=dtype, nullable=False, fields=())
    if not one.shape:
        reason = (
            "is of no known rank; declare its shape in signature.json"
            if one.shape is None
            else ("is a single value, with no axis of instances; expected shape [N, ...]")
        )
        raise FailedPrecondition(f"{where} {reason}")
    return TensorSpec(name, dtype, tuple(size if size >= 0 else None for size in one.shape[1:]))


def _listed() -> str:
    return ", ".join(dict.fromkeys(DTYPES.values()))
