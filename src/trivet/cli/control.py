"""A client of the control plane's REST API, as the commands use it, and the options that say which server.

Names are those of the settings' project and location unless they are written in full.
"""

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from threading import Event
from time import monotonic
from typing import Any
from urllib.parse import quote, urlencode

import click

from trivet.cli.client import GONE, Connection, error_of
from trivet.core.errors import Code, Internal, InvalidArgument, ServingError, Unavailable
from trivet.core.resources import Location, Name

Json = dict[str, Any]

_OPTIONS = (
    click.option("--server", metavar="URL", help="The server.  [default: that of the data folder]"),
    click.option("--data", metavar="FOLDER", help="Data folder of `trivet up`.  [default: .trivet]"),
    click.option("--project", help="Project of plain names.  [default: local]"),
    click.option("--location", help="Location of plain names.  [default: us-central1]"),
)

_TIMEOUT = 60.0
_RETURNS_WITHIN = 30.0
"""Seconds for a server to come back while an operation is waited for: it goes on with it."""

_PAUSE = 0.05


def asks(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that say which server, and the control plane there as first argument."""

    @wraps(command)
    def asking(server: str | None, data: str | None, **given: Any) -> None:
        where = {name: given.pop(name) for name in ("project", "location")}
        with Control(look(server, data, **where)) as control:
            command(control, **given)

    for option in reversed(_OPTIONS):
        asking = option(asking)
    return asking


@dataclass(frozen=True, slots=True)
class Found:
    """Where a server is said to be: its addresses by `http`, `tls` and `proxy`, and what plain names mean.

    `process` and `since` (seconds, as clocks tell) are those of a server on this machine.
    """

    addresses: Mapping[str, str]
    home: Location
    process: int = 0
    since: float = 0.0


Looks = Callable[[], Found]


def look(
    server: str | None = None,
    data: str | None = None,
    project: str | None = None,
    location: str | None = None,
) -> Looks:
    """Return what finds the server, which may have moved each time; it raises InvalidArgument."""

    def found() -> Found:
        from trivet import config

        given = {"catalog.data": data, "catalog.project": project, "catalog.location": location}
        settings = config.load({key: value for key, value in given.items() if value is not None})
        home = Location(settings.catalog.project, settings.catalog.location)
        file = Path(settings.catalog.data) / "server.json"
        if server is not None:
            return Found({"http": server.rstrip("/")}, home)
        try:
            said = json.loads(file.read_text())
            process = int(said.pop("pid", 0))
            return Found({"http": said["http"], **said}, home, process, file.stat().st_mtime)
        except (OSError, ValueError, KeyError, TypeError, AttributeError):  # none there, or none that is ours
            return Found({"http": usual(settings.server.port)}, home)

    return found


def usual(port: int) -> str:
    """Return where a server is that has not said where it is."""
    return f"http://127.0.0.1:{port or 8080}"


class Control:
    """The control plane of one server. Everything raises what the server says, or Unavailable."""

    def __init__(self, looks: Looks, timeout: float = _TIMEOUT) -> None:
        self._looks = looks
        self._timeout = timeout
        self.look()

    def __enter__(self) -> "Control":
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def look(self) -> None:
        """Find the server anew: it may have been started again elsewhere, and left no connection."""
        self.found = self._looks()
        self.url = self.found.addresses["http"]
        self._connection = Connection(self.url, self._timeout)

    def name(self, collection: str, text: str) -> Name:
        """Return the full name of what may be written plainly, as `fraud` or `fraud@2`."""
        if text.startswith("projects/"):
            return Name.parse(text, collection)
        try:
            return Name.parse(f"{self.found.home}/{collection}/{text}", collection)
        except InvalidArgument:
            raise InvalidArgument(
                f"{text!r}: expected a name such as fraud, or {self.found.home}/{collection}/fraud"
            ) from None

    def short(self, name: Name | str) -> str:
        """Return a name as it may be written here."""
        name = Name.parse(name) if isinstance(name, str) else name
        plain = f"{name.id}@{name.version}" if name.version else name.id
        return plain if name.parent == self.found.home else str(name)

    def text(self, path: str) -> str:
        """Return what is at a path that is no resource's; raises what the server says instead."""
        status, content = self._ask("GET", path)
        if status != 200:
            raise self._refused(status, content)
        return content.decode("utf-8", "replace")

    def get(self, path: str, **query: object) -> Json:
        """Return what is at a path, below the version of the API."""
        return self._json("GET", path, query)

    def post(self, path: str, body: Json, **query: object) -> Json:
        """Call a method."""
        return self._json("POST", path, query, body)

    def patch(self, path: str, body: Json, **query: object) -> Json:
        """Change a resource."""
        return self._json("PATCH", path, query, body)

    def delete(self, path: str, **query: object) -> Json:
        """Delete a resource."""
        return self._json("DELETE", path, query)

    def listed(self, path: str, **query: object) -> Iterator[Json]:
        """Yield everything of a list, page by page."""
        key = "models" if path.endswith(":listVersions") else path.rpartition("/")[2]
        token = ""
        while True:
            page = self.get(path, **query, pageToken=token)
            yield from page.get(key, [])
            if not (token := page.get("nextPageToken", "")):
                return

    def done(self, operation: Json, doing: str) -> Json:
        """Wait for an operation, saying what is being done; raises what it failed with."""
        try:
            with spinner(doing):
                while not operation.get("done"):
                    operation = self._polled(operation["name"])
        except KeyboardInterrupt:
            click.echo(f"{doing}: goes on as {operation['name']}", err=True)
            raise
        if problem := operation.get("error"):
            number = problem.get("code")
            code = next((code.name for code in Code if code.value == number), "")
            raise error_of(code, problem.get("message") or f"the operation failed with code {number}")
        response = operation.get("response", {})
        assert isinstance(response, dict)
        return response

    def _polled(self, name: str) -> Json:
        """Ask for an operation, which the server holds for a while; it may have to be started again."""
        end = monotonic() + _RETURNS_WITHIN
        while True:
            try:
                operation = self.get(name)
            except Unavailable:
                if monotonic() > end:
                    raise
                self.look()
            else:
                if operation.get("done"):
                    return operation
                end = monotonic() + _RETURNS_WITHIN
            Event().wait(_PAUSE)

    def _json(self, method: str, path: str, query: Mapping[str, object], body: Json | None = None) -> Json:
        asked = {key: value for key, value in query.items() if value not in ("", None)}
        target = f"/v1/{quote(path, safe='/:@')}" + (f"?{urlencode(asked)}" if asked else "")
        status, content = self._ask(method, target, body)
        if status == 200:
            with suppress(ValueError):
                answer = json.loads(content)
                if isinstance(answer, dict):
                    return answer
        raise self._refused(status, content)

    def _refused(self, status: int, content: bytes) -> ServingError:
        try:
            problem = json.loads(content)["error"]
            return error_of(problem["status"], problem["message"])
        except (ValueError, KeyError, TypeError):
            shown = content[:200].decode("utf-8", "replace")
            return Internal(f"{self.url} answered {status} with {shown!r}: is it a Trivet server?")

    def _ask(self, method: str, path: str, body: Json | None = None) -> tuple[int, bytes]:
        """Ask; a question alone is asked again where a kept connection turns out to be closed."""
        if method != "GET":
            self._connection.close()
        for attempt in (1, 2):
            try:
                return self._connection.ask(method, path, body)
            except ConnectionRefusedError:
                raise Unavailable(f"no server at {self.url}: start one with `trivet up`") from None
            except GONE as error:
                if method != "GET" or attempt == 2 or isinstance(error, TimeoutError):
                    said = str(error) or type(error).__name__
                    raise Unavailable(f"no answer from {self.url}: {said}") from None
        raise AssertionError("unreachable")


def spinner(doing: str) -> AbstractContextManager[object]:
    """Show on a terminal that something is being done."""
    if not sys.stderr.isatty():
        return nullcontext()
    from rich.console import Console

    return Console(stderr=True).status(f"{doing} ...")


def pairs(texts: tuple[str, ...], option: str) -> dict[str, str]:
    """Return the labels of an option that is given as KEY=VALUE; raises InvalidArgument."""
    read = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise InvalidArgument(f"{option} {text!r}: expected KEY=VALUE")
        read[key] = value
    return read
