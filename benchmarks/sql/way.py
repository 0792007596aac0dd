"""One way, one model, in a process of its own: `python -m benchmarks.sql.way NAME MODEL FOLDER ROWS THREADS`.

Prints what it took as JSON: CPU and wall seconds of the work alone, imports and loading left out; the most
memory that the process had; and a checksum of the predictions, which all ways must share.
"""

import json
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.sql.cases import FEATURES, OUTPUTS, TYPES, Place

BATCH = 65_536
SLOW = 100_000
"""Rows of the way that takes one at a time."""

Predict = Callable[[Any], Any]


def cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def most_memory() -> float:
    """Return the most MB that the process had; `getrusage` counts what was before its program, too."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1024
    return 0.0


@contextmanager
def measured(record: dict[str, Any]) -> Any:
    before, began = cpu(), time.perf_counter()
    yield
    record["cpu_s"] = cpu() - before
    record["seconds"] = time.perf_counter() - began


def library(place: Place, name: str) -> tuple[Predict, type]:
    """Return the model as its own library has it, on one thread, and the dtype that it wants."""
    file = str(place.model(name))
    if name in ("linear", "forest"):
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        run = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"]).run
        return lambda rows: run(None, {"X": rows})[0].reshape(-1), np.float32
    if name == "xgboost":
        import xgboost

        booster = xgboost.Booster({"nthread": 1}, model_file=file)
        return lambda rows: booster.inplace_predict(rows, validate_features=False), np.float32
    if name == "lightgbm":
        import lightgbm

        tree = lightgbm.Booster(model_file=file)
        return lambda rows: tree.predict(rows, num_threads=1), np.float64
    import catboost

    cat = catboost.CatBoost().load_model(file)
    return lambda rows: cat.predict(rows, thread_count=1), np.float32


def duck(threads: int) -> Any:
    import duckdb

    connection = duckdb.connect()
    connection.execute(f"SET threads = {threads}")
    return connection


def floor(place: Place, name: str, threads: int, record: dict[str, Any]) -> None:
    """Ask the model on numpy arrays that are there already: nothing can be faster with it."""
    predict, dtype = library(place, name)
    columns = duck(1).execute(f"SELECT {', '.join(FEATURES)} FROM '{place.table}'").fetchnumpy()
    rows = np.stack([columns[one] for one in FEATURES], axis=1).astype(dtype)
    predict(rows[:BATCH])
    with measured(record):
        answers = [predict(rows[start : start + BATCH]) for start in range(0, len(rows), BATCH)]
    record["sum"] = float(sum(one.astype(np.float64).sum() for one in answers))


def nothing(place: Place, name: str, threads: int, record: dict[str, Any]) -> None:
    """Make the same table without a model: an input stands for the prediction."""
    connection = duck(threads)
    with measured(record):
        connection.execute(
            f"CREATE TABLE made AS SELECT id, f0 FROM (SELECT *, f1 FROM '{place.table}')"
        ).fetchall()


def constant(place: Place, name: str, threads: int, record: dict[str, Any]) -> None:
    """Call a function of all inputs that has its answer already: what DuckDB takes for any model."""
    import pyarrow as pa

    answers: dict[int, Any] = {}

    def answer(f0, f1, f2, f3, f4, f5, f6, f7, f8, f9):  # noqa: PLR0913, PLR0917
        if len(f0) not in answers:
            answers[len(f0)] = pa.StructArray.from_arrays([pa.array(np.zeros(len(f0)))], ["y"])
        return answers[len(f0)]

    connection = duck(threads)
    how = {"type": "arrow", "null_handling": "special", "side_effects": True}
    connection.create_function("answer", answer, ["DOUBLE"] * 10, "STRUCT(y DOUBLE)", **how)
    with measured(record):
        call = f"struct_extract(answer({', '.join(FEATURES)}), 'y')"
        connection.execute(
            f"CREATE TEMP TABLE made AS SELECT id, {call} AS y FROM '{place.table}'"
        ).fetchall()


def exported(place: Place, name: str, threads: int, record: dict[str, Any]) -> None:
    """Take all to a pandas data frame, predict there, and bring it back."""
    import pandas as pd

    predict, dtype = library(place, name)
    connection = duck(threads)
    with measured(record):
        frame = connection.execute(f"SELECT * FROM '{place.table}'").df()
        answers = predict(frame[FEATURES].to_numpy(dtype))
        made = pd.DataFrame({"id": frame["id"], "y": answers})
        connection.register("made_", made)
        connection.execute("CREATE TABLE made AS SELECT * FROM made_").fetchall()
    record["sum"] = connection.execute("SELECT SUM(y) FROM made").fetchone()[0]


def row_by_row(place: Place, name: str, threads: int, record: dict[str, Any]) -> None:
    """Predict with an ordinary Python function of DuckDB's, which gets one row at a time."""
    predict, dtype = library(place, name)
    connection = duck(threads)

    def one(f0, f1, f2, f3, f4, f5, f6, f7, f8, f9):  # noqa: PLR0913, PLR0917
        return float(predict(np.array([[f0, f1, f2, f3, f4, f5, f6, f7, f8, f9]], dtype))[0])

    connection.create_function("one", one, ["DOUBLE"] * 10, "DOUBLE")
    with measured(record):
        call = f"one({', '.join(FEATURES)})"
        connection.execute(
            f"CREATE TABLE made AS SELECT id, {call} AS y FROM '{place.table}' WHERE id < {SLOW}"
        ).fetchall()
    record["rows"] = min(SLOW, place.rows)


