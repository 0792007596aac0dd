"""Settings: the one place that reads files, the environment and flags.

Defaults < `trivet.toml` < the platform's `AIP_*` < `TRIVET_*` < flags. An unknown key is an error that
names the nearest known one, and every value remembers where it came from.
"""

import os
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from difflib import get_close_matches
from math import isfinite
from pathlib import Path
from typing import Any, get_origin, get_type_hints

import msgspec

from trivet.core.errors import InvalidArgument
from trivet.core.names import ModelRef
from trivet.settings import Model, Settings

FILE = "trivet.toml"
CONFIG_VARIABLE = "TRIVET_CONFIG"
DATA_VARIABLE = "TRIVET_DATA"


@dataclass(frozen=True, slots=True)
class _Given:
    value: Any
    source: str
    text: bool = False  # from the environment: "8080" is a number


SECTIONS = {
    f.name: get_type_hints(Settings)[f.name]
    for f in fields(Settings)
    if is_dataclass(get_type_hints(Settings)[f.name])
}


def known() -> Iterator[tuple[str, Any, Any]]:
    """Yield every setting but those of models: its dotted name, its type and its default."""
    for section, kind in SECTIONS.items():
        yield from _fields_of(kind, section)


def _fields_of(kind: Any, prefix: str) -> Iterator[tuple[str, Any, Any]]:
    hints = get_type_hints(kind, include_extras=True)
    for one in fields(kind):
        yield f"{prefix}.{one.name}", hints[one.name], one.default


def load(
    flags: Mapping[str, Any] | None = None,
    models: Mapping[str, Model] | None = None,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> Settings:
    """Put the settings together; raises InvalidArgument that names a wrong key and its source.

    `flags` are by dotted name; `models` given on the command line replace those of the file.
    """
    environment = os.environ if environment is None else environment
    file = _file(environment, folder or Path())
    given = {**_from_file(file), **_from_platform(environment), **_from_environment(environment)}
    given |= {key: _Given(value, "flag") for key, value in (flags or {}).items()}
    types = {key: (kind, default) for key, kind, default in known()}
    _refuse_unknown(given, types)
    values: dict[str, dict[str, Any]] = {section: {} for section in SECTIONS}
    sources = dict.fromkeys(types, "default")
    for key, one in given.items():
        section, _, name = key.partition(".")
        if section != "models":
            values[section][name] = _convert(key, one, types[key][0])
            sources[key] = one.source
    served = models or _models_in(given) or _platform_model(environment)
    for name in served:
        ModelRef.parse(name)
        sources[f"models.{name}"] = (
            "flag" if models else given.get(f"models.{name}.path", _Given("", "AIP_STORAGE_URI")).source
        )
    sections = {section: SECTIONS[section](**values[section]) for section in SECTIONS}
    return Settings(**sections, models=served, sources=sources)


def _file(environment: Mapping[str, str], folder: Path) -> Path | None:
    if named := environment.get(CONFIG_VARIABLE):
        if not Path(named).is_file():
            raise InvalidArgument(f"{CONFIG_VARIABLE}: there is no file {named}")
        return Path(named)
    return folder / FILE if (folder / FILE).is_file() else None


def _from_file(file: Path | None) -> dict[str, _Given]:
    if file is None:
        return {}
    try:
        content = tomllib.loads(file.read_text())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidArgument(f"{file}: {error}") from None
    given: dict[str, _Given] = {}
    for section, table in content.items():
        if not isinstance(table, dict):
            raise InvalidArgument(f"{file}: {section}: expected a table, [{section}]")
        for key, value in table.items():
            if section != "models":
                given[f"{section}.{key}"] = _Given(value, str(file))
                continue
            if not isinstance(value, dict):
                raise InvalidArgument(f'{file}: models.{key}: expected a table, [models."{key}"]')
            for name, one in value.items():
                local = name == "path" and isinstance(one, str) and "://" not in one
                given[f"models.{key}.{name}"] = _Given(str(file.parent / one) if local else one, str(file))
    return given


def _from_environment(environment: Mapping[str, str]) -> dict[str, _Given]:
    names = {f"TRIVET_{key.replace('.', '_').upper()}": key for key, _, _ in known()}
    names[DATA_VARIABLE] = "catalog.data"
    given = {}
    for variable, value in environment.items():
        if not variable.startswith("TRIVET_") or variable == CONFIG_VARIABLE:
            continue
        if variable not in names:
            raise InvalidArgument(f"{variable}: unknown setting{_nearest(variable, names)}")
        given[names[variable]] = _Given(value, variable, text=True)
    return given


def _from_platform(environment: Mapping[str, str]) -> dict[str, _Given]:
    """Read what a platform sets for a prediction container; it expects every address to be served."""
    names = {
        "AIP_HTTP_PORT": "server.port",
        "AIP_PREDICT_ROUTE": "container.predict_route",
        "AIP_HEALTH_ROUTE": "container.health_route",
    }
    given = {
        key: _Given(environment[variable], variable, text=True)
        for variable, key in names.items()
        if environment.get(variable)
    }
    if "server.port" in given:
        given["server.host"] = _Given("0.0.0.0", "AIP_HTTP_PORT")
    return given


def _platform_model(environment: Mapping[str, str]) -> dict[str, Model]:
    location = environment.get("AIP_STORAGE_URI")
    return {environment.get("AIP_MODEL_NAME") or "model": Model(path=location)} if location else {}


def _models_in(given: Mapping[str, _Given]) -> dict[str, Model]:
    types = {key.partition(".")[2]: kind for key, kind, _ in _fields_of(Model, "models")}
    values: dict[str, dict[str, Any]] = {}
    for key, one in given.items():
        if key.startswith("models."):
            name, _, option = key.removeprefix("models.").rpartition(".")
            values.setdefault(name, {})[option] = _convert(key, one, types[option])
    return {name: Model(**options) for name, options in values.items()}


def _refuse_unknown(given: Mapping[str, _Given], types: Mapping[str, Any]) -> None:
    options = {key.partition(".")[2]: None for key, _, _ in _fields_of(Model, "models")}
    for key, one in given.items():
        if key.startswith("models."):
            if (option := key.rpartition(".")[2]) not in options:
                near = _nearest(option, options)
                raise InvalidArgument(f"{one.source}: {key}: unknown setting{near}")
        elif key not in types:
            near = _nearest(key, [*types, "models"])
            raise InvalidArgument(f"{one.source}: {key}: unknown setting{near}")


def _convert(key: str, given: _Given, kind: Any) -> Any:
    value = given.value
    if given.text and get_origin(kind) is tuple:
        value = [part.strip() for part in value.split(",") if part.strip()]
    try:
        converted = msgspec.convert(value, kind, strict=not given.text)
        if isinstance(converted, float) and not isfinite(converted):
            raise msgspec.ValidationError("Expected a finite number")
        return converted
    except msgspec.ValidationError as error:
        name = given.source if given.text else f"{given.source}: {key}"
        raise InvalidArgument(f"{name}: {error}; got {value!r}") from None


def _nearest(name: str, names: Any) -> str:
    near = get_close_matches(name, list(names), n=1, cutoff=0.5)
    return f"; did you mean {near[0]}?" if near else ""
