"""What a reviewer would otherwise have to check by hand."""

import json
import subprocess
import sys
import tomllib
from importlib.metadata import distribution, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from trivet.core.errors import PermissionDenied
from trivet.runtimes.base import Artifact, Permissions
from trivet.runtimes.registry import detect, get_runtime

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "src").rglob("*.py"))
HEAVY = {"numpy", "starlette", "uvicorn", "rich", "fsspec"}
FRAMEWORKS = {
    "onnxruntime", "sklearn", "skops", "joblib", "xgboost", "lightgbm", "catboost", "pandas", "scipy",
    "torch", "yaml", "openvino", "tensorflow", "keras",
}  # fmt: skip


def imported_by(code):
    """Return the top-level modules that a fresh interpreter has after running code."""
    told = (
        f"{code}\nimport sys, json\nprint(json.dumps(sorted({{m.partition('.')[0] for m in sys.modules}})))"
    )
    out = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True).stdout
    return set(json.loads(out.splitlines()[-1]))


def test_importing_trivet_imports_nothing_else():
    assert imported_by("import trivet").isdisjoint(HEAVY | FRAMEWORKS | {"click", "msgspec"})


def test_help_imports_no_server_and_no_model_library():
    code = "from trivet.cli import main\nmain(['--help'], standalone_mode=False)"
    assert imported_by(code).isdisjoint(HEAVY | FRAMEWORKS)


def test_finding_the_runtimes_imports_no_framework():
    code = "from trivet.runtimes.registry import frameworks\nlist(frameworks())"
    assert imported_by(code).isdisjoint(FRAMEWORKS)


def test_the_server_imports_no_framework_until_a_model_needs_it():
    assert imported_by("import trivet.app.serve").isdisjoint(FRAMEWORKS | {"rich"})


def test_imports_point_down():
    checked = subprocess.run(
        [Path(sys.executable).with_name("lint-imports")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout


@pytest.mark.parametrize("file", SOURCES, ids=lambda file: str(file.relative_to(ROOT / "src")))
def test_a_file_fits_on_a_few_screens(file):
    assert len(file.read_text().splitlines()) <= 350


def test_the_light_install_is_light():
    """The size of Trivet and all it needs without extras, in the files that their wheels installed."""
    seen, todo = set(), ["trivet"]
    while todo:
        name = todo.pop()
        if name in seen:
            continue
        seen.add(name)
        for text in requires(name) or ():
            requirement = Requirement(text)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                todo.append(requirement.name)
    files = [file.locate() for name in seen for file in distribution(name).files or ()]
    assert {"numpy", "uvloop", "starlette"} <= seen
    assert sum(file.stat().st_size for file in files if file.exists()) < 120e6


@pytest.mark.parametrize("page", ["settings.md", "cli.md"])
def test_the_generated_pages_are_what_the_code_says(page):
    code = f"from generate import PAGES; print(PAGES[{page!r}](), end='')"
    made = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT / "docs", capture_output=True, text=True, check=True
    ).stdout
    assert made == (ROOT / "docs/reference" / page).read_text(), "run `python docs/generate.py`"


def code_that_marks(path):
    """Return a pickle that would create a file, were it loaded."""
    import pickle

    class Marks:
        def __reduce__(self):
            return open, (str(path), "w")

    return pickle.dumps(Marks())


@pytest.mark.parametrize("compress", [None, "zlib", "gzip", "bz2", "lzma"])
def test_no_runtime_unpickles_without_the_operators_permission(tmp_path, compress):
    mark, content = tmp_path / "mark", code_that_marks(tmp_path / "mark")
    if compress:
        content = __import__(compress).compress(content)
    (tmp_path / "model.bin").write_bytes(content)
    framework, file = detect(tmp_path / "model.bin")
    with pytest.raises(PermissionDenied, match="--allow-pickle"):
        get_runtime(framework).load(Artifact(file, None, Permissions()))
    assert not mark.exists()


def test_no_runtime_runs_python_without_the_operators_permission(tmp_path):
    mark = tmp_path / "mark"
    (tmp_path / "predictor.py").write_text(
        f"open({str(mark)!r}, 'w')\nclass Predictor:\n    def predict(self, x): ..."
    )
    framework, file = detect(tmp_path)
    with pytest.raises(PermissionDenied, match="--allow-python"):
        get_runtime(framework).load(Artifact(file, None, Permissions(python=False)))
    assert not mark.exists()


def test_what_is_no_module_is_in_the_wheel_too():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    patterns = project["tool"]["setuptools"]["package-data"]["trivet"]
    packaged = {
        file
        for pattern in patterns
        for file in (ROOT / "src/trivet").glob(f"{pattern}/*" if pattern.endswith("**") else pattern)
    }
    tracked = subprocess.run(
        ["git", "ls-files", "src/trivet"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    assert [name for name in tracked if not name.endswith(".py") and ROOT / name not in packaged] == []


def test_the_repository_speaks_of_trivet_alone():
    tracked = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    texts = [
        ROOT / name for name in tracked if Path(name).suffix in (".py", ".md", ".toml", ".txt", ".yml", "")
    ]
    hosts = ("pypi.org", "pythonhosted", "index-url", "find-links")
    found = [
        (file.name, host)
        for file in texts
        if file != Path(__file__)
        for host in hosts
        if host in file.read_text()
    ]
    assert found == []
