"""XGBoost's legacy binary format, which `save_model("model.bst")` wrote up to version 2.0, read as JSON.

XGBoost itself reads it only up to 3.0. Its layout is that of the structures of its C++ sources: parameters
in fixed sizes, strings and vectors preceded by their lengths, all little-endian. What a model predicts by is
taken over bit for bit.
"""

import json
import math
import re
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from trivet.runtimes.base import head

_MAGIC = b"binf"  # from 1.0 on
_HEADER = 136
_OBJECTIVE = re.compile(rb"(?:reg|binary|multi|count|rank|survival):[a-z]+")
_NODE = np.dtype([("parent", "<i4"), ("left", "<i4"), ("right", "<i4"), ("split", "<u4"), ("value", "<f4")])
_STATISTICS = np.dtype([("loss", "<f4"), ("hessian", "<f4"), ("weight", "<f4"), ("leaves", "<i4")])
_LOW = 0x7FFFFFFF

_TRAINING: Mapping[str, Any] = {
    "reg_loss_param": {"scale_pos_weight": "1"},
    "poisson_regression_param": {"max_delta_step": "0.7"},
    "tweedie_regression_param": {"tweedie_variance_power": "1.5"},
    "pseudo_huber_param": {"huber_slope": "1"},
    "aft_loss_param": {"aft_loss_distribution": "normal", "aft_loss_distribution_scale": "1"},
    "lambda_rank_param": {"num_pairsample": "1", "fix_list_weight": "0"},
}
"""What an objective was trained with: the format does not keep it, JSON must have it, and predicting needs
none of it."""

_RENAMED = {"reg:linear": "reg:squarederror"}


def is_legacy(path: Path) -> bool:
    """Whether a file is in this format, with or without the mark that files from 1.0 on have."""
    start = head(path, 256)
    if start.startswith(_MAGIC):
        return True
    length = int.from_bytes(start[_HEADER : _HEADER + 8], "little")
    return 0 < length < 64 and bool(_OBJECTIVE.fullmatch(start[_HEADER + 8 : _HEADER + 8 + length]))


def to_json(content: bytes) -> bytes:
    """Return the same model as JSON; raises ValueError where it is broken."""
    reader = _Reader(content[len(_MAGIC) :] if content.startswith(_MAGIC) else content)
    base, features, classes, attributes, _, major, _, targets = reader.unpack("<fIiiiIII", _HEADER)
    objective, booster = reader.text(), reader.text()
    reader.before_1 = major < 1
    trees = reader.booster(booster, features, max(1, classes))
    if major < 1:
        base = _undo_link(objective, base)
    model = {
        "version": [1, 7, 6],  # whose JSON this is
        "learner": {
            "attributes": dict(reader.pairs()) if attributes else {},
            "feature_names": [],
            "feature_types": [],
            "gradient_booster": trees,
            "learner_model_param": {
                "base_score": repr(base),
                "num_class": str(classes),
                "num_feature": str(features),
                "num_target": str(max(1, targets)),
            },
            "objective": {
                "name": _RENAMED.get(objective, objective),
                "softmax_multiclass_param": {"num_class": str(classes)},
                **_TRAINING,
            },
        },
    }
    return json.dumps(model).encode()


def _undo_link(objective: str, margin: float) -> float:
    """Return the base score of a margin; before 1.0 the margin was kept."""
    if objective in ("binary:logistic", "reg:logistic"):
        return 1 / (1 + math.exp(-margin))
    if objective in ("count:poisson", "reg:gamma", "reg:tweedie", "survival:cox"):
        return math.exp(margin)
    return margin + 0.0  # -0.0 becomes 0.0


class _Reader:
    """Reads one piece after the other."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._at = 0
        self.before_1 = False

    def unpack(self, layout: str, size: int) -> Any:
        """Return the first fields of a structure of `size` bytes."""
        return struct.unpack_from(layout, self._take(size))

    def text(self) -> str:
        return self._take(self._length()).decode()

    def pairs(self) -> list[tuple[str, str]]:
        return [(self.text(), self.text()) for _ in range(self._length())]

    def floats(self) -> list[float]:
        values: list[float] = self.array("<f4", self._length()).tolist()
        return values

    def array(self, kind: Any, count: int) -> Any:
        dtype = np.dtype(kind)
        _require(count >= 0, "a length is negative")
        return np.frombuffer(self._take(count * dtype.itemsize), dtype)

    def booster(self, name: str, features: int, groups: int) -> dict[str, Any]:
        if name == "gblinear":
            self._take(_HEADER)
            weights = self.floats()
            _require(len(weights) == (features + 1) * groups, "weights do not fit the features")
            return {"name": name, "model": {"weights": weights, "boosted_rounds": 0}}
        _require(name in ("gbtree", "dart"), f"unknown booster {name[:40]!r}")
        count, parallel = self.unpack("<ii", 160)
        trees = [self.tree(number, features) for number in range(count)]
        groups_of = self.array("<i4", count)
        _require(bool(((groups_of >= 0) & (groups_of < groups)).all()), "a tree is of no class")
        model = {
            "gbtree_model_param": {
                "num_trees": str(count),
                "num_parallel_tree": str(max(1, parallel)),
                "size_leaf_vector": "0",
            },
            "tree_info": groups_of.tolist(),
            "trees": trees,
        }
        if name == "gbtree":
            return {"name": name, "model": model}
        weights = self.floats() if count else []
        _require(len(weights) == count, "weights do not fit the trees")
        return {"name": name, "gbtree": {"name": "gbtree", "model": model}, "weight_drop": weights}

    def tree(self, number: int, features: int) -> dict[str, Any]:
        _, count, deleted, _, _, leaf_vector = self.unpack("<iiiiIi", 148)
        nodes, statistics = self.array(_NODE, count), self.array(_STATISTICS, count)
        if leaf_vector and self.before_1:
            self.floats()
        inner = nodes["left"] != -1
        children = np.concatenate((nodes["left"][inner], nodes["right"][inner]))
        index = nodes["split"] & _LOW
        sound = count > 0 and np.unique(children).size == children.size  # else XGBoost never comes to an end
        sound = sound and not ((children < 1) | (children >= count)).any()
        _require(bool(sound and (index[inner] < features).all()), f"tree {number} leads nowhere")
        return {
            "id": number,
            "base_weights": statistics["weight"].tolist(),
            "categories": [],
            "categories_nodes": [],
            "categories_segments": [],
            "categories_sizes": [],
            "default_left": (nodes["split"] >> 31).tolist(),
            "left_children": nodes["left"].tolist(),
            "loss_changes": statistics["loss"].tolist(),
            "parents": (nodes["parent"] & _LOW).tolist(),
            "right_children": nodes["right"].tolist(),
            "split_conditions": nodes["value"].tolist(),
            "split_indices": index.tolist(),
            "split_type": [0] * count,
            "sum_hessian": statistics["hessian"].tolist(),
            "tree_param": {
                "num_deleted": str(deleted),
                "num_feature": str(features),
                "num_nodes": str(count),
                "size_leaf_vector": "0",
            },
        }

    def _length(self) -> int:
        return int.from_bytes(self._take(8), "little")

    def _take(self, size: int) -> bytes:
        taken = self._content[self._at : self._at + size]
        _require(len(taken) == size, "the file is truncated")
        self._at += size
        return taken


def _require(sound: bool, otherwise: str) -> None:
    if not sound:
        raise ValueError(otherwise)
