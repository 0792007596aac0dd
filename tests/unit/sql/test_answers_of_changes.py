# ruff: noqa: E501 - statements and their answers stand in one line
"""Statements that change rows and tables, and parameters, against answers that are BigQuery's."""

from datetime import date
from decimal import Decimal as D

import pytest

from tests.unit.sql.answers import right, tried, wrong
from trivet import sql

SETUP = """
CREATE OR REPLACE TABLE ds.a (id INT64, s STRING, n NUMERIC, d DATE);
INSERT INTO ds.a VALUES (1, 'x', 1.5, '2024-01-01'), (2, 'y', 2, '2024-01-02'), (3, NULL, NULL, NULL);
CREATE OR REPLACE TABLE ds.b (id INT64, s STRING, q INT64);
INSERT INTO ds.b VALUES (2, 'Y', 20), (3, 'Z', 30), (4, 'W', 40);
CREATE OR REPLACE VIEW ds.vv AS SELECT id FROM ds.a;
"""

# fmt: off
CASES = [
    right("INSERT ds.a (s, id) VALUES ('q', 9); SELECT id, s, n FROM ds.a WHERE id = 9", (9,'q',None)),
    right("INSERT INTO ds.a (d, id) SELECT DATE '2024-05-05', 7; SELECT id, d FROM ds.a WHERE id=7", (7,date(2024,5,5))),
    right("INSERT INTO ds.a VALUES (5, 'z', NULL, '2024-03-01'); SELECT d FROM ds.a WHERE id=5", (date(2024,3,1),)),
    wrong("INSERT INTO ds.a (id) VALUES ('5')"),
    wrong("INSERT INTO ds.a (id) VALUES ('abc')"),
    wrong("INSERT INTO ds.a (id) SELECT '5'"),
    wrong("INSERT INTO ds.a (s) VALUES (5)"),
    wrong("INSERT INTO ds.a (id) VALUES (1.5)"),
    wrong("INSERT INTO ds.a (id, id) VALUES (1, 2)"),
    wrong("INSERT INTO ds.a (id, s) VALUES (1)"),
    wrong("INSERT INTO ds.a (nope) VALUES (1)"),
    wrong("INSERT INTO ds.a VALUES (1, 'x')"),
    right("INSERT INTO ds.a (id, n) VALUES (8, 1), (9, 2.25); SELECT id, n FROM ds.a WHERE id > 7 ORDER BY id", (8,D(1)),(9,D("2.25"))),
    right("INSERT INTO ds.a (id, s) SELECT id * 10, s FROM ds.b WHERE q > 20; SELECT id, s FROM ds.a WHERE id > 9 ORDER BY id", (30,'Z'),(40,'W')),
    right("INSERT INTO ds.a (id, s) WITH c AS (SELECT 77 AS k) SELECT k, 'c' FROM c; SELECT s FROM ds.a WHERE id = 77", ('c',)),
    right("INSERT INTO ds.a (id, s) VALUES ((SELECT MAX(id) + 1 FROM ds.a), UPPER('m')); SELECT s FROM ds.a WHERE id = 4", ('M',)),
    right("CREATE OR REPLACE TABLE ds.df (id INT64, s STRING DEFAULT 'dflt', n INT64 DEFAULT 5); INSERT INTO ds.df (id) VALUES (1); INSERT INTO ds.df (id, s) VALUES (2, DEFAULT); SELECT * FROM ds.df ORDER BY id", (1,'dflt',5),(2,'dflt',5)),
    right("CREATE OR REPLACE TABLE ds.df (id INT64, t TIMESTAMP DEFAULT CURRENT_TIMESTAMP(), d DATE DEFAULT DATE '2024-01-01'); INSERT INTO ds.df (id) VALUES (1); SELECT t IS NOT NULL, d FROM ds.df", (True,date(2024,1,1))),
    right("CREATE OR REPLACE TABLE ds.nn (id INT64 NOT NULL); INSERT INTO ds.nn VALUES (1); SELECT * FROM ds.nn", (1,)),
    wrong("CREATE OR REPLACE TABLE ds.nn (id INT64 NOT NULL); INSERT INTO ds.nn VALUES (NULL)"),
    right("UPDATE ds.a SET s = 'up' WHERE id = 1; SELECT s FROM ds.a WHERE id = 1", ('up',)),
    right("UPDATE ds.a SET s = UPPER(s), n = n + 1 WHERE TRUE; SELECT id, s, n FROM ds.a ORDER BY id", (1,'X',D("2.5")),(2,'Y',D(3)),(3,None,None)),
    right("UPDATE ds.a a SET s = b.s FROM ds.b b WHERE a.id = b.id; SELECT id, s FROM ds.a ORDER BY id", (1,'x'),(2,'Y'),(3,'Z')),
    right("UPDATE ds.a AS t SET t.s = 'k' WHERE t.id = 2; SELECT s FROM ds.a WHERE id = 2", ('k',)),
    right("UPDATE ds.a SET s = (SELECT MAX(b.s) FROM ds.b b WHERE b.id = a.id) WHERE id > 1; SELECT id, s FROM ds.a ORDER BY id", (1,'x'),(2,'Y'),(3,'Z')),
    right("UPDATE ds.a SET n = NULL, d = '2025-01-01' WHERE id IN (SELECT id FROM ds.b); SELECT id, n, d FROM ds.a ORDER BY id", (1,D("1.5"),date(2024,1,1)),(2,None,date(2025,1,1)),(3,None,date(2025,1,1))),
    wrong("UPDATE ds.a SET s = 'x'", "must have a WHERE"),
    wrong("UPDATE ds.a SET s = 5 WHERE TRUE"),
    wrong("UPDATE ds.a SET id = '5' WHERE TRUE"),
    wrong("UPDATE ds.a SET id = 1.5 WHERE TRUE"),
    wrong("UPDATE ds.a SET nope = 1 WHERE TRUE"),
    wrong("UPDATE ds.a a SET s = b.s FROM (SELECT 1 AS id, 'p' AS s UNION ALL SELECT 1, 'q') b WHERE a.id = b.id", "at most one"),
    right("UPDATE ds.a SET s = DEFAULT WHERE id = 1; SELECT s FROM ds.a WHERE id = 1", (None,)),
    right("DELETE FROM ds.a WHERE id = 1; SELECT COUNT(*) FROM ds.a", (2,)),
    right("DELETE ds.a WHERE id = 1; SELECT COUNT(*) FROM ds.a", (2,)),
    right("DELETE FROM ds.a WHERE TRUE; SELECT COUNT(*) FROM ds.a", (0,)),
    right("DELETE FROM ds.a WHERE id IN (SELECT id FROM ds.b); SELECT id FROM ds.a", (1,)),
    right("DELETE FROM ds.a a WHERE EXISTS (SELECT 1 FROM ds.b b WHERE b.id = a.id); SELECT id FROM ds.a", (1,)),
    right("DELETE FROM ds.a WHERE id NOT IN (SELECT id FROM ds.b); SELECT id FROM ds.a ORDER BY id", (2,),(3,)),
    wrong("DELETE FROM ds.a", "must have a WHERE"),
    wrong("DELETE FROM ds.a WHERE id = '1'"),
    right("MERGE ds.a t USING ds.b s ON t.id = s.id WHEN MATCHED THEN UPDATE SET s = s.s WHEN NOT MATCHED THEN INSERT (id, s) VALUES (s.id, s.s); SELECT id, s FROM ds.a ORDER BY id", (1,'x'),(2,'Y'),(3,'Z'),(4,'W')),
    right("MERGE INTO ds.a AS t USING (SELECT * FROM ds.b WHERE q > 20) AS s ON t.id = s.id WHEN MATCHED AND s.q = 30 THEN DELETE WHEN NOT MATCHED BY TARGET THEN INSERT (id) VALUES (id) WHEN NOT MATCHED BY SOURCE AND t.id = 1 THEN UPDATE SET s = 'gone'; SELECT id, s FROM ds.a ORDER BY id", (1,'gone'),(2,'y'),(4,None)),
    right("MERGE ds.a t USING ds.b s ON t.id = s.id WHEN NOT MATCHED BY SOURCE THEN DELETE; SELECT id FROM ds.a ORDER BY id", (2,),(3,)),
    right("MERGE ds.a t USING ds.b s ON FALSE WHEN NOT MATCHED THEN INSERT (id, s) VALUES (id, s) WHEN NOT MATCHED BY SOURCE THEN DELETE; SELECT id, s FROM ds.a ORDER BY id", (2,'Y'),(3,'Z'),(4,'W')),
    right("CREATE OR REPLACE TABLE ds.c AS SELECT id, s FROM ds.a; MERGE ds.c t USING (SELECT id, s FROM ds.b) s ON t.id = s.id WHEN NOT MATCHED THEN INSERT ROW; SELECT id, s FROM ds.c ORDER BY id", (1,'x'),(2,'y'),(3,None),(4,'W')),
    right("CREATE OR REPLACE TABLE ds.c (id INT64, s STRING); MERGE ds.c t USING ds.b s ON FALSE WHEN NOT MATCHED AND s.id = 2 THEN INSERT VALUES (id, CONCAT(s.s, '!')) WHEN NOT MATCHED THEN INSERT VALUES (s.q, 'other'); SELECT id, s FROM ds.c ORDER BY id", (2,'Y!'),(30,'other'),(40,'other')),
    wrong("CREATE OR REPLACE TABLE ds.c (id INT64, s STRING); MERGE ds.c t USING ds.b s ON FALSE WHEN NOT MATCHED THEN INSERT VALUES (id)", "Inserted row has wrong column count; Has 1, expected 2"),
    wrong("CREATE OR REPLACE TABLE ds.c (id INT64, s STRING); MERGE ds.c t USING ds.b s ON FALSE WHEN NOT MATCHED THEN INSERT VALUES (s.s, s.id)", "cannot be assigned to column id"),
    right("CREATE OR REPLACE TABLE ds.df (id INT64, s STRING DEFAULT 'd', n INT64); MERGE ds.df t USING ds.b u ON FALSE WHEN NOT MATCHED AND id = 2 THEN INSERT VALUES (id, DEFAULT, DEFAULT) WHEN NOT MATCHED AND id = 3 THEN INSERT (s, id) VALUES (DEFAULT, id); SELECT * FROM ds.df ORDER BY id", (2,"d",None),(3,"d",None)),
    right("MERGE ds.a t USING UNNEST([1, 50]) AS k ON t.id = k WHEN MATCHED THEN UPDATE SET s = CONCAT(t.s, '!') WHEN NOT MATCHED THEN INSERT (id, s) VALUES (k, 'new'); SELECT id, s FROM ds.a WHERE id IN (1, 50) ORDER BY id", (1,'x!'),(50,'new')),
    right("MERGE ds.a t USING UNNEST([STRUCT(1 AS k, 'v' AS v)]) AS u ON t.id = u.k WHEN MATCHED THEN UPDATE SET s = u.v; SELECT s FROM ds.a WHERE id = 1", ('v',)),
    wrong("MERGE ds.a t USING (SELECT 1 AS id UNION ALL SELECT 1) s ON t.id = s.id WHEN MATCHED THEN UPDATE SET s = 'd'", "at most one"),
    wrong("MERGE ds.a t USING ds.b s ON t.s = s.id WHEN MATCHED THEN DELETE"),
    wrong("CREATE OR REPLACE TABLE ds.c (d DATE); INSERT INTO ds.c VALUES ('infinity')", 'Could not cast literal "infinity" to type DATE'),
    wrong("CREATE OR REPLACE TABLE ds.c (d DATE); INSERT INTO ds.c VALUES (NULL); UPDATE ds.c SET d = 'epoch' WHERE TRUE", "Could not cast literal"),
    right("TRUNCATE TABLE ds.a; SELECT COUNT(*) FROM ds.a", (0,)),
    right("CREATE OR REPLACE TABLE ds.c (id INT64) AS SELECT 5 AS id; SELECT * FROM ds.c", (5,)),
    right("CREATE OR REPLACE TABLE ds.c LIKE ds.a; SELECT COUNT(*) FROM ds.c", (0,)),
    right("CREATE OR REPLACE TABLE ds.c COPY ds.a; SELECT COUNT(*) FROM ds.c", (3,)),
    right("CREATE OR REPLACE TABLE ds.c CLONE ds.a; SELECT COUNT(*) FROM ds.c", (3,)),
    right("CREATE TABLE IF NOT EXISTS ds.a (x INT64); SELECT COUNT(*) FROM ds.a", (3,)),
    wrong("CREATE TABLE ds.a (x INT64)", "Already Exists"),
    right("CREATE TEMP TABLE tt AS SELECT 1 AS x, [STRUCT(2 AS y)] AS arr; SELECT x, y FROM tt, UNNEST(arr); DROP TABLE tt; SELECT 1", (1,)),
    right("CREATE OR REPLACE TEMP TABLE tt AS SELECT 1 AS x, [STRUCT(2 AS y)] AS arr; SELECT x, y FROM tt, UNNEST(arr)", (1,2)),
    right("CREATE OR REPLACE VIEW ds.vv AS SELECT id, UPPER(s) AS u FROM ds.a; SELECT u FROM ds.vv WHERE id = 1", ('X',)),
    right("CREATE OR REPLACE VIEW ds.vv (k, m) AS SELECT id, s FROM ds.a; SELECT m FROM ds.vv WHERE k = 1", ('x',)),
    right("CREATE OR REPLACE TABLE ds.c AS SELECT * FROM ds.a; ALTER TABLE ds.c ADD COLUMN z STRING, ADD COLUMN IF NOT EXISTS y INT64; ALTER TABLE ds.c DROP COLUMN d; ALTER TABLE ds.c RENAME COLUMN s TO t; SELECT * FROM ds.c WHERE id = 1", (1,'x',D("1.5"),None,None)),
    right("CREATE OR REPLACE TABLE ds.c AS SELECT 1 AS x; ALTER TABLE ds.c ALTER COLUMN x SET DEFAULT 9; INSERT INTO ds.c (x) VALUES (DEFAULT); SELECT x FROM ds.c ORDER BY x", (1,),(9,)),
    right("CREATE OR REPLACE TABLE ds.c AS SELECT 1 AS x; ALTER TABLE ds.c ALTER COLUMN x SET DATA TYPE FLOAT64; SELECT x FROM ds.c", (1.0,)),
    right("CREATE OR REPLACE TABLE ds.c (id INT64, st STRUCT<a INT64, b ARRAY<STRING>>); INSERT INTO ds.c VALUES (1, STRUCT(5, ['p'])), (2, (6, [])); SELECT id, st.a, st.b FROM ds.c ORDER BY id", (1,5,['p']),(2,6,[])),
    right("CREATE OR REPLACE TABLE ds.c (id INT64, st STRUCT<a INT64, b STRING>); INSERT INTO ds.c VALUES (1, STRUCT(5, 'p')); UPDATE ds.c SET st.a = 7 WHERE id = 1; SELECT st.a, st.b FROM ds.c", (7,'p')),
    right("CREATE OR REPLACE TABLE ds.c (l ARRAY<INT64>); INSERT INTO ds.c VALUES ([1,2]); UPDATE ds.c SET l = ARRAY_CONCAT(l, [3]) WHERE TRUE; SELECT l FROM ds.c", ([1,2,3],)),
    right("CREATE OR REPLACE TABLE ds.c (l ARRAY<STRUCT<k STRING, v INT64>>); INSERT INTO ds.c VALUES ([STRUCT('a' AS k, 1 AS v)]), ([('b', 2)]); SELECT k, v FROM ds.c, UNNEST(l) ORDER BY v", ('a',1),('b',2)),
    right("CREATE OR REPLACE TABLE ds.c PARTITION BY d CLUSTER BY id OPTIONS(description='q') AS SELECT * FROM ds.a; SELECT COUNT(*) FROM ds.c", (3,)),
    right("CREATE OR REPLACE TABLE ds.c (id INT64, PRIMARY KEY (id) NOT ENFORCED); INSERT INTO ds.c VALUES (1), (1); SELECT COUNT(*) FROM ds.c", (2,)),
    right("CREATE OR REPLACE TABLE ds.c (x NUMERIC(10,2), y STRING(5)); INSERT INTO ds.c VALUES (1.239, 'abc'); SELECT * FROM ds.c", (D("1.24"),'abc')),
    right("BEGIN TRANSACTION; DELETE FROM ds.a WHERE TRUE; ROLLBACK TRANSACTION; SELECT COUNT(*) FROM ds.a", (3,)),
    right("DROP TABLE IF EXISTS ds.nope; SELECT 1", (1,)),
    wrong("DROP TABLE ds.nope", "Not found"),
    wrong("INSERT INTO ds.vv VALUES (1)"),
    wrong("CREATE VIEW ds.w1 AS SELECT nope FROM ds.a", "Unrecognized"),
]

