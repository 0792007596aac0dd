"""Fields that resources have in common: what is allowed in them, and how masks choose among them."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from unicodedata import category

from trivet.core.errors import InvalidArgument
from trivet.core.resources import Document

_ID = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_MODEL_ID = re.compile(r"[a-z0-9](?:[a-z0-9_-]{0,61}[a-z0-9])?")
_POOL_ID = re.compile(r"[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?")
_ALIAS = re.compile(r"[a-z][a-zA-Z0-9-]{0,126}[a-z0-9-]")

_LINES = str.maketrans("", "", "\n\r\t")

MAX_LABELS = 64
MAX_DESCRIPTION = 64 * 1024


def check_id(id_: str, what: str) -> str:
    """Return an id that a caller chose (`what` is endpointId, modelId or deploymentResourcePoolId).

    Raises InvalidArgument for one that Google would not take.
    """
    pattern, extra = {
        "modelId": (_MODEL_ID, " _"),
        "deploymentResourcePoolId": (_POOL_ID, ""),
    }.get(what, (_ID, ""))
    if not pattern.fullmatch(id_):
        first = "a letter" if pattern is _POOL_ID else "a letter or digit"
        raise InvalidArgument(
            f"{what} {id_!r}: expected 1 to 63 of a-z 0-9 -{extra}, with {first} at the start and a letter "
            "or digit at the end"
        )
    return id_


def text(document: Document, field: str, where: str, limit: int = MAX_DESCRIPTION) -> str:
    """Return a text field, empty where it is not given; raises InvalidArgument for anything else.

    Control characters are refused, but for the ends of lines and tabs in descriptions.
    """
    value = document.get(field)
    if value is None:
        return ""
    if not isinstance(value, str) or len(value) > limit:
        got = f"{len(value)} of them" if isinstance(value, str) else repr(value)
        raise InvalidArgument(f"{where}.{field}: expected a text of at most {limit} characters; got {got}")
    plain = value.translate(_LINES) if field.lower().endswith("description") else value
    _refuse_control(plain, f"{where}.{field}")
    return value


def _refuse_control(value: str, where: str) -> None:
    for character in value:
        if category(character) == "Cc":
            raise InvalidArgument(f"{where}: has the control character U+{ord(character):04X}; take it out")


def display_name(document: Document, where: str, *, default: str = "") -> str:
    """Return the display name; raises InvalidArgument where it is missing or too long."""
    name = text(document, "displayName", where, 128) or default
    if not name:
        raise InvalidArgument(f"{where}.displayName: required; expected 1 to 128 characters")
    return name


def labels(document: Document, where: str) -> dict[str, str]:
    """Return the labels; raises InvalidArgument for those that break Google's rules for labels."""
    given = document.get("labels") or {}
    if not isinstance(given, Mapping):
        raise InvalidArgument(f"{where}.labels: expected an object of texts; got {given!r}")
    if len(given) > MAX_LABELS:
        raise InvalidArgument(f"{where}.labels: expected at most {MAX_LABELS} labels; got {len(given)}")
    for key, value in given.items():
        reserved = key.startswith("aiplatform.googleapis.com/")
        if not reserved and not (key and key[0].isalpha() and _is_label(key)):
            raise InvalidArgument(
                f"{where}.labels: key {key!r}: expected 1 to 64 lower-case letters, digits, _ and -, "
                "beginning with a letter"
            )
        _refuse_control(key, f"{where}.labels: key {key!r}")
        if isinstance(value, str):
            _refuse_control(value, f"{where}.labels[{key!r}]")
        if not isinstance(value, str) or not _is_label(value):
            raise InvalidArgument(
                f"{where}.labels[{key!r}]: expected at most 64 lower-case letters, digits, _ and -; "
                f"got {value!r}"
            )
    return dict(given)


def _is_label(value: str) -> bool:
    plain = value.replace("_", "").replace("-", "")
    return len(value) <= 64 and value == value.lower() and (not plain or plain.isalnum())


def aliases(given: Any, where: str) -> tuple[str, ...]:
    """Return version aliases, each once; raises InvalidArgument."""
    if not isinstance(given, Sequence) or isinstance(given, str):
        raise InvalidArgument(f"{where}: expected a list of aliases; got {given!r}")
    for alias in given:
        if not isinstance(alias, str) or not _ALIAS.fullmatch(alias):
            raise InvalidArgument(
                f"{where}: alias {alias!r}: expected 2 to 128 of a-z A-Z 0-9 -, beginning with a lower-case "
                "letter and not ending with a capital"
            )
    return tuple(dict.fromkeys(given))


def camel(path: str) -> str:
    """Return a mask's path in camelCase, whether it is that or snake_case; keys of labels as they are."""
    if path.startswith("labels."):
        return path
    return ".".join(
        re.sub(r"_([a-z0-9])", lambda match: match[1].upper(), part) if part.islower() else part
        for part in path.split(".")
    )


def masked(changes: Document, mask: Sequence[str], allowed: Iterable[str], where: str) -> list[str]:
    """Return the paths to change, in camelCase: those of the mask, or all in `changes` that may be changed.

    A path may lead below a field that may be changed; one above such stands for those of them that `changes`
    has. Raises InvalidArgument for any other.
    """
    allowed = tuple(allowed)
    there = [path for path in allowed if _present(changes, path)]
    paths = [camel(path.strip()) for path in mask if path.strip()]
    if not paths or "*" in paths:
        return there
    chosen: list[str] = []
    for path in paths:
        if any(path == one or path.startswith(f"{one}.") for one in allowed):
            chosen.append(path)
        elif any(one.startswith(f"{path}.") for one in allowed):
            chosen += [one for one in there if one.startswith(f"{path}.")]
        else:
            raise InvalidArgument(
                f"updateMask: {where}.{path} cannot be changed; what can: {', '.join(allowed)}"
            )
    return chosen


def merged(document: Document, changes: Document, paths: Iterable[str]) -> dict[str, Any]:
    """Return a document with the fields at these paths as in `changes`; those that are not in it go."""
    result = dict(document)
    for path in paths:
        _put(result, changes, path.split("."))
    return result


def _put(into: dict[str, Any], source: Any, path: Sequence[str]) -> None:
    first, rest = path[0], path[1:]
    given = source.get(first) if isinstance(source, Mapping) else None
    if rest:
        inner = into.get(first)
        below = dict(inner) if isinstance(inner, Mapping) else {}
        _put(below, given, rest)
        if below or inner is not None:
            into[first] = below
    elif given is None:
        into.pop(first, None)
    else:
        into[first] = given


def _present(document: Any, path: str) -> bool:
    for part in path.split("."):
        if not isinstance(document, Mapping) or part not in document:
            return False
        document = document[part]
    return True
