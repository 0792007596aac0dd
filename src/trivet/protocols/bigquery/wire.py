"""What is the same for every call: its path, query, body and headers, names and times."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import parse_qs

from trivet.codecs.json_body import is_deeper, parse
from trivet.core.errors import InvalidArgument
from trivet.sql.names import DatasetName, ObjectName, dataset_name

Json = dict[str, Any]

LOCATION = "US"
"""What clients are told where they name no location; any is taken."""

MAX_DEPTH = 64

_PROJECT = re.compile(r"[A-Za-z0-9][A-Za-z0-9.:_-]{0,99}")


@dataclass(frozen=True, slots=True)
class Asked:
    """A call, as those who answer it see it: `parts` are what the path's pattern names.

    `address` is where the caller found the server; `etag` is what the resource must still have.
    """

    parts: Mapping[str, str]
    query: Mapping[str, Sequence[str]]
    body: Json
    address: str = ""
    etag: str = ""
    media: bytes = field(default=b"", repr=False)

    @property
    def project(self) -> str:
        """The project of the path; raises InvalidArgument for what cannot be one."""
        return checked_project(self.parts["project"])

    @property
    def dataset(self) -> DatasetName:
        """The dataset of the path; raises InvalidArgument for what cannot be one."""
        return dataset_name(self.project, self.parts["dataset"])

    @property
    def table(self) -> ObjectName:
        """The table, or model, of the path; raises InvalidArgument for what cannot be one."""
        return self.dataset.child(self.parts["id"])

    def said(self, name: str) -> str:
        """Return a parameter of the query; empty where it is not there."""
        return self.query.get(name, [""])[-1]

    def is_true(self, name: str) -> bool:
        """Whether a parameter of the query is set."""
        return self.said(name).lower() == "true"

    def number(self, name: str) -> int | None:
        """Return a parameter of the query that is a whole number, 0 or more; raises InvalidArgument."""
        return read_number(self.said(name), name) if self.said(name) else None

    @property
    def micros(self) -> bool:
        """Whether the caller wants timestamps as whole microseconds; raises InvalidArgument."""
        options = {
            key.partition(".")[2]: one[-1] for key, one in self.query.items() if "formatOptions." in key
        }
        return read_format(options)


def read_format(options: Any) -> bool:
    """Return whether format options ask for whole microseconds; raises InvalidArgument."""
    if not isinstance(options or {}, dict):
        raise InvalidArgument("formatOptions: expected an object")
    said = str((options or {}).get("timestampOutputFormat", "")).upper()
    if said not in ("", "TIMESTAMP_OUTPUT_FORMAT_UNSPECIFIED", "FLOAT64", "INT64"):
        raise InvalidArgument(f"formatOptions.timestampOutputFormat: expected INT64 or FLOAT64; got {said}")
    return said == "INT64" or str((options or {}).get("useInt64Timestamp", "")).lower() == "true"


def read_number(value: Any, name: str) -> int:
    """Read a whole number, 0 or more, which may be a text; raises InvalidArgument."""
    text = str(value)
    if not re.fullmatch("[0-9]{1,18}", text):
        raise InvalidArgument(f"{name}: expected a whole number, 0 or more; got {text[:40]!r}")
    return int(text)


def read_query(text: str) -> dict[str, list[str]]:
    """Read the query of a URL; raises InvalidArgument."""
    try:
        return parse_qs(text, keep_blank_values=True, max_num_fields=100, errors="replace")
    except ValueError:
        raise InvalidArgument("the query has more than 100 parameters") from None


def read_body(body: bytes) -> Json:
    """Read a body; an empty one is an object without fields. Raises InvalidArgument."""
    if not body.strip():
        return {}
    value = parse(body)
    if not isinstance(value, dict):
        raise InvalidArgument("the body: expected a JSON object")
    if is_deeper(value, MAX_DEPTH):
        raise InvalidArgument(f"the body is nested too deeply: expected at most {MAX_DEPTH} levels")
    return value


def checked_project(project: str) -> str:
    """Return the id of a project; raises InvalidArgument for what cannot be one."""
    if not _PROJECT.fullmatch(project):
        raise InvalidArgument(f"project {project[:100]!r}: expected letters, digits and dashes")
    return project


def read_dataset(reference: Any, project: str, where: str) -> DatasetName:
    """Read a DatasetReference, in the caller's project where it names none; raises InvalidArgument."""
    if not isinstance(reference, dict) or not isinstance(reference.get("datasetId"), str):
        raise InvalidArgument(f"{where}: expected an object with a datasetId")
    return dataset_name(checked_project(str(reference.get("projectId") or project)), reference["datasetId"])


def read_table(reference: Any, project: str, where: str, id_: str = "tableId") -> ObjectName:
    """Read a TableReference, or another of its kind; raises InvalidArgument."""
    parent = read_dataset(reference, project, where)
    if not isinstance(name := reference.get(id_), str) or not name:
        raise InvalidArgument(f"{where}: expected an object with a {id_}")
    return parent.child(name)


def dataset_reference(name: DatasetName) -> Json:
    """Write a DatasetReference."""
    return {"projectId": name.project, "datasetId": name.dataset}


def table_reference(name: ObjectName) -> Json:
    """Write a TableReference."""
    return {"projectId": name.project, "datasetId": name.dataset, "tableId": name.name}


def millis(moment: datetime | None) -> str:
    """Write a time as milliseconds since 1970."""
    return "0" if moment is None else str(int(moment.timestamp() * 1000))


def paged(items: Sequence[Any], asked: Asked, most: int = 1000) -> tuple[Sequence[Any], Json]:
    """Return a page of a list, and the token of the next one where there is one; raises InvalidArgument."""
    size = asked.number("maxResults")
    start = read_number(asked.said("pageToken") or "0", "pageToken")
    end = start + min(most if size is None else size, most)
    return items[start:end], {"nextPageToken": str(end)} if end < len(items) and end > start else {}
