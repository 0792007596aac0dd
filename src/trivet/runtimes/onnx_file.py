"""Reads what Trivet must know of an ONNX file before ONNX Runtime opens it, without the `onnx` package.

Payloads are skipped, nesting is bounded, and whatever the bytes are, the only exception is ValueError. It
says whether a file is a model at all, which classes a classifier in it knows, and from which other files
its tensors would be read; judging those is left to the runtime.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from mmap import ACCESS_READ, mmap
from pathlib import Path

from trivet.runtimes.protobuf import BYTES, VARINT, Data, Field, field_at, fields, signed, varint

_TAGGED = -1  # not of protobuf: integers of one field, one behind another, each behind its tag
_MODEL_WIRES = {1: VARINT, 5: VARINT} | dict.fromkeys((2, 3, 4, 6, 7, 8, 14, 20, 25), BYTES)
_MAX_DEPTH = 32  # graphs within graphs; protobuf itself stops at 100 messages, three per graph
_KEEPS_VALUE = frozenset(("Identity", "Cast", "Reshape", "Squeeze", "Unsqueeze", "Flatten"))

# A tree model stores millions of numbers, one field each; these skip a run of them at the speed of C.
_FLOATS = re.compile(rb"(?:\x3d[\x00-\xff]{4})++")
_INTS = re.compile(rb"(?:\x40[\x80-\xff]{0,9}[\x00-\x7f])++")


@dataclass(frozen=True, slots=True)
class Node:
    """An operator of the graph; `classes` are the class labels among its attributes."""

    op_type: str
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    classes: tuple[int, ...] | tuple[str, ...] = ()


@dataclass(slots=True)
class OnnxFile:
    """What was found; `locations` are the files that the model says its tensors are stored in."""

    opset: int = 0
    producer: str = ""
    metadata: dict[str, str] = field(default_factory=dict)
    nodes: list[Node] = field(default_factory=list)
    locations: set[str] = field(default_factory=set)

    def origin(self, value: str) -> Node | None:
        """Return the operator that computes a value, seen through those that only reshape it."""
        made_by = {name: node for node in self.nodes for name in node.outputs if name}
        for _ in self.nodes:
            node = made_by.get(value)
            if node is None or node.op_type not in _KEEPS_VALUE or not node.inputs:
                return node
            value = node.inputs[0]
        return None


def is_model(path: Path) -> bool:
    """Whether the whole top level of a file reads as a model that has an IR version and a graph."""
    try:
        with path.open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as data:
            for _ in _top_level(data):
                pass
    except ValueError:
        return False
    return True


def inspect(data: bytes) -> OnnxFile:
    """Read a model; raises ValueError where the bytes are not one."""
    found = OnnxFile()
    walk = _Walk(data, found.locations)
    for number, _, start, end in _top_level(data):
        if number == 2:
            found.producer = data[start:end].decode()
        elif number == 7:
            found.nodes += walk.graph(start, end, depth=0)
        elif number == 8:
            found.opset = max(found.opset, _opset(data, start, end))
        elif number == 14:
            key, value = _string_pair(data, start, end)
            found.metadata[key] = value
        elif number == 20:
            walk.training(start, end)
        elif number == 25:
            walk.function(start, end)
    return found


class _Walk:
    """Visits every message that can hold a tensor and notes the files that tensors name."""

    def __init__(self, data: bytes, locations: set[str]) -> None:
        self.data = data
        self.locations = locations

    def graph(self, start: int, end: int, depth: int) -> list[Node]:
        if depth > _MAX_DEPTH:
            raise ValueError(f"graphs are nested more than {_MAX_DEPTH} deep")
        nodes = []
        for number, wire, at, stop in fields(self.data, start, end):
            if wire != BYTES:
                continue
            if number == 1:
                nodes.append(self.node(at, stop, depth))
            elif number == 5:
                self.tensor(at, stop)
            elif number == 15:
                self.sparse_tensor(at, stop)
        return nodes

    def training(self, start: int, end: int) -> None:
        for number, wire, at, stop in fields(self.data, start, end):
            if wire == BYTES and number in (1, 2):
                self.graph(at, stop, depth=0)

    def function(self, start: int, end: int) -> None:
        for number, wire, at, stop in fields(self.data, start, end):
            if wire == BYTES and number == 7:
                self.node(at, stop, depth=0)
            elif wire == BYTES and number == 11:
                self.attribute(at, stop, depth=0)

    def node(self, start: int, end: int, depth: int) -> Node:
        inputs, outputs, op_type = [], [], ""
        classes: tuple[int, ...] | tuple[str, ...] = ()
        for number, wire, at, stop in fields(self.data, start, end):
            if wire != BYTES:
                continue
            if number == 1:
                inputs.append(self.data[at:stop].decode())
            elif number == 2:
                outputs.append(self.data[at:stop].decode())
            elif number == 4:
                op_type = self.data[at:stop].decode()
            elif number == 5:
                classes = self.attribute(at, stop, depth) or classes
        return Node(op_type, tuple(inputs), tuple(outputs), classes)

    def attribute(self, start: int, end: int, depth: int) -> tuple[int, ...] | tuple[str, ...]:
        """Return the class labels where the attribute holds such; otherwise nothing."""
        name, strings, ints = b"", [], []
        for number, wire, at, stop in _numbered_fields(self.data, start, end):
            if number == 8:
                ints.append((at, stop, wire == _TAGGED))
            elif wire != BYTES:
                continue
            elif number == 1:
                name = self.data[at:stop]
            elif number == 9:
                strings.append((at, stop))
            else:
                self.value(number, at, stop, depth)
        if not name.startswith(b"classlabels_"):
            return ()
        if strings:
            return tuple(self.data[at:stop].decode() for at, stop in strings)
        return tuple(value for run in ints for value in _integers(self.data, *run))

    def value(self, number: int, start: int, end: int, depth: int) -> None:
        """Visit a tensor or graph that is, or is among, an attribute's values."""
        if number in (5, 10):
            self.tensor(start, end)
        elif number in (6, 11):
            self.graph(start, end, depth + 1)
        elif number in (22, 23):
            self.sparse_tensor(start, end)

    def sparse_tensor(self, start: int, end: int) -> None:
        for number, wire, at, stop in fields(self.data, start, end):
            if wire == BYTES and number in (1, 2):
                self.tensor(at, stop)

    def tensor(self, start: int, end: int) -> None:
        external, named = False, False
        for number, wire, at, stop in fields(self.data, start, end):
            if number == 14 and wire == VARINT:
                external = varint(self.data, at, stop)[0] == 1
            elif number == 13 and wire == BYTES:
                key, value = _string_pair(self.data, at, stop)
                if key == "location":
                    self.locations.add(value)
                    named = True
        if external and not named:
            raise ValueError("a tensor is stored in another file, but does not say in which")


