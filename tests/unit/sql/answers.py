"""Statements with their answers, as BigQuery gives them, and how they are tried."""

import math
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest

from trivet.core.errors import ServingError

SETUP = r"""
CREATE SCHEMA ds;
CREATE TABLE ds.t (id INT64, s STRING, f FLOAT64, n NUMERIC, b BOOL, d DATE, dt DATETIME, ts TIMESTAMP,
  bs BYTES, arr ARRAY<STRUCT<f STRING, x INT64>>, l ARRAY<STRING>, st STRUCT<a INT64, b STRING>, j JSON);
INSERT INTO ds.t VALUES
 (1, 'a', 1.5, 1.5, TRUE, '2024-01-31', '2024-01-31 10:00:00', '2024-01-31 10:00:00+00', b'ab',
  [STRUCT('u', 1), ('v', 5)], ['p', 'q'], (1, 'x'),
  JSON '{"k": [7, {"z": "w"}], "n": 1.5, "s": "str", "b": true}'),
 (2, NULL, 2.5, 2, FALSE, '2024-02-29', '2024-02-29 23:30:00', '2024-02-29 23:30:00+00', b'\xff',
  [STRUCT('w', 3)], [], (2, 'y'), NULL),
 (3, 'c', NULL, NULL, NULL, NULL, NULL, NULL, NULL, [], NULL, NULL, NULL);
CREATE TABLE ds.o (id INT64, cust STRING, amt NUMERIC, day DATE);
INSERT INTO ds.o VALUES (1, 'x', 10, '2024-01-01'), (2, 'x', 20, '2024-01-02'), (3, 'y', 5, '2024-01-02'),
  (4, NULL, 7, '2024-01-03');
CREATE VIEW ds.v AS SELECT id, arr FROM ds.t;
"""


@dataclass(frozen=True)
class Case:
    """A statement with its rows, or with a part of the error that it is."""

    text: str
    rows: tuple[Any, ...] | None
    error: str = ""

    def __str__(self):
        return self.text


def right(text, *rows):
    """A statement that has an answer."""
    return Case(text, rows)


def wrong(text, error=""):
    """A statement that BigQuery refuses."""
    return Case(text, None, error)


def ts(*parts):
    """A TIMESTAMP."""
    return datetime(*parts, tzinfo=UTC)


def tried(connection, case, parameters=None):
    """Run a statement, and compare."""
    if case.rows is None:
        with pytest.raises(ServingError) as failed:
            connection.sql(case.text, parameters).fetchall()
        assert case.error.lower() in str(failed.value).lower()
        return
    rows = [tuple(row) for row in connection.sql(case.text, parameters).fetchall()]
    assert _same(rows, list(case.rows)), rows


def _same(one, two):
    if isinstance(one, float) and isinstance(two, float):
        return math.isclose(one, two, rel_tol=1e-12) or (math.isnan(one) and math.isnan(two))
    if isinstance(one, (tuple, list)) and isinstance(two, (tuple, list)):
        return len(one) == len(two) and all(map(_same, one, two))
    if isinstance(one, dict) and isinstance(two, dict):
        return list(one) == list(two) and all(_same(one[key], two[key]) for key in one)
    return one == two and (one is None or type(one) is type(two))
