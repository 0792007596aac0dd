"""Classes of other libraries that an exported program's outputs were in, replaced by dicts.

An export keeps the name of such a class and of its fields, not the class: PyTorch wants the library that has
it imported (`transformers`, most often), though only the names of the fields are needed to give an answer.
"""

import json
from collections.abc import Iterator
from typing import Any


def stand_in(graph: Any) -> None:
    """Let a program be read whose graph names classes that nobody has registered."""
    from torch.utils import _pytree as pytree

    for node in _nodes(graph):
        name = node.get("type")
        if name is None or name in pytree.SERIALIZED_TYPE_TO_PYTHON_TYPE:
            continue
        if _fields(_decoded(node), len(node["children_spec"])) is not None:
            _register(name, pytree)


def _nodes(graph: Any) -> Iterator[dict[str, Any]]:
    """Yield every node of how inputs and outputs are nested."""
    for entry in graph["graph_module"]["module_call_graph"]:
        signature = entry.get("signature") or {}
        for key in ("in_spec", "out_spec"):
            if key in signature:
                yield from _below(json.loads(signature[key])[1])


def _below(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield node
    for child in node["children_spec"]:
        yield from _below(child)


def _decoded(node: dict[str, Any]) -> Any:
    try:
        return json.loads(node["context"])
    except (TypeError, ValueError):
        return None


def _fields(context: Any, count: int) -> list[str] | None:
    """Return the names of the fields: the context is a list of them, or begins with one (a dataclass)."""
    if isinstance(context, list) and len(context) == 2 and all(isinstance(one, list) for one in context):
        context = context[0]
    named = isinstance(context, list) and all(isinstance(one, str) for one in context)
    return context if named and len(context) == count else None


def _register(name: str, pytree: Any) -> None:
    kind = type(name.rpartition(".")[2], (dict,), {})

    def unflatten(values: Any, context: Any) -> Any:
        flat = list(values)
        return kind(zip(_fields(context, len(flat)) or (), flat, strict=True))

    pytree.register_pytree_node(
        kind,
        lambda made: (list(made.values()), list(made)),
        unflatten,
        serialized_type_name=name,
        flatten_with_keys_fn=lambda made: (
            [(pytree.MappingKey(key), one) for key, one in made.items()],
            list(made),
        ),
    )
