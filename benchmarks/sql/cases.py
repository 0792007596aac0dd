"""The rows and the models: ten numbers a row as Parquet, and what is trained on rows like them."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

FEATURES = [f"f{index}" for index in range(10)]
MODELS = ("linear", "xgboost", "forest", "lightgbm", "catboost", "catboost-1000")
FILES = {
    "linear": "linear.onnx", "xgboost": "xgboost.json", "forest": "forest.onnx", "lightgbm": "lightgbm.txt",
    "catboost": "catboost.cbm", "catboost-1000": "catboost-1000.cbm",
}  # fmt: skip
ABOUT = {
    "linear": "a linear model as ONNX",
    "xgboost": "XGBoost, 100 trees of depth 6 (its default)",
    "forest": "a random forest as ONNX, 50 trees of depth 8",
    "lightgbm": "LightGBM, 100 trees of 63 leaves",
    "catboost": "CatBoost, 100 trees of depth 6",
    "catboost-1000": "CatBoost, 1,000 trees of depth 6 (its default)",
}
TYPES = {
    "linear": "ONNX",
    "forest": "ONNX",
    "xgboost": "XGBOOST",
    "lightgbm": "LIGHTGBM",
    "catboost": "CATBOOST",
    "catboost-1000": "CATBOOST",
}
OUTPUTS = {"linear": "variable", "forest": "variable", "xgboost": "predicted_label"}


@dataclass(frozen=True)
class Place:
    """A folder with the rows and the models, made once."""

    folder: Path
    rows: int

    @property
    def table(self) -> Path:
        return self.folder / f"{self.rows}.parquet"

    def model(self, name: str) -> Path:
        return self.folder / FILES[name]

    def make(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        if not self.table.exists():
            print("Making the rows (once) ...", flush=True)
            _write_rows(self.table, self.rows)
        if missing := [name for name in MODELS if not self.model(name).exists()]:
            print("Training the models (once) ...", flush=True)
            _train(self, missing)


def _write_rows(file: Path, rows: int) -> None:
    import duckdb

    columns = ", ".join(
        f"(hash(range * 10 + {index}) % 1000000) / 1e6 AS {name}" for index, name in enumerate(FEATURES)
    )
    part = file.with_suffix(".part")
    duckdb.sql(
        f"COPY (SELECT range AS id, range % 50 AS g, {columns} FROM range({rows})) TO '{part}' "
        "(FORMAT parquet, ROW_GROUP_SIZE 122880)"
    )
    part.replace(file)


def _train(place: Place, names: list[str]) -> None:
    random = np.random.default_rng(0)
    x = random.random((20_000, len(FEATURES)))
    y = 3 * x[:, 0] + x[:, 1] * x[:, 2] + np.sin(5 * x[:, 3]) + random.normal(0, 0.1, len(x))
    for name in names:
        file = place.model(name)
        if TYPES[name] == "ONNX":
            _onnx(name, x, y, file)
        elif name == "xgboost":
            import xgboost

            matrix = xgboost.DMatrix(x, y, feature_names=FEATURES)
            xgboost.train({"max_depth": 6, "eta": 0.1, "nthread": 1}, matrix, 100).save_model(file)
        elif name == "lightgbm":
            import lightgbm

            data = lightgbm.Dataset(x, y, feature_name=FEATURES)
            lightgbm.train({"num_leaves": 63, "verbose": -1}, data, 100).save_model(file)
        else:
            import catboost
            import pandas

            trees = 1000 if name == "catboost-1000" else 100
            cat = catboost.CatBoostRegressor(trees, depth=6, verbose=False, allow_writing_files=False)
            cat.fit(pandas.DataFrame(x, columns=FEATURES), y).save_model(str(file))


def _onnx(name: str, x: np.ndarray, y: np.ndarray, file: Path) -> None:
    from skl2onnx import to_onnx
    from sklearn.ensemble import RandomForestRegressor
    from sklearn.linear_model import LinearRegression

    model = LinearRegression() if name == "linear" else RandomForestRegressor(50, max_depth=8, random_state=0)
    fitted = model.fit(x.astype(np.float32), y)
    made = to_onnx(fitted, x[:1].astype(np.float32), target_opset={"": 17, "ai.onnx.ml": 3})
    file.write_bytes(made.SerializeToString())
