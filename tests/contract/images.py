"""Images that need no registry: this machine's Python and some packages, from which others are built.

They stand for the base images of Docker Hub, in a store of their own: what podman or docker has otherwise is
left alone.
"""

import hashlib
import importlib.metadata
import io
import os
import re
import subprocess
import sys
import sysconfig
import tarfile
from collections.abc import Iterator
from pathlib import Path
from shutil import copytree, ignore_patterns, which

from packaging.requirements import Requirement

import trivet
from trivet.containers.oci.engine import OciEngine
from trivet.containers.recipes import bases
from trivet.core.containers import ContainerSpec

PYTHON = "localhost/trivet-test-python"
PACKAGES = ("pip", "fastapi", "uvicorn", "gunicorn", "httptools", "uvloop", "google-cloud-storage", "flask")
WEB = "docker.io/tiangolo/uvicorn-gunicorn-fastapi"

_TOOLS = ("sh", "env", "cat", "sleep", "mkdir", "rm", "touch", "true", "false")
_LEFT_OUT = {
    "test",
    "idlelib",
    "turtledemo",
    "ensurepip",
    "lib2to3",
    "tkinter",
    "site-packages",
    "dist-packages",
}
_VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"
_PREFIX = "/usr/local"
_LIBRARY = f"{_PREFIX}/lib/python{_VERSION}"
_SITE = f"{_LIBRARY}/site-packages"
_VARIABLES = (f"PATH={_PREFIX}/bin:/usr/bin:/bin", "PYTHONUNBUFFERED=1", "PIP_DISABLE_PIP_VERSION_CHECK=1")

_NGINX = """\
daemon off;
error_log stderr;
user root root;
events {}
http {
    access_log off;
    include /etc/nginx/conf.d/*.conf;
}
"""

_WEB_FILE = """\
FROM {base}
ENV PYTHONPATH=/app HOST=0.0.0.0 GUNICORN_CONF=/gunicorn_conf.py WORKER_CLASS=uvicorn.workers.UvicornWorker
WORKDIR /app
COPY gunicorn_conf.py start.sh /
CMD ["sh", "-e", "/start.sh"]
"""


def own_store(engine: OciEngine) -> None:
    """Have this process, and all that it starts, keep podman's images and containers apart.

    They are there for the next time, too.
    """
    place = Path("/var/tmp") / f"trivet-tests-{os.geteuid()}"
    place.mkdir(mode=0o700, exist_ok=True)
    driver = engine.way().tool.run("info", "--format={{.Store.GraphDriverName}}").stdout.strip()
    file = place / "storage.conf"
    file.write_text(
        f'[storage]\ndriver = "{driver}"\ngraphroot = "{place}/images"\nrunroot = "{place}/run"\n'
    )
    os.environ["CONTAINERS_STORAGE_CONF"] = str(file)


def python_image(engine: OciEngine, *packages: str) -> str:
    """Return the name of an image with Python and packages that are installed here, made where it is not yet.

    `pip` is among them, and has nothing to do for requirements that are there.
    """
    closure = sorted(_closure([*PACKAGES, *packages]).items())
    key = hashlib.sha256(repr((sys.version, _TOOLS, _VARIABLES, closure)).encode()).hexdigest()[:16]
    name = f"{PYTHON}:{key}"
    tool = engine.way().tool
    if tool.run("image", "inspect", name).returncode:
        changes = [f"--change=ENV {variable}" for variable in _VARIABLES]
        tar = _archive([one for one, _ in closure])
        command = tool.command("import", *changes, "-", name)
        subprocess.run(command, input=tar, env=tool.environment(), check=True, capture_output=True)
    return name


def stand_in(engine: OciEngine, folder: Path) -> None:
    """Make the base images that applications of the tests begin with; `folder` is an empty one."""
    base = python_image(engine)
    tool = engine.way().tool
    for name in (PYTHON, f"docker.io/library/python:{_VERSION}-slim", f"docker.io/library/python:{_VERSION}"):
        tool.run("tag", base, name)
    start = bases.of(WEB).command[-1]
    (folder / "start.sh").write_text(start)
    (folder / "gunicorn_conf.py").write_bytes(
        Path(bases.__file__).with_name("gunicorn_settings.py").read_bytes()
    )
    (folder / "Dockerfile").write_text(_WEB_FILE.format(base=base))
    made = tool.run("build", *engine.way().build, f"--tag={WEB}:python{_VERSION}", str(folder))
    assert made.returncode == 0, made.stderr


def nginx_image(engine: OciEngine) -> None:
    """Make an image of this machine's nginx stand for that of Docker Hub which bundles begin from."""
    nginx = Path(which("nginx") or "")
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode="w") as tar:
        for name, path in {"/usr/sbin/nginx": nginx, **_libraries([nginx])}.items():
            tar.add(path, name.lstrip("/"), recursive=False, filter=_everybodys)
        _add_links(tar, "/lib", "/lib64")
        _add(tar, "/etc/passwd", "root:x:0:0:root:/root:/\n")
        _add(tar, "/etc/group", "root:x:0:\n")
        _add(tar, "/etc/nginx/nginx.conf", _NGINX)
        for name in ("tmp", "run", "var/lib/nginx", "var/log/nginx"):
            _add_folder(tar, name, 0o1777)
    tool = engine.way().tool
    change = '--change=CMD ["/usr/sbin/nginx"]'
    command = tool.command("import", change, "-", "docker.io/library/nginx:1.28-alpine")
    subprocess.run(command, input=whole.getvalue(), env=tool.environment(), check=True, capture_output=True)


