"""Files of an application, laid out as its image would have them."""

import os

import pytest

from trivet.containers.processes import copying
from trivet.containers.processes.copying import lay_out
from trivet.containers.recipes.recipe import Copied
from trivet.core.errors import FailedPrecondition


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "folder"
    for name in (
        "app/main.py",
        "app/lib/a.py",
        "a.txt",
        "b.txt",
        "data/big.bin",
        ".venv/x",
        "env/pyvenv.cfg",
    ):
        (made / name).parent.mkdir(parents=True, exist_ok=True)
        (made / name).write_text(name)
    return made


def laid_out(folder, *copies):
    """Return the names of all files that there are then."""
    root = folder.parent / "root"
    lay_out(folder, [Copied(tuple(sources), target, 1) for sources, target in copies], root)
    return sorted(
        os.path.relpath(os.path.join(at, name), root) for at, _, names in os.walk(root) for name in names
    )


def test_a_folder_is_what_is_in_it(folder):
    assert laid_out(folder, (["./app"], "/srv")) == ["srv/lib/a.py", "srv/main.py"]


def test_a_file_goes_into_a_folder_or_gets_a_name(folder):
    assert laid_out(folder, (["a.txt"], "/x/"), (["a.txt"], "/y"), (["b.txt"], "/x")) == [
        "x/a.txt",
        "x/b.txt",
        "y",
    ]


def test_patterns_fit_names(folder):
    assert laid_out(folder, (["?.txt", "*/main.py"], "/x/")) == ["x/a.txt", "x/b.txt", "x/main.py"]


def test_what_the_dockerignore_names_and_virtual_environments_stay_out(folder):
    (folder / ".dockerignore").write_text("*.txt\n!b.txt\ndata\n")
    assert laid_out(folder, (["."], "/")) == [".dockerignore", "app/lib/a.py", "app/main.py", "b.txt"]
    with pytest.raises(FailedPrecondition, match=r"there is no a\.txt"):
        laid_out(folder, (["a.txt"], "/"))


def test_large_files_are_linked_to_and_links_stay_links(folder, monkeypatch):
    monkeypatch.setattr(copying, "_LINKED", 5)
    (folder / "data/link").symlink_to("big.bin")
    laid_out(folder, (["data"], "/data"), (["a.txt"], "/"))
    root = folder.parent / "root"
    assert os.readlink(root / "data/big.bin") == str(folder / "data/big.bin")
    assert os.readlink(root / "data/link") == "big.bin"


def test_the_copy_can_be_written_to_and_the_folder_stays_as_it_was(folder):
    laid_out(folder, (["a.txt"], "/"))
    (folder.parent / "root/a.txt").write_text("changed")
    assert (folder / "a.txt").read_text() == "a.txt"


def test_the_copy_of_what_is_read_only_can_be_written_to(folder):
    (folder / "a.txt").chmod(0o444)
    laid_out(folder, (["a.txt"], "/"))
    assert (folder.parent / "root/a.txt").stat().st_mode & 0o777 == 0o644


def test_a_later_file_takes_the_place_of_an_earlier_one(folder):
    assert laid_out(folder, (["a.txt"], "/x"), (["b.txt"], "/x")) == ["x"]
    assert (folder.parent / "root/x").read_text() == "b.txt"


def test_a_root_within_the_folder_is_not_copied_into_itself(folder):
    lay_out(folder, [Copied((".",), "/")], folder / "cache/run/root")
    assert not (folder / "cache/run/root/cache").exists()
    assert (folder / "cache/run/root/a.txt").exists()


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("none.txt", "line 1: there is no none.txt"),
        ("../x", "outside the folder"),
        ("*.zip", r"there is no \*.zip"),
    ],
)
def test_files_that_there_are_not_are_told_by_line(folder, source, told):
    with pytest.raises(FailedPrecondition, match=told):
        laid_out(folder, ([source], "/"))
