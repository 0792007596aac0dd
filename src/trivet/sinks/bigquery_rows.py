"""Rows as load jobs of BigQuery take them: lines of JSON, and behind them what was found out of the columns.

A part is `LINES COLUMNS LENGTH`: COLUMNS is JSON, the kind of each column (see `kinds`) by its name, LENGTH
its bytes in 16 digits. Columns that the source has told the type of keep it.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import IO, Any, BinaryIO

import msgspec

from trivet.codecs.json_body import prediction_texts
from trivet.sinks import kinds
from trivet.sinks.base import Outputs, Results
from trivet.sinks.columns import PREDICTION, RECORD, fields
from trivet.sinks.files import Rewrite, text
from trivet.sinks.jsonl import numbers
from trivet.storage.libraries import need
from trivet.storage.targets import Upload

Schema = list[dict[str, Any]]

ERRORS = "errors"
OWN = frozenset((PREDICTION, *RECORD, ERRORS))

_DIGITS = 16
_KNOWN = "known"  # the kind of what the source has told the type of
_TYPES = {"bool": "BOOLEAN", "int": "INTEGER", "big": "INTEGER", "float": "FLOAT", "json": "JSON"}
_RESERVED = re.compile(r"_TABLE_|_FILE_|_PARTITION|_ROW_TIMESTAMP|__ROOT__|_COLIDENTIFIER|\d", re.IGNORECASE)

_encode = msgspec.json.Encoder().encode
_encode_lines = msgspec.json.Encoder().encode_lines
_values = msgspec.json.Decoder(list[Any]).decode
_value = msgspec.json.Decoder().decode


class Lines:
    """Writes the rows of one shard, or other rows of such columns."""

    def __init__(self, upload: Upload, outputs: Outputs) -> None:
        self._upload = upload
        self._native = outputs.native
        self._known = {str(field["name"]): field for field in outputs.schema}
        self._kinds: dict[str, str] = {}
        self._called: dict[tuple[str, ...], dict[str, str]] = {}

    def add(self, results: Results) -> None:
        """Write a line for each row; the prediction is a text of JSON, whatever it is."""
        count = results.predictions.count
        if not count:
            return
        answers = prediction_texts(results.predictions)
        own: dict[str, Sequence[Any]] = {PREDICTION: strings([one.decode() for one in answers])}
        if self._native:
            own |= {RECORD[0]: [text(results.uri)] * count, RECORD[1]: numbers(results.offsets)}
        self.add_columns(fields(results, b"null", native=self._native), own)

    def add_columns(self, columns: Mapping[str, Sequence[Any]], own: Mapping[str, Sequence[Any]]) -> None:
        """Write lines of JSON texts by column: those of the instances, and the output's own."""
        names = tuple(columns)
        if names not in self._called:
            self._called[names] = called(names)
        written: dict[str, Sequence[Any]] = {}
        for name, safe in self._called[names].items():
            field = self._known.get(name)
            if field is not None:
                kind, written[safe] = _KNOWN, fitting(columns[name], field)
            else:
                kind, written[safe] = _looked_at(columns[name])
            self._kinds[safe] = kinds.common(self._kinds.get(safe, "null"), kind)
        written |= own
        template = b",".join([_encode(name).replace(b"%", b"%%") + b":%b" for name in written])
        row = (b"{" + template + b"}\n").__mod__
        self._upload.file.write(b"".join(map(row, zip(*written.values(), strict=True))))

    def end(self) -> Upload:
        """Return the file."""
        about = _encode(self._kinds)
        self._upload.file.write(about + b"%0*d" % (_DIGITS, len(about)))
        return self._upload

    def discard(self) -> None:
        """Give the file up."""
        self._upload.discard()


class LoadLines:
    """The format of parts that are loaded into a table."""

    tabular = True
    suffix = ""

    def check(self) -> None:
        """Need Google's client."""
        need("google.cloud.bigquery", "batch")

    def begin(self, outputs: Outputs, new: Callable[[], Upload]) -> Lines:
        """Begin the rows of a shard."""
        return Lines(new(), outputs)

    def agree(self, parts: Sequence[Callable[[], BinaryIO]]) -> Mapping[int, Rewrite]:
        """Leave all parts as they are: a column of JSON takes what others do not."""
        return {}


