"""What an application's environment is to be made of."""

import pytest

from trivet.containers.processes import packages
from trivet.containers.processes.environments import Install
from trivet.containers.processes.places import Places
from trivet.containers.recipes import recipe
from trivet.core.errors import FailedPrecondition


def wanted(tmp_path, text, **files):
    """Return what a Dockerfile installs whose image has these files, by their path with `__` for a slash."""
    root = tmp_path / "root"
    for name, content in files.items():
        path = root / name.replace("_txt", ".txt").replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return packages.wanted(recipe.of_dockerfile(text), Places(root, tmp_path / "env"))


def test_files_of_requirements_are_named_from_where_pip_runs(tmp_path):
    text = "FROM python\nWORKDIR /app\nRUN pip install -r /tmp/a.txt --constraint=c.txt flask"
    (found,) = wanted(tmp_path, text, tmp__a_txt="x\n", app__c_txt="y\n")
    assert found.arguments == ("-r", "../tmp/a.txt", "--constraint", "c.txt", "flask")
    assert found.folder == tmp_path / "root/app"


def test_what_a_base_image_has_comes_first(tmp_path):
    found = wanted(tmp_path, "FROM tiangolo/uvicorn-gunicorn\nRUN pip install flask")
    assert "gunicorn" in found[0].arguments
    assert found[1] == Install(("flask",), tmp_path / "root/app")


@pytest.mark.parametrize("changed", ["app__a_txt", "app__b_txt", "app__c_txt", "app__lib__setup"])
def test_another_content_makes_another_environment(tmp_path, changed):
    text = "FROM python\nWORKDIR /app\nRUN pip install -r a.txt ./lib[x]"
    files = {
        "app__a_txt": "-r b.txt\nx",
        "app__b_txt": "-c c.txt # why\ny",
        "app__c_txt": "z",
        "app__lib__setup": "",
    }
    (before,) = wanted(tmp_path, text, **files)
    assert before.arguments[-1] == "./lib[x]"
    assert before == wanted(tmp_path, text, **files)[0]
    assert before.content != wanted(tmp_path, text, **{**files, changed: "changed"})[0].content


def test_pip_gets_the_images_variables_but_for_its_places():
    text = "FROM tiangolo/uvicorn-gunicorn\nENV PIP_PRE=1 CFLAGS=-O3 PATH=/opt/bin HOME=/root PYTHONHOME=/x"
    assert packages.variables(recipe.of_dockerfile(text)) == {"PIP_PRE": "1", "CFLAGS": "-O3"}


def test_files_that_name_each_other_are_read_once(tmp_path):
    (found,) = wanted(tmp_path, "FROM a\nRUN pip install -ra.txt", a_txt="-r b.txt", b_txt="-r a.txt\n'")
    assert found.arguments == ("-r", "a.txt")


def test_a_file_that_was_not_copied_before_is_told_by_line(tmp_path):
    told = r"Dockerfile, line 3: pip install -r a\.txt: expected a file that was copied there before"
    with pytest.raises(FailedPrecondition, match=told):
        wanted(tmp_path, "FROM python\nWORKDIR /app\nRUN pip install -r a.txt")
