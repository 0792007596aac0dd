"""The models of the zoo answer in SQL what they answer online to the same rows as JSON."""

import msgspec
import numpy as np
import pyarrow as pa
import pytest

from tests.unit.sql.scopes import place
from tests.zoo import cases
from trivet.codecs.json_body import prediction_texts
from trivet.codecs.json_rows import RowDecoder
from trivet.sql.scored import arrow_type
from trivet.sql.types import FLOAT64, Field

TYPES = {"onnx": "TRIVET", "torch": "PYTORCH"}


def column(field, values):
    """Return values as an array of the type that the model takes them in."""
    if field.type.kind == "JSON":
        return pa.array([None if one is None else msgspec.json.encode(one).decode() for one in values])
    if field.type.item is not None:
        return pa.array([np.ravel(one).tolist() for one in values], arrow_type(field.type))
    bare = [one[0] if isinstance(one, list) else one for one in values]
    return pa.array(bare, arrow_type(field.type))


def table_of(model, rows):
    columns = zip(*rows, strict=True) if len(model.inputs) > 1 else [rows]
    named = zip(model.inputs, columns, strict=True)
    return pa.table(
        {"row_": np.arange(len(rows)), **{one.name: column(one, values) for one, values in named}}
    )


def arrays_of(rows):
    """Return the clauses with which a model that takes any JSON gets rows as arrays."""
    inputs = tuple(Field(f"f{index}", FLOAT64) for index in range(len(rows[0])))
    return {"inputs": inputs, "options": {"instance_type": "array"}}


def select(model):
    columns = [f"CAST(`{one.name}` AS JSON) AS `{one.name}`" if one.type.kind == "JSON" else f"`{one.name}`"
               for one in model.inputs]  # fmt: skip
    return f"SELECT row_, {', '.join(columns)} FROM t"


CASES = [(case, "auto") for case in cases()]
ALONE = [
    (case, "always")
    for case in cases()
    if str(case) in ("xgboost-multiclass", "sklearn-mixed", "tensorflow-texts")
]


@pytest.mark.parametrize(("case", "isolate"), CASES + ALONE, ids=str)
def test_sql_answers_as_online(case, isolate, zoo):
    path = zoo(case)
    with place(isolate=isolate) as here:
        kind = TYPES.get(case.framework, case.framework.upper())
        model = here.create("m", path, kind, framework=case.framework)
        if model.type == "XGBOOST":
            model = here.create("m", path, "TRIVET", framework=case.framework)
        if not model.inputs:
            model = here.create("m", path, kind, framework=case.framework, **arrays_of(case.rows))
        spec = here.specs["m"]
        with here.leases.lease(spec) as loaded:
            signature = loaded.info.signature
            online = loaded.predictor.predict(RowDecoder(signature).decode(list(case.rows)), model.parameters)
            texts = prediction_texts(online)
        here.connection.register("t", table_of(model, case.rows))
        names = ", ".join(f"`{one.name}`" for one in model.outputs)
        rows = here.run(f"SELECT {names} FROM ML.PREDICT(MODEL ds.m, ({select(model)})) ORDER BY row_")
    assert len(rows) == len(case.rows)
    for row, text in zip(rows, texts, strict=True):
        expected = msgspec.json.decode(text)
        values = [expected] if len(model.outputs) == 1 else [expected[one.name] for one in model.outputs]
        for field, actual, wanted in zip(model.outputs, row, values, strict=True):
            if field.type.kind == "JSON":
                assert (None if actual is None else msgspec.json.decode(actual)) == wanted
            elif field.type.item is not None:
                assert actual == np.ravel(wanted).tolist()
            else:
                assert actual == wanted
