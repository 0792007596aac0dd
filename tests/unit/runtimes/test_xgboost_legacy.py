"""Models that XGBoost 0.90, 1.2, 1.7 and 2.0 wrote as `model.bst`, with what they predicted then."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris

from tests.unit.runtimes.asking import predict
from trivet.core.errors import FailedPrecondition
from trivet.runtimes.base import Artifact
from trivet.runtimes.registry import detect
from trivet.runtimes.xgboost import RUNTIME
from trivet.runtimes.xgboost_legacy import to_json

FOLDER = Path(__file__).with_name("xgboost_legacy")
EXPECTED = json.loads((FOLDER / "expected.json").read_text())


def rows(name: str) -> Any:
    kind = name.partition("-")[0]
    data = {"logistic": load_breast_cancer, "softprob": load_iris, "poisson": load_iris}.get(
        kind, load_diabetes
    )
    table = np.array(data().data)
    if kind == "missing":
        table[::7, 2] = np.nan
    return [[None if np.isnan(value) else value for value in row] for row in table[::40].tolist()]


@pytest.mark.parametrize("name", EXPECTED)
def test_it_predicts_what_it_did_then(name: str, tmp_path: Path) -> None:
    (tmp_path / "model.bst").write_bytes((FOLDER / name).read_bytes())
    assert detect(tmp_path) == ("xgboost", tmp_path / "model.bst")
    predictor = RUNTIME.load(Artifact(tmp_path / "model.bst"))
    answered = np.asarray(predict(predictor, rows(name), output="booster"))
    exact = name.rpartition("-")[2].startswith(("1.7", "2."))  # before 1.3 it summed in another order
    tolerance = 0 if exact else 1e-6
    np.testing.assert_allclose(answered, np.array(EXPECTED[name], np.float32), rtol=tolerance)


def test_every_kind_of_booster_is_there() -> None:
    boosters = {
        json.loads(to_json((FOLDER / name).read_bytes()))["learner"]["gradient_booster"]["name"]
        for name in EXPECTED
    }
    assert boosters == {"gbtree", "dart", "gblinear"}


@pytest.mark.parametrize("name", EXPECTED)
@pytest.mark.parametrize("share", [0.01, 0.3, 0.6, 0.9])
def test_a_truncated_file_is_refused(name: str, share: float, tmp_path: Path) -> None:
    content = (FOLDER / name).read_bytes()
    (tmp_path / "model.bst").write_bytes(content[: int(len(content) * share)])
    with pytest.raises(FailedPrecondition, match=r"model\.bst"):
        RUNTIME.load(Artifact(tmp_path / "model.bst"))


@given(st.sampled_from(sorted(EXPECTED)), st.integers(0, 5000), st.binary(min_size=1, max_size=8))
def test_whatever_is_in_a_file_a_tree_that_is_read_comes_to_an_end(
    name: str, at: int, scribble: bytes
) -> None:
    content = bytearray((FOLDER / name).read_bytes())
    content[at : at + len(scribble)] = scribble
    try:
        model = json.loads(to_json(bytes(content)))
    except (ValueError, OverflowError):
        return
    booster = model["learner"]["gradient_booster"]
    features = int(model["learner"]["learner_model_param"]["num_feature"])
    for tree in booster.get("gbtree", booster).get("model", {}).get("trees", ()):
        seen, waiting = set(), [0]
        while waiting:
            node = waiting.pop()
            assert node not in seen
            seen.add(node)
            if tree["left_children"][node] != -1:
                assert tree["split_indices"][node] < features
                waiting += [tree["left_children"][node], tree["right_children"][node]]
