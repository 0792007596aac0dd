"""Whether a SavedModel does more than compute: reads or writes files, calls Python, reaches the network.

TensorFlow runs whatever operators a graph has, when it is loaded or when it is asked, and some of them do
these things. What a graph's own bookkeeping needs is known: variables are restored, and tables are filled
from files in the artifact's `assets` folder.
"""

import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from trivet.core.errors import FailedPrecondition, PermissionDenied
from trivet.runtimes.base import Artifact
from trivet.runtimes.tensorflow_graph import Entry, Function, Graph, Node, node_of

_REACHES = re.compile(
    r"PyFunc|File|Save|Restore|Checkpoint|Reader|Dataset|Iterator|RecordInput|Summary|Debug|LoadAndRemap"
    r"|VocabRemapping|ImmutableConst|FixedUnigram|Proto|Rpc|Remote|Bigtable|HostCompute|AtHost|Collective"
    r"|TRTEngine|Abort|^_?(Host)?(Send|Recv)|^TPU"
)
_TABLES = frozenset(("InitializeTableFromTextFile", "InitializeTableFromTextFileV2"))
_RESTORES = frozenset(("RestoreV2", "Restore", "RestoreSlice"))
_CALLS = frozenset(("PartitionedCall", "StatefulPartitionedCall"))


def check(artifact: Artifact, folder: Path, graph: Graph, entry: Entry) -> None:
    """Judge the files, then what runs.

    Raises FailedPrecondition for files outside of the folder, and PermissionDenied for operators that do
    more than compute, where the operator has not allowed such things.
    """
    _contained(folder, graph)
    found = sorted(set(_reaching(graph, entry)))
    if found and not artifact.permissions.pickle:
        raise PermissionDenied(
            f"{folder.name}: its graph does more than compute: {', '.join(found)}. Such a model can do what "
            "its author wants, with your rights; if you trust where it comes from, allow it with "
            "--allow-pickle"
        )


def _contained(folder: Path, graph: Graph) -> None:
    root = folder.resolve()
    for path in folder.rglob("*"):
        if path.is_symlink() and not path.resolve().is_relative_to(root):
            raise FailedPrecondition(f"{folder.name}: {path.relative_to(folder)} is a link to outside of it")
    assets = root / "assets"
    for file in graph.assets.values():
        parts = PurePosixPath(file)
        inside = file and not parts.is_absolute() and ".." not in parts.parts and "\0" not in file
        if not inside or not (assets / file).resolve().is_relative_to(root):
            raise FailedPrecondition(
                f"{folder.name}: the asset {file!r} is refused: expected a file in its assets folder"
            )
        if not (assets / file).is_file():
            raise FailedPrecondition(f"{folder.name}: the file assets/{file} is missing")


def _reaching(graph: Graph, entry: Entry) -> Iterable[str]:
    yield from _among(graph.reached(entry.asked()))
    for node in graph.reached(graph.run_at_load()):
        if node.op not in _TABLES:
            yield from _among([node])
        elif not _from_asset(graph, node):  # which gets its path then, and only then
            yield f"{node.op} (of a file that is no asset)"
    yield from _among(node for node in graph.reached([graph.restore]) if node.op not in _RESTORES)


def _among(nodes: Iterable[Node]) -> Iterable[str]:
    return (node.op for node in nodes if _reaches(node))


def _reaches(node: Node) -> bool:
    if node.op in ("PrintV2", "Print"):
        return node.texts.get("output_stream", b"").startswith(b"file:")
    return _REACHES.search(node.op) is not None


def _from_asset(graph: Graph, table: Node) -> bool:
    """Whether the file that fills a table is one of the artifact's assets, wherever it is looked at from."""
    file = table.inputs[1] if len(table.inputs) > 1 else ""
    if graph.nodes.get(table.name) is table:
        return _is_asset(graph, file)
    holders = [one for one in graph.functions.values() if any(node is table for node in one.nodes)]
    return all(_given_asset(graph, one, file) for one in holders)


def _given_asset(graph: Graph, function: Function, value: str) -> bool:
    """Whether a value within a function is an argument, for which every caller gives an asset."""
    inner = {node.name: node for node in function.nodes}
    for _ in function.nodes:
        node = inner.get(node_of(value))
        if node is None or node.op != "Identity" or not node.inputs:
            break
        value = node.inputs[0]
    if value not in function.arguments or value in inner:
        return False
    position = function.arguments.index(value)
    callers = [node for node in graph.every_node() if function.name in (*node.functions, node.op)]
    return all(
        node.op in _CALLS
        and graph.nodes.get(node.name) is node
        and len(node.inputs) > position
        and _is_asset(graph, node.inputs[position])
        for node in callers
    )


def _is_asset(graph: Graph, tensor: str) -> bool:
    """Whether a tensor is an asset's path, or the value of a variable that is given that and nothing else."""
    for _ in graph.nodes:
        name = node_of(tensor)
        if {name, f"{name}:0"} & graph.assets.keys():
            return graph.nodes[name].op in ("Placeholder", "Const")
        node = graph.nodes.get(name)
        if node is None or node.op not in ("Identity", "ReadVariableOp", "VarHandleOp"):
            return False
        source = _assigned(graph, node) if node.op == "VarHandleOp" else node.inputs[0]
        if source is None:
            return False
        tensor = source
    return False


def _assigned(graph: Graph, variable: Node) -> str | None:
    """Return the one tensor that a variable is given; None where that may be another."""
    shared = Counter(
        one.texts.get("shared_name", b"") for one in graph.every_node() if one.op == "VarHandleOp"
    )
    users = [node for node in graph.every_node() if any(node_of(one) == variable.name for one in node.inputs)]
    given = [node.inputs[1] for node in users if node.op == "AssignVariableOp" and len(node.inputs) > 1]
    others = {node.op for node in users} - {"AssignVariableOp", "ReadVariableOp", "VarIsInitializedOp"}
    if others or len(given) != 1 or shared[variable.texts.get("shared_name", b"")] != 1:
        return None
    return given[0]
