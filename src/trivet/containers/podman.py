"""Runs containers by podman, also on machines that lack what it takes for granted.

Which those are is found out once in each process, by trying: a container whose command there is not needs
all that any other does, and ends with 127.
"""

import json
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from resource import RLIM_INFINITY, RLIMIT_NOFILE, RLIMIT_NPROC, getrlimit

from trivet.containers.base import Near
from trivet.containers.oci import place
from trivet.containers.oci.engine import OciEngine, Way
from trivet.containers.oci.tool import Tool, last_line
from trivet.core.errors import FailedPrecondition

_NOTHING = "/there-is-no-such-command"
_NOT_FOUND = 127
_SYS_RESOURCE = 24
"""The capability to have more than one's own limits, by its number."""

_FILES = 1 << 20
"""Open files of a container, as podman has it."""

_NO_PROXY = "--http-proxy=false"
"""Containers get nothing of this process' environment."""

_SLIRP = "slirp4netns"
_SLIRP_HOST = "10.0.2.2"
"""Where containers of users who are not root see this machine's own address 127.0.0.1."""


class Podman(OciEngine):
    """Runs containers by podman."""

    name = "podman"
    label_of = '{{index .Labels "trivet.owner"}}'

    def __init__(self) -> None:
        self._way: Way | None = None

    def way(self) -> Way:
        """Return the first way that works here."""
        if self._way is None:
            self._way = _found()
        return self._way

    def gpus(self, count: int) -> Sequence[str]:
        """Return the devices, as NVIDIA's container toolkit names them."""
        return [f"--device=nvidia.com/gpu={number}" for number in range(count)]


def _found() -> Way:
    if shutil.which("podman") is None:
        raise FailedPrecondition("podman is not installed")
    said = ""
    for way in _ways():
        said = _trouble(way)
        if not said:
            return way
    raise FailedPrecondition(f"podman is installed, but cannot run containers here: {said}")


def _ways() -> Iterator[Way]:
    """Yield how it may work, the usual way first."""
    tool = place.tool()
    if sys.platform != "linux":  # it runs in a machine of its own
        yield Way(tool, Near(called="host.containers.internal"))
        return
    limits = () if _may_raise_limits() else _own_limits()
    usual = Way(tool, create=(*limits, _NO_PROXY), build=limits)
    if os.geteuid() == 0:
        if gateway := _gateway(tool):
            yield replace(usual, near=Near(gateway, gateway))
    elif shutil.which(_SLIRP):
        network = f"--network={_SLIRP}:allow_host_loopback=true"
        yield replace(usual, near=Near(called=_SLIRP_HOST), create=(*usual.create, network))
    same = "--network=host"
    usual = replace(usual, create=(*usual.create, same), build=(*limits, same), bridged=False)
    yield usual
    # which every runtime can do in some way, be it without a network and cgroups of its own
    create, build = (*usual.create, "--cgroups=disabled"), (*usual.build, "--isolation=chroot")
    yield replace(usual, create=create, build=build, limits=False)


def _trouble(way: Way) -> str:
    """Return what goes wrong with a container; nothing where it would run."""
    publish = ("--publish=127.0.0.1::8080",) if way.bridged else ()
    if sys.platform != "linux":
        tried = way.tool.run("version")
        return last_line(tried.stderr) if tried.returncode else ""
    with tempfile.TemporaryDirectory(prefix="trivet-") as empty:
        tried = way.tool.run("run", "--rm", *way.create, *publish, "--rootfs", empty, _NOTHING)
    found_none = tried.returncode == _NOT_FOUND and _NOTHING in tried.stderr
    return "" if found_none else last_line(tried.stderr)


def _gateway(tool: Tool) -> str:
    """Return this machine's address in the network of containers; empty where there is no such network."""
    told = tool.run("network", "inspect", "podman")
    try:
        return str(json.loads(told.stdout)[0]["subnets"][0]["gateway"])
    except (ValueError, LookupError, TypeError):
        return ""


def _may_raise_limits() -> bool:
    """Whether a container of root may have more open files than this process, as podman gives it."""
    if os.geteuid() != 0:
        return True  # then podman gives it what this process has
    found = re.search(r"^CapEff:\s*([0-9a-f]+)$", Path("/proc/self/status").read_text(), re.M)
    return found is None or bool(int(found[1], 16) >> _SYS_RESOURCE & 1)


def _own_limits() -> tuple[str, ...]:
    """Return the options with which a container has the limits of this process, which it can always have."""
    files = (one if one != RLIM_INFINITY else _FILES for one in getrlimit(RLIMIT_NOFILE))
    most = int(Path("/proc/sys/kernel/pid_max").read_text())  # podman itself gives up what is above
    processes = (min(one, most) if one != RLIM_INFINITY else most for one in getrlimit(RLIMIT_NPROC))
    return tuple(
        f"--ulimit={name}={':'.join(map(str, both))}"
        for name, both in (("nofile", files), ("nproc", processes))
    )


ENGINE = Podman()
