import json
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trivet.core.batch import Counts, InstanceConfig
from trivet.core.errors import FailedPrecondition, InvalidArgument
from trivet.core.names import ModelRef
from trivet.jobs import run
from trivet.jobs.work import Work
from trivet.serving.lifecycle import ModelSpec
from trivet.sinks.base import Outputs
from trivet.sources.base import Inputs

ECHO = ModelSpec(ModelRef.parse("echo"), Path(), "echo")
PICKY = '''
class Predictor:
    """Cannot bear fives, and has no JSON for eights."""

    def load(self, artifact_dir):
        pass

    def predict(self, instances, parameters=None):
        if any(one == 5 for one in instances):
            raise RuntimeError("five")
        if any(one == 8 for one in instances):
            return [print for _ in instances]
        return [one * 2 for one in instances]
'''


def job(folder, *uris, model=ECHO, source="jsonl", **given):
    inputs = Inputs(tuple(map(str, uris)), shard_bytes=given.pop("shard_bytes", 16 << 20))
    outputs = Outputs(str(folder / "out"), "prediction-x", native=True)
    return Work("job", source, "jsonl", inputs, outputs, model=model, **given)


def done(work):
    """Do a whole job; return its results, its errors, and the counts."""
    scorer = run.load(work)
    found, shards = run.prepare(work, scorer)
    work = run.prepared(work, found)
    results = [run.run_shard(work, shard, scorer, lambda reading: None) for shard in shards]
    folder = Path(work.outputs.uri) / f".{work.outputs.name}"
    rows = {"results": [], "errors": []}
    for kind, into in rows.items():
        for part in sorted(folder.glob(f"{kind}-*")):
            into += [json.loads(line) for line in part.read_bytes().splitlines()]
    counts = sum((one.counts for one in results), Counts())
    return rows["results"], rows["errors"], counts


line = st.one_of(
    st.integers(-(2**70), 2**70).map(str),
    st.text(st.characters(codec="utf-8"), max_size=5).map(json.dumps),
    st.lists(st.booleans(), max_size=3).map(json.dumps),
    st.sampled_from(["{", "[1", "nul", '"\\', "1 2", "", "   ", '{"a": NaN}']),
).map(str.encode) | st.binary(max_size=5).map(lambda raw: raw.replace(b"\n", b"").replace(b"\r", b""))


@settings(max_examples=60)
@given(st.lists(line, max_size=30), st.integers(1, 200), st.integers(1, 40))
def test_every_line_is_a_result_or_an_error_whatever_the_shards_and_batches(lines, shard_bytes, batch_size):
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "in.jsonl").write_bytes(b"\n".join(lines))
        work = job(folder, folder / "in.jsonl", shard_bytes=shard_bytes, batch_size=batch_size)
        results, errors, counts = done(work)
    text = b"\n".join(lines).removeprefix(b"\xef\xbb\xbf")
    records = {at: raw for at, raw in enumerate(text.split(b"\n")) if raw.strip()}
    assert sorted(one["offset"] for one in results + errors) == list(records)
    assert counts == Counts(len(records), len(results), len(errors))
    assert [one["offset"] for one in results] == sorted(one["offset"] for one in results)
    for one in results:
        assert one["prediction"] == one["instance"] == json.loads(records[one["offset"]])
    for one in errors:
        assert one["error"]["code"] == 3
        assert one["error"]["message"]


