import pytest
from sqlglot import exp

from trivet.core.errors import InvalidArgument, Unimplemented
from trivet.sql.dialect import (
    AlterColumnOptions,
    AlterModel,
    ExportModel,
    ModelFunction,
    Option,
    file_of,
    is_safe,
    options,
    parse,
    refuse,
)
from trivet.sql.positions import at
from trivet.sql.translate import translate


def one(text, dialect="bigquery"):
    (tree,) = parse(text, dialect)
    return tree


@pytest.mark.parametrize("dialect", ["bigquery", "duckdb"])
def test_a_model_is_created_with_all_its_clauses(dialect):
    tree = one(
        "CREATE OR REPLACE MODEL ds.m INPUT(a DOUBLE, b VARCHAR) OUTPUT(c VARCHAR) OPTIONS(model_type='ONNX')"
        if dialect == "duckdb"
        else "CREATE OR REPLACE MODEL ds.m INPUT(a FLOAT64, b STRING) OUTPUT(c STRING) "
        "REMOTE WITH CONNECTION `p.us.c` OPTIONS(model_type='ONNX')",
        dialect,
    )
    assert (tree.kind, tree.args["replace"], tree.this.sql()) == ("MODEL", True, "ds.m")
    assert [c.name for c in tree.find(exp.InputModelProperty).this.expressions] == ["a", "b"]
    assert options(tree)["model_type"].value == "ONNX"


def test_options_are_values_with_a_place():
    tree = one(
        "CREATE MODEL m OPTIONS(a='x', b=-1, C=[1.5, 2], d=NULL, e=TRUE, labels=[('k', 'v')],\n"
        "  s=STRUCT(1 AS n, 'y' AS t), t=CURRENT_TIMESTAMP())"
    )
    found = options(tree)
    assert {name: option.value for name, option in found.items() if name != "t"} == {
        "a": "x", "b": -1, "c": [1.5, 2], "d": None, "e": True, "labels": [("k", "v")],
        "s": {"n": 1, "t": "y"},
    }  # fmt: skip
    assert isinstance(found["t"].value, exp.Expression)
    assert (found["a"].at, found["s"].at) == (" at [1:24]", " at [2:3]")
    with pytest.raises(InvalidArgument, match=r"Duplicate option specified for 'A' at \[1:29\]"):
        options(one("CREATE MODEL m OPTIONS(a=1, A=2)"))


@pytest.mark.parametrize("dialect", ["bigquery", "duckdb"])
def test_models_are_altered_exported_and_dropped(dialect):
    altered = one("ALTER MODEL IF EXISTS ds.m SET OPTIONS(description='x')", dialect)
    assert isinstance(altered, AlterModel)
    assert (altered.this.sql(), altered.args["exists"]) == ("ds.m", True)
    assert options(altered) == {"description": Option("x", " at [1:40]")}
    exported = one("EXPORT MODEL ds.m OPTIONS(uri='gs://b/d')", dialect)
    assert isinstance(exported, ExportModel)
    assert options(exported)["uri"].value == "gs://b/d"
    dropped = one("DROP MODEL IF EXISTS ds.m", dialect)
    assert (dropped.kind, dropped.args["tables"][0].sql()) == ("MODEL", "ds.m")


def test_options_of_datasets_and_columns_are_altered():
    tree = one("ALTER SCHEMA IF EXISTS p.ds SET OPTIONS(description='x')")
    assert (tree.kind, tree.this.db, tree.this.catalog, tree.args["exists"]) == ("SCHEMA", "ds", "p", True)
    assert [action.name for action in tree.args["actions"][0].expressions] == ["description"]
    (action,) = one("ALTER TABLE t ALTER COLUMN c SET OPTIONS(description='x')").args["actions"]
    assert isinstance(action, AlterColumnOptions)
    assert (action.this.name, options(action)["description"].value) == ("c", "x")
    (action,) = one("ALTER TABLE t ALTER COLUMN c DROP NOT NULL").args["actions"]
    assert isinstance(action, exp.AlterColumn)


