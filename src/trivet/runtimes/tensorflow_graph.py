"""What Trivet knows of a SavedModel's graph: its signatures, its operators, and which of them run when."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain

INIT = "__saved_model_init_op"


@dataclass(frozen=True, slots=True)
class Tensor:
    """An input or output of a signature: which tensor of the graph it is, its type, its shape if it has one.

    `kind` says what it is where it is no plain tensor.
    """

    tensor: str = ""
    dtype: int = 0
    shape: tuple[int, ...] | None = None
    kind: str = ""


@dataclass(frozen=True, slots=True)
class Entry:
    """A signature: what a caller names, and its place in the file."""

    inputs: dict[str, Tensor]
    outputs: dict[str, Tensor]
    start: int = 0
    end: int = 0

    def asked(self) -> list[str]:
        """Return the tensors that are computed for a caller."""
        return [one.tensor for one in self.outputs.values()]


@dataclass(slots=True)
class Node:
    """An operator: what it takes, the types, functions and texts among its attributes.

    `wide` says that it is a constant with a whole number of more than 32 bits.
    """

    name: str = ""
    op: str = ""
    inputs: list[str] = field(default_factory=list)
    types: dict[str, int] = field(default_factory=dict)
    functions: list[str] = field(default_factory=list)
    texts: dict[str, bytes] = field(default_factory=dict)
    wide: bool = False


@dataclass(slots=True)
class Function:
    """A function of the graph's library."""

    name: str = ""
    arguments: list[str] = field(default_factory=list)
    nodes: list[Node] = field(default_factory=list)


@dataclass(slots=True)
class Graph:
    """A MetaGraph: one of the graphs in a file, which lies there between `start` and `end`.

    `assets` are names of files by the tensor that gets their path, `main` is what runs when it is loaded,
    `restore` what reads its variables then.
    """

    start: int
    end: int
    tags: list[str] = field(default_factory=list)
    signatures: dict[str, Entry] = field(default_factory=dict)
    nodes: dict[str, Node] = field(default_factory=dict)
    functions: dict[str, Function] = field(default_factory=dict)
    assets: dict[str, str] = field(default_factory=dict)
    restore: str = ""
    main: list[str] = field(default_factory=list)

    def reached(self, roots: Iterable[str]) -> Iterator[Node]:
        """Yield each node that runs where these nodes or tensors are asked for, also those in functions."""
        todo, seen = list(roots), set()
        called: list[str] = []
        while todo:
            name = node_of(todo.pop())
            if name in seen or name not in self.nodes:
                continue
            seen.add(name)
            node = self.nodes[name]
            yield node
            todo += node.inputs
            called += (*node.functions, node.op)
        done = set()
        while called:
            name = called.pop()
            if name in done or name not in self.functions:
                continue
            done.add(name)
            for node in self.functions[name].nodes:
                yield node
                called += (*node.functions, node.op)

    def run_at_load(self) -> list[str]:
        """Return what runs when the model is loaded, apart from restoring its variables."""
        init = self.signatures.get(INIT)
        return [*self.main, *(one.tensor for one in init.outputs.values())] if init else self.main

    def every_node(self) -> Iterator[Node]:
        """Yield every node, whether it is ever run or not."""
        yield from self.nodes.values()
        yield from chain.from_iterable(one.nodes for one in self.functions.values())


def node_of(tensor: str) -> str:
    """Return the node of a tensor's name, or of a control input's."""
    return tensor.removeprefix("^").partition(":")[0]
