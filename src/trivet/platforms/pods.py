"""What Kubernetes, KServe and Cloud Run say alike of a container: its variables, probes and resources."""

import math
from typing import Any

from trivet.core.containers import Probe
from trivet.platforms.base import Json, Version, Wanted, port_of
from trivet.platforms.variables import variables

_READY_WITHIN = 600.0
"""Seconds from a container's start to its first good health, where its model names no time."""


def container(version: Version, wanted: Wanted, image: str, window: int = 0) -> Json:
    """Return a container without its probes; `window` as `variables` has it.

    `$(NAME)` in its command and arguments stays: whoever starts it puts the variable in its place.
    """
    made: Json = {"name": "predictor", "image": image}
    own = version.container
    if own is not None and own.command:
        made["command"] = list(own.command)
    if own is not None and own.args:
        made["args"] = list(own.args)
    made["ports"] = [{"containerPort": port_of(version)}]
    told = variables(version, wanted, window)
    made["env"] = [{"name": name, "value": value} for name, value in told.items()]
    made["resources"] = {"limits": limits(wanted)}
    return made


def shared_memory(version: Version, container: Json) -> list[Json]:
    """Mount the shared memory that a version asks for, and return the volumes that this needs."""
    shared = version.contract.resources.shared_memory
    if not shared:
        return []
    container["volumeMounts"] = [{"name": "shared", "mountPath": "/dev/shm"}]
    return [{"name": "shared", "emptyDir": {"medium": "Memory", "sizeLimit": memory(shared >> 20)}}]


def limits(wanted: Wanted) -> Json:
    """Return the resources of one replica."""
    found = {"cpu": cpus(wanted.cpus), "memory": memory(wanted.memory)}
    return found | ({"nvidia.com/gpu": str(wanted.gpus)} if wanted.gpus else {})


def cpus(number: float) -> str:
    """Return CPUs as quantities are written: `2`, `500m`."""
    return f"{number:g}" if number == int(number) else f"{round(number * 1000)}m"


def memory(mib: int) -> str:
    """Return memory as quantities are written: `4Gi`, `512Mi`."""
    return f"{mib // 1024}Gi" if mib % 1024 == 0 else f"{mib}Mi"


def health_route(version: Version) -> str:
    """Return the path that answers 200 when a version can predict."""
    return version.contract.health.path or version.contract.health_route or "/health"


def startup(probe: Probe | None, version: Version, longest: float = math.inf) -> Json:
    """Return the probe until the first good health, by default that; for at most `longest` seconds."""
    probe = probe or Probe(path=health_route(version), port=version.contract.health.port)
    ready_within = min(version.contract.start_timeout or _READY_WITHIN, longest)
    failures = max(1, int((ready_within - probe.delay) // max(1, probe.period)))
    return asked(probe, version) | {"failureThreshold": failures}


def readiness(version: Version) -> Json:
    """Return the probe that takes a replica out of the traffic and back, as the contract has it."""
    probe = version.contract.health
    if not probe.path and not probe.command:
        return timed(probe) | {"httpGet": {"path": health_route(version), "port": port_of(version)}}
    return asked(probe, version)


def liveness(version: Version) -> Json:
    """Return the probe whose failures restart a replica."""
    return asked(version.contract.liveness, version)


def asked(probe: Probe, version: Version) -> Json:
    """Return a probe: GET its path, run its command, or connect."""
    port = probe.port or port_of(version)
    how: Json
    if probe.path:
        how = {"httpGet": {"path": probe.path, "port": port}}
    elif probe.command:
        how = {"exec": {"command": list(probe.command)}}
    else:
        how = {"tcpSocket": {"port": port}}
    return timed(probe) | how


def timed(probe: Probe) -> dict[str, Any]:
    """Return when a probe asks. It never waits longer for an answer than until it asks again."""
    period = max(1, round(probe.period))
    times = {
        "periodSeconds": period,
        "timeoutSeconds": min(period, max(1, round(probe.timeout))),
        "failureThreshold": probe.failures,
    }
    return times | ({"initialDelaySeconds": round(probe.delay)} if probe.delay else {})
