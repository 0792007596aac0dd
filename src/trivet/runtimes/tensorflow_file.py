"""Reads `saved_model.pb` without TensorFlow: its signatures, its operators, and which files it names.

Payloads of tensors are skipped, nesting is bounded, and whatever the bytes are, the only exception is
ValueError. What of it may run, and where, is left to others.
"""

from collections.abc import Iterator
from mmap import ACCESS_READ, mmap
from pathlib import Path

import numpy as np

from trivet.runtimes.protobuf import BYTES, VARINT, Data, fields, signed, varint
from trivet.runtimes.tensorflow_graph import Entry, Function, Graph, Node, Tensor

NAME = "saved_model.pb"
SERVE = "serve"
DEFAULT = "serving_default"
INT64 = 9

_MAX_DEPTH = 8  # attributes of a function that an attribute names, and so on
_INT32 = np.iinfo(np.int32)
_TEXTS = ("output_stream", "shared_name", "pattern", "rewrite", "encoding")


def is_saved_model(path: Path) -> bool:
    """Whether the whole top level of a file reads as that of a SavedModel."""
    try:
        with path.open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as data:
            return bool(_graphs(data))
    except ValueError:
        return False


def inspect(data: bytes) -> Graph:
    """Read the graph that is for serving; raises ValueError where there is not just one."""
    found = [_graph(data, start, end) for start, end in _graphs(data)]
    serving = [graph for graph in found if SERVE in graph.tags]
    if len(serving) != 1:
        tags = ", ".join("+".join(graph.tags) or "none" for graph in found)
        raise ValueError(f"expected one graph with the tag {SERVE!r}; found {len(serving)} (tags: {tags})")
    return serving[0]


def alone(data: bytes, graph: Graph, name: str) -> bytes:
    """Return the file as it were if that graph were the only one, and that signature the default one."""
    entry = graph.signatures[name]
    kept = [data[at:stop] for number, at, stop in _spans(data, graph.start, graph.end) if number != 5]
    pair = _message(1, DEFAULT.encode()) + _message(2, data[entry.start : entry.end])
    top = [data[at:stop] for number, at, stop in _spans(data, 0, len(data)) if number != 2]
    return b"".join((*top, _message(2, b"".join((*kept, _message(5, pair))))))


def _message(number: int, payload: bytes) -> bytes:
    size, head = len(payload), bytearray([number << 3 | BYTES])
    while size > 0x7F:
        head.append(size & 0x7F | 0x80)
        size >>= 7
    return bytes((*head, size)) + payload


