import csv
import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.contract.file_sinks import csv_rows
from tests.unit.sinks.jobs import failed, files, results, write
from trivet.core.instances import object_column
from trivet.sinks.csv import widen


def shown(folder, index=0, of=1):
    return (folder / f"prediction.results-{index:05}-of-{of:05}").read_text()


def test_columns_are_fields_and_strings_are_quoted(tmp_path):
    rows = [
        b'{"id":9007199254740993,"text":"a","flag":true,"none":null}',
        b'{"id":2.50,"text":"5","flag":false,"none":null}',
        b'{"id":1e3,"text":"","flag":true,"none":"null"}',
    ]
    folder = write("csv", tmp_path, [[results(rows, [0.5, float("nan"), 2.0]), failed(rows[0])]])
    assert shown(folder) == (
        '"id","text","flag","none","prediction"\n'
        '9007199254740993,"a",true,,0.5\n'
        '2.50,"5",false,,\n'
        '1e3,"",true,"null",2.0\n'
    )
    errors = files(folder)["prediction.errors_stats-00000-of-00001"]
    assert json.loads(errors)["error"] == {"code": 3, "message": "no"}


def test_natively_the_record_is_told(tmp_path):
    folder = write("csv", tmp_path, [[results([b'{"a":1}'], first=4, uri='x,"y".csv')]], native=True)
    assert shown(folder) == '"a","prediction","source","offset"\n1,0,"x,""y"".csv",4\n'


def test_fields_called_like_the_outputs_own_columns_are_called_otherwise(tmp_path):
    row = b'{"prediction":1,"source":"s","instance_prediction":2,"instance_sources":3}'
    folder = write("csv", tmp_path / "own", [[results([row])]])
    header = '"instance_prediction","source","instance_instance_prediction","instance_sources","prediction"\n'
    assert shown(folder) == header + '1,"s",2,3,0\n'
    folder = write("csv", tmp_path / "native", [[results([row])]], native=True)
    assert shown(folder).startswith('"instance_prediction","instance_source","instance_instance_prediction",')


@pytest.mark.parametrize(
    ("some", "expected"),
    [
        (results(None, count=1), '"prediction"\n0\n'),
        (results([b"{}"]), '"prediction"\n0\n'),
        (results([b"[1]"], keys=[b'"k"']), '"key","prediction"\n"k",0\n'),
        (results([b"[1,2]", b'"x"']), '"instance","prediction"\n"[1,2]",0\n"x",1\n'),
        (results([b' "a,b"', b"\t[1, 2]"]), '"instance","prediction"\n"a,b",0\n"[1, 2]",1\n'),
        (results([b'{"a":{"b":"c"}}']), '"a","prediction"\n"{""b"":""c""}",0\n'),
        (results([b'{"a":"\\u00fc\\n\\"x\\""}']), '"a","prediction"\n"ü\n""x""",0\n'),
        (results([b'"\\ud800"']), '"instance","prediction"\n"""\\ud800""",0\n'),
        (results([b'{"a \\"b\\"\\n":1}']), '"a ""b""\n","prediction"\n1,0\n'),
        (
            results([b"1"], object_column([{"label": "x"}])),
            '"instance","prediction"\n1,"{""label"":""x""}"\n',
        ),
        (results([b"1"], object_column(["x"])), '"instance","prediction"\n1,"x"\n'),
    ],
)
def test_values_of_every_kind(tmp_path, some, expected):
    assert shown(write("csv", tmp_path, [[some]])) == expected


def test_columns_that_turn_up_late_are_in_all_files(tmp_path):
    shards = [
        [results([b'{"a":1,"t":"x\\n"}']), results([b'{"b":2,"a":3}', b"4"])],
        [],
        [results([b'{"c":5}'])],
    ]
    folder = write("csv", tmp_path, shards)
    assert shown(folder, 0, 3) == (
        '"a","t","b","instance","c","prediction"\n1,"x\n",,,,0\n3,,2,,,0\n,,,4,,1\n'
    )
    assert shown(folder, 1, 3) == '"a","t","b","instance","c","prediction"\n'
    assert shown(folder, 2, 3) == '"a","t","b","instance","c","prediction"\n,,,,5,0\n'


def test_without_any_row_there_is_a_header(tmp_path):
    assert shown(write("csv", tmp_path, [[failed(b"1")]])) == '"prediction"\n'


keys = st.text(st.characters(exclude_categories=["Cs"]), max_size=3)
leaves = (
    st.none() | st.booleans() | st.integers() | st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
)
objects = st.lists(st.dictionaries(keys, leaves, max_size=3), min_size=1, max_size=4)


@given(st.lists(objects, max_size=3), st.booleans())
def test_every_value_is_read_back(tmp_path_factory, batches, native):
    made = [results([json.dumps(one).encode() for one in batch]) for batch in batches]
    folder = write("csv", tmp_path_factory.mktemp("csv"), [made, made[:1]], native=native)
    rows = [one for batch in batches for one in batch]
    for index, expected in enumerate([rows, batches[0] if batches else []]):
        content = (folder / f"prediction.results-{index:05}-of-00002").read_bytes().decode()
        found = list(csv_rows(content)) if content.count("\n") else []
        assert len(found) == len(expected)
        own = {"prediction", "source", "offset"} if native else {"prediction"}
        for row, one in zip(found, expected, strict=True):
            values = [value for name, value in row.items() if name not in own]
            assert told(values) == told(one.values())
        plain = list(csv.reader(io.StringIO(content, newline="")))
        assert len(plain) == len(expected) + 1


def told(values):
    return sorted(repr(value) for value in values if value is not None)


def test_a_wider_copy_has_the_same_cells():
    file = io.BytesIO()
    widen(io.BytesIO(b'"a","prediction"\n"",1\n,2\n"x,""\n\n",3\n'), file, ["b", "a", "c", "prediction"])
    assert file.getvalue() == b'"b","a","c","prediction"\n,"",,1\n,,,2\n,"x,""\n\n",,3\n'
