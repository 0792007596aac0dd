"""Checks LightGBM's text format before the library reads it, which may end the process on a broken file.

The format: https://github.com/microsoft/LightGBM/blob/master/src/boosting/gbdt_model_text.cpp
"""

from collections.abc import Mapping

_INNER = ("split_feature", "threshold", "decision_type", "left_child", "right_child")


def check(content: bytes) -> dict[str, str]:
    """Return the header's fields; raises ValueError where trees are missing, cut off or inconsistent."""
    header, separator, rest = content.replace(b"\r\n", b"\n").partition(b"\n\n")
    fields = _fields(header)
    if not separator or "tree_sizes" not in fields or "max_feature_idx" not in fields:
        raise ValueError("its header is cut off")
    features = int(fields["max_feature_idx"]) + 1
    if len(fields.get("feature_names", "").split()) != features:
        raise ValueError("its header does not name every feature")
    at = len(rest) - len(rest.lstrip(b"\n"))
    for index, size in enumerate(int(size) for size in fields["tree_sizes"].split()):
        tree = rest[at : at + size]
        if size <= 0 or len(tree) < size or not tree.startswith(b"Tree=%d\n" % index):
            raise ValueError(f"tree {index} is missing or cut off")
        _check_tree(index, _fields(tree), features)
        at += size
    if not rest[at:].lstrip().startswith(b"end of trees"):
        raise ValueError("the end of the trees is missing")
    return fields


def _fields(lines: bytes) -> dict[str, str]:
    pairs = (line.partition("=") for line in lines.decode().splitlines())
    return {name: value for name, _, value in pairs}


def _check_tree(index: int, tree: Mapping[str, str], features: int) -> None:
    """Every index within a tree must point to something that is there."""
    leaves = int(tree.get("num_leaves", "0"))
    sizes = {name: leaves - 1 for name in _INNER} | {"leaf_value": leaves}
    values = {name: tree.get(name, "").split() for name in sizes}
    if leaves < 1 or any(leaves > 1 and len(values[name]) != size for name, size in sizes.items()):
        raise ValueError(f"tree {index} has parts of other lengths than its {leaves} leaves need")
    if leaves == 1:
        return
    children = [int(child) for child in (*values["left_child"], *values["right_child"])]
    if min(children) < -leaves or max(children) >= leaves - 1:
        raise ValueError(f"tree {index} has a child that is not there")
    split = [int(feature) for feature in values["split_feature"]]
    if min(split) < 0 or max(split) >= features:
        raise ValueError(f"tree {index} splits on a feature that is not there")
