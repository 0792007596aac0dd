import pytest

from trivet.cli.models import parse, settings
from trivet.core.errors import InvalidArgument
from trivet.settings import Model


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("model.onnx", ("model", "", "model.onnx")),
        ("models/churn/", ("churn", "", "models/churn/")),
        ("churn=models/churn/", ("churn", "", "models/churn/")),
        ("fraud@2=f.cbm", ("fraud@2", "", "f.cbm")),
        ("catboost:f.bin", ("f", "catboost", "f.bin")),
        ("fraud=catboost:f.bin", ("fraud", "catboost", "f.bin")),
        ("demo=echo:", ("demo", "echo", "")),
        ("echo:", ("echo", "echo", "")),
        ("gs://bucket/models/fraud", ("fraud", "", "gs://bucket/models/fraud")),
        ("m=gs://bucket/a=b/model.onnx", ("m", "", "gs://bucket/a=b/model.onnx")),
        ("my model (1).onnx", ("my-model-1", "", "my model (1).onnx")),
    ],
)
def test_forms_of_naming_a_model(text, parsed):
    assert parse(text) == parsed


def test_a_path_that_exists_is_never_taken_for_a_framework(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "onnx:a").write_bytes(b"")
    assert parse("onnx:a") == ("onnx-a", "", "onnx:a")


@pytest.mark.parametrize("text", ["a=", "", "a=onnx:"])
def test_a_model_needs_a_path(text):
    with pytest.raises(InvalidArgument, match="expected"):
        parse(text)


def test_options_hold_for_every_model():
    models = settings(["a=x", "b@2=onnx:y"], {"output": "detailed"})
    assert models == {
        "a": Model(path="x", output="detailed"),
        "b@2": Model(path="y", framework="onnx", output="detailed"),
    }


def test_a_name_given_twice_is_refused():
    with pytest.raises(InvalidArgument, match="a: named twice; give versions"):
        settings(["a=x", "a=y"], {})
