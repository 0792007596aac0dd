"""What OpenVINO computes as TensorFlow does, and what it would not: told from a SavedModel's operators.

OpenVINO computes in 32 bits at most and loses NaN, knows Unicode where TensorFlow knows ASCII, and has zeros
where TensorFlow finds an index wrong (seen in 2026.4; the tests show each). A model of which that is to be
feared is left to TensorFlow. Where that is not installed, values that matter are refused when they come.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from trivet.core.errors import InvalidArgument
from trivet.core.instances import Column
from trivet.core.signature import INTEGERS
from trivet.runtimes.tensorflow_graph import Graph, Node
from trivet.runtimes.tensorflow_signature import DTYPES, Chosen

_FLOAT32, _FLOAT64, _INT32, _STRING, _INT64 = 1, 2, 3, 7, 9
_FLOATS = (_FLOAT32, _FLOAT64, 14, 19)
_NARROW = frozenset((4, 5, 6, 17, 22, 23))
_WIDE = ("int64", "uint32", "uint64")
_LIMIT = 1 << 31
_SUMS_LIMIT = 1 << 24  # beyond it float32, in which OpenVINO sums, has no longer every whole number

_CALLS = re.compile("PartitionedCall|StatefulPartitionedCall|Identity|Placeholder|NoOp|Const|StopGradient")
_ARITHMETIC = re.compile(
    "Add|Accumulate|Sub|Mul|Pow|Square|Neg|Abs|Sum|Prod|Cum|MatMul|BatchMatMul|Einsum|LeftShift|RightShift"
    "|Bitwise|Invert|Floor|Mod|Trunc|Div|RealDiv|Segment|Unsorted|SparseSegment|Bias|Bincount|DenseBincount"
    "|TensorScatter|Scatter|Range"
)
_SUMS = re.compile("Sum|Cumsum|MatMul|BatchMatMul|Einsum|Mean|Segment|Unsorted|SparseSegment|AddN|Conv|Pow")
_DIVIDES = re.compile("FloorDiv|FloorMod|Mod|TruncateDiv|TruncateMod|Div|RealDiv")
_MAKES_NUMBERS = ("StringToNumber", "DecodeRaw", "DecodePaddedRaw", "Bitcast", "RandomUniformInt")
_LOOKS_UP = ("Gather", "ResourceGather", "SparseSegment", "EmbeddingLookup")
_SEES_NAN = ("IsNan", "IsFinite")

_OF_TEXTS = re.compile("String|Regex|StaticRegex|AsString|Substr|Unicode|Utf|ReduceJoin|UnsortedSegmentJoin")
_KNOWN_OF_TEXTS = re.compile("StringLower|StaticRegexReplace|StringSplitV2|StringToHashBucketFast")
_MOVES_TEXTS = re.compile(
    f"{_CALLS.pattern}|Equal|NotEqual|Reshape|Squeeze|ExpandDims|Shape|Size|HashTable|MutableHashTable"
    "|LookupTable|StringToHashBucketFast"
)
_CLASSES = re.compile(rb"\\[A-Za-z0-9]|\[\[?:|\(\?|[^\x00-\x7f]")
_SPACES = re.compile("[\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]")


class Unfit(Exception):
    """OpenVINO cannot answer the model, or not as TensorFlow would; the text says why."""


@dataclass(frozen=True, slots=True)
class Guards:
    """Which values are refused. `limit` is for whole numbers, in the columns of `wide`; 0 is none."""

    nan: bool = False
    spaces: bool = False
    limit: int = 0

    def check(self, name: str, column: Column) -> None:
        """Raise InvalidArgument for what OpenVINO would not compute as TensorFlow does."""
        kind = column.dtype.kind
        if kind == "f":
            if self.nan and np.isnan(column).any():
                raise _refused(
                    name,
                    "takes no NaN; declare the input nullable in signature.json, and install tensorflow-cpu",
                )
        elif kind in "iu":
            if (
                self.limit
                and column.size
                and not -self.limit <= int(column.min()) <= int(column.max()) < self.limit
            ):
                raise _refused(name, f"takes no whole numbers beyond {self.limit:,}; tensorflow-cpu does")
        elif self.spaces and any(
            isinstance(one, str) and _SPACES.search(one) for one in column.ravel().tolist()
        ):
            raise _refused(name, "takes no spaces but those of ASCII; tensorflow-cpu does")


def judge(graph: Graph, chosen: Chosen, *, nullable: bool, strict: bool) -> Guards:
    """Return what to refuse of the values; raises Unfit where that is the model.

    Where `strict`, which is where TensorFlow is at hand, values need not be refused, and the model is.
    `nullable` says that NaN is to be expected.
    """
    if graph.assets:
        raise Unfit("OpenVINO reads no tables from files")
    nodes = list(graph.reached([*chosen.entry.asked(), *graph.run_at_load()]))
    reasons = sorted(_reasons(nodes, chosen), key=lambda reason: _CALLS.match(reason[0].op) is not None)
    for node, reason in reasons:
        raise Unfit(reason.format(op=node.op))
    inputs = chosen.signature.inputs
    whole = any(spec.dtype in INTEGERS for spec in inputs)
    sums = whole and any(_SUMS.match(node.op) and _INT32 in node.types.values() for node in nodes)
    looks_up = whole and any(node.op.startswith(_LOOKS_UP) for node in nodes)
    splits = any(node.op.startswith("StringSplit") for node in nodes)
    nan = not any(node.op.startswith(_SEES_NAN) for node in nodes)
    if nan and nullable:
        raise Unfit("OpenVINO does not carry NaN, and signature.json has an input that may be null")
    if strict and sums:
        raise Unfit("OpenVINO would sum whole numbers as float32")
    if strict and looks_up:
        raise Unfit("OpenVINO does not find an index wrong that is beyond a table")
    if strict and splits:
        raise Unfit("OpenVINO would split texts at all of Unicode's spaces")
    return Guards(nan=nan, spaces=splits, limit=_SUMS_LIMIT if sums else _LIMIT)


def _reasons(nodes: list[Node], chosen: Chosen) -> Iterator[tuple[Node, str]]:
    wide_in = any(spec.dtype in _WIDE for spec in chosen.signature.inputs)
    wide_out = any(spec.dtype in _WIDE for spec in chosen.signature.outputs)
    for node in nodes:
        types = set(node.types.values())
        source, target = node.types.get("SrcT", 0), node.types.get("DstT", 0)
        arithmetic = _ARITHMETIC.match(node.op) is not None
        narrow = types & _NARROW if arithmetic else {target} & _NARROW
        if _FLOAT64 in types:
            yield node, "OpenVINO would compute {op} of float64 in float32"
        for kind in narrow:
            yield node, f"OpenVINO would not wrap {{op}} of {DTYPES[kind]}"
        if (
            node.wide
            or (wide_in and arithmetic and _INT64 in types)
            or (wide_out and node.op.startswith(_MAKES_NUMBERS))
            or (wide_out and source in _FLOATS and target == _INT64)
        ):
            yield node, "OpenVINO would compute {op} of int64 in 32 bits"
        if _DIVIDES.match(node.op) and types & {_INT32, _INT64}:
            yield node, "OpenVINO ends where {op} divides by zero"
        if not _same_texts(node, types):
            yield node, "OpenVINO is not known to do with texts what TensorFlow's {op} does"


def _same_texts(node: Node, types: set[int]) -> bool:
    if _OF_TEXTS.match(node.op):
        texts = node.texts
        return (
            _KNOWN_OF_TEXTS.fullmatch(node.op) is not None
            and texts.get("encoding", b"") == b""
            and not _CLASSES.search(texts.get("pattern", b""))
            and b"\\" not in texts.get("rewrite", b"")
        )
    return _STRING not in types or _MOVES_TEXTS.match(node.op) is not None


def _refused(name: str, why: str) -> InvalidArgument:
    return InvalidArgument(f"{name}: OpenVINO, which answers this model, {why}")