@contextmanager
def trivet(place: Place, name: str, threads: int) -> Any:
    """Give a connection to a new place with the model in it."""
    import trivet.sql

    columns = ", ".join(f"{one} FLOAT64" for one in FEATURES)
    clause = f"INPUT({columns})" if TYPES[name] == "ONNX" else ""
    with tempfile.TemporaryDirectory() as folder, trivet.sql.connect(data=Path(folder)) as connection:
        connection.cursor.execute(f"SET threads = {threads}")
        connection.sql("CREATE SCHEMA IF NOT EXISTS ds")
        options = f"model_type='{TYPES[name]}', model_path='{place.model(name)}'"
        connection.sql(f"CREATE MODEL ds.m {clause} OPTIONS({options})")
        connection.sql(predicted("m", f"(SELECT {', '.join(map(literal, FEATURES))})", "*")).fetchall()
        yield connection


def literal(name: str) -> str:
    return f"0.5 AS {name}"


def predicted(model: str, rows: str, wanted: str) -> str:
    return f"SELECT {wanted} FROM ML.PREDICT(MODEL ds.{model}, {rows})"


def sql(place: Place, name: str, threads: int, record: dict[str, Any]) -> None:
    """CREATE TABLE AS SELECT the key and the prediction."""
    output = OUTPUTS.get(name, "prediction")
    with trivet(place, name, threads) as connection:
        query = predicted("m", f"(SELECT * FROM '{place.table}')", f"id, {output} AS y")
        with measured(record):
            connection.sql(f"CREATE TEMP TABLE made AS {query}")
        record["sum"] = connection.sql("SELECT SUM(y) FROM made").fetchall()[0][0]


def sql_all(place: Place, name: str, threads: int, record: dict[str, Any]) -> None:
    """CREATE TABLE AS SELECT everything, in the dataset: on disk."""
    output = OUTPUTS.get(name, "prediction")
    with trivet(place, name, threads) as connection:
        query = predicted("m", f"(SELECT * FROM '{place.table}')", "*")
        with measured(record):
            connection.sql(f"CREATE TABLE ds.made AS {query}")
        record["sum"] = connection.sql(f"SELECT SUM({output}) FROM ds.made").fetchall()[0][0]


def sql_sum(place: Place, name: str, threads: int, record: dict[str, Any]) -> None:
    """SELECT the sum of the predictions: nothing is written."""
    output = OUTPUTS.get(name, "prediction")
    with trivet(place, name, threads) as connection:
        query = predicted("m", f"(SELECT * FROM '{place.table}')", f"SUM({output})")
        with measured(record):
            ((record["sum"],),) = connection.sql(query).fetchall()


def filtered(place: Place, name: str, threads: int, record: dict[str, Any]) -> None:
    """Keep one of fifty groups by a column that the model does not see; counts the rows that it does."""
    from trivet.serving.leases import Leases

    output = OUTPUTS.get(name, "prediction")
    seen = [0]
    lease = Leases.lease

    @contextmanager
    def counting(leases: Any, spec: Any) -> Any:
        with lease(leases, spec) as model:
            if not hasattr(model.predictor, "_counted"):
                predict = model.predictor.predict

                def count(instances: Any, parameters: Any) -> Any:
                    seen[0] += instances.count
                    return predict(instances, parameters)

                model.predictor.predict, model.predictor._counted = count, True
            yield model

    Leases.lease = counting  # type: ignore[method-assign]
    with trivet(place, name, threads) as connection:
        query = predicted("m", f"(SELECT * FROM '{place.table}')", f"SUM({output})") + " WHERE g = 3"
        seen[0] = 0
        with measured(record):
            connection.sql(query).fetchall()
    record["rows"] = place.rows // 50
    record["predicted"] = seen[0]


def one_row(place: Place, name: str, threads: int, record: dict[str, Any]) -> None:
    """Predict one row again and again: its plan is known."""
    with trivet(place, name, threads) as connection:
        query = predicted("m", f"(SELECT {', '.join(map(literal, FEATURES))})", "*")
        times = []
        with measured(record):
            for _ in range(500):
                began = time.perf_counter()
                connection.sql(query).fetchall()
                times.append(time.perf_counter() - began)
    record["median_ms"] = float(np.median(times)) * 1e3
    record["rows"] = 500


WAYS = {
    "floor": floor, "trivet": sql, "trivet sum": sql_sum, "trivet all": sql_all, "no model": nothing,
    "constant": constant, "pandas": exported, "row by row": row_by_row, "filtered": filtered,
    "one row": one_row,
}  # fmt: skip


def main() -> None:
    way, name, folder, rows, threads = sys.argv[1:]
    place = Place(Path(folder), int(rows))
    record: dict[str, Any] = {"rows": place.rows}
    WAYS[way](place, name, int(threads), record)
    record["rss_mb"] = most_memory()
    print(json.dumps(record))


if __name__ == "__main__":
    main()