def strings(values: Sequence[str]) -> list[bytes]:
    """Return strings as JSON texts."""
    return _encode_lines(values).split(b"\n")[:-1]


def called(names: Sequence[str]) -> dict[str, str]:
    """Return what columns are called in BigQuery, where a name is what it is in any case of its letters."""
    taken = set(OWN)
    found = {}
    for name in names:
        safe = re.sub(r"\W", "_", name)[:290] or "_"
        if _RESERVED.match(safe):
            safe = f"c{safe}"
        if safe.lower() in OWN:
            safe = f"instance_{safe}"
        plain, number = safe, 1
        while safe.lower() in taken:
            safe, number = f"{plain}_{number}", number + 1
        taken.add(safe.lower())
        found[name] = safe
    return found


def _looked_at(texts: Sequence[Any]) -> tuple[str, Sequence[Any]]:
    """Return the kind of a column, and its texts as they can be loaded."""
    try:
        values = _values(b"[" + b",".join(texts) + b"]")
    except (msgspec.MsgspecError, ValueError, RecursionError):  # half surrogates, or too deep
        return "text", strings([bytes(one).decode("utf-8", "backslashreplace") for one in texts])
    kind = kinds.of_values(values)
    if kind == "json":  # where BigQuery would round large integers
        texts = [
            b'"%b"' % bytes(one) if type(value) is int and not -(2**63) <= value < 2**63 else one
            for one, value in zip(texts, values, strict=True)
        ]
    return kind, texts


def fitting(texts: Sequence[Any], field: Mapping[str, Any]) -> Sequence[Any]:
    """Return values of a column of BigQuery's as it loads them: bytes are but their base64."""
    if not _has_bytes(field):
        return texts
    return [_encode(_fit(_value(one), field)) for one in texts]


def _has_bytes(field: Mapping[str, Any]) -> bool:
    return field["type"] == "BYTES" or any(map(_has_bytes, field.get("fields", ())))


def _fit(value: Any, field: Mapping[str, Any]) -> Any:
    if value is None:
        return None
    if field.get("mode") == "REPEATED":
        return [_fit(one, {**field, "mode": "NULLABLE"}) for one in value]
    if field["type"] == "BYTES":
        return value["b64"] if isinstance(value, dict) else value
    inner = field.get("fields")
    return {one["name"]: _fit(value.get(one["name"]), one) for one in inner} if inner else value


def columns_of(file: IO[bytes], size: int) -> tuple[int, dict[str, str]]:
    """Return how many bytes of lines a part has, and the kinds of its columns."""
    file.seek(size - _DIGITS)
    length = int(file.read(_DIGITS))
    file.seek(size - _DIGITS - length)
    return size - _DIGITS - length, _value(file.read(length))


def schema(parts: Sequence[Mapping[str, str]], outputs: Outputs) -> Schema:
    """Return the columns of a table of instances: those that its rows have, in the order of the source."""
    known = {str(one["name"]): _told(one) for one in outputs.schema}
    safe = called(outputs.columns or tuple(known))
    known = {safe[name]: one for name, one in known.items() if name in safe}
    found: dict[str, str] = {}
    names = {name.lower(): name for name in safe.values()}
    for part in parts:
        for name, kind in part.items():
            name = names.setdefault(name.lower(), name)  # noqa: PLW2901
            found[name] = kinds.common(found.get(name, "null"), kind)
    if not found:  # no rows to tell
        found = dict.fromkeys(safe.values(), "null")
    ordered = [name for name in safe.values() if name in found]
    ordered += [name for name in found if name not in ordered]
    return [
        {**known[name], "name": name}
        if name in known
        else {"name": name, "type": _TYPES.get(found[name], "STRING"), "mode": "NULLABLE"}
        for name in ordered
    ]


def _told(field: Mapping[str, Any]) -> dict[str, Any]:
    """Return a column of the source's: its name and types, and nothing else that it may have there."""
    told = {"name": field["name"], "type": field["type"], "mode": field.get("mode", "NULLABLE")}
    if told["mode"] == "REQUIRED":
        told["mode"] = "NULLABLE"
    if told["type"] == "RANGE":
        told["type"] = "STRING"
    return told | ({"fields": [_told(one) for one in field["fields"]]} if field.get("fields") else {})
