"""Where podman runs: without cgroups that crun refuses, and with Docker Hub for names without a registry."""

import fcntl
import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from trivet.containers.oci.tool import Tool, last_line
from trivet.core.errors import FailedPrecondition

_SECOND = Path("/sys/fs/cgroup/unified")
"""Where a machine with the first version of cgroups has the second one, too."""

_PLACE = Path("/run/trivet")
_SPACE = _PLACE / "podman"

_REGISTRIES = Path("/etc/containers/registries.conf")
_OWN = Path("~/.cache/trivet/containers/registries.conf")
_SEARCH = 'unqualified-search-registries = ["docker.io"]\n'


def tool() -> Tool:
    """Return how podman is called here; raises FailedPrecondition where it does not even say what it has."""
    words = ("nsenter", f"--mount={_space()}", "podman") if _has_both() else ("podman",)
    plain = Tool(words)
    told = plain.run("info", "--format={{len .Registries}}")
    if told.returncode:
        raise FailedPrecondition(f"podman is installed, but does not work: {last_line(told.stderr)}")
    return Tool(words, _docker_hub() if told.stdout.strip() == "0" else {})


def _has_both() -> bool:
    """Whether there are controllers in both versions of cgroups, with which crun starts nothing."""
    try:
        return os.geteuid() == 0 and bool((_SECOND / "cgroup.controllers").read_text().strip())
    except OSError:
        return False


def _space() -> Path:
    """Return a namespace of mounts that lacks the second version; all that run podman must share it.

    It keeps podman's own mounts, as those of networks. It has no process, and is there until the next boot.
    """
    _PLACE.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (_PLACE / "podman.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not os.path.ismount(_SPACE):
            _make_space()
    return _SPACE


def _make_space() -> None:
    _SPACE.touch()
    # such a thing can be kept on a mount that is shared with no other namespace
    if not os.path.ismount(_PLACE):
        _call(("mount", "--bind", str(_PLACE), str(_PLACE)))
        _call(("mount", "--make-private", str(_PLACE)))
    make = ("unshare", f"--mount={_SPACE}", "--propagation=slave", "umount", str(_SECOND))
    # and in a namespace with a lower number. Each CPU hands out numbers of its own, so where this namespace
    # is not the machine's first, only the CPU that made it is sure to have higher ones
    on_each = (("taskset", "--cpu-list", str(cpu), *make) for cpu in range(os.cpu_count() or 1))
    _call(make, *on_each)


def _call(*commands: Sequence[str]) -> None:
    """Run the first of the commands that succeeds."""
    told = ""
    for command in commands:
        try:
            subprocess.run(command, capture_output=True, text=True, check=True)
        except (OSError, subprocess.CalledProcessError) as error:
            told = last_line(getattr(error, "stderr", "") or str(error))
        else:
            return
    raise FailedPrecondition(
        f"podman is installed, but cannot run with the two versions of cgroups that are here: {told}"
    )


def _docker_hub() -> Mapping[str, str]:
    """Return the variables by which images without the name of a registry are what docker means by them."""
    own = _REGISTRIES.read_text() if _REGISTRIES.is_file() else ""
    text = _SEARCH + own
    if re.search(r"^\s*unqualified-search-registries", own, re.M):
        return {}  # there are to be none
    path = _OWN.expanduser()
    try:
        if not path.is_file() or path.read_text() != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            written = path.with_suffix(f".{os.getpid()}")
            written.write_text(text)
            written.replace(path)
    except OSError:
        return {}
    return {"CONTAINERS_REGISTRIES_CONF": str(path)}
