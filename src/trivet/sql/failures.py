"""What DuckDB says, in the words and with the codes of our own errors."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from sqlglot import exp
from sqlglot.errors import SqlglotError

from trivet.core.errors import (
    Aborted,
    Cancelled,
    FailedPrecondition,
    Internal,
    InvalidArgument,
    NotFound,
    ResourceExhausted,
    ServingError,
    Unimplemented,
)
from trivet.sql.model import SqlModel
from trivet.sql.positions import at

_KINDS: dict[str, type[ServingError]] = {
    "InterruptException": Cancelled,
    "OutOfMemoryException": ResourceExhausted,
    "TransactionException": Aborted,
    "ConstraintException": FailedPrecondition,
    "DependencyException": FailedPrecondition,
    "PermissionException": FailedPrecondition,
    "IOException": FailedPrecondition,
    "HTTPException": FailedPrecondition,
    "NotImplementedException": Unimplemented,
    "InternalException": Internal,
    "FatalException": Internal,
}

_COLUMN = re.compile(
    r'(?:Referenced column|column) "(?P<name>[^"]+)" (?:was )?(?:not found|does not have|that exists)'
)
_MISSING = re.compile(r'Table "(?P<table>[^"]+)" does not have a column named "(?P<name>[^"]+)"')
_CANDIDATES = re.compile(r"Candidate bindings: (?P<names>.*)")
_RAISED = re.compile(r"while executing the UDF: \w+: (?P<said>.*)", re.DOTALL)
_DIVIDED = re.compile(r"Division by zero in expression \((?P<what>.*?)\)\. Use TRY", re.DOTALL)
_UNCONVERTED = re.compile(
    r"Could not convert (?:string )?(?P<value>.+?) to \w+ when casting from source column (?P<column>.+)"
)
_REFUSED = re.compile(
    r"(?P<quote>[\"'])(?P<said>(?:Invalid |Bad |DATE |DATETIME |TIMESTAMP )[\w ]+: .*?)(?P=quote)"
    "(?:, expected| to [A-Z])",
    re.DOTALL,
)
_LOCKED = re.compile(r'file "(?P<file>[^"]+)": Conflicting lock is held in .*?\(PID (?P<process>\d+)\)')


_TABLE = re.compile(r'Table with name "?(?P<name>.*?)"? (?P<how>already exists|does not exist)!')
_SERIALIZE = "Could not serialize access due to concurrent update; try again"

LONGEST = 1 << 20
"""Characters of the statements of one text."""

INVALID = "Invalid table-valued function ML.PREDICT"


@contextmanager
def told(tree: exp.Expression | None = None) -> Iterator[None]:
    """Raise what DuckDB raises as one of our errors; `tree` is the statement as it was written."""
    import duckdb

    try:
        yield
    except duckdb.Error as error:
        raise error_of(error, tree) from error
    except RecursionError:
        raise InvalidArgument("Query is too complex: it is nested too deeply") from None
    except RuntimeError as error:  # DuckDB's, of an interrupt between two chunks
        if "interrupted" in str(error).lower():
            raise Cancelled("the statement was cancelled") from None
        raise


@contextmanager
def understood() -> Iterator[None]:
    """Raise what a statement made of the planner that nobody has thought of as one of our errors, too."""
    try:
        yield
    except (ServingError, RecursionError):
        raise
    except (ArithmeticError, AttributeError, LookupError, SqlglotError, TypeError, ValueError) as error:
        said = f"{type(error).__name__}: {error}"
        raise Internal(f"Trivet does not understand the statement: {said[:500]}") from error


def bounded(text: str) -> None:
    """Raise InvalidArgument for a text that is longer than BigQuery's may be.

    A character of a statement takes a kilobyte of memory until it is planned.
    """
    if len(text) > LONGEST:
        raise InvalidArgument(
            "The query is too large. The maximum standard SQL query length is 1024.00K characters, including "
            f"comments and white space characters; this one has {len(text) / 1024:.2f}K. Pass large values "
            "as parameters, or rows as a file"
        )


def error_of(error: Exception, tree: exp.Expression | None = None) -> ServingError:
    """Return our error for one of DuckDB's."""
    kind = type(error).__name__
    text = str(error).strip()
    said = text.split("\n\nLINE ")[0].split("\n\n")[0]
    _, _, said = said.partition(": ") if re.match(r"[A-Z][\w ]* Error: ", said) else ("", "", said)
    if raised := _RAISED.search(text):  # by a function of ours; `Functions` knows what models raise
        return InvalidArgument(raised["said"])
    if "expression depth limit" in said:
        said = "Query is too complex: expressions are nested too deeply"
    if divided := _DIVIDED.search(text):
        said = f"division by zero: {divided['what']}"
    if kind == "ConversionException" and (refused := _REFUSED.search(text)):  # by what we have it convert
        said = refused["said"]
    if locked := _LOCKED.search(text):
        return FailedPrecondition(
            f"{locked['file']}: process {locked['process']} has the database open for writing. If that is "
            "`trivet up`, ask it: trivet sql --server URL. Else wait, or have both open it with --read-only"
        )
    column = _MISSING.search(text) or _COLUMN.search(text)
    if column and tree is not None and kind in ("BinderException", "CatalogException"):
        return InvalidArgument(_unrecognized(column["name"], text, tree))
    if kind in ("CatalogException", "TransactionException") and (raced := _raced(kind, said)):
        return raced
    if kind == "InterruptException":
        said = "the statement was cancelled"
    return _KINDS.get(kind, InvalidArgument)(said.replace("\n", "; ") or kind)


def _raced(kind: str, said: str) -> ServingError | None:
    """Return what another statement did to this one, whose names were looked at before."""
    found = _TABLE.match(said)
    if kind == "CatalogException" and found and found["how"] == "does not exist":
        return NotFound(f"Not found: Table {found['name']}")
    if kind == "CatalogException" and found:
        return Aborted(f"{_SERIALIZE}: Table {found['name']} has just been made")
    if "onflict" in said or "Failed to commit" in said:
        return Aborted(f"{_SERIALIZE}: {said}".replace("\\0", "."))
    return None


def unconverted(
    error: Exception, models: Sequence[SqlModel], tree: exp.Expression | None
) -> ServingError | None:
    """Return what is wrong where a value could not become what a model takes; None for any other error."""
    found = _UNCONVERTED.search(str(error))
    if found is None:
        return None
    for model in models:
        wanted = next((one for one in model.inputs if one.name.lower() == found["column"].lower()), None)
        if wanted is not None:
            call = tree.find(exp.Predict) if tree is not None else None
            return InvalidArgument(
                f"{INVALID}\nColumn {found['column']} has the value {found['value']}, which cannot be "
                f"{wanted.type}; model {model.name} takes it as {wanted.type}{at(call) if call else ''}"
            )
    return None


def _unrecognized(name: str, text: str, tree: exp.Expression) -> str:
    node = next((one for one in tree.find_all(exp.Column) if one.name.lower() == name.lower()), None)
    near = ""
    if found := _CANDIDATES.search(text):
        names = [part.strip().strip('"') for part in found["names"].split(",")]
        near = f"; Did you mean {names[0].rpartition('.')[2]}?" if names and _close(name, names[0]) else ""
    return f"Unrecognized name: {name}{near}{at(node) if node is not None else ''}"


def _close(name: str, candidate: str) -> bool:
    from difflib import get_close_matches

    return bool(get_close_matches(name.lower(), [candidate.rpartition(".")[2].lower()], cutoff=0.6))
