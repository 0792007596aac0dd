"""A framework is one file: dropped into a plugin's package, it is found, served and checked."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.server import serve

GUIDE = Path(__file__).parents[2] / "docs/how-to/framework.md"
FORMATS = Path(__file__).parents[2] / "docs/how-to/format.md"


@pytest.fixture
def plugins(tmp_path):
    """Install a plugin package, as pip would, that holds no runtime yet."""
    package = tmp_path / "acme_trivet"
    package.mkdir()
    (package / "__init__.py").write_text("")
    metadata = tmp_path / "acme_trivet-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-trivet\nVersion: 1.0\n")
    kinds = ("runtimes", "sources", "sinks")
    named = "".join(f"[trivet.{kind}]\nacme = acme_trivet\n" for kind in kinds)
    (metadata / "entry_points.txt").write_text(named)
    return package


def test_a_file_dropped_into_a_plugin_package_is_a_framework(plugins, tmp_path):
    source = re.search(r'```python title="acme_trivet/constant.py"\n(.*?)```', GUIDE.read_text(), re.DOTALL)[
        1
    ]
    (plugins / "constant.py").write_text(source)
    (tmp_path / "model.txt").write_text("constant:7")
    with serve(str(tmp_path / "model.txt"), PYTHONPATH=str(tmp_path)) as server:
        model = server.client.get("/v1/models/model").json()
        assert model["framework"] == "constant"
        answer = server.predict("model", [[1, 2], {"b": 1, "a": 2}])
        assert answer.json() == {"predictions": [7.0, 7.0]}
        wrong = server.predict("model", [{"a": 1}])
        assert wrong.json()["error"]["message"] == "instances[0].b: missing; expected float64"
    check = re.search(r"```python\n(from pathlib.*?)```", GUIDE.read_text(), re.DOTALL)[1]
    subprocess.run([sys.executable, "-c", check], check=True, cwd=tmp_path, env={"PYTHONPATH": str(tmp_path)})


def test_a_runtime_that_does_not_conform_is_told_so(plugins, tmp_path):
    source = re.search(r'```python title="acme_trivet/constant.py"\n(.*?)```', GUIDE.read_text(), re.DOTALL)[
        1
    ]
    (plugins / "constant.py").write_text(source.replace("instances.count", "instances.count + 1"))
    (tmp_path / "model.txt").write_text("constant:7")
    check = "from pathlib import Path; from trivet.testing import check_runtime; "
    check += "check_runtime('constant', Path('model.txt'), [[1, 2]])"
    told = subprocess.run(
        [sys.executable, "-c", check],
        check=False, cwd=tmp_path, env={"PYTHONPATH": str(tmp_path)}, capture_output=True, text=True,
    )  # fmt: skip
    assert told.returncode == 1
    assert "AssertionError: 2 predictions for 1 rows" in told.stderr


def test_files_dropped_into_a_plugin_package_are_formats(plugins, tmp_path):
    guide = FORMATS.read_text()
    for name in ("access_log", "scores"):
        source = re.search(rf'```python title="acme_trivet/{name}.py"\n(.*?)```', guide, re.DOTALL)[1]
        (plugins / f"{name}.py").write_text(source)
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {"PYTHONPATH": str(tmp_path), "PATH": path}
    check = re.search(r"```python\n(from pathlib.*?)```", guide, re.DOTALL)[1]
    subprocess.run([sys.executable, "-c", check], check=True, cwd=tmp_path, env=environment)
    command = ["batch", "echo:", "--input", "a.log", "--input-format", "access-log", "--output", "out"]
    done = subprocess.run(
        [sys.executable, "-m", "trivet", *command, "--output-format", "scores"],
        check=False, cwd=tmp_path, env=environment,
    )  # fmt: skip
    assert done.returncode == 3
    (results,) = tmp_path.glob("out/*/prediction.results-00000-of-00001.txt")
    assert [json.loads(line)["path"] for line in results.read_text().splitlines()] == ["/a", "/c"]
