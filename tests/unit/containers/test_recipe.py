"""What applications are made of, read from their folders."""

import pytest

from trivet.containers.recipes import recipe
from trivet.containers.recipes.recipe import Copied, Installed
from trivet.core.errors import FailedPrecondition


def read(text, requirements=""):
    return recipe.of_dockerfile(text, requirements)


def test_a_plain_dockerfile():
    found = read(
        "ARG VERSION=3.9\nFROM python:${VERSION}-slim\nWORKDIR /srv\nWORKDIR app\n"
        "ENV PYTHONPATH=/srv/app LEVEL=1\nCOPY requirements.txt .\n"
        "RUN pip install -r requirements.txt && apt-get update\nCOPY a.py b.py lib/\nCOPY . .\n"
        'EXPOSE 8080\nUSER nobody\nENTRYPOINT ["python"]\nCMD ["main.py", "--level"]\n'
    )
    assert found.base.python == "3.9"
    assert found.folder == "/srv/app"
    assert found.env == {"PYTHONPATH": "/srv/app", "LEVEL": "1"}
    assert found.copies == (
        Copied(("requirements.txt",), "/srv/app/", 6),
        Copied(("a.py", "b.py"), "/srv/app/lib/", 8),
        Copied((".",), "/srv/app/", 9),
    )
    assert found.installs == (Installed(("-r", "requirements.txt"), "/srv/app", 7),)
    assert (found.entrypoint, found.command) == (("python",), ("main.py", "--level"))
    assert found.notes == ("Dockerfile, line 7: 'apt-get update' is not run",)


@pytest.mark.parametrize(
    "image", ["tiangolo/uvicorn-gunicorn-fastapi", "docker.io/tiangolo/uvicorn-gunicorn-fastapi"]
)
def test_images_of_gunicorn_and_fastapi_have_a_command_packages_and_a_folder(image):
    found = read(f"FROM {image}:python3.10\nCOPY ./app /app")
    assert found.base.python == "3.10"
    assert found.folder == "/app"
    assert {"fastapi", "gunicorn", "uvicorn-worker"} <= set(found.base.packages)
    assert "exec gunicorn" in found.command[-1]
    assert found.notes == ()


def test_a_command_goes_in_place_of_the_images():
    found = read("FROM tiangolo/uvicorn-gunicorn\nCMD uvicorn main:app")
    assert found.command == ("/bin/sh", "-c", "uvicorn main:app")
    assert read('FROM tiangolo/uvicorn-gunicorn\nENTRYPOINT ["a"]').command == ()


def test_the_shell_may_be_another():
    assert read('FROM python\nSHELL ["bash", "-c"]\nCMD a | b').command == ("bash", "-c", "a | b")


def test_packages_are_those_of_requirements_txt_where_no_pip_is_called():
    found = read("FROM python\nRUN uv sync\nCMD a", "requirements.txt")
    assert found.installs == (Installed(("-r", "/tmp/requirements.txt"), "/"),)
    assert found.notes == ("Dockerfile, line 2: 'uv sync' is not run",)


def test_a_stage_may_go_on_from_another():
    found = read("FROM python:3.11 AS base\nENV A=1\nFROM node AS web\nENV B=2\nFROM base\nENV C=3\nCMD x")
    assert found.env == {"A": "1", "C": "3"}
    assert found.base.python == "3.11"


def test_arguments_of_a_build_have_their_defaults():
    found = read("ARG TAG=1\nFROM python\nARG TAG\nARG NAME=app\nENV T=$TAG\nCOPY $NAME /$NAME/\nCMD x")
    assert found.env == {"T": "1"}
    assert found.copies == (Copied(("app",), "/app/", 6),)


def test_a_variable_of_the_image_goes_before_an_argument():
    assert read("FROM python\nENV A=1\nARG A=2\nENV B=$A\nCMD x").env == {"A": "1", "B": "1"}


def test_what_an_unknown_image_brings_is_told_to_be_missing():
    assert read("FROM europe-docker.pkg.dev/p/r/base:1\nCMD x").notes == (
        "what the image europe-docker.pkg.dev/p/r/base:1 brings is not here",
    )


def test_files_of_other_images_are_told_to_be_missing():
    found = read("FROM python\nCOPY --from=ghcr.io/astral-sh/uv:latest /uv /bin/\nCMD x")
    assert found.copies == ()
    assert found.notes == ("Dockerfile, line 2: there is no image ghcr.io/astral-sh/uv:latest to copy from",)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "it has no FROM"),
        ("RUN a\nFROM b", "line 1: expected FROM before RUN"),
        ("FROM a b", "line 1: expected FROM IMAGE"),
        ("FROM $NONE", "line 1: expected FROM IMAGE"),
        ("FROM a AS b\nFROM c\nCOPY --from=b x y", "line 3: COPY --from=b copies from another stage"),
        ("FROM a AS b\nFROM c\nCOPY --from=0 x y", "line 3: COPY --from=0 copies from another stage"),
        ("FROM a\nCOPY x", "line 2: COPY: expected files"),
        ("FROM a\nADD https://x.example/a.bin /a", "line 2: ADD https://x.example/a.bin: expected files"),
        ("FROM a\nADD a.tar.gz /a", "nothing is fetched or unpacked"),
        ("FROM a\nENV A=1 B", "line 2: ENV: expected NAME=VALUE, got 'B'"),
        ("FROM a\nCMD ['python']", r"line 2: CMD: expected \[\"WORD\""),
        ("FROM a\nSHELL bash", "line 2: SHELL: expected"),
    ],
)
def test_what_is_wrong_is_told_by_line(text, told):
    with pytest.raises(FailedPrecondition, match=told):
        read(text)


def test_a_procfile_copies_the_folder_and_installs_what_it_requires(tmp_path):
    (tmp_path / "Procfile").write_text("release: true\nweb: gunicorn main:app --bind :$PORT\n")
    (tmp_path / "requirements.txt").write_text("gunicorn\n")
    found = recipe.read(tmp_path)
    assert found.command == ("/bin/sh", "-c", "gunicorn main:app --bind :$PORT")
    assert found.copies == (Copied((".",), "/app/"),)
    assert found.installs == (Installed(("-r", "requirements.txt"), "/app"),)
    assert found.folder == "/app"


def test_a_folder_with_neither_has_no_command(tmp_path):
    assert recipe.read(tmp_path).command == ()


@pytest.mark.parametrize("name", ["Dockerfile", "Procfile"])
def test_a_file_that_is_no_text_is_told(tmp_path, name):
    (tmp_path / name).write_bytes(b"\xff\xfe\x00")
    with pytest.raises(FailedPrecondition, match=f"{name}: cannot be read"):
        recipe.read(tmp_path)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("worker: x", "expected a line `web: COMMAND`; it has worker"),
        ("web", "Procfile, line 1: expected NAME"),
    ],
)
def test_a_procfile_without_a_web_command_is_told(tmp_path, text, told):
    (tmp_path / "Procfile").write_text(text)
    with pytest.raises(FailedPrecondition, match=told):
        recipe.read(tmp_path)
