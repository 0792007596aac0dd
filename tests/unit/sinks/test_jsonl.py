import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.sinks.jobs import NAME, failed, files, results, write
from trivet.codecs.json_body import encode_predictions
from trivet.core.instances import Predictions, object_column
from trivet.sinks.base import Results
from trivet.sinks.jsonl import lines


def test_the_folder_is_as_documented(tmp_path):
    shards = [[results([b"1", b"[2,3]"])], [], [results([b'{"a":null}'], [0.5])]]
    assert files(write("jsonl", tmp_path, shards)) == {
        "prediction.errors_stats-00000-of-00001": b"",
        "prediction.results-00000-of-00003": (
            b'{"instance":1,"prediction":0}\n{"instance":[2,3],"prediction":1}\n'
        ),
        "prediction.results-00001-of-00003": b"",
        "prediction.results-00002-of-00003": b'{"instance":{"a":null},"prediction":0.5}\n',
    }
    assert [folder.name for folder in tmp_path.iterdir()] == [NAME]


@pytest.mark.parametrize(
    ("native", "row", "error"),
    [
        (False, b'{"instance":"x","prediction":0}', b'{"instance":"y","error":{"code":3,"message":"no"}}'),
        (
            True,
            b'{"instance":"x","prediction":0,"source":"data/a.csv","offset":7}',
            b'{"instance":"y","error":{"code":3,"message":"no"},"source":"data/a.csv","offset":9}',
        ),
    ],
)
def test_natively_rows_tell_where_their_record_is(tmp_path, native, row, error):
    shard = [results([b'"x"'], first=7), failed(b'"y"', offset=9)]
    folder = write("jsonl", tmp_path, [shard], native=native)
    assert (folder / "prediction.results-00000-of-00001").read_bytes() == row + b"\n"
    assert (folder / "prediction.errors_stats-00000-of-00001").read_bytes() == error + b"\n"


def test_a_key_stands_for_its_instance(tmp_path):
    shard = [results([b"[1]"], keys=[b'"k"']), failed(b"[2]", key=b"17")]
    folder = write("jsonl", tmp_path, [shard])
    assert (folder / "prediction.results-00000-of-00001").read_bytes() == b'{"key":"k","prediction":0}\n'
    errors = (folder / "prediction.errors_stats-00000-of-00001").read_bytes()
    assert errors == b'{"key":17,"error":{"code":3,"message":"no"}}\n'


def test_a_tfrecord_has_no_instance(tmp_path):
    assert lines(results(None, count=2), native=False) == b'{"prediction":0}\n{"prediction":1}\n'
    native = lines(results(None, count=1, first=5), native=True)
    assert native == b'{"prediction":0,"source":"data/a.csv","offset":5}\n'


def test_what_is_no_unicode_is_written_as_escapes(tmp_path):
    shard = [
        results([b"1"], uri="data/\udcff.csv"),
        failed(b'"\xc3\xbc"', 'a "quoted"\nmessage \ud800', uri="data/\udcff.csv"),
    ]
    folder = write("jsonl", tmp_path, [shard], native=True)
    row = json.loads((folder / "prediction.results-00000-of-00001").read_text())
    assert row["source"] == "data/\\udcff.csv"
    error = json.loads((folder / "prediction.errors_stats-00000-of-00001").read_text())
    assert error["source"] == row["source"]
    assert error["instance"] == "ü"
    assert error["error"]["message"] == 'a "quoted"\nmessage \\ud800'


texts = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
).map(lambda value: json.dumps(value).encode())


@given(
    st.lists(st.tuples(texts, st.integers(0, 2**62), st.floats()), min_size=1), st.booleans(), st.booleans()
)
def test_a_line_is_what_it_is_made_of(rows, native, keyed):
    shown, offsets, values = zip(*rows, strict=True)
    predictions = Predictions.of({"y": np.array(values)})
    keys = list(shown) if keyed else None
    written = lines(Results("a", list(offsets), list(shown), keys, predictions), native=native)
    online = json.loads(encode_predictions(predictions))
    for line, text, offset, answer in zip(written.splitlines(), shown, offsets, online, strict=True):
        expected = {"key" if keyed else "instance": json.loads(text), "prediction": answer}
        if native:
            expected |= {"source": "a", "offset": offset}
        assert json.loads(line) == expected
        assert list(json.loads(line)) == list(expected)


def test_offsets_may_be_an_array_and_predictions_objects():
    predictions = Predictions.of({"a": object_column([b"x", None]), "b": np.array([[1], [2]])})
    offsets = np.array([3, 5])
    assert lines(Results("a", offsets.tolist(), [b"1", b"2"], None, predictions), native=True) == (
        b'{"instance":1,"prediction":{"a":{"b64":"eA=="},"b":[1]},"source":"a","offset":3}\n'
        b'{"instance":2,"prediction":{"a":null,"b":[2]},"source":"a","offset":5}\n'
    )
