"""From the options of `trivet batch` to the document of a job."""

import json
import re
from glob import escape, iglob
from pathlib import Path
from typing import Any

from trivet.cli.batch_jobs import Jobs
from trivet.cli.control import Json
from trivet.core.errors import InvalidArgument, NotFound

SUFFIXES = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".csv": "csv",
    ".tfrecord": "tf-record",
    ".tfrecords": "tf-record",
    ".txt": "file-list",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".duckdb": "duckdb",
}
SCHEMES = {"bq": "bigquery", "duckdb": "duckdb", "sql": "duckdb"}
_COMPRESSED = (".gz", ".gzip", ".zst", ".zstd")
_SCHEME = re.compile(r"([a-z][a-z0-9+.-]*):", re.ASCII)


def document(jobs: Jobs, model: str, asked: dict[str, Any]) -> Json:
    """Return the document that the options stand for; raises InvalidArgument, and NotFound for the model.

    `asked` has the options of `trivet batch` by their names.
    """
    inputs = [absolute(one) for one in asked["inputs"]]
    output = absolute(asked["output"])
    own: Json = {
        "native": not asked["vertex"],
        "source": {"uris": inputs, "options": {"sql": asked["sql"]} if asked["sql"] else {}},
        "destination": {"uri": output},
        "maxErrors": asked["max_errors"],
        "maxErrorShare": asked["max_error_share"],
        "engine": asked["engine"],
        "workers": asked["workers"] or 0,
    }
    target = predicts(jobs, model, asked["endpoint"])
    if framework := target.pop("framework", ""):
        own["framework"] = framework
    return {
        "displayName": (asked["name"] or model or asked["endpoint"])[:128],
        **target,
        "inputConfig": {"instancesFormat": asked["input_format"] or format_of(asked["inputs"][0])},
        "outputConfig": {"predictionsFormat": asked["output_format"] or _output_format(output)},
        "instanceConfig": {
            "instanceType": asked["instance_type"] or "",
            "keyField": asked["key"] or "",
            "includedFields": _fields(asked["include"]),
            "excludedFields": _fields(asked["exclude"]),
        },
        "modelParameters": _parameters(asked["parameters"]),
        "manualBatchTuningParameters": {"batchSize": asked["batch_size"] or 0},
        "trivet": {key: value for key, value in own.items() if value is not None},
    }


def predicts(jobs: Jobs, model: str, endpoint: str | None) -> Json:
    """Return what a job's document says of the model, or of the endpoint, and `framework` of a bare file."""
    if endpoint:
        plain = "/" not in endpoint
        return {"endpoint": str(jobs.home.child("endpoints", endpoint)) if plain else endpoint}
    from trivet.cli.models import parse

    if is_name(model):
        try:
            return {"model": jobs.model(model)}
        except (NotFound, InvalidArgument) as error:
            if not Path(model).exists():
                raise NotFound(
                    f"{str(error).rstrip('.')}; nor is there a file or folder of that name"
                ) from None
    _, framework, path = parse(model)
    container: Json = {"artifactUri": absolute(path) if path else ""}
    return {"unmanagedContainerModel": container, "framework": framework}


def is_name(model: str) -> bool:
    """Whether this may be a registered model: no path, and no framework before one."""
    return model.startswith("projects/") or not re.search(r"[/\\:=]|^\.", model)


def absolute(place: str) -> str:
    """Return a local path in full, as whoever runs the job may be elsewhere; a URI as it is."""
    scheme = _SCHEME.match(place)
    if scheme and scheme[1] == "duckdb":
        return f"duckdb:{Path(place.partition(':')[2]).absolute()}"
    return place if scheme and not Path(place).exists() else str(Path(place).absolute())


def format_of(place: str) -> str:
    """Return the format of an input, by its scheme or suffix, or those of what is there.

    Raises InvalidArgument where none of them tells.
    """
    scheme = _SCHEME.match(place)
    if scheme and scheme[1] in SCHEMES:
        return SCHEMES[scheme[1]]
    for name in (place, *_first(place)):
        path = Path(name)
        compressed = path.suffix in _COMPRESSED
        format_ = SUFFIXES.get(Path(path.stem).suffix if compressed else path.suffix)
        if format_ == "tf-record" and path.suffix in (".gz", ".gzip"):
            return "tf-record-gzip"
        if format_:
            return format_
    raise InvalidArgument(f"{place}: its name does not tell its format; give it with --input-format")


def _first(place: str) -> list[str]:
    """Return the first local file that is meant by a folder, or by a name with wildcards."""
    pattern = str(Path(escape(place)) / "*") if Path(place).is_dir() else place
    found = sorted(one for one in iglob(pattern, recursive=True) if Path(one).is_file())
    return found[:1]


def _output_format(place: str) -> str:
    scheme = _SCHEME.match(place)
    return SCHEMES.get(scheme[1], "jsonl") if scheme else "jsonl"


def _fields(given: tuple[str, ...]) -> list[str]:
    return [name.strip() for one in given for name in one.split(",") if name.strip()]


def _parameters(given: str | None) -> Json:
    try:
        read = json.loads(given) if given else {}
    except ValueError as error:
        raise InvalidArgument(f"--parameters: not valid JSON: {error}") from None
    if not isinstance(read, dict):
        raise InvalidArgument("--parameters: expected a JSON object")
    return read
