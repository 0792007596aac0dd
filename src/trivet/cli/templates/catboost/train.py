"""Trains a model on made-up numbers, as model/model.cbm."""

from pathlib import Path

import numpy as np
from catboost import CatBoostClassifier, Pool


def train(folder: Path) -> None:
    """Write a classifier that says whether the first of three numbers is the largest."""
    rows = np.random.default_rng(0).normal(size=(2000, 3))
    model = CatBoostClassifier(iterations=50, depth=4, verbose=False, allow_writing_files=False)
    model.fit(Pool(rows, rows.argmax(axis=1) == 0, feature_names=["a", "b", "c"]))
    folder.mkdir(exist_ok=True)
    model.save_model(str(folder / "model.cbm"))


if __name__ == "__main__":
    train(Path("model"))
