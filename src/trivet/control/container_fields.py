"""The containerSpec of a model with a container of its own: each field checked, and read.

What a deployment and the operator have to say is added by `containers`.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from trivet.control.options import duration
from trivet.core.containers import PORT, ContainerSpec, Probe, Resources
from trivet.core.errors import InvalidArgument, Unimplemented
from trivet.core.resources import Document

WHERE = "model.containerSpec"

_ROUTE = re.compile(r"/[!-~]*")
_PREFIX = re.compile(r"(?P<below>/(?:[!-)+-~]*/)?)\*")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_MAX_VARIABLES = 100
_MAX_TEXT = 64 * 1024
_PROBES = ("exec", "httpGet", "tcpSocket", "grpc")


def read(given: Document) -> ContainerSpec:
    """Return what a containerSpec says; routes that it leaves out are empty, and its time to start 0.

    Raises InvalidArgument that names the field, and Unimplemented for probes by gRPC.
    """
    predict, prefix = _route(given, "predictRoute"), _prefix(given)
    if predict and prefix:
        raise InvalidArgument(f"{WHERE}: expected one of predictRoute and invokeRoutePrefix; got both")
    ports = _ports(given)
    timeout = given.get("deploymentTimeout")
    return ContainerSpec(
        image=str(given.get("imageUri") or ""),
        command=_words(given.get("command"), f"{WHERE}.command"),
        args=_words(given.get("args"), f"{WHERE}.args"),
        env=_env(given),
        ports=ports,
        predict_route=predict,
        health_route=_route(given, "healthRoute"),
        invoke_prefix=prefix,
        start_timeout=duration(timeout, f"{WHERE}.deploymentTimeout") if timeout else 0.0,
        startup=_probe(given, "startupProbe", ports[0]),
        health=_probe(given, "healthProbe", ports[0]) or Probe(),
        liveness=_probe(given, "livenessProbe", ports[0]) or Probe(),
        resources=Resources(shared_memory=_whole(given, "sharedMemorySizeMb", WHERE) << 20),
    )


def _route(given: Document, name: str) -> str:
    route = given.get(name) or ""
    if route and not (isinstance(route, str) and _ROUTE.fullmatch(route) and not set("?#") & set(route)):
        raise InvalidArgument(
            f"{WHERE}.{name}: expected a path of ASCII characters that begins with a slash, as /predict; "
            f"got {route!r}"
        )
    return str(route)


def _prefix(given: Document) -> str:
    """Return the part of `invokeRoutePrefix` before its star."""
    prefix = given.get("invokeRoutePrefix") or ""
    if not prefix:
        return ""
    match = _PREFIX.fullmatch(prefix) if isinstance(prefix, str) else None
    if match is None:
        raise InvalidArgument(f"{WHERE}.invokeRoutePrefix: expected /* or /PATH/*; got {prefix!r}")
    return match["below"]


def _words(given: Any, where: str) -> tuple[str, ...]:
    if given is None:
        return ()
    if not isinstance(given, Sequence) or isinstance(given, str):
        raise InvalidArgument(f"{where}: expected a list of texts; got {given!r}")
    return tuple(_word(one, f"{where}[{number}]") for number, one in enumerate(given))


def _word(given: Any, where: str) -> str:
    if not isinstance(given, str) or "\0" in given or len(given) > _MAX_TEXT:
        raise InvalidArgument(f"{where}: expected a text of at most {_MAX_TEXT} characters, none of them NUL")
    return given


def _env(given: Document) -> tuple[tuple[str, str], ...]:
    """Return the variables; the last of a name counts, as in a shell."""
    where = f"{WHERE}.env"
    variables = given.get("env") or ()
    if len(variables) > _MAX_VARIABLES:
        raise InvalidArgument(f"{where}: expected at most {_MAX_VARIABLES} variables; got {len(variables)}")
    read: dict[str, str] = {}
    for number, one in enumerate(variables):
        at = f"{where}[{number}]"
        name = one.get("name") if isinstance(one, Mapping) else None
        if not isinstance(name, str) or not _VARIABLE.fullmatch(name):
            raise InvalidArgument(
                f"{at}.name: expected letters, digits and _, beginning with none of the digits; got {name!r}"
            )
        if name.startswith("AIP_"):
            raise InvalidArgument(f"{at}.name: {name}: the server sets all AIP_ variables; leave it out")
        read[name] = _word(one.get("value") or "", f"{at}.value")
    return tuple(read.items())


def _ports(given: Document) -> tuple[int, ...]:
    where = f"{WHERE}.ports"
    ports = tuple(
        _port(one, "containerPort", f"{where}[{number}]")
        for number, one in enumerate(given.get("ports") or ())
    )
    if len(set(ports)) < len(ports):
        raise InvalidArgument(f"{where}: expected different ports; got {', '.join(map(str, ports))}")
    return ports or (PORT,)


def _port(given: Any, name: str, where: str) -> int:
    port = _whole(given, name, where)
    if not 0 < port < 65536:
        raise InvalidArgument(f"{where}.{name}: expected a port, 1 to 65535; got {port}")
    return port


def _probe(given: Document, name: str, first: int) -> Probe | None:
    """Return a probe, None where it is not given; its port is 0 where that is the one of predictions."""
    said = given.get(name)
    if not said:
        return None
    where = f"{WHERE}.{name}"
    kinds = [kind for kind in _PROBES if said.get(kind) is not None]
    if len(kinds) != 1:
        raise InvalidArgument(
            f"{where}: expected one of {', '.join(_PROBES)}; got {' and '.join(kinds) or 'none'}"
        )
    kind = kinds[0]
    if kind == "grpc":
        raise Unimplemented(f"{where}.grpc: containers are not asked by gRPC here; give httpGet or tcpSocket")
    how, where_how = said[kind], f"{where}.{kind}"
    if kind == "exec":
        path, port, command = "", 0, _words(how.get("command"), f"{where_how}.command")
        if not command:
            raise InvalidArgument(f"{where_how}.command: required; expected a list of texts")
    else:
        path, command = _http_path(how, where_how) if kind == "httpGet" else "", ()
        port = _port(how, "port", where_how) if how.get("port") else 0
        if how.get("host") not in (None, "", "localhost", "127.0.0.1"):
            raise InvalidArgument(f"{where_how}.host: only the container itself is asked; leave it out")
    return Probe(
        path=path,
        command=command,
        port=0 if port == first else port,
        period=_whole(said, "periodSeconds", where) or 10,
        timeout=_whole(said, "timeoutSeconds", where) or 1,
        failures=_whole(said, "failureThreshold", where) or 3,
        delay=_whole(said, "initialDelaySeconds", where),
    )


def _http_path(how: Document, where: str) -> str:
    if str(how.get("scheme") or "HTTP").upper() != "HTTP":
        raise InvalidArgument(f"{where}.scheme: expected HTTP, which containers speak; got {how['scheme']!r}")
    if how.get("httpHeaders"):
        raise Unimplemented(
            f"{where}.httpHeaders: probes are sent without headers of one's own; leave it out"
        )
    path = str(how.get("path") or "/")
    if not _ROUTE.fullmatch(path):
        raise InvalidArgument(f"{where}.path: expected a path that begins with a slash; got {path!r}")
    return path


def _whole(given: Document, name: str, where: str) -> int:
    """Return a whole number, 0 where it is not given; int64 fields come as text, as in Google's JSON."""
    value = given.get(name) or 0
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 20:
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 1 << 31:
        raise InvalidArgument(f"{where}.{name}: expected a whole number, 0 or more; got {value!r}")
    return value
