"""CREATE, DROP, ALTER and EXPORT MODEL, over a real catalog, store and control plane, with real models."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.unit.sql.models import DS
from trivet.core.errors import (
    AlreadyExists,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    ServingError,
    Unimplemented,
)
from trivet.core.resources import Name
from trivet.sql.model import REMOTE, TRIVET, Remote
from trivet.sql.types import BOOL, FLOAT64, INT64, STRING, Field, array

ONNX = "CREATE MODEL ds.m OPTIONS(model_type='ONNX', model_path='models/onnx-regressor/*')"
XGBOOST = "CREATE OR REPLACE MODEL ds.m OPTIONS(model_type='xgboost', model_path='models/xgboost-binary/*')"
ENDPOINT = "https://us-central1-aiplatform.googleapis.com/v1/projects/p/locations/us-central1/endpoints/7"
REMOTE_MODEL = (
    "CREATE MODEL ds.r INPUT(a FLOAT64, tags ARRAY<STRING>) OUTPUT(y STRING) "
    "REMOTE WITH CONNECTION `p.us.c` OPTIONS(endpoint='{}')"
)


def names(fields):
    return [(one.name, str(one.type)) for one in fields]


# making


def test_an_onnx_model_is_imported_with_the_columns_of_its_graph(world):
    done = world.run(ONNX)
    assert (done.planned.kind, done.planned.operation) == ("CREATE_MODEL", "CREATE")
    assert str(done.planned.target) == "local:ds.m"
    assert done.message == "Successfully created model named m."
    made = world.find("ds.m")
    assert (made.type, made.owned, made.model) == (
        "ONNX",
        True,
        "projects/local/locations/us-central1/models/ds-m@1",
    )
    assert names(made.inputs) == [("X", "ARRAY<FLOAT64>")]
    assert names(made.outputs) == [("variable", "FLOAT64")]
    assert made.options == {"model_type": "ONNX", "model_path": "models/onnx-regressor/*"}
    spec = world.place.models.spec(made)
    assert (spec.path.name, spec.framework) == (made_artifact(world), "onnx")
    assert world.place.models.spec(made) is spec


def made_artifact(world):
    (version,) = world.versions("ds-m")
    return version.artifact.key


def test_what_is_imported_stays_as_it_was(world, tmp_path):
    world.run(ONNX)
    before = world.find("ds.m")
    (tmp_path / "models/onnx-regressor/model.onnx").write_bytes(b"another")
    assert world.place.models.spec(before).path.is_dir()
    world.place.models.drop(before.name)
    with pytest.raises(ServingError):
        world.run(ONNX)
    assert world.registered() == []


def test_a_model_is_an_ordinary_model_of_trivets(world):
    world.run(
        "CREATE MODEL ds.m OPTIONS(model_type='ONNX', model_path='models/onnx-regressor/model.onnx', "
        "description='it\\'s', labels=[('team', 'risk')], friendly_name='Größe', "
        "vertex_ai_model_version_aliases=['champion'])"
    )
    (version,) = world.versions("ds-m")
    assert (version.display_name, version.framework, version.labels) == ("Größe", "onnx", {"team": "risk"})
    assert (version.document["description"], version.aliases) == ("it's", ("champion", "default"))
    world.control.create_endpoint(world.location, {"displayName": "e"}, endpoint_id="e")
    endpoint = world.location.child("endpoints", "e")
    world.control.deploy(endpoint, {"model": str(version.name)}, None)
    with pytest.raises(FailedPrecondition, match=r"is deployed or being deployed .* at \[1:12\]$"):
        world.run("DROP MODEL ds.m")
    assert world.find("ds.m").labels == {"team": "risk"}


def test_zipmap_is_taken_off(world):
    world.run("CREATE MODEL ds.z OPTIONS(model_type='ONNX', model_path='models/onnx-zipmap/*')")
    outputs = dict(names(world.find("ds.z").outputs))
    assert list(outputs.values()) == ["STRING", "ARRAY<FLOAT64>"]


def test_an_xgboost_model_with_names_has_a_column_for_each(world):
    world.run(XGBOOST)
    made = world.find("ds.m")
    assert names(made.inputs)[:2] == [("mean radius", "FLOAT64"), ("mean texture", "FLOAT64")]
    assert names(made.outputs) == [("predicted_label", "FLOAT64")]


def test_an_xgboost_model_without_names_is_given_them(world):
    statement = "CREATE MODEL ds.b {} OPTIONS(model_type='XGBOOST', model_path='models/xgboost-bare/*')"
    with pytest.raises(InvalidArgument, match=r"holds no feature_names: .* at \[1:14\]$"):
        world.run(statement.format(""))
    columns = ", ".join(f"f{i} FLOAT64" for i in range(10))
    for clauses, error in {
        f"INPUT({columns})": "INPUT without OUTPUT",
        f"INPUT({columns}) OUTPUT(a FLOAT64, b FLOAT64)": "has one output; 2 are declared",
        f"INPUT({columns}) OUTPUT(a STRING)": "gives FLOAT64 or ARRAY<FLOAT64>, not STRING",
        "INPUT(f0 STRING) OUTPUT(a FLOAT64)": "INPUT: f0: an XGBoost model takes .* not STRING",
        "INPUT(f0 FLOAT64, f1 INT64) OUTPUT(a FLOAT64)": "takes 10 values in its input features; 2 are",
    }.items():
        with pytest.raises(InvalidArgument, match=error):
            world.run(statement.format(clauses))
    assert (world.registered(), world.stored()) == ([], 0)
    world.run(statement.format(f"INPUT({columns}) OUTPUT(risk FLOAT64)"))
    made = world.find("ds.b")
    assert names(made.inputs) == [(f"f{i}", "FLOAT64") for i in range(10)]
    assert names(made.outputs) == [("risk", "FLOAT64")]


def test_input_packs_the_columns_of_a_model_that_takes_one_array(world):
    columns = ", ".join(f"f{i} FLOAT64" for i in range(10))
    onnx = "CREATE MODEL ds.m {} OPTIONS(model_type='ONNX', model_path='models/onnx-regressor/*')"
    for clauses, error in {
        "OUTPUT(y FLOAT64)": "OUTPUT: a model of type ONNX says itself what it gives",
        "INPUT(X ARRAY<FLOAT64>)": "INPUT: a model of type ONNX says itself what it takes",
    }.items():
        with pytest.raises(InvalidArgument, match=error):
            world.run(onnx.format(clauses))
    world.run(onnx.format(f"INPUT({columns})"))
    assert names(world.find("ds.m").inputs) == [(f"f{i}", "FLOAT64") for i in range(10)]


def test_python_runs_as_a_model_only_where_it_may(world, tmp_path):
    python = "CREATE MODEL ds.p {} OPTIONS(model_type='PYTHON', model_path='models/python-linear/*')"
    world.run(python.format(""))
    made = world.find("ds.p")
    assert (made.inputs, names(made.outputs)) == ((), [("prediction", "JSON")])
    world.run(python.format("OUTPUT(value FLOAT64)").replace("MODEL ds.p", "MODEL ds.q"))
    assert world.find("ds.q").outputs == (Field("value", FLOAT64),)
    from trivet.app.sql import place
    from trivet.settings import Artifacts, Settings

    strict = place(Settings(artifacts=Artifacts(allow_python=False)), tmp_path / "strict", isolate="never")
    world.place = strict
    with pytest.raises(PermissionDenied, match=r"--allow-python .* at \[1:49\]$"):
        world.run(python.format(""))
    assert strict.models.list(DS) == []
    strict.close()


def test_the_answer_that_is_asked_for_is_what_endpoints_give_too(world):
    world.run(
        "CREATE MODEL ds.m OPTIONS(model_type='XGBOOST', model_path='models/xgboost-binary/*', "
        "output='probabilities')"
    )
    made = world.find("ds.m")
    assert made.parameters["output"] == "probabilities"
    assert world.place.models.spec(made).output == "probabilities"
    with pytest.raises(InvalidArgument, match=r"output.*\bhuh\b"):
        world.run(XGBOOST.replace("/*')", "/*', output='huh')"))


# names


def test_a_name_is_taken_once(world):
    world.run(ONNX)
    with pytest.raises(AlreadyExists, match=r"^Already Exists: Model local:ds\.m at \[1:14\]$"):
        world.run(ONNX)
    skipped = world.run(ONNX.replace("MODEL", "MODEL IF NOT EXISTS"))
    assert (skipped.planned.kind, skipped.planned.operation) == ("CREATE_MODEL", "SKIP")
    assert len(world.versions("ds-m")) == 1
    with pytest.raises(AlreadyExists, match=r"^Already Exists: Table local:ds\.t at \[1:14\]$"):
        world.run(ONNX.replace("ds.m", "ds.t"))
    with pytest.raises(NotFound, match=r"^Not found: Dataset local:nowhere at \[1:14\]$"):
        world.run(ONNX.replace("ds.m", "nowhere.m"))
    with pytest.raises(InvalidArgument, match="cannot have both OR REPLACE and IF NOT EXISTS"):
        world.run(ONNX.replace("CREATE MODEL", "CREATE OR REPLACE MODEL IF NOT EXISTS"))
    world.run(ONNX.replace("ds.m", "ds.M"))
    assert [one.name.name for one in world.place.models.list(DS)] == ["M", "m"]
    assert world.find("ds.M").model.startswith("projects/local/locations/us-central1/models/ds-m-")


def test_replacing_adds_a_version_that_is_the_default_one(world):
    models = world.place.models
    first = world.run(XGBOOST)
    assert first.planned.operation == "CREATE"
    before, revision = world.find("ds.m"), models.revision()
    again = world.run(
        XGBOOST.replace("xgboost-binary", "xgboost-binary/model.json").replace(".json/*", ".json")
    )
    assert again.planned.operation == "REPLACE"
    after = world.find("ds.m")
    assert after.model.endswith("ds-m@2")
    assert (after.created, after.key != before.key) == (before.created, True)
    assert models.revision() != revision
    assert [(one.version, one.aliases) for one in world.versions("ds-m")] == [("1", ()), ("2", ("default",))]
    with pytest.raises(ServingError):
        world.run(
            "CREATE OR REPLACE MODEL ds.m OPTIONS(model_type='ONNX', model_path='models/python-linear')"
        )
    assert world.find("ds.m") == after
    assert len(world.versions("ds-m")) == 2
    world.run(REMOTE_MODEL.replace("CREATE", "CREATE OR REPLACE").replace("ds.r", "ds.m").format(ENDPOINT))
    assert world.find("ds.m").type == REMOTE
    assert world.registered() == []


@pytest.mark.parametrize("name", ["`ds.all-MiniLM-L6-v2`", "`ds`.`größe`", "other._x_", "ds." + "n" * 200])
def test_any_name_of_bigquerys_is_taken(world, name):
    world.run(ONNX.replace("ds.m", name))
    found = world.find(name.replace("`", ""))
    assert len(Name.parse(found.model, "models").id) <= 63
    world.run(f"DROP MODEL {name}")
    assert world.registered() == []


def test_a_registered_model_of_the_id_stays_what_it_is(world, tmp_path):
    upload(world, tmp_path / "models/onnx-regressor", "ds-m")
    with pytest.raises(
        AlreadyExists, match=r"ds-m is the id of a model .*OPTIONS\(vertex_ai_model_id='..'\)"
    ):
        world.run(ONNX)
    world.run(ONNX.replace("/*'", "/*', vertex_ai_model_id='risk'"))
    assert world.find("ds.m").model.endswith("models/risk@1")
    world.run(XGBOOST.replace("ds.m", "ds.n").replace("/*'", "/*', vertex_ai_model_id='risk'"))
    added = world.find("ds.n")
    assert (added.model.partition("models/")[2], added.owned) == ("risk@2", False)
    world.run("DROP MODEL ds.n")
    assert len(world.versions("risk")) == 2


def upload(world, path, id_, **document):
    operation = world.control.upload_model(
        world.location, {"displayName": id_, "artifactUri": str(path)} | document, model_id=id_
    )
    world.control.run(operation.name)


def test_what_a_statement_has_left_that_was_broken_off_is_taken_up(world, tmp_path):
    upload(world, tmp_path / "models/onnx-regressor", "ds-m", modelSourceInfo={"sourceType": "BQML"})
    world.run(ONNX)
    assert world.find("ds.m").model.endswith("ds-m@2")


# registered models


def test_a_registered_model_is_named_as_it_is(world, tmp_path):
    models = world.place.models
    upload(world, tmp_path / "models/xgboost-binary", "fraud", versionAliases=["champion"])
    found = models.named(["fraud@champion"], "local", "ds")
    assert (found.type, found.owned, str(found.name)) == (TRIVET, False, "local:fraud@champion")
    assert found.model == "projects/local/locations/us-central1/models/fraud@1"
    assert len(found.inputs) == 30
    assert models.registered("fraud", "local").key == found.key
    assert models.registered(found.model, "elsewhere").key == found.key
    revision = models.revision()
    operation = world.control.upload_model(
        world.location,
        {"displayName": "2", "artifactUri": str(tmp_path / "models/onnx-regressor")},
        parent_model=str(world.location.child("models", "fraud")),
    )
    world.control.run(operation.name)
    world.control.merge_aliases(Name.parse(found.model).at("2"), ["champion"])
    assert models.revision() != revision
    assert models.named(["fraud@champion"], "local").model.endswith("@2")
    world.run(ONNX.replace("ds.m", "ds.fraud"))
    assert models.named(["fraud"], "local", "ds").type == "ONNX"
    for parts, error in {
        ("nothing",): "Not found: Model local:ds.nothing",
        ("fraud@9",): "Not found: Model local:ds.fraud@9",
        ("ds", "nothing"): "Not found: Model local:ds.nothing",
        ("p", "ds", "m"): "Not found: Model p:ds.m",
    }.items():
        with pytest.raises(NotFound) as raised:
            models.named(parts, "local", "ds")
        assert str(raised.value) == error
    with pytest.raises(NotFound, match=r"^Not found: Model local:nothing$"):
        models.named(["nothing"], "local")


def test_a_name_may_stand_for_a_registered_model(world, tmp_path):
    upload(world, tmp_path / "models/xgboost-binary", "fraud")
    world.run("CREATE MODEL ds.f OPTIONS(model='fraud', output='probabilities')")
    made = world.find("ds.f")
    assert (made.type, made.owned, made.model.partition("models/")[2]) == (TRIVET, False, "fraud@1")
    assert made.parameters["output"] == "probabilities"
    with pytest.raises(NotFound, match=r"^Not found: Model local:huh@champion at \[1:"):
        world.run("CREATE MODEL ds.g OPTIONS(model='huh@champion')")
    with pytest.raises(InvalidArgument, match="a registered model has its own; leave them out"):
        world.run("CREATE MODEL ds.g INPUT(a INT64) OUTPUT(b INT64) OPTIONS(model='fraud')")
    world.control.run(world.control.delete_model(world.location.child("models", "fraud")).name)
    with pytest.raises(FailedPrecondition, match="fraud@1, which it stands for, was deleted"):
        world.place.models.spec(made)
    world.run("DROP MODEL ds.f")


# remote models


def test_a_remote_model_is_what_its_clauses_say(world):
    done = world.run(REMOTE_MODEL.format(ENDPOINT))
    assert done.planned.kind == "CREATE_MODEL"
    made = world.find("ds.r")
    assert (made.type, made.model, made.owned) == (REMOTE, "", False)
    assert made.inputs == (Field("a", FLOAT64), Field("tags", array(STRING)))
    assert made.outputs == (Field("y", STRING),)
    assert made.remote == Remote(ENDPOINT, "p.us.c", 128, True)
    world.run(
        "CREATE OR REPLACE MODEL ds.r INPUT(a INT64) OUTPUT(y BOOL) REMOTE WITH CONNECTION DEFAULT "
        f"OPTIONS(endpoint='{ENDPOINT}:predict', max_batching_rows=10, retries=FALSE)"
    )
    after = world.find("ds.r")
    assert after.remote == Remote(f"{ENDPOINT}:predict", "", 10, False)
    assert (after.inputs[0].type, after.outputs[0].type, after.key != made.key) == (INT64, BOOL, True)
    with pytest.raises(InvalidArgument, match="of which there are no files here"):
        world.run("EXPORT MODEL ds.r OPTIONS(uri='out')")


def test_an_endpoint_of_ours_must_be_there(world):
    for given in ("score", f"{world.location}/endpoints/score"):
        with pytest.raises(NotFound, match=r"^Not found: Endpoint projects/local/.*/score at \[1:"):
            world.run(REMOTE_MODEL.format(given))
    world.control.create_endpoint(world.location, {"displayName": "e"}, endpoint_id="score")
    world.run(REMOTE_MODEL.format("score"))
    assert world.find("ds.r").remote.endpoint == "score"


@pytest.mark.parametrize(
    ("statement", "error"),
    {
        "{R}(endpoint='https://h/p')": "needs INPUT",
        "INPUT(a INT64) {R}(endpoint='https://h/p')": "needs INPUT",
        "INPUT(a INT64) OUTPUT(b DATE) {R}(endpoint='https://h/p')": "not DATE",
        "INPUT(a INT64, A INT64) OUTPUT(b INT64) {R}(endpoint='e')": "A is declared twice",
        "{IO} REMOTE OPTIONS(endpoint='https://h/p')": "needs OPTIONS",
        "{IO} {R}(description='x')": r"OPTIONS\(endpoint\) is required",
        "{IO} {R}(endpoint='https://')": r"endpoint: 'https://': expected the URL .* at \[1:",
        "{IO} {R}(endpoint='https://h/p', max_batching_rows=0)": "expected 1 or more",
        "{IO} OPTIONS(endpoint='https://h/p')": "needs REMOTE WITH CONNECTION",
    }.items(),
)
def test_a_remote_model_that_cannot_be_is_refused(world, statement, error):
    clauses = {"R": "REMOTE WITH CONNECTION c OPTIONS", "IO": "INPUT(a INT64) OUTPUT(b INT64)"}
    with pytest.raises(InvalidArgument, match=error) as raised:
        world.run(f"CREATE MODEL ds.r {statement.format(**clauses)}")
    assert " at [1:" in str(raised.value)
    assert world.place.models.list(DS) == []


def test_a_service_of_googles_is_refused_by_name(world):
    with pytest.raises(Unimplemented, match=r"OPTIONS\(remote_service_type\): not supported"):
        world.run(REMOTE_MODEL.format(ENDPOINT).replace("')", "', remote_service_type='CLOUD_AI_VISION_V1')"))


# clauses and options


@pytest.mark.parametrize(
    ("options", "kind", "error"),
    [
        ("model_path='m/*'", InvalidArgument, "model_type) is required: one of TENSORFLOW, ONNX"),
        ("model_type='ONNX'", InvalidArgument, "OPTIONS(model_path) is required for a model of type ONNX"),
        ("model_type='TENSORFLOW_LITE', model_path='m'", Unimplemented, "TENSORFLOW_LITE is not supported"),
        ("model_type='LINEAR_REG'", Unimplemented, "LINEAR_REG: Trivet imports trained models; train"),
        ("model_type='ONX', model_path='m'", InvalidArgument, "'ONX': unknown type; did you mean 'ONNX'?"),
        ("model_type=1, model_path='m'", InvalidArgument, "OPTIONS(model_type): expected a STRING"),
        ("model_type='ONNX', model_path=1", InvalidArgument, "(model_path): expected STRING; got INT64"),
        ("model_type='ONNX', model_pth='m'", InvalidArgument, "did you mean 'model_path'?"),
        ("model_type='ONNX', model_path='m/*/n'", InvalidArgument, "a wildcard may only be the last part"),
        ("model_type='ONNX', model_path='nowhere/*'", NotFound, "nowhere: there is no such file or folder"),
        ("model_type='ONNX', model_path='ftp://h/m'", InvalidArgument, "got 'ftp'"),
        ("model_type='ONNX', model_path='m', kms_key_name='k'", Unimplemented, "not encrypted with keys"),
        ("model_type='ONNX', model_path='m', labels=['a']", InvalidArgument, "expected pairs of strings"),
        ("model_type='ONNX', model_path='m', labels=[('A','b')]", InvalidArgument, "lower-case letters"),
        ("model_type='ONNX', model_path='m', labels=[('a','b'),('a','c')]", InvalidArgument, "given twice"),
        ("model_type='ONNX', model_path='m', model_path='n'", InvalidArgument, "Duplicate option"),
        ("model_type='ONNX', model_path='m', scalar_outputs='x'", InvalidArgument, "expected BOOL; got"),
        ("model_type='ONNX', model_path='m', expiration_timestamp=DATE '2030-01-01'", InvalidArgument,
         "OPTIONS(expiration_timestamp): expected TIMESTAMP; got DATE"),
    ],
)  # fmt: skip
def test_options_that_cannot_be_are_refused(world, options, kind, error):
    with pytest.raises(kind) as raised:
        world.run(f"CREATE MODEL ds.m OPTIONS({options})")
    assert error in str(raised.value)
    assert " at [1:" in str(raised.value)
    assert world.registered() == []


@pytest.mark.parametrize(
    ("clauses", "kind", "error"),
    [
        ("", InvalidArgument, "needs OPTIONS"),
        ("OPTIONS(model_type='ONNX', model_path='m') INPUT(a INT64) OUTPUT(b INT64)", InvalidArgument,
         "INPUT must stand before OPTIONS"),
        ("OUTPUT(b INT64) INPUT(a INT64) OPTIONS(model_type='XGBOOST', model_path='m')", InvalidArgument,
         "INPUT must stand before OUTPUT"),
        ("INPUT(a NUMERIC(10, 2)) OUTPUT(b INT64) OPTIONS(model_type='XGBOOST', model_path='m')",
         InvalidArgument, "INPUT: a: NUMERIC(10, 2): expected a type without parameters"),
        ("INPUT(a ARRAY<ARRAY<INT64>>) OUTPUT(b INT64) OPTIONS(model_type='XGBOOST', model_path='m')",
         InvalidArgument, "there are no arrays of arrays"),
        ("INPUT(a INT64 NOT NULL) OUTPUT(b INT64) OPTIONS(model_type='XGBOOST', model_path='m')",
         InvalidArgument, "expected a name and a type, and nothing else"),
        ("TRANSFORM(a + 1 AS b) OPTIONS(model_type='ONNX', model_path='m')", Unimplemented, "TRANSFORM"),
        ("OPTIONS(model_type='LINEAR_REG') AS SELECT 1 AS label", Unimplemented, "train elsewhere"),
    ],
)  # fmt: skip
def test_clauses_that_cannot_be_are_refused(world, clauses, kind, error):
    with pytest.raises(kind) as raised:
        world.run(f"CREATE MODEL ds.m {clauses}")
    assert error in str(raised.value)
    assert " at [1:" in str(raised.value)


def test_an_error_says_where_what_is_wrong_stands(world):
    for options, place in {
        "model_type='ONNX', model_path='nowhere/*'": "[1:46]",
        "model_type='ONNX', model_path='models/python-linear'": "[1:46]",
        "model_type='ONNX', model_path='models/onnx-zipmap', vertex_ai_model_id='UPPER'": "[1:14]",
        "model_type='ONX', model_path='nowhere/*'": "[1:27]",
    }.items():
        with pytest.raises(ServingError) as raised:
            world.run(f"CREATE MODEL ds.m OPTIONS({options})")
        assert str(raised.value).endswith(f" at {place}"), raised.value


def test_a_temporary_model_is_refused(world):
    with pytest.raises(InvalidArgument, match=r"Unexpected keyword TEMPORARY at \[1:"):
        world.run(ONNX.replace("CREATE", "CREATE TEMP"))


def test_a_relative_path_needs_a_folder_to_be_relative_to(world):
    world.folder = None
    with pytest.raises(InvalidArgument, match=r"expected an absolute path or a URI at \[1:"):
        world.run(ONNX)


# dropping


def test_dropping_a_model_deletes_its_versions_and_files(world):
    world.run(ONNX)
    world.run(ONNX.replace("CREATE", "CREATE OR REPLACE").replace("onnx-regressor", "onnx-zipmap"))
    assert world.stored() == 2
    done = world.run("DROP MODEL ds.m")
    assert (done.planned.kind, done.planned.operation) == ("DROP_MODEL", "DROP")
    assert (world.registered(), world.stored(), world.place.models.list(DS)) == ([], 0, [])
    with pytest.raises(NotFound, match=r"^Not found: Model local:ds\.m at \[1:12\]$"):
        world.run("DROP MODEL ds.m")
    assert world.run("DROP MODEL IF EXISTS ds.m").planned.operation == "SKIP"


def test_a_model_that_another_name_stands_for_is_not_dropped(world):
    world.run(ONNX)
    world.run("CREATE MODEL ds.n OPTIONS(model='ds-m')")
    with pytest.raises(FailedPrecondition, match=r"local:ds\.n stands for the same model; drop that first"):
        world.run("DROP MODEL ds.m")
    world.run("DROP MODEL ds.n")
    world.run("DROP MODEL ds.m")
    assert world.registered() == []


def test_a_drop_that_was_broken_off_can_be_repeated(world):
    world.run(ONNX)
    world.control.run(world.control.delete_model(world.location.child("models", "ds-m")).name)
    world.run("DROP MODEL ds.m")
    assert world.place.models.list(DS) == []


def test_the_files_of_a_dropped_model_wait_for_machines_that_serve_it(world):
    world.run(ONNX)
    with world.place.catalog.transaction() as tx:
        tx.bump()
        tx.beat("server", 0, {})
    world.run("DROP MODEL ds.m")
    assert (world.registered(), world.stored()) == ([], 1)


# altering


def test_what_is_said_about_a_model_can_be_changed(world):
    world.run(ONNX)
    before, models = world.find("ds.m"), world.place.models
    soon = datetime.now(UTC) + timedelta(days=1)
    done = world.run(
        "ALTER MODEL ds.m SET OPTIONS(description='new', labels=[('a', 'b')], friendly_name='M', "
        f"expiration_timestamp=TIMESTAMP '{soon.isoformat()}')"
    )
    assert (done.planned.kind, done.planned.operation) == ("ALTER_MODEL", "ALTER")
    after = world.find("ds.m")
    assert (after.description, after.labels, after.expires) == ("new", {"a": "b"}, soon)
    assert (after.options["friendly_name"], after.key, after.etag != before.etag) == ("M", before.key, True)
    world.run(
        "ALTER MODEL IF EXISTS ds.m SET OPTIONS(description=NULL, labels=[], expiration_timestamp=NULL)"
    )
    final = world.find("ds.m")
    assert (final.description, final.labels, final.expires) == ("", {}, None)
    assert world.run("ALTER MODEL IF EXISTS ds.x SET OPTIONS(description='')").planned.operation == "SKIP"
    with pytest.raises(NotFound, match=r"^Not found: Model local:ds\.x at \[1:13\]$"):
        world.run("ALTER MODEL ds.x SET OPTIONS(description='')")
    with pytest.raises(ServingError, match="changed since"):
        models.alter(final.name, {"description": "x"}, before.etag)


@pytest.mark.parametrize(
    ("options", "kind", "error"),
    [
        ("model_path='m'", InvalidArgument, "unknown option"),
        ("kms_key_name='k'", Unimplemented, "not supported"),
        ("deploy_model=true", Unimplemented, "trivet deploy"),
        ("endpoint_idle_ttl=INTERVAL 1 HOUR", Unimplemented, "trivet deploy"),
        ("expiration_timestamp=TIMESTAMP '2020-01-01'", InvalidArgument, "expected a time to come"),
        ("vertex_ai_model_id='UPPER'", InvalidArgument, "expected 1 to 63 of a-z"),
    ],
)
def test_what_cannot_be_changed_is_refused(world, options, kind, error):
    world.run(ONNX)
    with pytest.raises(kind) as raised:
        world.run(f"ALTER MODEL ds.m SET OPTIONS({options})")
    assert error in str(raised.value)
    assert " at [1:" in str(raised.value)


def test_a_model_is_registered_under_another_id(world):
    world.run(ONNX)
    world.run("ALTER MODEL ds.m SET OPTIONS(vertex_ai_model_id='risk')")
    after = world.find("ds.m")
    assert (after.model.partition("models/")[2], after.owned) == ("risk@1", True)
    assert world.registered() == ["risk"]
    assert world.place.models.spec(after).path.is_dir()
    world.run("DROP MODEL ds.m")
    assert (world.registered(), world.stored()) == ([], 0)


def test_a_model_that_has_expired_is_gone(world):
    world.run(ONNX)
    models, name = world.place.models, world.find("ds.m").name
    revision = models.revision()
    models.alter(name, {"expires": datetime.now(UTC) + timedelta(seconds=0.3)})
    assert models.revision() != (revision := revision)
    waiting = models.revision()
    while models.exists(name):
        pass
    assert models.revision() != waiting
    assert world.place.models.list(DS) == []
    world.run(ONNX)
    assert world.find("ds.m").expires is None
    assert len(world.versions("ds-m")) == 1


# exporting


def test_an_export_is_the_files_that_were_imported(world, tmp_path):
    world.run("CREATE MODEL ds.p OPTIONS(model_type='PYTHON', model_path='models/python-linear')")
    done = world.run("EXPORT MODEL ds.p OPTIONS(uri='out/p/')")
    assert (done.planned.kind, done.message) == ("EXPORT_MODEL", "Exported 2 files of model local:ds.p.")
    imported, exported = tmp_path / "models/python-linear", tmp_path / "out/p"
    for name in ("predictor.py", "weights.json"):
        assert (exported / name).read_bytes() == (imported / name).read_bytes()
    assert sorted(one.name for one in exported.iterdir()) == ["predictor.py", "weights.json"]
    with pytest.raises(FailedPrecondition, match=r"expected an empty folder, or none yet at \[1:14\]$"):
        world.run("EXPORT MODEL ds.p OPTIONS(uri='out/p')")


def test_an_export_makes_folders(world, tmp_path):
    folder = tmp_path / "models/nested"
    (folder / "sub/deep").mkdir(parents=True)
    (folder / "predictor.py").write_text(
        "class Predictor:\n    def predict(self, instances):\n        return [1]\n"
    )
    (folder / "sub/deep/data").write_bytes(b"\x00")
    world.run(f"CREATE MODEL ds.p OPTIONS(model_type='PYTHON', model_path='{folder}')")
    world.run("EXPORT MODEL ds.p OPTIONS(uri='out')")
    assert (tmp_path / "out/sub/deep/data").read_bytes() == b"\x00"


@pytest.mark.parametrize(
    ("options", "kind", "error"),
    [
        ("OPTIONS(trial_id=1, uri='x')", Unimplemented, "only models tuned"),
        ("OPTIONS(url='x')", InvalidArgument, "did you mean 'uri'?"),
        ("", InvalidArgument, "OPTIONS(uri='..') is required"),
        ("OPTIONS(uri='models/onnx-regressor/model.onnx')", InvalidArgument, "is a file; expected a folder"),
    ],
)
def test_an_export_that_cannot_be_is_refused(world, options, kind, error):
    world.run(ONNX)
    with pytest.raises(kind) as raised:
        world.run(f"EXPORT MODEL ds.m {options}")
    assert error in str(raised.value)
    assert " at [1:" in str(raised.value)


# planning


def test_a_plan_changes_nothing(world):
    plan = world.plan(ONNX)
    assert (plan.kind, plan.operation, str(plan.target)) == ("CREATE_MODEL", "CREATE", "local:ds.m")
    assert (world.registered(), world.place.models.list(DS)) == ([], [])
    world.run(ONNX)
    assert world.plan(XGBOOST).operation == "REPLACE"
    assert world.plan("DROP MODEL ds.m").operation == "DROP"
    assert world.find("ds.m").type == "ONNX"
