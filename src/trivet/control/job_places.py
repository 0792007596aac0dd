"""Where a batch prediction job reads and writes, as its document says it: by Google's fields, or by `trivet`.

Also what is the same for all of its fields: how they are read, and refused.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from msgspec import Struct

from trivet.control.fields import text
from trivet.core.batch import Kind
from trivet.core.errors import InvalidArgument, NotFound, Unimplemented
from trivet.core.resources import Document
from trivet.sinks.registry import get_sink
from trivet.sources.registry import get_source

_ABSOLUTE = re.compile(r"/|[A-Za-z][A-Za-z0-9+.-]*:", re.ASCII)
_CLOUD = re.compile(r"gs://[^/]+(?:/.*)?", re.DOTALL)
_TABLE = re.compile(r"bq://[^./\s]+\.[^./\s]+\.[^./\s]+")
_DATASET = re.compile(r"bq://[^./\s]+(?:\.[^./\s]+)?")
_MAX_TEXTS = 10_000


class Source(Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """Any source: `trivet.source`. What the options mean is the format's."""

    uris: list[str]
    options: dict[str, Any] = {}


class Destination(Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """Any destination: `trivet.destination`."""

    uri: str
    options: dict[str, Any] = {}


@dataclass(frozen=True, slots=True)
class Place:
    """A format, and where that is read or written; a destination is one URI."""

    format: str
    uris: tuple[str, ...]
    options: Mapping[str, Any] = field(default_factory=dict)


def read_source(document: Document, own: Source | None) -> Place:
    """Read `inputConfig`, or the source that takes its place; raises InvalidArgument."""
    where = "inputConfig"
    config = read_object(document, where)
    format_ = _format(config, "instancesFormat", where)
    kind_of(format_)
    _refuse_dataset(config, "vertexMultimodalDatasetSource", where)
    given = _only(config, where, "gcsSource", "bigquerySource", "trivet.source" if own else "")
    if own is not None:
        return Place(format_, read_uris(own.uris, "trivet.source.uris"), own.options)
    inner, at = read_object(config, given, where), f"{where}.{given}"
    if given == "gcsSource":
        uris = read_texts(inner.get("uris"), f"{at}.uris")
        for uri in uris:
            _check_form(uri, _CLOUD, f"{at}.uris", "gs://BUCKET/OBJECT; trivet.source takes others")
    else:
        uris = (text(inner, "inputUri", at),)
        _check_form(uris[0], _TABLE, f"{at}.inputUri", "bq://PROJECT.DATASET.TABLE")
    _check_match(format_, given, f"{where}.instancesFormat")
    return Place(format_, uris)


def read_destination(document: Document, own: Destination | None) -> Place:
    """Read `outputConfig`, or the destination that takes its place; raises InvalidArgument."""
    where = "outputConfig"
    config = read_object(document, where)
    format_ = _format(config, "predictionsFormat", where)
    try:
        get_sink(format_)
    except (NotFound, InvalidArgument) as error:
        raise InvalidArgument(f"{where}.predictionsFormat: {error}") from None
    _refuse_dataset(config, "vertexMultimodalDatasetDestination", where)
    given = _only(config, where, "gcsDestination", "bigqueryDestination", "trivet.destination" if own else "")
    if own is not None:
        return Place(format_, read_uris([own.uri], "trivet.destination.uri"), own.options)
    inner, at = read_object(config, given, where), f"{where}.{given}"
    if given == "gcsDestination":
        uri = text(inner, "outputUriPrefix", at)
        expected = "gs://BUCKET/FOLDER; trivet.destination takes others"
        _check_form(uri, _CLOUD, f"{at}.outputUriPrefix", expected)
    else:
        uri = text(inner, "outputUri", at)
        _check_form(uri, _DATASET, f"{at}.outputUri", "bq://PROJECT.DATASET")
    _check_match(format_, given, f"{where}.predictionsFormat")
    return Place(format_, (uri,))


def kind_of(format_: str) -> Kind:
    """Return what the records of a format are; raises InvalidArgument where nothing reads it."""
    try:
        return get_source(format_).kind
    except (NotFound, InvalidArgument) as error:
        raise InvalidArgument(f"inputConfig.instancesFormat: {error}") from None


def read_object(document: Document, name: str, where: str = "") -> Mapping[str, Any]:
    """Return an object, empty where it is not given; raises InvalidArgument for anything else."""
    given = document.get(name)
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise InvalidArgument(f"{where and where + '.'}{name}: expected an object; got {given!r}")
    return given


def read_texts(given: Any, where: str, at_least: int = 1) -> tuple[str, ...]:
    """Return a list of texts that are not empty; raises InvalidArgument for anything else."""
    given = () if given is None else given
    if not isinstance(given, Sequence) or isinstance(given, str):
        raise InvalidArgument(f"{where}: expected a list of texts; got {given!r}")
    if not at_least <= len(given) <= _MAX_TEXTS:
        raise InvalidArgument(f"{where}: expected {at_least} to {_MAX_TEXTS} texts; got {len(given)}")
    for one in given:
        if not isinstance(one, str) or not one or "\0" in one:
            raise InvalidArgument(f"{where}: expected texts that are not empty; got {one!r}")
    return tuple(given)


def read_uris(given: Any, where: str) -> tuple[str, ...]:
    """Return URIs and absolute paths: a relative one would be so to wherever the server was started."""
    uris = read_texts(given, where)
    for uri in uris:
        if not _ABSOLUTE.match(uri):
            raise InvalidArgument(f"{where}: expected an absolute path or a URI; got {uri!r}")
    return uris


def read_whole(given: Document, name: str, where: str) -> int:
    """Return a whole number, 0 where it is not given; raises InvalidArgument for anything else."""
    value = given.get(name) or 0
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 1 << 31:
        raise InvalidArgument(f"{where}.{name}: expected a whole number from 0; got {value!r}")
    return value


def _format(config: Document, name: str, where: str) -> str:
    format_ = text(config, name, where)
    if not format_:
        raise InvalidArgument(f"{where}.{name}: required; expected the name of a format, such as jsonl")
    return format_


def _only(config: Document, where: str, first: str, second: str, own: str) -> str:
    """Return which of three ways to name a place is used: there must be one."""
    given = [name for name in (first, second) if config.get(name)] + [own] * bool(own)
    if len(given) == 1:
        return given[0]
    ours = "trivet.source" if first == "gcsSource" else "trivet.destination"
    got = " and ".join(given) or "none"
    raise InvalidArgument(f"{where}: expected one of {first}, {second} and {ours}; got {got}")


def _check_form(uri: str, form: re.Pattern[str], where: str, expected: str) -> None:
    if not form.fullmatch(uri) or "\0" in uri:
        raise InvalidArgument(f"{where}: expected {expected}; got {uri!r}")


def _check_match(format_: str, given: str, where: str) -> None:
    if given.startswith("bigquery") != (format_ == "bigquery"):
        raise InvalidArgument(f"{where}: {format_!r} does not go with {given}")


def _refuse_dataset(config: Document, name: str, where: str) -> None:
    if config.get(name):
        raise Unimplemented(f"{where}.{name}: there are no multimodal datasets here; give files or a table")
