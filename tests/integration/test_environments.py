"""Virtual environments of applications: made once, complete or not at all."""

import base64
import fcntl
import hashlib
import json
import os
import subprocess
import sys
import textwrap
import threading
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.integration.test_guarded import runs, until
from trivet.containers.processes import environments, pythons
from trivet.containers.processes.environments import Install
from trivet.core.errors import FailedPrecondition


@pytest.fixture
def wheels(tmp_path):
    """Return a folder with a package `thing`, which needs no index to be installed."""
    (tmp_path / "wheels").mkdir()
    wheel(tmp_path / "wheels", "thing", "1.0")
    return tmp_path / "wheels"


def wheel(folder, name, version):
    """Write a wheel that has one module."""
    about = f"{name}-{version}.dist-info"
    files = {
        f"{name}.py": f"VERSION = {version!r}\n",
        f"{about}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{about}/WHEEL": "Wheel-Version: 1.0\nGenerator: a\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    digests = {
        path: base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
        for path, text in files.items()
    }
    record = "".join(f"{path},sha256={digests[path]},{len(text)}\n" for path, text in files.items())
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as archive:
        for path, text in {**files, f"{about}/RECORD": f"{record}{about}/RECORD,,\n"}.items():
            archive.writestr(path, text)


def made(cache, *installs, env=None, lines=None):
    """Return the environment for some installations."""
    says = (lambda line: None) if lines is None else lines.append
    return environments.environment(cache, pythons.this(), installs, env or {}, says)


def thing(folder, content=b""):
    return Install(("--no-index", "./thing-1.0-py3-none-any.whl"), folder, content)


def said(environment, code):
    """Return what an environment's Python prints."""
    run = [environment / "bin/python", "-c", code]
    return subprocess.run(run, capture_output=True, text=True, check=True, cwd="/").stdout.strip()


def test_an_environment_has_what_is_installed_and_nothing_of_the_servers(tmp_path, wheels):
    found = made(tmp_path / "cache", thing(wheels))
    assert said(found, "import thing; print(thing.VERSION)") == "1.0"
    modules = ("numpy", "msgspec", "trivet", "pip", "pytest")
    code = f"import importlib.util as u, json; print(json.dumps([m for m in {modules!r} if u.find_spec(m)]))"
    assert json.loads(said(found, code)) == []


def test_the_same_is_made_once_and_another_apart(tmp_path, wheels):
    cache = tmp_path / "cache"
    first, lines = made(cache, thing(wheels)), []
    assert made(cache, thing(wheels), lines=lines) == first
    assert lines == []
    others = [made(cache), made(cache, thing(wheels, b"x")), made(cache, thing(wheels), env={"A": "b"})]
    assert len({first, *others}) == 4


def test_many_that_want_the_same_make_it_once(tmp_path, wheels):
    lines = []
    with ThreadPoolExecutor(4) as threads:
        found = set(threads.map(lambda _: made(tmp_path / "cache", thing(wheels), lines=lines), range(4)))
    assert len(found) == 1
    assert sum(line.startswith("pip install") for line in lines) == 1


def test_a_failure_is_told_with_its_last_lines_and_leaves_nothing(tmp_path, wheels):
    (wheels / "broken.whl").write_text("no wheel")
    for _ in range(2):
        with pytest.raises(
            FailedPrecondition, match=r"(?s)pip install \./broken\.whl: ended with 1.*ERROR: "
        ):
            made(tmp_path / "cache", Install(("./broken.whl",), wheels))
    assert [path.suffix for path in (tmp_path / "cache").iterdir()] == [".lock"]


def test_a_package_that_no_index_has_is_told(tmp_path, wheels):
    with pytest.raises(FailedPrecondition, match="No matching distribution found for no-such-thing"):
        made(tmp_path / "cache", Install(("--no-index", "no-such-thing"), wheels))


def backend(folder, code):
    """Make the folder of a package that is built by this code, as `slow`."""
    folder.mkdir()
    (folder / "pyproject.toml").write_text(
        "[build-system]\nrequires = []\nbuild-backend = 'slow'\nbackend-path = ['.']\n"
    )
    (folder / "slow.py").write_text(code)


MAKER = textwrap.dedent(
    """
    import sys
    from pathlib import Path
    from trivet.containers.processes import environments, pythons
    from trivet.containers.processes.environments import Install
    install = Install(("--no-index", "--no-build-isolation", "./slow"), Path(sys.argv[2]))
    environments.environment(Path(sys.argv[1]), pythons.this(), [install], {}, print)
    """
)
SETUP = """
import os, threading
open({!r}, "w").write(str(os.getpid()))
if not os.path.exists({!r}):
    threading.Event().wait()
raise SystemExit(5)
"""