def test_rows_that_a_model_fails_on_fail_alone(tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model/predictor.py").write_text(PICKY)
    (tmp_path / "in.jsonl").write_text("".join(f"{n}\n" for n in [1, 5, 2, 8, 7] * 30))
    model = ModelSpec(ModelRef.parse("picky"), tmp_path / "model", "python")
    results, errors, counts = done(job(tmp_path, tmp_path / "in.jsonl", model=model, batch_size=16))
    assert counts == Counts(150, 90, 60)
    assert [one["prediction"] for one in results[:3]] == [2, 4, 14]
    messages = [one["error"]["message"] for one in errors[:2]]
    assert messages[0] == "the model failed: RuntimeError: five"
    assert messages[1].startswith("the prediction cannot be written as JSON: ")
    assert [one["offset"] for one in errors[:3]] == [1, 3, 6]


def test_rows_that_do_not_fit_cost_no_other_row_anything(tmp_path):
    lines = ["[1,2,3,4]", '{"a": 1}', "[1,2,3,4]", "[1,2,3]", "[1", "[1,2,3,4.5]"] * 50
    (tmp_path / "in.jsonl").write_text("\n".join([*lines, ""]))
    work = job(tmp_path, tmp_path / "in.jsonl", model=_labelled(tmp_path))
    scorer = run.load(work)
    asked = []
    predict = scorer.predictor.predict
    scorer.predictor.predict = lambda instances, *given: (
        asked.append(instances.count) or predict(instances, *given)
    )
    shards = run.prepare(work, scorer)[1]
    assert run.run_shard(work, shards[0], scorer, lambda _: None).counts == Counts(300, 150, 150)
    assert asked == [150]
    results, errors, _ = done(work)
    assert [one["offset"] for one in results] == [at for at in range(300) if at % 6 in (0, 2, 5)]
    assert [one["error"]["message"].split(";")[0][:30] for one in errors[:3]] == [
        "a: unknown field",
        "expected an array of 4 values",
        "not valid JSON: Input data was",
    ]


def test_results_of_earlier_jobs_are_no_input_because_they_are_below_its_folder(tmp_path):
    (tmp_path / "in.jsonl").write_text("1\n")
    earlier = tmp_path / "out/prediction-x/prediction.results-00000-of-00001"
    earlier.parent.mkdir(parents=True)
    earlier.write_text('{"instance":1,"prediction":1}\n')
    work = job(tmp_path, tmp_path)
    with pytest.raises(FailedPrecondition, match="was written by an earlier job"):
        run.prepare(work, run.load(work))
    for asked in (earlier, tmp_path / "*.jsonl", earlier.with_name("prediction.results-*")):
        work = job(tmp_path, asked)
        assert len(run.prepare(work, run.load(work))[1]) == 1


def test_done_twice_a_shard_is_the_same(tmp_path):
    (tmp_path / "in.jsonl").write_text('1\n{"a": 1.0}\nx\n')
    work = job(tmp_path, tmp_path / "in.jsonl")
    first = done(work)
    assert done(work) == first


def test_what_cannot_be_done_is_said_before_any_work(tmp_path):
    (tmp_path / "in.jsonl").write_text("1\n")
    twice = InstanceConfig(included=("a",), excluded=("b",))
    work = job(tmp_path, tmp_path / "in.jsonl", instances=twice)
    with pytest.raises(InvalidArgument, match="exclude each other"):
        run.prepare(work, run.load(work))
    with pytest.raises(FailedPrecondition, match="neither a model nor an endpoint"):
        run.load(job(tmp_path, tmp_path / "in.jsonl", model=None))
    with pytest.raises(InvalidArgument, match=r"parameters\.colour"):
        run.load(job(tmp_path, tmp_path / "in.jsonl", model=_labelled(tmp_path), parameters={"colour": 1}))
    assert not (tmp_path / "out").exists()


def _labelled(folder):
    from skl2onnx import to_onnx
    from sklearn.datasets import load_iris
    from sklearn.tree import DecisionTreeClassifier

    rows, labels = load_iris(return_X_y=True)
    file = folder / "iris.onnx"
    model = to_onnx(DecisionTreeClassifier().fit(rows, labels), rows[:1].astype(np.float32))
    file.write_bytes(model.SerializeToString())
    return ModelSpec(ModelRef.parse("iris"), file)


def test_the_first_instance_is_told_as_the_model_gets_it(tmp_path):
    (tmp_path / "in.csv").write_text("a,b\n1,x\n2,y\n")
    work = job(tmp_path, tmp_path / "in.csv", source="csv", instances=InstanceConfig(excluded=("b",)))
    found, shards = run.prepare(work, run.load(work))
    assert (found.first, found.columns, len(shards)) == ('{"a":1}', ("a", "b"), 1)


def test_the_arrays_of_a_csv_file_are_warned_of_without_advice_that_would_be_refused(tmp_path):
    (tmp_path / "in.csv").write_text("a,b\n1,2\n")
    work = job(tmp_path, tmp_path / "in.csv", source="csv", native=False)
    found, _ = run.prepare(work, run.load(work))
    assert found.first == "[1,2]"
    assert "instanceType" not in found.warnings[0]


def test_a_message_is_kept_short_and_written_whole(tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "predictor.py").write_text(PICKY.replace('"five"', '"five" * 10_000'))
    (tmp_path / "in").write_text("5\n")
    model = ModelSpec(ModelRef.parse("picky"), tmp_path / "model", "python")
    work = job(tmp_path, tmp_path / "in", model=model)
    scorer = run.load(work)
    _, (shard,) = run.prepare(work, scorer)
    (failure,) = run.run_shard(work, shard, scorer, lambda reading: None).failures
    assert len(failure.message) < 1100
    assert "five" * 10_000 in (tmp_path / "out" / ".prediction-x" / "errors-00000").read_text()
