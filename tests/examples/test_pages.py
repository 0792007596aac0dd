"""Every command in the README and the documentation is run, and prints what the page says it prints."""

import re
import shutil
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.contract.conftest import postgres  # noqa: F401 - a fixture
from tests.examples.pages import BLOCK, Reader, commands
from tests.zoo import cases

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
CASES = {case.name: case for case in cases()}
POSTGRES = "postgresql+psycopg://trivet:secret@db.internal/trivet"


def has_commands(page):
    return any(language == "sh" or title for language, title, _ in BLOCK.findall(page.read_text()))


@pytest.fixture
def reader(tmp_path, page, request):
    """Return a reader who has what the page names: a folder for all machines, and a PostgreSQL."""
    folder, shared = tmp_path / "own", tmp_path / "shared"
    folder.mkdir()
    shared.mkdir()
    here = {"/srv/": f"{shared}/"}
    with ExitStack() as stack:
        if POSTGRES in page.read_text():
            databases = request.getfixturevalue("postgres")
            here[POSTGRES] = stack.enter_context(databases.database())
        reader = Reader(folder, here)
        stack.callback(reader.stop)
        yield reader


@pytest.fixture(scope="session")
def iris(tmp_path_factory):
    """The model that the tutorial trains, by the tutorial's own code."""
    folder = tmp_path_factory.mktemp("tutorial")
    (source,) = (text for _, title, text in BLOCK.findall((ROOT / "docs/tutorial.md").read_text()) if title)
    reader = Reader(folder)
    reader.write("train.py", source)
    reader.run("python train.py")
    return folder / "iris.skops"


@pytest.mark.parametrize(
    "page", [page for page in PAGES if has_commands(page)], ids=lambda page: str(page.relative_to(ROOT))
)
def test_a_page_can_be_followed(page, reader, iris, zoo):
    """Pages that begin with a model find the ones that they name."""
    (reader.folder / "models/churn").mkdir(parents=True)
    shutil.copy(iris, reader.folder / "models/churn")
    shutil.copy(zoo(CASES["catboost-binary"]), reader.folder / "models/fraud.cbm")
    shutil.copy(zoo(CASES["onnx-binary"]), reader.folder / "model.onnx")
    shutil.copy(iris, reader.folder)
    (reader.folder / "rows.jsonl").write_text("[5.1, 3.5, 1.4, 0.2]\n")
    reader.read(page)
    blocks = BLOCK.findall(page.read_text())
    told = [
        one for language, title, text in blocks if language == "sh" and not title for one in commands(text)
    ]
    assert [one for one in reader.ran if one in told] == told


def test_the_readme_begins_with_the_two_commands():
    text = (ROOT / "README.md").read_text()
    assert text.index("\nmake demo\n") < text.index("\nmake test\n") < text.index("pip install")


def test_links_between_pages_lead_somewhere():
    broken = []
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
            if not (page.parent / target).exists():
                broken.append(f"{page.relative_to(ROOT)} -> {target}")
    assert broken == []