def test_a_maker_that_is_killed_leaves_neither_an_environment_nor_processes(tmp_path, wheels):
    """`pip` is in the middle of a build that never ends."""
    cache, mark, quick = tmp_path / "cache", tmp_path / "mark", tmp_path / "quick"
    backend(wheels / "slow", SETUP.format(str(mark), str(quick)))
    maker = subprocess.Popen(
        [sys.executable, "-c", MAKER, str(cache), str(wheels)], stdout=subprocess.DEVNULL
    )
    with maker:
        builds = int(until(lambda: mark.exists() and mark.read_text()))
        waiting, lines = threading.Event(), []

        def says(line):
            lines.append(line)
            waiting.set()

        install = Install(("--no-index", "--no-build-isolation", "./slow"), wheels)
        with ThreadPoolExecutor(1) as thread:
            second = thread.submit(environments.environment, cache, pythons.this(), [install], {}, says)
            assert waiting.wait(20)
            assert lines == ["another process makes the same environment; waiting for it"]
            quick.touch()
            maker.kill()
            with pytest.raises(FailedPrecondition):
                second.result()
    until(lambda: not runs(builds))
    assert [path for path in cache.iterdir() if path.is_symlink()] == []


def test_what_others_left_that_were_ended_is_removed(tmp_path, wheels):
    cache = tmp_path / "cache"
    found = made(cache)
    for name in ("left.made-1", "busy.made-1"):
        (cache / name / ".tmp").mkdir(parents=True)
    with (cache / "busy.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert made(cache) == found
    assert {path.name for path in cache.glob("*.made-*")} == {found.name, "busy.made-1"}
    made(cache)
    assert {path.name for path in cache.glob("*.made-*")} == {found.name}


def test_what_pip_builds_is_beside_the_environment_and_removed(tmp_path, wheels):
    mark = tmp_path / "mark"
    backend(wheels / "slow", f"import os\nopen({str(mark)!r}, 'w').write(os.environ['TMPDIR'])\n")
    with pytest.raises(FailedPrecondition):
        made(tmp_path / "cache", Install(("--no-index", "--no-build-isolation", "./slow"), wheels))
    assert (tmp_path / "cache") in Path(mark.read_text()).parents
    assert not (made(tmp_path / "cache", thing(wheels)) / ".tmp").exists()


def test_one_whose_interpreter_is_gone_is_made_again(tmp_path, wheels):
    found = made(tmp_path / "cache", thing(wheels))
    (found / "bin/python").unlink()
    again = made(tmp_path / "cache", thing(wheels))
    assert again != found
    assert said(again, "import thing; print(thing.VERSION)") == "1.0"
    assert not found.exists()


def test_what_pip_is_told_by_the_server_holds(tmp_path, wheels, monkeypatch):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheels))
    monkeypatch.setenv("PIP_TARGET", str(tmp_path / "elsewhere"))
    found = made(tmp_path / "cache", Install(("thing",), Path("/")))
    assert said(found, "import thing; print(thing.VERSION)") == "1.0"


def test_a_python_that_there_is_not_is_told_and_this_one_taken():
    lines = []
    assert pythons.find("3.1", lines.append) == pythons.this()
    assert lines == [
        f"there is no Python 3.1 here: {sys.version_info[0]}.{sys.version_info[1]} runs the application"
    ]


def test_another_python_is_found_by_its_version(tmp_path, monkeypatch):
    (tmp_path / "python3.1").write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    (tmp_path / "python3.1").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    lines = []
    assert pythons.find("3.1", lines.append).version == pythons.this().version
    assert lines == []


def kept(cache, *running):
    return {Path(one.name): one for one in environments.kept(cache, running)}


def test_what_is_kept_can_be_removed_and_is_made_again(tmp_path, wheels):
    cache = tmp_path / "cache"
    assert kept(cache) == {}
    first, other = made(cache, thing(wheels)), made(cache)
    os.utime(next(cache.glob(f"{first.name[:32]}.lock")), (1, 1))
    assert kept(cache).keys() == {first, other}
    assert [one.running for one in kept(cache, other).values()] == [one == other for one in kept(cache)]
    assert kept(cache)[first].used == 1
    assert kept(cache)[first].size > (first / "pyvenv.cfg").stat().st_size
    before = kept(cache)[first]
    made(cache, thing(wheels))
    assert kept(cache)[first].used > 1  # it was asked for
    assert not before.remove()
    assert kept(cache)[first].remove()
    assert kept(cache).keys() == {other}
    assert not first.exists()
    again = made(cache, thing(wheels))
    assert said(again, "import thing; print(thing.VERSION)") == "1.0"


def test_one_that_is_being_made_is_not_removed(tmp_path, wheels):
    cache = tmp_path / "cache"
    found = made(cache, thing(wheels))
    with (cache / f"{found.name[:32]}.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert not kept(cache)[found].remove()
    assert kept(cache)[found].remove()
