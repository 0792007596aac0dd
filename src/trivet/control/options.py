"""What a model and a deployed model may say of how they are served.

The object `trivet` in either is Trivet's own; what a deployed model says there goes before what its model
says, and that before the settings. `dedicatedResources` are Google's, and give the number of replicas.
"""

import re
from collections.abc import Mapping
from dataclasses import asdict, replace
from math import isfinite
from typing import Annotated, Any, TypeVar, cast

from msgspec import Meta, Struct, ValidationError, convert, structs, to_builtins

from trivet.core.errors import InvalidArgument
from trivet.core.resources import Document
from trivet.core.signature import unknown
from trivet.serving.batching import BatchLimits
from trivet.serving.lifecycle import ModelSpec
from trivet.serving.placement import Asked

S = TypeVar("S", bound=Struct)

_AT = re.compile(r" - at `\$\.(?P<field>[^`]+)`$")
_KINDS = ("dedicatedResources", "automaticResources", "sharedResources")
_COUNTS = ("minReplicaCount", "maxReplicaCount", "requiredReplicaCount", "initialReplicaCount")
_INT32 = (1 << 31) - 1  # what Google's protobuf holds
_DURATION = re.compile(r"(?P<seconds>\d+(?:\.\d+)?)s")


class Options(Struct, frozen=True, forbid_unknown_fields=True, rename="camel", omit_defaults=True):
    """How to serve a model: the object `trivet`. What is None is left to whoever is asked next."""

    framework: str | None = None
    """The runtime, where the artifact's content or the container image do not say. Of models only."""

    output: str | None = None
    """What a classifier answers where the request does not say."""

    placement: Asked | None = None
    """Where the predictor runs."""

    replicas: Annotated[int, Meta(ge=1)] | None = None
    """Processes, where it runs in processes; by default `dedicatedResources.minReplicaCount`."""

    max_rows: Annotated[int, Meta(ge=1)] | None = None
    """Rows predicted together at most."""

    max_wait: Annotated[float, Meta(ge=0)] | None = None
    """Seconds for which a free replica waits for company."""

    max_queued_rows: Annotated[int, Meta(ge=1)] | None = None
    """Rows that may wait."""

    timeout: Annotated[float, Meta(gt=0)] | None = None
    """Seconds after which a request is answered DEADLINE_EXCEEDED."""

    def over(self, other: "Options") -> "Options":
        """Return these options, and those of another where these say nothing."""
        said = {name: value for name, value in structs.asdict(self).items() if value is not None}
        return structs.replace(other, **said)

    def limits(self, default: BatchLimits) -> BatchLimits:
        """Return the batch limits."""
        given = {name: getattr(self, name) for name in ("max_rows", "max_wait", "max_queued_rows", "timeout")}
        return replace(default, **{name: value for name, value in given.items() if value is not None})


def options(document: Document, where: str) -> Options:
    """Read the object `trivet` of a document; raises InvalidArgument that names the field."""
    given = document.get("trivet")
    if given is None:
        return Options()
    read = read_options(given, Options, f"{where}.trivet")
    for name in ("maxWait", "timeout"):
        value = given.get(name)
        if value is not None and not isfinite(value):
            raise InvalidArgument(f"{where}.trivet.{name}: expected a finite number of seconds; got {value}")
    return read


def read_options(given: Any, kind: type[S], where: str) -> S:
    """Read an object that is Trivet's own; raises InvalidArgument that names the field."""
    known = kind.__struct_encode_fields__
    for name in given if isinstance(given, Mapping) else ():
        if name not in known:
            raise InvalidArgument(f"{where}.{name}: {unknown(name, known, 'field')}")
    try:
        return convert(given, kind)
    except ValidationError as error:
        match = _AT.search(str(error))
        field, said = (f".{match['field']}", str(error)[: match.start()]) if match else ("", str(error))
        got = f"; got {given[match['field']]!r}" if match and match["field"] in given else ""
        raise InvalidArgument(f"{where}{field}: {said}{got}") from None


def to_serve_as(spec: ModelSpec) -> Document:
    """Return the object `trivet` that says how a model is served already."""
    limits = asdict(spec.limits)
    return said(
        Options(output=spec.output or None, placement=spec.placement, replicas=spec.replicas, **limits)
    )


def said(given: Options) -> Document:
    """Return options as the object `trivet` has them, without those that say nothing."""
    return cast(Document, to_builtins(given))


def replicas(document: Document, where: str) -> int:
    """Return the smallest number of replicas that a document's `dedicatedResources` ask for, at least 1.

    Absent counts are 0, as in Google's JSON: that means scale to zero there, which is taken, and is 1 here
    until scale to zero exists. Raises InvalidArgument where the largest number is less.
    """
    given = document.get("dedicatedResources")
    if given is None:
        return 1
    if not isinstance(given, Mapping):
        raise InvalidArgument(f"{where}.dedicatedResources: expected an object; got {given!r}")
    where = f"{where}.dedicatedResources"
    least, most = _count(given, "minReplicaCount", where), _count(given, "maxReplicaCount", where)
    for name in _COUNTS[2:]:
        if most and (count := _count(given, name, where)) > most:
            raise InvalidArgument(f"{where}.{name}: expected at most maxReplicaCount, {most}; got {count}")
    if most and least > most:
        raise InvalidArgument(
            f"{where}: expected minReplicaCount to be at most maxReplicaCount; got {least} and {most}"
        )
    return max(1, least)


def check_replicas(document: Document, where: str, limit: int) -> None:
    """Raise InvalidArgument where a document asks for more replicas than may run, or says it wrongly.

    maxReplicaCount may be larger: it is kept, and as many as may run are run.
    """
    own = options(document, where).replicas
    least = replicas(document, where)
    for field, asked in (("trivet.replicas", own or 0), ("dedicatedResources.minReplicaCount", least)):
        if asked > limit:
            raise InvalidArgument(
                f"{where}.{field}: expected at most {limit}, the most replicas that are run here; got {asked}"
            )
    for name in _COUNTS:
        asked = _count(document.get("dedicatedResources") or {}, name, f"{where}.dedicatedResources")
        if asked > _INT32:
            raise InvalidArgument(
                f"{where}.dedicatedResources.{name}: expected at most {_INT32}; got {asked}"
            )


def one_kind(document: Document, where: str) -> None:
    """Raise InvalidArgument where a deployed model asks for more than one kind of resources."""
    given = [kind for kind in _KINDS if document.get(kind)]
    if len(given) > 1:
        raise InvalidArgument(f"{where}: expected one of {', '.join(_KINDS)}; got {' and '.join(given)}")


def duration(value: Any, where: str) -> float:
    """Return the seconds of a duration as Google's JSON has it, `"600s"`; raises InvalidArgument."""
    match = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if match is None or not float(match["seconds"]):
        raise InvalidArgument(f'{where}: expected a duration such as "600s"; got {value!r}')
    return float(match["seconds"])


def _count(resources: Mapping[str, Any], name: str, where: str) -> int:
    value = resources.get(name) or 0
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise InvalidArgument(f"{where}.{name}: expected a whole number, 0 or more; got {value!r}")
    return value