def test_placeholders_have_places():
    assert [at(node) for node in one("SELECT ?,\n ?").find_all(exp.Placeholder)] == [" at [1:8]", " at [2:2]"]


@pytest.mark.parametrize("dialect", ["bigquery", "duckdb"])
def test_predict_is_a_table(dialect):
    tree = one("SELECT * FROM SAFE.ML.PREDICT(MODEL ds.m, TABLE t, STRUCT(0.4 AS threshold)) AS p", dialect)
    call = tree.find(exp.Predict)
    assert (call.this.sql(), call.expression.sql(), is_safe(call)) == ("ds.m", "t", True)
    assert call.args["params_struct"].expressions[0].name == "threshold"
    assert call.parent.alias == "p"
    tree = one(
        "WITH a AS (SELECT 1 AS x) SELECT * FROM ML.PREDICT(MODEL m, (WITH b AS (SELECT 1) SELECT * FROM b))",
        dialect,
    )
    call = tree.find(exp.Predict)
    assert isinstance(call.expression, exp.Subquery)
    assert not is_safe(call)


@pytest.mark.parametrize(
    ("text", "name", "rows", "rest"),
    [
        ("ML.EVALUATE(MODEL ds.m)", "EVALUATE", None, None),
        ("ML.FEATURE_INFO(MODEL ds.m)", "FEATURE_INFO", None, None),
        ("ML.EXPLAIN_PREDICT(MODEL ds.m, TABLE t, STRUCT(3 AS n))", "EXPLAIN_PREDICT", "t", exp.Struct),
        ("ML.ROC_CURVE(MODEL ds.m, TABLE t, GENERATE_ARRAY(0, 1))", "ROC_CURVE", "t", exp.GenerateSeries),
        ("ML.FORECAST(MODEL ds.m, STRUCT(3 AS horizon))", "FORECAST", None, exp.Struct),
        ("ML.GENERATE_TEXT(MODEL ds.m, TABLE t)", "GENERATE_TEXT", "t", None),
    ],
)
def test_every_function_of_a_model_is_known_by_its_name(text, name, rows, rest):
    call = one(f"SELECT * FROM {text} AS p").find(ModelFunction)
    assert (call.function, call.this.sql()) == (name, "ds.m")
    assert (call.expression and call.expression.sql()) == rows
    assert isinstance(call.args["params_struct"], rest or type(None))


def test_a_column_may_be_called_model():
    tree = one("SELECT model, ML.X(model, 1), d.EVALUATE(1) FROM t")
    assert not tree.find(ModelFunction)


@pytest.mark.parametrize("dialect", ["bigquery", "duckdb"])
@pytest.mark.parametrize("path", ["tx.parquet", "data/tx.v1.parquet", "gs://b/d.x/*.csv", "C:\\d\\x.json"])
def test_a_string_as_a_table_is_a_file(path, dialect):
    literal = path.replace("\\", "\\\\") if dialect == "bigquery" else path
    tree = one(f"SELECT * FROM '{literal}' AS t JOIN '{literal}' USING (id)", dialect)
    tables = list(tree.find_all(exp.Table))
    assert [(file_of(table), table.alias) for table in tables] == [(path, "t"), (path, "")]
    assert file_of(one("SELECT * FROM ds.parquet", dialect).find(exp.Table)) is None


def test_a_quoted_name_with_a_slash_is_a_file():
    assert file_of(one("SELECT * FROM `data/tx.parquet`").find(exp.Table)) == "data/tx.parquet"
    named = one("SELECT * FROM `my-p.ds.parquet`").find(exp.Table)
    assert [part.name for part in named.parts] == ["my-p", "ds", "parquet"]