PARAMETERS = [
    (right("SELECT id FROM ds.a WHERE id >= @x ORDER BY id LIMIT @n OFFSET @o", (2,)), {"x":1,"n":1,"o":1}),
    (right("SELECT @s", ("q",)), {"s":"q"}),
    (right("SELECT id FROM ds.a WHERE d = @d", (1,)), {"d":"2024-01-01"}),
    (right("SELECT id FROM ds.a WHERE id IN UNNEST(@l) ORDER BY id", (1,),(3,)), {"l":[1,3]}),
    (wrong("SELECT id FROM ds.a WHERE s = @s"), {"s":5}),
    (right("SELECT @x + 1.5, @x / 2", (2.5,0.5)), {"x":1}),
    (right("SELECT ? + ?", (3,)), [1,2]),
    (right("SELECT e.a FROM UNNEST(@l) AS e", (1,)), {"l":[{"a":1}]}),
    (right("SELECT a FROM UNNEST(@l)", (1,)), {"l":[{"a":1}]}),
    (right("SELECT COUNT(*) FROM ds.a WHERE d > DATE_SUB(@d, INTERVAL @k DAY)", (1,)), {"d":date(2024,1,2),"k":1}),
]
# fmt: on


@pytest.fixture(scope="module")
def place():
    with sql.connect(":memory:") as connection:
        connection.sql("CREATE SCHEMA ds")
        yield connection


@pytest.fixture
def connection(place):
    place.sql(SETUP)
    return place


@pytest.mark.parametrize("case", CASES, ids=str)
def test_what_is_changed_is_what_bigquery_changes(connection, case):
    tried(connection, case)


@pytest.mark.parametrize(("case", "parameters"), PARAMETERS, ids=str)
def test_parameters_are_of_their_types(connection, case, parameters):
    tried(connection, case, parameters)
