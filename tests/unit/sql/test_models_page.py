"""The page about models says what is true: its statements run, and it names every option and type."""

import re
import shutil
from pathlib import Path

import pytest

from trivet.app.sql import connect
from trivet.sql import create_model, options

PAGE = Path(__file__).parents[3] / "docs/reference/sql-models.md"


def statements():
    return re.findall(r"^```sql\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)


def test_every_statement_of_the_page_runs(tmp_path, model_files, monkeypatch):
    shutil.copytree(model_files / "onnx-regressor", tmp_path / "models/disease")
    monkeypatch.chdir(tmp_path)
    with connect(data=tmp_path / "data") as connection:
        kinds = [connection.sql(one).kind for one in statements()]
    assert kinds.count("CREATE_MODEL") == 4
    assert {"CREATE_SCHEMA", "ALTER_MODEL", "EXPORT_MODEL", "DROP_MODEL"} < set(kinds)
    exported = tmp_path / "exported/disease/model.onnx"
    assert exported.read_bytes() == (model_files / "onnx-regressor/model.onnx").read_bytes()


KNOWN = (
    options.IMPORTED,
    options.REGISTERED,
    options.REMOTE,
    options.ALTERED,
    options.EXPORTED,
    options.REFUSED,
)


@pytest.mark.parametrize(
    "name", sorted({*create_model.FRAMEWORKS, *(one for table in KNOWN for one in table)})
)
def test_the_page_names(name):
    text = PAGE.read_text()
    assert f"`{name}`" in text or f"{name} = " in text
