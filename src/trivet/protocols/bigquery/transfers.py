"""Jobs that load, extract and copy: from their configuration to what does them.

https://cloud.google.com/bigquery/docs/reference/rest/v2/Job
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from trivet.core.errors import InvalidArgument, NotFound, Unimplemented
from trivet.protocols.bigquery.jobs import Job, Kind
from trivet.protocols.bigquery.schema import read_schema
from trivet.protocols.bigquery.wire import Json, read_number, read_table
from trivet.sql.extracting import Extract, extract
from trivet.sql.loading import load
from trivet.sql.loads import Load
from trivet.sql.names import ObjectName
from trivet.sql.tables import Write, copy

if TYPE_CHECKING:
    from trivet.sql.database import Database

Opens = Callable[[], "Database"]
Work = Callable[[Job], None]

_WRITES = ("WRITE_APPEND", "WRITE_TRUNCATE", "WRITE_EMPTY")
_CREATES = ("CREATE_IF_NEEDED", "CREATE_NEVER")
_ENCODINGS = {"UTF-8": "utf-8", "ISO-8859-1": "latin-1"}
_DELIMITERS = {"tab": "\t", "\\t": "\t", "": ","}
_NOT_LOADED = (
    "hivePartitioningOptions", "projectionFields", "decimalTargetTypes", "columnNameCharacterMap",
    "preserveAsciiControlCharacters", "allowJaggedRows", "fileSetSpecType",
)  # fmt: skip


def read_job(opens: Opens, kind: Kind, asked: Any, project: str, file: Path | None) -> Work:
    """Read the configuration of a job; returns what does it. Raises InvalidArgument and Unimplemented."""
    if not isinstance(asked, dict):
        raise InvalidArgument(f"configuration.{kind}: expected an object")
    if kind == "load":
        return partial(_load, opens, _read_load(asked, project, file))
    if kind == "extract":
        return _read_extract(opens, asked, project)
    return _read_copy(opens, asked, project)


def _one_of(asked: Json, name: str, known: tuple[str, ...]) -> str:
    said = str(asked.get(name) or known[0]).upper()
    if said not in known:
        raise InvalidArgument(f"{name}: expected one of {', '.join(known)}; got {said[:40]!r}")
    return said


def _true(asked: Json, name: str) -> bool:
    return str(asked.get(name, "")).lower() == "true"


def _uris(asked: Json, name: str) -> list[str]:
    uris = asked.get(name) or []
    if not isinstance(uris, list) or not all(isinstance(one, str) for one in uris):
        raise InvalidArgument(f"{name}: expected a list of URIs")
    return uris


def _read_load(asked: Json, project: str, file: Path | None) -> Load:
    uris = _uris(asked, "sourceUris")
    if (file is None) == (not uris):
        raise InvalidArgument("sourceUris: expected some, or else data that comes with the call")
    for name in _NOT_LOADED:
        if asked.get(name):
            raise Unimplemented(f"load.{name} is not supported")
    format_ = str(asked.get("sourceFormat") or "CSV").upper()
    encoding = str(asked.get("encoding") or "UTF-8").upper()
    if encoding not in _ENCODINGS:
        raise Unimplemented(f"encoding {encoding[:40]!r}: expected one of {', '.join(_ENCODINGS)}")
    delimiter = str(asked.get("fieldDelimiter") or ",")
    quote = asked.get("quote")
    return Load(
        table=read_table(asked.get("destinationTable"), project, "destinationTable"),
        format=format_,
        uris=uris,
        file=file,
        fields=read_schema(asked.get("schema")),
        detects=_true(asked, "autodetect"),
        how=cast(Write, _one_of(asked, "writeDisposition", _WRITES)),
        creates=_one_of(asked, "createDisposition", _CREATES) == _CREATES[0],
        adds="ALLOW_FIELD_ADDITION" in (asked.get("schemaUpdateOptions") or []),
        bad=read_number(asked.get("maxBadRecords") or 0, "maxBadRecords"),
        ignore_unknown=_true(asked, "ignoreUnknownValues"),
        skip=read_number(asked.get("skipLeadingRows") or 0, "skipLeadingRows"),
        delimiter=_DELIMITERS.get(delimiter.lower(), delimiter),
        quote='"' if quote is None else str(quote),
        newlines=_true(asked, "allowQuotedNewlines"),
        null=str(asked.get("nullMarker") or ""),
        encoding=_ENCODINGS[encoding],
    )


def _load(opens: Opens, asked: Load, job: Job) -> None:
    try:
        with opens().connect(project=job.project) as connection:
            job.interruptible(connection.interrupt)
            try:
                done = load(connection, asked, job.check)
            finally:
                job.uninterruptible()
    finally:
        if asked.file is not None:
            asked.file.unlink(missing_ok=True)
    job.statistics = {
        "inputFiles": str(done.files),
        "inputFileBytes": str(done.size),
        "outputRows": str(done.rows),
        "outputBytes": str(done.size),
        "badRecords": str(done.bad),
    }


def _read_extract(opens: Opens, asked: Json, project: str) -> Work:
    uris = _uris(asked, "destinationUris") or [str(asked.get("destinationUri") or "")]
    if not uris[0]:
        raise InvalidArgument("destinationUris: expected at least one")
    if asked.get("sourceModel"):
        model = read_table(asked["sourceModel"], project, "sourceModel", "modelId")
        return partial(_extract_model, opens, model, uris[0])
    if _true(asked, "useAvroLogicalTypes"):
        raise Unimplemented("useAvroLogicalTypes: files in Avro are not supported")
    delimiter = str(asked.get("fieldDelimiter") or ",")
    wanted = Extract(
        table=read_table(asked.get("sourceTable"), project, "sourceTable"),
        uris=uris,
        format=str(asked.get("destinationFormat") or "CSV").upper(),
        compression=str(asked.get("compression") or "NONE").upper(),
        delimiter=_DELIMITERS.get(delimiter.lower(), delimiter),
        header=asked.get("printHeader") is None or _true(asked, "printHeader"),
    )
    return partial(_extract, opens, wanted)


def _extract(opens: Opens, asked: Extract, job: Job) -> None:
    with opens().connect(project=job.project) as connection:
        job.interruptible(connection.interrupt)
        try:
            counts = extract(connection, asked, job.check)
        finally:
            job.uninterruptible()
    job.statistics = {"destinationUriFileCounts": [str(one) for one in counts], "inputBytes": "0"}


def _extract_model(opens: Opens, name: ObjectName, uri: str, job: Job) -> None:
    from trivet.storage.targets import target

    database = opens()
    try:
        model = database.models.find(name)
    except NotFound:
        raise NotFound(f"Not found: Model {name}") from None
    folder = target(uri.removesuffix("*").rstrip("/"), database.place.buckets, database.place.folders)
    files = database.models.export(model, folder)
    job.statistics = {"destinationUriFileCounts": [str(len(files))], "inputBytes": "0"}


def _read_copy(opens: Opens, asked: Json, project: str) -> Work:
    if (operation := str(asked.get("operationType") or "COPY").upper()) not in (
        "COPY",
        "OPERATION_TYPE_UNSPECIFIED",
    ):
        raise Unimplemented(f"operationType {operation[:40]}: snapshots and clones are not supported")
    given = asked.get("sourceTables") or ([asked["sourceTable"]] if asked.get("sourceTable") else [])
    if not isinstance(given, list) or not given:
        raise InvalidArgument("sourceTables: expected at least one")
    sources = [read_table(one, project, "sourceTables") for one in given]
    name = read_table(asked.get("destinationTable"), project, "destinationTable")
    how = cast(Write, _one_of(asked, "writeDisposition", ("WRITE_EMPTY", *_WRITES[:2])))
    creates = _one_of(asked, "createDisposition", _CREATES) == _CREATES[0]

    def work(job: Job) -> None:
        with opens().connect(project=job.project) as connection:
            job.interruptible(connection.interrupt)
            try:
                rows = copy(connection, sources, name, how, creates=creates)
            finally:
                job.uninterruptible()
        job.statistics = {"copiedRows": str(rows), "copiedLogicalBytes": "0"}

    return work
