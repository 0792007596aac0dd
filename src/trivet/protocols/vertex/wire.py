"""Proto-JSON, as Google's clients send and read it: what is the same for every resource.

https://protobuf.dev/programming-guides/json/
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs

import msgspec

from trivet.codecs.json_body import is_deeper, parse
from trivet.core.errors import InvalidArgument
from trivet.core.resources import Location, Name, Query

Json = dict[str, Any]

OUTPUT_ONLY = frozenset(
    (
        "name", "versionId", "versionCreateTime", "versionUpdateTime", "createTime", "updateTime",
        "deployedModels", "dedicatedEndpointDns", "modelVersionId", "privateEndpoints", "status",
        "supportedExportFormats", "supportedDeploymentResourcesTypes", "supportedInputStorageFormats",
        "supportedOutputStorageFormats", "satisfiesPzs", "satisfiesPzi", "modelSourceInfo",
        "originalModelInfo", "metadataArtifact",
    )
)  # fmt: skip
"""Fields that are the server's own, of all resources."""

MAX_DEPTH = 64
MAX_PAGE = 1_000

_SNAKE = re.compile(r"_([a-z0-9])")
_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Asked:
    """A call, as those who answer it see it: `parts` are what the path's pattern names.

    `address` is where the caller found the server; `home` the project and location of one who names none;
    `client` is what the caller says it is (`x-goog-api-client`).
    """

    api: str
    parts: Mapping[str, str]
    query: Mapping[str, Sequence[str]]
    body: Json
    address: str
    home: Location
    client: str = ""

    @property
    def parent(self) -> Location:
        """The project and location of the path; raises InvalidArgument."""
        return Location.parse(self.parts["parent"])

    def name(self, collection: str) -> Name:
        """Return the name of the resource that the path ends with; raises InvalidArgument."""
        return Name.parse(f"{self.parts['parent']}/{collection}/{self.parts['id']}", collection)

    def said(self, name: str) -> str:
        """Return a parameter of the query, in camelCase or snake_case; empty where it is not there."""
        return self._all(name)[-1]

    def page(self) -> Query:
        """Return what to list; raises InvalidArgument for a page size that is none."""
        size = self.said("pageSize") or "0"
        if not size.isascii() or not size.isdigit():
            raise InvalidArgument(f"pageSize: expected a whole number, 0 or more; got {got(size)}")
        return Query(
            filter=self.said("filter"),
            order_by=self.said("orderBy"),
            page_size=min(int(size[:10]), MAX_PAGE),
            page_token=self.said("pageToken"),
        )

    def mask(self) -> list[str]:
        """Return the paths of the query's or body's update mask; raises InvalidArgument."""
        if "updateMask" in self.body or "update_mask" in self.body:
            return read_mask(self.body.get("updateMask") or self.body.get("update_mask"))
        paths = [*self._all("updateMask"), *self._all("updateMask.paths")]
        return [path for text in paths for path in read_mask(text)]

    def _all(self, name: str) -> Sequence[str]:
        return self.query.get(name) or self.query.get(snake(name)) or [""]


def read_query(text: str) -> dict[str, list[str]]:
    """Read the query of a URL."""
    try:
        return parse_qs(text, keep_blank_values=True, max_num_fields=200, errors="replace")
    except ValueError:
        raise InvalidArgument("the query has more than 200 parameters") from None


def read_body(body: bytes) -> Json:
    """Read a body; an empty one is an object without fields.

    Raises InvalidArgument unless it is a JSON object that is not nested too deeply.
    """
    if not body.strip():
        return {}
    value = parse(body)
    if not isinstance(value, dict):
        raise InvalidArgument(f"the body: expected a JSON object; got {got(value)}")
    if is_deeper(value, MAX_DEPTH):
        raise InvalidArgument(f"the body is nested too deeply: expected at most {MAX_DEPTH} levels")
    return value


def read_mask(value: Any) -> list[str]:
    """Return the paths of a field mask: a text with commas, `{"paths": [...]}`, or a list of paths."""
    if isinstance(value, dict):
        value = value.get("paths", [])
    if value is None:
        return []
    if isinstance(value, str):
        value = value.split(",")
    if not isinstance(value, list) or not all(isinstance(path, str) for path in value):
        raise InvalidArgument(
            f'updateMask: expected paths, as "displayName,labels" or {{"paths": [...]}}; got {got(value)}'
        )
    return [path.strip() for path in value if path.strip()]


def without_output(resource: Json) -> Json:
    """Return a resource without the fields that are the server's own: clients give back what they got."""
    return {name: value for name, value in resource.items() if name not in OUTPUT_ONLY}


def camel(name: str) -> str:
    """Return a field's name as JSON has it: `display_name` is `displayName`."""
    return _SNAKE.sub(lambda match: match[1].upper(), name)


def snake(name: str) -> str:
    """Return a field's name as proto files have it: `displayName` is `display_name`."""
    return re.sub(r"[A-Z]", lambda match: f"_{match[0].lower()}", name)


def timestamp(moment: datetime) -> str:
    """Write a time as proto-JSON does: in UTC, with its zone, which clients insist on."""
    return moment.astimezone(UTC).isoformat().removesuffix("+00:00") + "Z"


def got(value: Any) -> str:
    """Show a value of JSON in an error message, cut short."""
    try:
        text = _encode(value).decode()
    except (ValueError, OverflowError, RecursionError):
        text = f"a value of type {type(value).__name__}"
    return text if len(text) <= 60 else f"{text[:57]}..."
