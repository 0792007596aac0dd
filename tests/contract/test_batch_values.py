"""A job answers as the server does: the same rows, in any format, come to the same predictions."""

import csv
import json
from pathlib import Path

import pytest

from tests.zoo import cases
from trivet.codecs.json_body import BodyDecoder, BodyLimits, encode_predictions
from trivet.core.batch import InstanceConfig
from trivet.core.names import ModelRef
from trivet.jobs import run
from trivet.jobs.work import Work
from trivet.runtimes.base import Permissions
from trivet.serving.lifecycle import ModelSpec, load
from trivet.sinks.base import Outputs
from trivet.sources.base import Inputs

ECHO = ModelSpec(ModelRef("echo"), Path(), "echo")
ALLOWED = Permissions(pickle=True, python=True)


def write_objects(file, names, rows):
    file.write_text("".join(json.dumps(dict(zip(names, row, strict=True))) + "\n" for row in rows))


def write_arrays(file, names, rows):
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))


def write_csv(file, names, rows):
    with file.open("w", newline="") as into:
        writer = csv.writer(into)
        writer.writerow(names)
        writer.writerows(rows)


def write_parquet(file, names, rows):
    import pyarrow as pa
    from pyarrow import parquet

    columns = dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))
    parquet.write_table(pa.table(columns), file)


VERTEX = [
    1, 2, 3, 4, 1.24578001, "a", "A", {"key": "value"}, [1], [1, 2, 3, 4], [[1, 2], [3, 4]],
    [[[1, 2], [3, 4]]], [{"key": "value"}], [{"key": "value"}, {"key": "value2"}],
    ["gs://bucket/path/to/image/image1.jpg"], "c29t", ["c29t"], {"b64": "c29t"},
]  # fmt: skip


FORMATS = {
    "objects": ("jsonl", write_objects),
    "arrays": ("jsonl", write_arrays),
    "csv": ("csv", write_csv),
    "parquet": ("parquet", write_parquet),
}


def predicted(folder, source, file, model, **given):
    """Do a whole job; return its predictions, in order, and its errors."""
    outputs = Outputs(str(folder / "out"), "prediction-x")
    inputs = Inputs((str(file),), strict=not given.get("native", True))
    work = Work("job", source, "jsonl", inputs, outputs, model=model, permissions=ALLOWED, **given)
    scorer = run.load(work)
    found, shards = run.prepare(work, scorer)
    work = run.prepared(work, found)
    for shard in shards:
        run.run_shard(work, shard, scorer, lambda _: None)
    scorer.close()
    rows: dict[str, list] = {"results": [], "errors": []}
    for kind, into in rows.items():
        for part in sorted((folder / "out/.prediction-x").glob(f"{kind}-*")):
            into += [json.loads(line) for line in part.read_bytes().splitlines()]
    return [one["prediction"] for one in rows["results"]], rows["errors"]


@pytest.mark.parametrize("format_", FORMATS)
@pytest.mark.parametrize("case", cases(), ids=str)
def test_a_job_answers_as_the_server_does(case, format_, zoo, tmp_path):
    spec = ModelSpec(ModelRef("m"), zoo(case))
    model = load(spec, ALLOWED)
    rows = [row if isinstance(row, list) else [row] for row in case.rows]
    names = list(model.info.signature.names)
    if len(names) != len(rows[0]):
        names = [f"c{index}" for index in range(len(rows[0]))]
    if format_ == "objects" and tuple(names) != model.info.signature.names:
        pytest.skip("its inputs have no names")
    source, write = FORMATS[format_]
    write(tmp_path / "in", names, rows)
    for output in case.outputs:
        parameters = {"output": output} if model.info.signature.parameters and output != "values" else {}
        body = json.dumps({"instances": rows}).encode()
        instances = BodyDecoder(model.info.signature, BodyLimits()).decode(body)[0]
        resolved = model.info.signature.resolve(parameters, model.info.defaults)
        expected = json.loads(encode_predictions(model.predictor.predict(instances, resolved)))
        asked = InstanceConfig("array" if model.info.signature.takes_json and source != "jsonl" else "")
        found = predicted(tmp_path, source, tmp_path / "in", spec, parameters=parameters, instances=asked)
        assert found == (expected, [])


def test_csv_rows_that_the_managed_service_loses_are_results_or_errors(tmp_path):
    """The recorded job: five of eighteen rows came out of it, and nothing said why."""
    write_csv(tmp_path / "in", ["input_1"], [[one] for one in VERTEX])
    predictions, errors = predicted(tmp_path, "csv", tmp_path / "in", ECHO, native=False)
    quoted = [str(one) for one in VERTEX if "," in str(one)]
    assert predictions == [[1.0], [2.0], [3.0], [4.0], [1.24578001], *([one] for one in quoted)]
    lost = [one["instance"] for one in errors]
    assert list(map(str, lost)) == [str(one) for one in VERTEX[5:] if "," not in str(one)]
    assert errors[0]["error"]["message"] == "column input_1: an unquoted cell that is no number: a"
