"""One model, one answer: the same 10,000 rows come to the same predictions online, in batch and in SQL."""

import base64
import json
import math

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from tests.contract.test_batch_values import ALLOWED, predicted, write_arrays
from tests.integration.plane import PARENT, Plane
from tests.integration.server import up
from tests.zoo import cases
from trivet import sql
from trivet.core.names import ModelRef
from trivet.serving.lifecycle import ModelSpec, load
from trivet.sql.types import STRING, Field

ROWS = 10_000
AT_ONCE = 2_000  # in one request
SUMS = ("onnx", "torch", "tensorflow")


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("doors")
    with up(
        folder / "data",
        TRIVET_ARTIFACTS_ALLOW_PICKLE="true",
        TRIVET_LIMITS_MAX_INSTANCES=str(AT_ONCE),
        TRIVET_CATALOG_PROJECT="p",
        TRIVET_SERVER_WORKERS="1",
    ) as server:
        server.data = folder / "data"
        yield server


@pytest.fixture(scope="module")
def connection(server, tmp_path_factory):
    """Return a connection to the catalog of the server, and to tables that are gone in the end."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRIVET_ARTIFACTS_ALLOW_PICKLE", "true")
        tables = tmp_path_factory.mktemp("tables") / "tables.duckdb"
        with sql.connect(tables, data=server.data, project="p") as connection:
            yield connection


def many(rows):
    """Return the rows again and again, until there are enough; floats differ each time."""

    def vary(value, factor):
        if isinstance(value, list):
            return [vary(one, factor) for one in value]
        return value * factor if isinstance(value, float) else value

    rounds = math.ceil(ROWS / len(rows))
    return [vary(row, 1 + index / 1024) for index in range(rounds) for row in rows][:ROWS]


def write_table(file, inputs, names, rows):
    """Write rows as the columns that the model has in SQL; one that takes any JSON is sent whole rows."""
    whole = len(inputs) == 1 and inputs[0].type.kind == "ARRAY"
    columns = [rows] if whole else list(map(list, zip(*rows, strict=True)))
    table = {}
    for field, values in zip(inputs or [Field(name, STRING) for name in names], columns, strict=True):
        if field.type.kind == "ARRAY" and isinstance(values[0][0], list):  # any shape is one array in SQL
            table[field.name] = pa.array([np.array(one).ravel().tolist() for one in values])
        else:
            table[field.name] = pa.array(values)
    parquet.write_table(pa.table(table), file)


def flat(value):
    """Return a prediction as JSON has it, and arrays of arrays as the one array that they are in SQL."""
    if isinstance(value, list):
        inner = [flat(one) for one in value]
        return [x for one in inner for x in one] if inner and isinstance(inner[0], list) else inner
    if isinstance(value, dict):
        return {name: flat(one) for name, one in value.items()}
    if isinstance(value, bytes):
        return {"b64": base64.b64encode(value).decode()}
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def same(one, other, framework):
    """Whether answers are the same: to the bit, or nearly where sums depend on how many rows are together,
    as docs/explanation/answers.md says."""
    if framework not in SUMS:
        return one == other
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=1e-5, abs_tol=1e-6)
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        return all(same(a, b, framework) for a, b in zip(one, other, strict=True))
    if isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys():
        return all(same(value, other[name], framework) for name, value in one.items())
    return one == other


@pytest.mark.parametrize("case", cases(), ids=str)
def test_all_doors_lead_to_the_same_answers(case, zoo, server, connection, tmp_path):
    plane, endpoint = Plane(server.client), case.name.replace("_", "-")
    plane.endpoint(endpoint)
    deployed = plane.deploy(endpoint, plane.upload(zoo(case), endpoint))
    spec = ModelSpec(ModelRef("m"), zoo(case))
    signature = load(spec, ALLOWED).info.signature
    rows = many([row if isinstance(row, list) else [row] for row in case.rows])
    names = [f"c{index}" for index in range(len(rows[0]))]
    as_arrays = ", instance_type='array'" if signature.takes_json else ""
    write_arrays(tmp_path / "rows.jsonl", (), rows)
    for output in case.outputs:
        parameters = {"output": output} if signature.parameters and output != "values" else {}
        online = []
        for start in range(0, ROWS, AT_ONCE):
            body = {"instances": rows[start : start + AT_ONCE], "parameters": parameters}
            answer = server.client.post(f"{PARENT}/endpoints/{endpoint}:predict", json=body)
            assert answer.status_code == 200, answer.text
            online += answer.json()["predictions"]

        batch, errors = predicted(tmp_path, "jsonl", tmp_path / "rows.jsonl", spec, parameters=parameters)
        assert errors == []
        assert same(batch, online, case.framework)

        options = "".join(f", {key}='{value}'" for key, value in parameters.items())
        connection.sql(f"CREATE OR REPLACE MODEL doors.m OPTIONS(model='{endpoint}'{as_arrays}{options})")
        model = connection.database.models.named(["doors", "m"], "p", "")
        write_table(tmp_path / "rows.parquet", model.inputs, names, rows)
        outputs = ", ".join(f"`{field.name}`" for field in model.outputs)
        table = connection.sql(
            f"SELECT {outputs} FROM ML.PREDICT(MODEL doors.m, (SELECT * FROM '{tmp_path}/rows.parquet'))"
        ).arrow()
        found = table.to_pylist()
        if len(model.outputs) == 1:
            (field,) = model.outputs
            found = [one[field.name] for one in found]
            if field.type.kind == "JSON":
                found = [None if one is None else json.loads(one) for one in found]
        assert same([flat(one) for one in found], [flat(one) for one in online], case.framework)
    plane.undeploy(endpoint, deployed)
