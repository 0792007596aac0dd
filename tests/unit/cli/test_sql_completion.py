"""What the shell of `trivet sql` completes, and when it takes a line for whole."""

import pytest
from prompt_toolkit.completion import CompleteEvent
from prompt_toolkit.document import Document

from trivet.cli.sql_completion import SqlCompleter, is_whole
from trivet.cli.sql_output import Output
from trivet.cli.sql_shell import Shell
from trivet.core.errors import NotFound


class Engine:
    """Two tables and a model."""

    place = "local"

    def tables(self):
        return [("ds.payments", "TABLE", ""), ("ds.people", "VIEW", "")]

    def models(self):
        return [("ds.fraud", "XGBOOST", "")]

    def columns(self, name):
        if name != "ds.payments":
            raise NotFound("no")
        return [("amount", "FLOAT64", ""), ("at", "TIMESTAMP", "")]


@pytest.fixture
def offers():
    completer = SqlCompleter(Shell(Engine(), Output()))

    def offered(text):
        before, _, after = text.partition("|")
        document = Document(before + after, len(before))
        return [one.text for one in completer.get_completions(document, CompleteEvent())]

    return offered


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("SELECT * FROM ds.p|", ["ds.payments", "ds.people"]),
        ("SELECT * FROM ds.pa|", ["ds.payments"]),
        ("SELECT * FROM ML.PREDICT(MODEL |", ["ds.fraud"]),
        ("SELECT * FROM ML.PREDICT(MODEL ds.f|, TABLE ds.payments)", ["ds.fraud"]),
        ("SELECT * FROM a JOIN ds.pe|", ["ds.people"]),
        ("SELECT am| FROM ds.payments", ["amount"]),
        ("SELECT | FROM ds.payments", ["amount", "at"]),
        ("INSERT INTO ds.pay|", ["ds.payments"]),
        ("\\mo|", ["\\models"]),
        ("\\d ds.f|", ["ds.fraud"]),
        ("\\d ds.pe|", ["ds.people"]),
        ("cre|", ["CREATE MODEL", "CREATE OR REPLACE MODEL", "CREATE OR REPLACE TABLE", "CREATE SCHEMA",
                  "CREATE TABLE", "CREATE VIEW"]),
        ("DROP MODEL ds.|", ["ds.fraud"]),
        ("|", []),
    ],
)  # fmt: skip
def test_names_that_fit_are_offered(offers, text, expected):
    assert offers(text) == expected


@pytest.mark.parametrize(
    ("text", "whole"),
    [
        ("", True),
        ("SELECT 1", False),
        ("SELECT 1;", True),
        ("SELECT 1; ", True),
        ("\\d x", True),
        ("exit", True),
    ],
)
def test_enter_runs_what_is_whole(text, whole):
    assert is_whole(text) is whole