def test_statements_are_a_list():
    trees = parse("# first\nBEGIN; SELECT 1;; -- none\nCOMMIT TRANSACTION; BEGIN TRANSACTION; ROLLBACK;")
    assert [type(tree) for tree in trees] == [
        exp.Transaction, exp.Select, exp.Commit, exp.Transaction, exp.Rollback,
    ]  # fmt: skip
    assert parse(" -- nothing") == parse("") == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("SELECT 1 +", "Unexpected end of statement at [1:11]"),
        ("SELECT (1", 'Expected ")" but got end of statement at [1:10]'),
        ("SELECT\n a b c FROM t", 'Unexpected identifier "c" at [2:6]'),
        ("SELECT 1 FROM WHERE x", "Expected table name but got keyword WHERE at [1:15]"),
        ("SELECT 'abc", "Unclosed string literal at [1:8]"),
        ("SELECT 1,\n  `abc", "Unclosed identifier at [2:3]"),
        ("SHOW TABLES", "Unexpected keyword SHOW at [1:1]"),
        ("EXPLAIN SELECT 1", 'Unexpected identifier "EXPLAIN" at [1:1]'),
        ("CREATE TABLE t (a INT64) garbage", 'Unexpected identifier "garbage" at [1:26]'),
        ("ALTER TABLE t FOO", 'Unexpected identifier "FOO" at [1:15]'),
        ("SELECT * FROM ML.PREDICT(MODEL m, t)",
         'Expected keyword TABLE or a query in parentheses but got identifier "t" at [1:35]'),
        ("SELECT * FROM ML.PREDICT(m, TABLE t)", 'Expected keyword MODEL but got identifier "m" at [1:26]'),
        ("SELECT * FROM ML.PREDICT(MODEL m)", 'Expected "," but got ")" at [1:33]'),
        ("ALTER MODEL m OPTIONS(a=1)", 'Expected keyword SET but got identifier "OPTIONS" at [1:15]'),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_a_syntax_error_with_its_place(text, message):
    with pytest.raises(InvalidArgument) as caught:
        parse(text)
    assert str(caught.value) == f"Syntax error: {message}"


def test_nesting_that_is_too_deep_is_an_error():
    with pytest.raises(InvalidArgument, match="nested too deeply"):
        parse("SELECT " + "(" * 5000 + "1" + ")" * 5000)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("SELECT 1; IF x THEN SELECT 1; END IF", "IF"),
        ("BEGIN SELECT 1; END", "BEGIN"),
        ("DECLARE x INT64 DEFAULT 1", "DECLARE"),
        ("EXECUTE IMMEDIATE 'SELECT 1'", "EXECUTE IMMEDIATE"),
        ("CREATE TEMP FUNCTION f(x INT64) RETURNS INT64 LANGUAGE js AS 'return x'", "CREATE FUNCTION"),
        ("CREATE OR REPLACE TABLE FUNCTION f() AS SELECT 1", "CREATE TABLE FUNCTION"),
        ("CREATE PROCEDURE p() BEGIN SELECT 1; END", "CREATE PROCEDURE"),
        ("CREATE MATERIALIZED VIEW v AS SELECT 1", "CREATE MATERIALIZED VIEW"),
        ("GRANT `r` ON SCHEMA d TO 'x'", "GRANT"),
        ("EXPORT DATA OPTIONS(uri='x') AS SELECT 1", "EXPORT DATA"),
    ],
)
def test_statements_that_trivet_has_not_are_refused_by_name(text, name):
    with pytest.raises(Unimplemented, match=rf"^{name}: .* at \[1:\d+\]$"):
        parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "CREATE MODEL m OPTIONS(model_type='x') AS SELECT 1",
        "CREATE MODEL m OPTIONS(model_type='x') AS (training_data AS (SELECT 1), holidays AS (SELECT 2))",
        "CREATE MODEL m TRANSFORM(a) OPTIONS(model_type='x')",
    ],
)
def test_training_is_refused(text):
    with pytest.raises(Unimplemented, match="Trivet imports trained models"):
        refuse(one(text))


def test_expressions_know_where_they_begin_in_the_statement_and_not_in_a_template():
    tree = translate(parse("SELECT\n  1 / 2 AS a,\n  CAST(1.5 AS INT64) AS b")[0])
    assert [at(one) for one in tree.expressions] == [" at [2:3]", " at [3:3]"]
