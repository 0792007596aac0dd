"""The OPTIONS of statements about models: which there are, of what type, and what is allowed in them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import Any

from sqlglot import exp

from trivet.control import fields
from trivet.core.errors import InvalidArgument, Unimplemented
from trivet.core.signature import unknown
from trivet.sql import dialect, types
from trivet.sql.positions import at
from trivet.sql.types import Field, Type, array, struct

Evaluate = Callable[[exp.Expression], Any]
"""Returns the value of an expression that needs no table."""

_ABOUT = {
    "description": "STRING",
    "labels": "ARRAY<STRUCT<STRING, STRING>>",
    "friendly_name": "STRING",
    "expiration_timestamp": "TIMESTAMP",
}
_ANSWER = {
    "output": "STRING",
    "scalar_outputs": "BOOL",
    "instance_type": "STRING",
    "input_label_cols": "ARRAY<STRING>",
}
_REGISTRY = {"vertex_ai_model_id": "STRING", "vertex_ai_model_version_aliases": "ARRAY<STRING>"}

IMPORTED: Mapping[str, str] = {
    "model_type": "STRING", "model_path": "STRING", **_ANSWER, **_REGISTRY, **_ABOUT,
}  # fmt: skip
REGISTERED: Mapping[str, str] = {"model": "STRING", **_ANSWER, **_ABOUT}
REMOTE: Mapping[str, str] = {
    "endpoint": "STRING", "max_batching_rows": "INT64", "retries": "BOOL", "instance_type": "STRING",
    "input_label_cols": "ARRAY<STRING>", **_ABOUT,
}  # fmt: skip
ALTERED: Mapping[str, str] = {"vertex_ai_model_id": "STRING", **_ABOUT}
EXPORTED: Mapping[str, str] = {"uri": "STRING"}

REFUSED: Mapping[str, str] = {
    "kms_key_name": "models are not encrypted with keys of one's own here; leave it out",
    "remote_service_type": "only endpoints answer as remote models here: OPTIONS(endpoint='..')",
    "remote_service_options": "only endpoints answer as remote models here",
    "deploy_model": "deploy the registered model with `trivet deploy`",
    "endpoint_idle_ttl": "deploy the registered model with `trivet deploy`",
    "hugging_face_model_id": "download the model, and import its file with model_path",
    "model_garden_model_name": "download the model, and import its file with model_path",
    "trial_id": "only models tuned in BigQuery have trials",
}
"""Options that BigQuery has and that are not supported here, and why."""

_PYTHON = {"STRING": str, "BOOL": bool, "INT64": int}
_NAMES: Mapping[type, str] = {
    bool: "BOOL", int: "INT64", float: "FLOAT64", str: "STRING", bytes: "BYTES",
    datetime: "TIMESTAMP", date: "DATE", time: "TIME",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Options:
    """The options of a statement that were given, by their names in lower case, and where each stands.

    An option that is given as NULL is in `values`, as None.
    """

    values: Mapping[str, Any]
    places: Mapping[str, str]

    def at(self, name: str, otherwise: str = "") -> str:
        """Return where an option stands, ` at [1:8]`."""
        return self.places.get(name, otherwise)

    def about(self, name: str, default: Any = None) -> Any:
        """Return the value of an option, the default where it is not given or NULL."""
        value = self.values.get(name)
        return default if value is None else value


def read(node: exp.Expression, known: Mapping[str, str], what: str, evaluate: Evaluate) -> Options:
    """Return the options of a statement, which may have the known ones; `what` it is about is for errors.

    Raises InvalidArgument for an unknown one or a value of another type, Unimplemented for `REFUSED` ones.
    """
    given = dialect.options(node)
    places = {name: one.at for name, one in given.items()}
    values = {}
    for name, one in given.items():
        if name not in known:
            if name in REFUSED:
                raise Unimplemented(f"OPTIONS({name}): not supported: {REFUSED[name]}{one.at}")
            raise InvalidArgument(
                f"OPTIONS({name}) of {what}: {unknown(name, tuple(known), 'option')}{one.at}"
            )
        value = evaluate(one.value) if isinstance(one.value, exp.Expression) else one.value
        values[name] = None if value is None else _checked(name, value, known[name], one.at)
    return Options(values, places)


def _checked(name: str, value: Any, expected: str, place: str) -> Any:
    where = f"OPTIONS({name})"
    if expected in _PYTHON and type(value) is _PYTHON[expected]:
        return value
    if expected == "FLOAT64" and type(value) in (int, float):
        return float(value)
    if expected == "ARRAY<STRING>" and isinstance(value, list) and all(isinstance(one, str) for one in value):
        return value
    if expected == "TIMESTAMP" and isinstance(value, datetime):
        return value if value.tzinfo else value.replace(tzinfo=UTC)
    if expected == "TIMESTAMP" and isinstance(value, str):  # a literal, which is coerced
        try:
            read_ = datetime.fromisoformat(value)
        except ValueError:
            raise InvalidArgument(f"{where}: {value!r} is no TIMESTAMP{place}") from None
        return read_ if read_.tzinfo else read_.replace(tzinfo=UTC)
    if name == "labels" and isinstance(value, list):
        return _labels(value, where, place)
    raise InvalidArgument(f"{where}: expected {expected}; got {_type_of(value)}{place}")


def _labels(value: list[Any], where: str, place: str) -> dict[str, str]:
    pairs = [tuple(one.values()) if isinstance(one, dict) else one for one in value]
    found: dict[str, str] = {}
    for pair in pairs:
        if not (isinstance(pair, tuple) and len(pair) == 2 and all(isinstance(one, str) for one in pair)):
            raise InvalidArgument(f"{where}: expected pairs of strings, as in [('team', 'risk')]{place}")
        if pair[0] in found:
            raise InvalidArgument(f"{where}: {pair[0]!r} is given twice{place}")
        found[pair[0]] = pair[1]
    try:
        return fields.labels({"labels": found}, "model")
    except InvalidArgument as error:
        raise InvalidArgument(f"{where}: {str(error).removeprefix('model.')}{place}") from None


def _type_of(value: Any) -> str:
    """Return what GoogleSQL calls the type of a value."""
    match value:
        case list():
            return f"ARRAY<{_type_of(value[0])}>" if value else "ARRAY"
        case tuple() | dict():
            inner = value.values() if isinstance(value, dict) else value
            return f"STRUCT<{', '.join(map(_type_of, inner))}>"
    return _NAMES.get(type(value), type(value).__name__.upper())


def columns(clause: exp.Expression, name: str) -> tuple[Field, ...]:
    """Return the columns of an INPUT or OUTPUT clause; raises InvalidArgument for what is no column."""
    found = []
    for one in clause.this.expressions:
        if not isinstance(one, exp.ColumnDef) or one.kind is None:
            raise InvalidArgument(
                f"{name}: expected a name and a type, as in f0 FLOAT64{at(one) or at(clause)}"
            )
        if one.args.get("constraints"):
            raise InvalidArgument(
                f"{name}: {one.name}: expected a name and a type, and nothing else{at(one)}"
            )
        found.append(Field(one.name, type_of(one.kind, f"{name}: {one.name}", at(one))))
    return tuple(found)


def type_of(node: exp.Expression, where: str, place: str = "") -> Type:
    """Return the type that a node names; raises InvalidArgument, naming `where` it stands."""
    if isinstance(node, exp.DataType):
        inner = node.expressions
        if node.this == exp.DType.ARRAY and len(inner) == 1:
            item = type_of(inner[0], where, place)
            if item.kind == "ARRAY":
                raise InvalidArgument(f"{where}: there are no arrays of arrays{place}")
            return array(item)
        if node.this == exp.DType.STRUCT:
            return struct(*(_part(one, where, place) for one in inner))
        if not inner:
            try:
                return types.of_name(node.sql("bigquery"))
            except InvalidArgument as error:
                raise InvalidArgument(f"{where}: {error}{place}") from None
    raise InvalidArgument(f"{where}: {node.sql('bigquery')}: expected a type without parameters{place}")


def _part(node: exp.Expression, where: str, place: str) -> Field:
    if isinstance(node, exp.ColumnDef) and node.kind is not None:
        return Field(node.name, type_of(node.kind, where, place))
    return Field("", type_of(node, where, place))