def _closure(names: list[str]) -> dict[str, str]:
    """Return the versions of packages and of all that they need, by name."""
    found: dict[str, str] = {}
    while names:
        wanted = Requirement(names.pop())
        name = re.sub(r"[-_.]+", "-", wanted.name).lower()
        if name in found:
            continue
        found[name] = importlib.metadata.version(name)
        for text in importlib.metadata.requires(name) or ():
            needed = Requirement(text)
            extras = wanted.extras or {""}
            if needed.marker is None or any(needed.marker.evaluate({"extra": extra}) for extra in extras):
                names.append(str(needed))
    return found


def _archive(packages: list[str]) -> bytes:
    """Return a file system with Python, packages, a shell and the libraries of all that."""
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode="w") as tar:
        python = Path(sys._base_executable).resolve()
        binary = {f"{_PREFIX}/bin/python{_VERSION}": python}
        binary |= {f"/usr/bin/{name}": Path(found).resolve() for name in _TOOLS if (found := which(name))}
        binary |= {f"{_LIBRARY}/{path}": real for path, real in _standard()}
        for package in packages:
            binary |= {f"{_SITE}/{path}": real for path, real in _files(package)}
        libraries = _libraries(
            [path for path in binary.values() if path.suffix == ".so" or "bin" in path.parts]
        )
        for name, path in sorted({**binary, **libraries}.items()):
            tar.add(path, name.lstrip("/"), recursive=False, filter=_everybodys)
        _add_links(tar, "/bin", "/lib", "/lib64")
        for name in ("python3", "python"):
            _add_link(tar, f"{_PREFIX}/bin/{name}", f"python{_VERSION}")
        _add_link(tar, f"{_LIBRARY}/dist-packages", "site-packages")  # as Debian's Python has it
        for package in packages:
            for name, text in _scripts(package):
                _add(tar, f"{_PREFIX}/bin/{name}", text, 0o755)
        _add(tar, "/etc/passwd", "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n")
        _add_folder(tar, "tmp", 0o1777)
        _add_folder(tar, "root", 0o700)
    return whole.getvalue()


def _standard() -> Iterator[tuple[Path, Path]]:
    library = Path(sysconfig.get_path("stdlib"))
    for path in library.rglob("*"):
        below = path.relative_to(library)
        left_out = below.parts[0] in _LEFT_OUT or below.parts[0].startswith("config-")
        if path.is_file() and not left_out and path.name != "EXTERNALLY-MANAGED":
            yield below, path.resolve()


def _files(package: str) -> Iterator[tuple[Path, Path]]:
    for file in importlib.metadata.files(package) or ():
        path = Path(str(file.locate()))
        if ".." not in file.parts and path.is_file():
            yield Path(*file.parts), path.resolve()


def _scripts(package: str) -> Iterator[tuple[str, str]]:
    for entry in importlib.metadata.distribution(package).entry_points:
        if entry.group == "console_scripts":
            name = entry.attr.partition(".")[0]
            run = f"import sys\nfrom {entry.module} import {name}\nsys.exit({entry.attr}())\n"
            yield entry.name, f"#!{_PREFIX}/bin/python{_VERSION}\n{run}"


def _libraries(binaries: list[Path]) -> dict[str, Path]:
    """Return what these are linked with by where they are found: those of the system where it has them."""
    listed = subprocess.run(["ldd", *map(str, binaries)], capture_output=True, text=True, check=False).stdout
    asked = {Path(name) for name in re.findall(r"(?:=>\s+|^\s+)(/\S+)\s+\(0x", listed, re.M)}
    return {
        str((path.parent.resolve() if _is_systems(path) else Path("/usr/lib")) / path.name): path.resolve()
        for path in asked
    }


def _is_systems(library: Path) -> bool:
    return str(library).startswith(("/lib", "/usr/lib"))


def _add_links(tar: tarfile.TarFile, *names: str) -> None:
    """Add those of this machine's folders that are links."""
    for name in names:
        if Path(name).is_symlink():
            _add_link(tar, name, str(Path(name).readlink()))


def _add_link(tar: tarfile.TarFile, name: str, target: str) -> None:
    link = tarfile.TarInfo(name.lstrip("/"))
    link.type, link.linkname = tarfile.SYMTYPE, target
    tar.addfile(link)


def _add_folder(tar: tarfile.TarFile, name: str, mode: int) -> None:
    folder = tarfile.TarInfo(name)
    folder.type, folder.mode = tarfile.DIRTYPE, mode
    tar.addfile(folder)


def _add(tar: tarfile.TarFile, name: str, text: str, mode: int = 0o644) -> None:
    about = tarfile.TarInfo(name.lstrip("/"))
    about.size, about.mode = len(text.encode()), mode
    tar.addfile(about, io.BytesIO(text.encode()))


def _everybodys(about: tarfile.TarInfo) -> tarfile.TarInfo:
    about.uid = about.gid = 0
    about.mode |= 0o444 | (0o111 if about.mode & 0o100 else 0)
    return about


def serving_image(engine: OciEngine, folder: Path) -> str:
    """Return the name of an image with this Trivet and scikit-learn; `folder` is where to prepare it."""
    needed = _closure(["trivet[sklearn]"]).keys() - {"trivet"}
    base = python_image(engine, *needed)
    copytree(Path(trivet.__file__).parent, folder / "trivet", ignore=ignore_patterns("__pycache__"))
    (folder / "command").write_text(
        f"#!{_PREFIX}/bin/python{_VERSION}\nfrom trivet.cli import main\nmain()\n"
    )
    (folder / "command").chmod(0o755)
    (folder / "Dockerfile").write_text(
        f"FROM {base}\nCOPY trivet {_SITE}/trivet\nCOPY command {_PREFIX}/bin/trivet\n"
    )
    return engine.prepare(ContainerSpec(folder=folder, cache=folder.parent), lambda _: None).image
