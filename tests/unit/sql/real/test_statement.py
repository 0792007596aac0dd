"""CREATE MODEL is found in whatever BigQuery understands, and nothing else of the text changes."""

import pytest

from trivet.sql.real.statement import changed, create_models, literal

SCRIPT = """
DECLARE x INT64 DEFAULT 1; -- a script, with a ; in a comment
BEGIN
  CREATE OR REPLACE MODEL `my-project.ds.m`
  INPUT(a FLOAT64, b ARRAY<INT64>) OUTPUT(y FLOAT64)
  OPTIONS (model_type = 'XGBOOST', MODEL_PATH=r"models/m/*", labels=[('a', 'b;c')], output='labels');
  SELECT 'CREATE MODEL z OPTIONS(model_path="no")';
END;
create model if not exists ds.n options(output='probabilities', model_type="sklearn", model_path='n.skops')
"""


def test_models_are_found_with_their_settings() -> None:
    first, second = create_models(SCRIPT)
    assert first.name == "my-project.ds.m"
    assert first.clauses == {"INPUT", "OUTPUT"}
    assert first.text("model_path") == "models/m/*"
    assert first.settings["labels"].text is None
    assert first.place("model_path") == " at [6:36]"
    assert (second.name, second.text("model_type"), second.clauses) == ("ds.n", "sklearn", frozenset())


def test_only_what_is_named_changes() -> None:
    first, second = create_models(SCRIPT)
    text = changed(SCRIPT, {first.settings["model_path"].value: literal("gs://b/it's")})
    assert text == SCRIPT.replace('r"models/m/*"', r"'gs://b/it\'s'")
    text = changed(SCRIPT, {one.settings["output"].whole: "" for one in (first, second)})
    assert text == SCRIPT.replace(", output='labels'", "").replace("output='probabilities',", "")


@pytest.mark.parametrize(
    "text", ["SELECT 1", "", "SELECT 'open", "CREATE TABLE t AS SELECT 1 AS model_path", "DROP MODEL ds.m"]
)
def test_other_texts_have_none(text: str) -> None:
    assert create_models(text) == []


def test_remote_models_and_training_are_told_apart() -> None:
    (remote,) = create_models(
        "CREATE MODEL ds.r INPUT(a INT64) OUTPUT(b INT64) REMOTE WITH CONNECTION DEFAULT "
        "OPTIONS(endpoint='https://x')"
    )
    assert remote.clauses == {"INPUT", "OUTPUT", "REMOTE"}
    (trained,) = create_models("CREATE MODEL ds.t OPTIONS(model_type='LINEAR_REG') AS SELECT 1 AS label")
    assert trained.text("model_path") == ""
