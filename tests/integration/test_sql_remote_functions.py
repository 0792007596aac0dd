"""ML.EVALUATE of what an endpoint answers: one column of JSON, of the rows that were answered."""

import json

import numpy as np
import pytest

from tests.integration.endpoint import scripted
from tests.integration.test_sql_remote import create
from tests.unit.sql.scopes import place
from trivet.core.errors import InvalidArgument, Unimplemented
from trivet.sql.types import FLOAT64, STRING, Field

ROWS = "(SELECT range AS x, CAST(range AS STRING) AS s, {} AS label FROM range(200))"


@pytest.fixture
def here():
    with place() as made:
        yield made


def evaluate(here, label, more=""):
    [(found,)] = here.run(f"SELECT * FROM ML.EVALUATE(MODEL ds.r, {ROWS.format(label)}{more})")
    return json.loads(found)


def test_numbers_are_compared(here):
    def script(instances, _):
        return 200, {"predictions": [one["x"] + 1.0 for one in instances]}

    with scripted(script) as server:
        create(here, server, Field("y", FLOAT64))
        found = evaluate(here, "range")
    assert found["mean_absolute_error"] == found["mean_squared_error"] == found["median_absolute_error"] == 1
    assert found["r2_score"] == pytest.approx(1 - 1 / np.arange(200).var())
    assert found["explained_variance"] == 1


def test_classes_are_compared(here):
    def script(instances, _):
        return 200, {"predictions": ["a" if one["x"] < 150 else "b" for one in instances]}

    with scripted(script) as server:
        create(here, server, Field("y", STRING))
        found = evaluate(here, "IF(100 > range, 'a', 'b')")
    assert found["accuracy"] == 0.75
    assert found["recall"] == pytest.approx((1 + 0.5) / 2)
    assert found["precision"] == pytest.approx((100 / 150 + 1) / 2)
    assert found["roc_auc"] is None


def test_rows_without_an_answer_are_left_out(here):
    def script(instances, _):
        return 200, {"predictions": [one["x"] + 1.0 if one["x"] < 128 else None for one in instances]}

    with scripted(script) as server:
        create(here, server, Field("y", FLOAT64))
        found = evaluate(here, "range")
    assert found["mean_absolute_error"] == 1
    assert found["r2_score"] == pytest.approx(1 - 1 / np.arange(128).var())


def test_what_only_the_model_itself_could_say_is_refused(here):
    create(here, "http://127.0.0.1:9/x", Field("y", FLOAT64))
    with pytest.raises(InvalidArgument, match="An endpoint keeps no evaluation"):
        here.run("SELECT * FROM ML.EVALUATE(MODEL ds.r)")
    for function in ("FEATURE_IMPORTANCE", "WEIGHTS"):
        with pytest.raises(
            Unimplemented, match=f"ML.{function} is not supported for model p:ds.r of type REMOTE"
        ):
            here.run(f"SELECT * FROM ML.{function}(MODEL ds.r)")
    assert here.run("SELECT input, dimension FROM ML.FEATURE_INFO(MODEL ds.r)") == [("x", None), ("s", None)]
