import pytest

from trivet.core.errors import FailedPrecondition
from trivet.runtimes import base
from trivet.sql.real.onnx_fit import library
from trivet.storage import libraries

MISSING = "{} needs the library {}, which is not installed: pip install {}"


@pytest.mark.parametrize(
    ("need", "what", "install"),
    [
        (lambda name: libraries.need(name, "batch"), "this", "'trivet[batch]'"),
        (lambda name: base.need(name, "onnx"), "this model", "'trivet[onnx]'"),
        (lambda name: library(name, "onnx skl2onnx"), "to convert the model for BigQuery", "onnx skl2onnx"),
    ],
)
@pytest.mark.parametrize("name", ["nowhere", "nowhere.within", "json.nowhere"])
def test_a_library_that_is_missing_is_named_with_what_installs_it(need, what, install, name):
    with pytest.raises(FailedPrecondition) as raised:
        need(name)
    assert str(raised.value) == MISSING.format(what, name, install)


def test_one_that_is_there_is_imported():
    assert libraries.need("json.decoder", "batch").__name__ == "json.decoder"


def test_what_a_library_itself_misses_is_not_said_to_be_that_library(tmp_path, monkeypatch):
    (tmp_path / "halfway.py").write_text("import nowhere")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="nowhere"):
        libraries.need("halfway", "batch")