def _top_level(data: Data) -> Iterator[Field]:
    seen = set()
    for found in fields(data, 0, len(data)):
        number, wire = found[:2]
        if _MODEL_WIRES.get(number, wire) != wire:
            raise ValueError(f"field {number} has wire type {wire}")
        seen.add(number)
        yield found
    if not {1, 7} <= seen:
        raise ValueError("there is no IR version or no graph")


def _numbered_fields(data: Data, start: int, end: int) -> Iterator[Field]:
    """Yield an attribute's fields: without its floats, and with a run of integers as one."""
    while start < end:
        if run := _FLOATS.match(data, start, end):
            start = run.end()
            continue
        if run := _INTS.match(data, start, end):
            yield 8, _TAGGED, start, run.end()
            start = run.end()
            continue
        found = field_at(data, start, end)
        yield found
        start = found[3]


def _integers(data: bytes, at: int, end: int, tagged: bool) -> Iterator[int]:
    while at < end:
        value, at = varint(data, at + tagged, end)
        yield signed(value)


def _opset(data: bytes, start: int, end: int) -> int:
    """Return the version of the standard operators, 0 where another domain is meant."""
    domain, version = b"", 0
    for number, wire, at, stop in fields(data, start, end):
        if number == 1 and wire == BYTES:
            domain = data[at:stop]
        elif number == 2 and wire == VARINT:
            version = varint(data, at, stop)[0]
    return version if domain in (b"", b"ai.onnx") else 0


def _string_pair(data: bytes, start: int, end: int) -> tuple[str, str]:
    pair = {1: "", 2: ""}
    for number, wire, at, stop in fields(data, start, end):
        if wire == BYTES:
            pair[number] = data[at:stop].decode()
    return pair[1], pair[2]
