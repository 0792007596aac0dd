"""Reads CREATE MODEL: what it asks for, and whether its clauses and options are allowed for that."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from sqlglot import exp

from trivet.core.errors import InvalidArgument, NotFound, Unimplemented
from trivet.core.signature import unknown
from trivet.runtimes import registry
from trivet.runtimes.base import WithoutArtifact
from trivet.sql import dialect, options
from trivet.sql.creation import Creation
from trivet.sql.model import REMOTE, TRIVET, Remote
from trivet.sql.models import Models
from trivet.sql.names import ObjectName
from trivet.sql.options import Evaluate, Options
from trivet.sql.positions import at, positioned
from trivet.sql.types import Field, Type

FRAMEWORKS: Mapping[str, str] = {
    "TENSORFLOW": "tensorflow",
    "ONNX": "onnx",
    "XGBOOST": "xgboost",
    "SKLEARN": "sklearn",
    "LIGHTGBM": "lightgbm",
    "CATBOOST": "catboost",
    "PYTORCH": "torch",
    "PYTHON": "python",
    "CONTAINER": "container",
}
"""The runtime of each MODEL_TYPE; the first three are BigQuery's, the others Trivet's own."""

_ALSO = {"TORCH": "PYTORCH", "SCIKIT_LEARN": "SKLEARN"}

TRAINED = frozenset((
    "LINEAR_REG", "LOGISTIC_REG", "KMEANS", "MATRIX_FACTORIZATION", "PCA", "AUTOENCODER",
    "AUTOML_CLASSIFIER", "AUTOML_REGRESSOR", "BOOSTED_TREE_CLASSIFIER", "BOOSTED_TREE_REGRESSOR",
    "RANDOM_FOREST_CLASSIFIER", "RANDOM_FOREST_REGRESSOR", "DNN_CLASSIFIER", "DNN_REGRESSOR",
    "DNN_LINEAR_COMBINED_CLASSIFIER", "DNN_LINEAR_COMBINED_REGRESSOR", "ARIMA", "ARIMA_PLUS",
    "ARIMA_PLUS_XREG", "CONTRIBUTION_ANALYSIS", "TRANSFORM_ONLY",
))  # fmt: skip
"""The types of models that BigQuery trains."""

_OF_ENDPOINTS = frozenset(("BOOL", "INT64", "FLOAT64", "NUMERIC", "BIGNUMERIC", "STRING"))
_NUMBERS = frozenset(("INT64", "FLOAT64", "NUMERIC", "BIGNUMERIC"))
_CLAUSES: Mapping[type[exp.Expression], str] = {
    exp.TransformModelProperty: "TRANSFORM",
    exp.InputModelProperty: "INPUT",
    exp.OutputModelProperty: "OUTPUT",
    exp.RemoteWithConnectionModelProperty: "REMOTE",
    exp.Property: "OPTIONS",
}
"""In the order in which they stand."""

_ROWS = 128

_Columns = tuple[Field, ...] | None


def creation(
    tree: exp.Create, name: ObjectName, models: Models, evaluate: Evaluate, folder: Path | None
) -> Creation:
    """Return what a CREATE MODEL asks for. Relative paths are relative to `folder`, or refused without one.

    Raises InvalidArgument, NotFound and Unimplemented that say where in the text.
    """
    where = at(tree.this)
    clauses = _clauses(tree)
    inputs = options.columns(clauses["INPUT"], "INPUT") if "INPUT" in clauses else None
    outputs = options.columns(clauses["OUTPUT"], "OUTPUT") if "OUTPUT" in clauses else None
    asked = Creation(name, "", inputs=inputs, outputs=outputs, replace=bool(tree.args.get("replace")))
    given = dialect.options(tree)
    if "REMOTE" in clauses:
        read = options.read(tree, options.REMOTE, "a remote model", evaluate)
        _remote_columns(asked, where)
        asked = replace(asked, type=REMOTE, remote=_remote(clauses["REMOTE"], read, name, models, where))
    elif "endpoint" in given:
        place = given["endpoint"].at
        raise InvalidArgument(
            f"OPTIONS(endpoint): needs REMOTE WITH CONNECTION DEFAULT before OPTIONS{place}"
        )
    elif "model" in given:
        read = options.read(tree, options.REGISTERED, "a registered model", evaluate)
        if clauses.keys() - {"OPTIONS"}:
            raise InvalidArgument(f"INPUT, OUTPUT: a registered model has its own; leave them out{where}")
        with positioned(read.at("model")):
            version = models.version(read.about("model", ""), name.project)
        asked = replace(asked, type=TRIVET, model=str(version.name.at(version.version)))
    else:
        type_ = model_type(given, where)
        read = options.read(tree, options.IMPORTED, f"a model of type {type_}", evaluate)
        asked = _imported(asked, type_, read, folder, where)
    return replace(
        asked,
        options={key: value for key, value in read.values.items() if value is not None},
        description=read.about("description", ""),
        labels=read.about("labels", {}),
        expires=read.about("expiration_timestamp"),
    )


def model_type(given: Mapping[str, dialect.Option], where: str = "") -> str:
    """Return MODEL_TYPE as one of `FRAMEWORKS`, or the name of a plugin's runtime in capitals.

    Raises InvalidArgument where it is missing or unknown, Unimplemented for types that BigQuery has alone.
    """
    option = given.get("model_type")
    if option is None:
        known = ", ".join(FRAMEWORKS)
        raise InvalidArgument(f"OPTIONS(model_type) is required: one of {known}{where}")
    if not isinstance(option.value, str):
        raise InvalidArgument(f"OPTIONS(model_type): expected a STRING{option.at}")
    type_ = option.value.upper()
    type_ = _ALSO.get(type_, type_)
    if type_ == "TENSORFLOW_LITE":
        raise Unimplemented(
            "OPTIONS(model_type): TENSORFLOW_LITE is not supported; import the SavedModel that it was made "
            f"of, with model_type='TENSORFLOW'{option.at}"
        )
    if type_ in TRAINED:
        raise Unimplemented(
            f"OPTIONS(model_type): {type_}: Trivet imports trained models; train elsewhere, and import the "
            f"file with one of {', '.join(FRAMEWORKS)}{option.at}"
        )
    if type_ not in FRAMEWORKS and not _is_plugin(type_.lower()):
        what = unknown(type_, (*FRAMEWORKS, *TRAINED), "type")
        raise InvalidArgument(f"OPTIONS(model_type): {option.value!r}: {what}{option.at}")
    return type_


def source_of(given: str, folder: Path | None, option: str, place: str = "") -> str:
    """Return the absolute path, or the URI, that a path in a statement means, without a `/*` at its end.

    Raises InvalidArgument for wildcards elsewhere, and for a relative path where there must be none.
    """
    text = given.removesuffix("*") if given.endswith("/*") else given
    if "*" in text:
        raise InvalidArgument(
            f"OPTIONS({option}): {given!r}: a wildcard may only be the last part, dir/*{place}"
        )
    if not text:
        raise InvalidArgument(f"OPTIONS({option}): expected a path or a URI{place}")
    if "://" in text:
        return text if text.count("/") == 3 else text.rstrip("/")
    path = Path(text)
    if not path.is_absolute():
        if folder is None:
            raise InvalidArgument(f"OPTIONS({option}): {given!r}: expected an absolute path or a URI{place}")
        path = (folder / path).absolute()
    return str(path)


def _imported(asked: Creation, type_: str, read: Options, folder: Path | None, where: str) -> Creation:
    path = read.about("model_path")
    if path is None:
        raise InvalidArgument(f"OPTIONS(model_path) is required for a model of type {type_}{where}")
    made = replace(
        asked,
        type=type_,
        path=source_of(path, folder, "model_path", read.at("model_path")),
        framework=FRAMEWORKS.get(type_, type_.lower()),
        model_id=read.about("vertex_ai_model_id", ""),
        aliases=tuple(read.about("vertex_ai_model_version_aliases", ())),
    )
    with positioned(where):
        made.check_clauses()
    if type_ == "XGBOOST":
        _check_types("INPUT", made.inputs, _NUMBERS, "an XGBoost model takes", where)
        for one in made.outputs or ():
            if str(one.type) not in ("FLOAT64", "ARRAY<FLOAT64>"):
                raise InvalidArgument(
                    f"OUTPUT: {one.name}: an XGBoost model gives FLOAT64 or ARRAY<FLOAT64>, not "
                    f"{one.type}{where}"
                )
    return made


def _remote(clause: exp.Expression, read: Options, name: ObjectName, models: Models, where: str) -> Remote:
    if not isinstance(clause.this.this, exp.Identifier):
        raise InvalidArgument(
            f"REMOTE: expected WITH CONNECTION and a name, or DEFAULT, before OPTIONS{where}"
        )
    endpoint = read.about("endpoint")
    if endpoint is None:
        raise InvalidArgument(f"OPTIONS(endpoint) is required for a remote model{where}")
    with positioned(read.at("endpoint")):
        models.check_endpoint(endpoint, name.project)
    rows = read.about("max_batching_rows", _ROWS)
    if rows < 1:
        place = read.at("max_batching_rows")
        raise InvalidArgument(f"OPTIONS(max_batching_rows): expected 1 or more; got {rows}{place}")
    connection = ".".join(part.name for part in clause.this.parts)
    return Remote(
        endpoint, "" if connection.upper() == "DEFAULT" else connection, rows, read.about("retries", True)
    )


def _remote_columns(asked: Creation, where: str) -> None:
    for clause, found in (("INPUT", asked.inputs), ("OUTPUT", asked.outputs)):
        if not found:
            raise InvalidArgument(
                f"a remote model needs INPUT(name type, ..) and OUTPUT(name type, ..){where}"
            )
        _check_types(clause, found, _OF_ENDPOINTS, "a remote model has", where)


def _check_types(clause: str, found: _Columns, kinds: frozenset[Any], who: str, where: str) -> None:
    seen: set[str] = set()
    for one in found or ():
        if (_item(one.type)).kind not in kinds:
            listed = ", ".join(sorted(kinds))
            raise InvalidArgument(
                f"{clause}: {one.name}: {who} {listed} and ARRAYs of them, not {one.type}{where}"
            )
        if one.name.lower() in seen:
            raise InvalidArgument(f"{clause}: {one.name} is declared twice{where}")
        seen.add(one.name.lower())


def _item(type_: Type) -> Type:
    return type_ if type_.item is None else type_.item


def _clauses(tree: exp.Create) -> dict[str, exp.Expression]:
    """Return the clauses by their names; raises InvalidArgument for one that stands where it must not."""
    found: dict[str, exp.Expression] = {}
    order = list(_CLAUSES.values())
    properties = tree.args.get("properties")
    for one in properties.expressions if properties is not None else ():
        clause = _CLAUSES.get(type(one))
        where = at(one) or at(tree.this)
        if clause is None:
            what = one.sql("bigquery").partition(" ")[0].partition("(")[0].upper() or type(one).__name__
            raise InvalidArgument(f"Syntax error: Unexpected keyword {what}{where}")
        if clause in found and clause != "OPTIONS":
            raise InvalidArgument(f"Syntax error: {clause} is given twice{where}")
        if later := next((name for name in found if order.index(name) > order.index(clause)), None):
            raise InvalidArgument(f"Syntax error: {clause} must stand before {later}{where}")
        found[clause] = one
    if "OPTIONS" not in found:
        raise InvalidArgument(f"CREATE MODEL needs OPTIONS(model_type='..', model_path='..'){at(tree.this)}")
    return found


def _is_plugin(name: str) -> bool:
    try:
        return not isinstance(registry.get_runtime(name), WithoutArtifact)
    except NotFound:
        return False
