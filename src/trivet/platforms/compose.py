"""Compose: a service for each version on one machine, and nginx before them where traffic is split.

https://github.com/compose-spec/compose-spec
"""

from typing import Any

from trivet.containers.variables import expanded
from trivet.platforms import pods
from trivet.platforms.base import Bundle, Json, Version, Wanted, port_of, same_routes
from trivet.platforms.images import images
from trivet.platforms.notes import models, notes
from trivet.platforms.texts import filled
from trivet.platforms.variables import variables

_NGINX = "docker.io/library/nginx:1.28-alpine"
_PORT = 8080
_DRAINS = "60s"


class _Compose:
    title = "Compose"
    least = 1

    def bundle(self, wanted: Wanted) -> Bundle:
        same_routes(wanted)
        found = images(wanted)
        made = models(wanted)
        services: Json = {}
        split = len(wanted.serving) > 1 or wanted.least > 1
        for version in wanted.serving:
            one = found[version.label]
            made |= one.bundle
            services[version.label] = _service(version, wanted, one.name, one.folder)
            if not split:
                services[version.label]["ports"] = [_published(wanted, port_of(version))]
        if split:
            services["balancer"] = _balancer(wanted)
            made |= Bundle({"nginx.conf": _nginx(wanted)})
        copy = f"\nCopy what is in `models/` to {wanted.storage} first." if wanted.storage else ""
        text = notes(wanted, found, "compose.md", copy=copy)
        document: Json = {"name": wanted.name, "services": services}
        return made | Bundle({"README.md": text}, {"compose.yaml": [document]})


def _service(version: Version, wanted: Wanted, name: str, folder: str) -> Json:
    made: Json = {"image": name}
    if folder:
        made["build"] = {"context": folder}
    told = variables(version, wanted)
    own = version.container
    if own is not None and own.command:
        made["entrypoint"] = list(expanded(own.command, told))
    if own is not None and own.args:
        made["command"] = list(expanded(own.args, told))
    made["environment"] = told
    made = {key: _literal(value) for key, value in made.items()}
    made["restart"] = "unless-stopped"
    made["stop_grace_period"] = _DRAINS
    made["init"] = True
    if shared := version.contract.resources.shared_memory:
        made["shm_size"] = f"{shared >> 20}m"
    if (check := _health_check(version)) is not None:
        made["healthcheck"] = check
    limits = {"cpus": f"{wanted.cpus:g}", "memory": f"{wanted.memory}m"}
    resources: Json = {"limits": limits}
    if wanted.gpus:
        device = {"driver": "nvidia", "count": wanted.gpus, "capabilities": ["gpu"]}
        resources["reservations"] = {"devices": [device]}
    made["deploy"] = {"replicas": max(1, wanted.least), "resources": resources}
    return made


def _literal(value: Any) -> Any:
    """Return texts as Compose takes them for what they are: it puts variables in the place of `$NAME`."""
    if isinstance(value, dict):
        return {key: _literal(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_literal(one) for one in value]
    return value.replace("$", "$$") if isinstance(value, str) else value


def _health_check(version: Version) -> Json | None:
    """Return how a container is asked: from within, so by a program that is known to be there."""
    probe = version.contract.health
    if probe.command:
        test = ["CMD", *probe.command]
    elif version.container is None:
        url = f"http://127.0.0.1:{port_of(version)}{pods.health_route(version)}"
        test = ["CMD", "python", "-c", f"import urllib.request; urllib.request.urlopen({url!r}, timeout=5)"]
    else:
        return None
    return {"test": _literal(test), "interval": "10s", "timeout": "10s", "retries": 4, "start_period": "600s"}


def _balancer(wanted: Wanted) -> Json:
    return {
        "image": _NGINX,
        "ports": [_published(wanted, _PORT)],
        "volumes": ["./nginx.conf:/etc/nginx/conf.d/default.conf:ro"],
        "depends_on": [version.label for version in wanted.serving],
        "restart": "unless-stopped",
    }


def _published(wanted: Wanted, port: int) -> str:
    return f"{'' if wanted.public else '127.0.0.1:'}{_PORT}:{port}"


def _nginx(wanted: Wanted) -> str:
    """Return nginx's configuration: the version is drawn for each request anew, by its share."""
    shares = [f"    {version.share}% {version.label};" for version in wanted.serving[:-1]]
    upstreams = [
        f"upstream {version.label} {{ server {version.label}:{port_of(version)}; keepalive 32; }}"
        for version in wanted.serving
    ]
    return filled(
        "nginx.conf",
        shares="\n".join([*shares, f"    * {wanted.serving[-1].label};"]),
        upstreams="\n".join(upstreams),
        port=str(_PORT),
        timeout=str(wanted.timeout),
    )


PLATFORM = _Compose()
