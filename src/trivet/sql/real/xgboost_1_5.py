"""Writes an XGBoost model as XGBoost 1.5 reads it, which is what BigQuery runs.

1.5 refuses what later versions write, although the trees are the same. Compared with its format the later
ones have integers for truth values, a baseline for each class, and parts of their own. Verified with
XGBoost 1.5.1: the same numbers bit for bit, but for models of several classes, to a float32 rounding.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np

from trivet.core.errors import FailedPrecondition
from trivet.runtimes import registry
from trivet.runtimes.base import Artifact, need

VERSION = [1, 5, 1]

_OBJECTIVES = (
    "reg:squarederror", "reg:squaredlogerror", "reg:logistic", "reg:pseudohubererror", "reg:gamma",
    "reg:tweedie", "binary:logistic", "binary:logitraw", "binary:hinge", "count:poisson", "survival:cox",
    "survival:aft", "multi:softmax", "multi:softprob", "rank:pairwise", "rank:ndcg", "rank:map",
)  # fmt: skip


def fitted(path: Path) -> bytes | None:
    """Return a model's file for XGBoost 1.5; None where it can stay as it is.

    Raises FailedPrecondition where 1.5 has not what the model needs, or the library that reads it is missing.
    """
    content = path.read_bytes()
    if content.startswith(b"binf") or _version(content) is not None:
        return None
    if not content.startswith(b"{"):
        raise FailedPrecondition(f"{path.name} is a pickle; save the model with save_model('model.json')")
    registry.get_runtime("xgboost").load(Artifact(path))  # which refuses what this library reads wrongly
    library = need("xgboost", "xgboost")
    booster = library.Booster({"nthread": 1})
    booster.load_model(bytearray(content))
    return json.dumps(lowered(json.loads(booster.save_raw("json")))).encode()


def names_features(content: bytes) -> bool:
    """Whether a file holds names and types of its features; if not, INPUT and OUTPUT are needed."""
    if not content.startswith(b"{"):
        return False
    learner = json.loads(content)["learner"]
    return bool(learner.get("feature_names")) and bool(learner.get("feature_types"))


def _version(content: bytes) -> list[int] | None:
    """Return the version of a file in JSON that 1.5 can read as it is; else None."""
    if not content.startswith(b'{"'):
        return None
    try:
        version: list[int] = json.loads(content).get("version") or []
    except ValueError:
        return None
    return version if version and version <= VERSION else None


def lowered(document: dict[str, Any]) -> dict[str, Any]:
    """Return a model in JSON as 1.5 has it; changes what it is given. Raises FailedPrecondition."""
    learner = document["learner"]
    sizes = learner["learner_model_param"]
    objective = learner["objective"]["name"]
    if objective not in _OBJECTIVES:
        raise FailedPrecondition(
            f"its objective {objective} is newer than XGBoost 1.5, which BigQuery runs; train with one of "
            f"{', '.join(_OBJECTIVES)}"
        )
    if int(sizes.get("num_target", 1)) > 1:
        raise FailedPrecondition(
            "it has several targets, which XGBoost 1.5, that BigQuery runs, does not; train a model for each"
        )
    booster = learner["gradient_booster"]
    dart = booster["name"] == "dart"
    forest = (booster["gbtree"] if dart else booster)["model"]
    bases = _bases(sizes["base_score"])
    if len(set(bases)) > 1:
        if "trees" not in forest:
            raise FailedPrecondition("it is linear, with a baseline for each class; train with base_score=0")
        _add_to_leaves(forest, bases, booster.get("weight_drop") if dart else None)
        bases = [0.0]
    sizes["base_score"] = repr(bases[0])
    sizes.pop("boost_from_average", None)
    document["version"] = VERSION
    for name in ("cats", "iteration_indptr"):
        forest.pop(name, None)
    for tree in forest.get("trees", ()):
        if any(tree.get("split_type", ())):
            raise FailedPrecondition(
                "it splits by categories, which BigQuery reads as numbers; train on integers, without "
                "enable_categorical"
            )
        if int(tree["tree_param"].get("size_leaf_vector", 0)) > 1:
            raise FailedPrecondition(
                "its trees give vectors (multi_strategy); train with one_output_per_tree"
            )
        tree["tree_param"]["size_leaf_vector"] = "0"
        tree["default_left"] = [bool(one) for one in tree["default_left"]]
    return document


def _bases(text: str) -> list[float]:
    """Read the baselines: one number, or a list of them since XGBoost 3.1."""
    return [float(one) for one in text.strip("[]").split(",")]


def _add_to_leaves(forest: dict[str, Any], bases: list[float], weights: list[float] | None) -> None:
    """Add the baseline of each class to the leaves of its first tree."""
    done = set()
    for index, (tree, of_class) in enumerate(zip(forest["trees"], forest["tree_info"], strict=True)):
        weight = weights[index] if weights else 1.0
        if of_class in done or not weight:
            continue
        done.add(of_class)
        for node, left in enumerate(tree["left_children"]):
            if left == -1:
                value = np.float32(tree["split_conditions"][node]) + np.float32(bases[of_class] / weight)
                tree["split_conditions"][node] = tree["base_weights"][node] = float(value)
    if missing := [str(one) for one, base in enumerate(bases) if base and one not in done]:
        raise FailedPrecondition(f"classes {', '.join(missing)} have a baseline and no tree; train it again")
