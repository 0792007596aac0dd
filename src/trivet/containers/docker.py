"""Runs containers by docker, whose daemon knows the machine."""

import json
import shutil
import sys
from collections.abc import Sequence

from trivet.containers.base import Near
from trivet.containers.oci.engine import OciEngine, Way
from trivet.containers.oci.tool import Tool, last_line
from trivet.core.errors import FailedPrecondition

_DESKTOP = "host.docker.internal"
"""This machine's 127.0.0.1 for containers, where docker runs them in a machine of its own."""


class Docker(OciEngine):
    """Runs containers by docker."""

    name = "docker"
    label_of = '{{.Label "trivet.owner"}}'

    def __init__(self) -> None:
        self._way: Way | None = None

    def way(self) -> Way:
        """Return the way that its daemon has."""
        if self._way is None:
            self._way = _found()
        return self._way

    def gpus(self, count: int) -> Sequence[str]:
        """Return the option that docker has for it."""
        return [f"--gpus={count}"]


def _found() -> Way:
    if shutil.which("docker") is None:
        raise FailedPrecondition("docker is not installed")
    tool = Tool(("docker",))
    told = tool.run("version", "--format={{.Server.Os}}")  # which says plainly where there is no daemon
    if told.returncode:
        raise FailedPrecondition(f"docker is installed, but does not work: {last_line(told.stderr)}")
    told = tool.run("info", "--format={{.OperatingSystem}}")
    if sys.platform != "linux" or "Desktop" in told.stdout:
        return Way(tool, Near(called=_DESKTOP))
    gateway = _gateway(tool)
    if not gateway:
        return Way(tool, create=("--network=host",), build=("--network=host",), bridged=False)
    return Way(tool, Near(gateway, gateway))


def _gateway(tool: Tool) -> str:
    """Return this machine's address in the network of containers; empty where there is no such network."""
    told = tool.run("network", "inspect", "bridge")
    try:
        return str(json.loads(told.stdout)[0]["IPAM"]["Config"][0]["Gateway"])
    except (ValueError, LookupError, TypeError):
        return ""


ENGINE = Docker()