def _spans(data: Data, start: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Yield each field's number and where it lies, tag and length included."""
    for number, _, _, stop in fields(data, start, end):
        yield number, start, stop
        start = stop


def _graphs(data: Data) -> list[tuple[int, int]]:
    """Return where the graphs lie; raises ValueError where the top level is not that of a SavedModel."""
    found = []
    for number, wire, start, end in fields(data, 0, len(data)):
        if (number, wire) == (2, BYTES):
            found.append((start, end))
        elif (number, wire) != (1, VARINT):
            raise ValueError(f"field {number} has wire type {wire}")
    if not found:
        raise ValueError("there is no graph")
    return found


def _graph(data: bytes, start: int, end: int) -> Graph:
    graph = Graph(start, end)
    for number, at, stop in _messages(data, start, end):
        if number == 1:
            graph.tags += [_text(data, *span) for inner, *span in _messages(data, at, stop) if inner == 4]
        elif number == 2:
            _nodes(data, at, stop, graph)
        elif number == 3:
            graph.restore = _texts(data, at, stop).get(3, graph.restore)
        elif number == 4:
            _collection(data, at, stop, graph)
        elif number == 5:
            name, a, b = _pair(data, at, stop)
            graph.signatures[name] = _signature(data, a, b)
        elif number == 6:
            _asset(data, at, stop, graph)
    return graph


def _nodes(data: bytes, start: int, end: int, graph: Graph) -> None:
    """Read a GraphDef; raises ValueError for a name that is there twice, which readers take differently."""
    for number, at, stop in _messages(data, start, end):
        if number == 1:
            node = _node(data, at, stop)
            if node.name in graph.nodes:
                raise ValueError(f"the node {node.name!r} is there twice")
            graph.nodes[node.name] = node
        elif number == 2:
            for inner, a, b in _messages(data, at, stop):
                if inner == 1:
                    function = _function(data, a, b)
                    if function.name in graph.functions:
                        raise ValueError(f"the function {function.name!r} is there twice")
                    graph.functions[function.name] = function


def _function(data: bytes, start: int, end: int) -> Function:
    function = Function()
    for number, at, stop in _messages(data, start, end):
        if number == 1:
            for inner, a, b in _messages(data, at, stop):
                if inner == 1:
                    function.name = _text(data, a, b)
                elif inner == 2:
                    function.arguments.append(_texts(data, a, b).get(1, ""))
        elif number == 3:
            function.nodes.append(_node(data, at, stop))
    return function


def _node(data: bytes, start: int, end: int) -> Node:
    node = Node()
    for number, at, stop in _messages(data, start, end):
        if number == 1:
            node.name = _text(data, at, stop)
        elif number == 2:
            node.op = _text(data, at, stop)
        elif number == 3:
            node.inputs.append(_text(data, at, stop))
        elif number == 5:
            name, a, b = _pair(data, at, stop)
            _attribute(data, a, b, node, name, 0)
    return node


def _attribute(data: bytes, start: int, end: int, node: Node, name: str, depth: int) -> None:
    if depth > _MAX_DEPTH:
        raise ValueError(f"functions are nested more than {_MAX_DEPTH} deep")
    for number, wire, at, stop in fields(data, start, end):
        if (number, wire) == (6, VARINT):
            node.types[name] = varint(data, at, stop)[0]
        elif wire != BYTES:
            continue
        elif number == 1:
            _attribute_list(data, at, stop, node, name, depth)
        elif number == 2 and name in _TEXTS:
            node.texts[name] = data[at:stop]
        elif number == 8:
            node.wide = node.wide or _wide(data, at, stop)
        elif number == 10:
            _named_function(data, at, stop, node, depth)


def _attribute_list(data: bytes, start: int, end: int, node: Node, name: str, depth: int) -> None:
    for number, wire, at, stop in fields(data, start, end):
        if number == 6:  # one by one, or packed
            for kind in _varints(data, at, stop):
                node.types[f"{name}[{len(node.types)}]"] = kind
        elif (number, wire) == (9, BYTES):
            _named_function(data, at, stop, node, depth)


def _named_function(data: bytes, start: int, end: int, node: Node, depth: int) -> None:
    for number, at, stop in _messages(data, start, end):
        if number == 1:
            node.functions.append(_text(data, at, stop))
        elif number == 2:
            _attribute(data, *_pair(data, at, stop)[1:], node, "", depth + 1)


def _wide(data: bytes, start: int, end: int) -> bool:
    """Whether a constant holds a whole number of more than 32 bits."""
    dtype, found = 0, False
    for number, wire, at, stop in fields(data, start, end):
        if (number, wire) == (1, VARINT):
            dtype = varint(data, at, stop)[0]
        elif (number, wire) == (4, BYTES):
            values = np.frombuffer(data[at : stop - (stop - at) % 8], "<i8")
            found = found or bool(values.size and (values.min() < _INT32.min or values.max() > _INT32.max))
        elif number == 10:
            found = found or any(
                not _INT32.min <= signed(value) <= _INT32.max for value in _varints(data, at, stop)
            )
    return dtype == INT64 and found


def _signature(data: bytes, start: int, end: int) -> Entry:
    entry = Entry({}, {}, start, end)
    for number, at, stop in _messages(data, start, end):
        if number in (1, 2):
            name, a, b = _pair(data, at, stop)
            (entry.inputs if number == 1 else entry.outputs)[name] = _tensor(data, a, b)
    return entry


def _tensor(data: bytes, start: int, end: int) -> Tensor:
    tensor, dtype, kind = "", 0, ""
    shape: tuple[int, ...] | None = None
    for number, wire, at, stop in fields(data, start, end):
        if (number, wire) == (2, VARINT):
            dtype = varint(data, at, stop)[0]
        elif wire != BYTES:
            continue
        elif number == 1:
            tensor = _text(data, at, stop)
        elif number == 3:
            shape = _shape(data, at, stop)
        elif number in (4, 5):
            kind = "sparse" if number == 4 else "composite (ragged, or of several tensors)"
    return Tensor(tensor, dtype, shape, kind)


def _shape(data: bytes, start: int, end: int) -> tuple[int, ...] | None:
    sizes, unknown = [], False
    for number, wire, at, stop in fields(data, start, end):
        if (number, wire) == (3, VARINT):
            unknown = varint(data, at, stop)[0] != 0
        elif (number, wire) == (2, BYTES):
            size = 0
            for inner, kind, a, b in fields(data, at, stop):
                if (inner, kind) == (1, VARINT):
                    size = signed(varint(data, a, b)[0])
            sizes.append(size)
    return None if unknown else tuple(sizes)


def _collection(data: bytes, start: int, end: int, graph: Graph) -> None:
    name, at, stop = _pair(data, start, end)
    if name in ("saved_model_main_op", "legacy_init_op", "initializers", "table_initializer"):
        for number, a, b in _messages(data, at, stop):
            if number == 1:
                graph.main += [_text(data, *span) for inner, *span in _messages(data, a, b) if inner == 1]


def _asset(data: bytes, start: int, end: int, graph: Graph) -> None:
    tensor = file = ""
    for number, at, stop in _messages(data, start, end):
        if number == 1:
            tensor = _tensor(data, at, stop).tensor
        elif number == 2:
            file = _text(data, at, stop)
    if tensor in graph.assets and graph.assets[tensor] != file:
        raise ValueError(f"two assets are named for {tensor!r}")
    graph.assets[tensor] = file


def _messages(data: bytes, start: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Yield the fields that are texts or messages: number, and where they lie."""
    for number, wire, at, stop in fields(data, start, end):
        if wire == BYTES:
            yield number, at, stop


def _pair(data: bytes, start: int, end: int) -> tuple[str, int, int]:
    """Return an entry of a map: its key, and where its value lies."""
    name, a, b = "", end, end
    for number, at, stop in _messages(data, start, end):
        if number == 1:
            name = _text(data, at, stop)
        elif number == 2:
            a, b = at, stop
    return name, a, b


def _texts(data: bytes, start: int, end: int) -> dict[int, str]:
    """Return the texts of a message by their numbers; the last of each, as protobuf has it."""
    return {number: _text(data, at, stop) for number, at, stop in _messages(data, start, end) if number < 4}


def _varints(data: bytes, start: int, end: int) -> Iterator[int]:
    while start < end:
        value, start = varint(data, start, end)
        yield value


def _text(data: bytes, start: int, end: int) -> str:
    return data[start:end].decode()
