"""Statements that a server runs, through Google's own client of BigQuery."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trivet.cli.sql_engine import Listed
from trivet.core.errors import (
    AlreadyExists,
    Cancelled,
    FailedPrecondition,
    Internal,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    ServingError,
    Unavailable,
    Unimplemented,
)

if TYPE_CHECKING:
    from trivet.settings import Settings
    from trivet.sql.parameters import Given
    from trivet.sql.result import Result
    from trivet.sql.types import Field

_REASONS: dict[str, type[ServingError]] = {
    "notFound": NotFound, "duplicate": AlreadyExists, "invalidQuery": InvalidArgument,
    "invalid": InvalidArgument, "stopped": Cancelled, "notImplemented": Unimplemented,
    "accessDenied": PermissionDenied, "backendError": Unavailable,
}  # fmt: skip


class There:
    """A server's SQL."""

    def __init__(self, server: str, settings: "Settings", dataset: str) -> None:
        try:
            from google.auth.credentials import AnonymousCredentials
            from google.cloud import bigquery
        except ImportError:
            raise FailedPrecondition(
                "--server needs a library that is not installed: pip install 'trivet[batch]'"
            ) from None
        self._bigquery = bigquery
        self.place = server
        self.dialect = "bigquery"
        self.history = Path(settings.catalog.data) / "sql" / "history"
        self._project = settings.catalog.project
        self._makes_datasets = settings.sql.create_datasets
        self._dataset = dataset
        self._job: Any = None
        self._client = bigquery.Client(
            project=self._project,
            credentials=AnonymousCredentials(),  # type: ignore[no-untyped-call]
            client_options={"api_endpoint": server},
        )

    def __enter__(self) -> "There":
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def script(self, text: str, parameters: "Given", *, streams: bool) -> Iterator["Result"]:
        """Run statements one by one."""
        for one in _statements(text):
            yield self._run(one, parameters)

    def interrupt(self) -> None:
        """Have the statement that runs end."""
        if self._job is not None:
            with suppress(Exception):
                self._job.cancel()

    def progress(self) -> float:
        """Return how much of it is done: nobody says."""
        return -1.0

    def tables(self) -> Sequence[Listed]:
        """Return the tables and views of the project."""
        with _said():
            return [
                Listed(f"{one.dataset_id}.{one.table_id}", one.table_type)
                for dataset in self._client.list_datasets()
                for one in self._client.list_tables(dataset.reference)
            ]

    def models(self) -> Sequence[Listed]:
        """Return the models of the project."""
        with _said():
            return [
                Listed(f"{one.reference.dataset_id}.{one.reference.model_id}", one.model_type or "")
                for dataset in self._client.list_datasets()
                for one in self._client.list_models(dataset.reference)
            ]

    def columns(self, name: str) -> Sequence[tuple[str, str, str]]:
        """Return the columns of a table, view or model."""
        parts = name.replace("`", "").split(".")
        full = ".".join([self._project, self._dataset, *parts][-3:])
        with suppress(NotFound), _said():
            table = self._client.get_table(full)
            return [(one.name, str(one.type), one.description) for one in map(_field, table.schema)]
        with _said():
            model = self._client.get_model(full)
            columns = [(one, "input") for one in model.feature_columns]
            columns += [(one, "output") for one in model.label_columns]
            return [(one.name, one.type.type_kind.name, kind) for one, kind in columns]

    def use(self, dataset: str) -> None:
        """Have plain names be those of a dataset."""
        with _said():
            self._client.get_dataset(f"{self._project}.{dataset}")
        self._dataset = dataset

    def _run(self, text: str, parameters: "Given") -> "Result":
        try:
            return self._asked(text, parameters)
        except NotFound as error:
            said = str(error)
            if not (
                self._makes_datasets and said.startswith("Not found: Dataset ") and "CREATE" in text.upper()
            ):
                raise
            name = said.removeprefix("Not found: Dataset ").split()[0].replace(":", ".")
        with _said():
            self._client.create_dataset(name, exists_ok=True)
        return self._asked(text, parameters)

    def _asked(self, text: str, parameters: "Given") -> "Result":
        from trivet.sql.result import Done, Planned, Result

        config = self._bigquery.QueryJobConfig(query_parameters=_parameters(self._bigquery, parameters))
        if self._dataset:
            config.default_dataset = f"{self._project}.{self._dataset}"
        with _said():
            self._job = job = self._client.query(text, job_config=config, retry=None, job_retry=None)
            rows = job.result(retry=None, job_retry=None)
        kind = job.statement_type or "SELECT"
        fields = tuple(_field(one) for one in rows.schema or ())
        changed = job.num_dml_affected_rows
        message = _message(kind, job, changed)
        done = Done(Planned(kind, fields), changed, message)
        return Result(done, _Rows(rows) if fields and kind == "SELECT" else None)


class _Rows:
    """The rows of a job, page by page."""

    def __init__(self, rows: Any) -> None:
        self._rows = rows
        self._left: Iterator[Any] | None = None

    def fetchmany(self, size: int) -> list[tuple[Any, ...]]:
        """Return the next rows, none at the end."""
        if self._left is None:
            self._left = iter(self._rows)
        with _said():
            return [one.values() for _, one in zip(range(size), self._left, strict=False)]

    def fetchall(self) -> list[tuple[Any, ...]]:
        """Return all rows that are left."""
        return self.fetchmany(2**62)

    def arrow(self) -> Any:
        """Return all rows."""
        with _said():
            return self._rows.to_arrow(create_bqstorage_client=False)

    def reader(self, rows: int) -> Any:
        """Return all rows, to be read in batches."""
        return self.arrow().to_reader(rows)


def _message(kind: str, job: Any, changed: int | None) -> str:
    if changed is not None:
        return f"{kind}: {changed:,} row{'' if changed == 1 else 's'}"
    operation = job.ddl_operation_performed
    return f"{kind.replace('_', ' ')}: {operation or 'done'}" if kind != "SELECT" else ""


def _statements(text: str) -> Iterator[str]:
    """Yield the statements of a text, each with the lines before it empty, so that positions are right."""
    from sqlglot.errors import TokenError
    from sqlglot.tokens import TokenType

    from trivet.sql.dialect import BigQueryML

    try:
        tokens = BigQueryML().tokenize(text)
    except TokenError:
        yield text  # the server says what is wrong
        return
    start = 0
    ends = [one.start for one in tokens if one.token_type == TokenType.SEMICOLON]
    for end in [*ends, len(text)]:
        statement = text[start:end]
        if any(start <= one.start < end for one in tokens):
            before = text[:start]
            line = before.rpartition("\n")[2]
            yield "\n" * before.count("\n") + " " * len(line) + statement
        start = end + 1


def _field(schema: Any) -> "Field":
    from trivet.sql.types import Field, Type, of_name

    kind = schema.field_type
    if kind in ("RECORD", "STRUCT"):
        type_ = Type("STRUCT", fields=tuple(_field(one) for one in schema.fields))
    else:
        type_ = of_name(kind)
    if schema.mode == "REPEATED":
        type_ = Type("ARRAY", type_)
    return Field(schema.name, type_, schema.mode == "REQUIRED", schema.description or "")


def _parameters(bigquery: Any, given: "Given") -> list[Any]:
    from trivet.sql.parameters import read

    named = isinstance(given, dict)
    return [_parameter(bigquery, name if named else None, one) for name, one in read(given).items()]


def _parameter(bigquery: Any, name: str | None, one: Any) -> Any:
    if one.type.kind == "STRUCT":
        parts = [
            _parameter(bigquery, part.name, type(one)(part.type, (one.value or {}).get(part.name)))
            for part in one.type.fields
        ]
        return bigquery.StructQueryParameter(name, *parts)
    if one.type.item is None:
        return bigquery.ScalarQueryParameter(name, one.type.kind, one.value)
    if one.type.item.kind == "STRUCT":
        items = [_parameter(bigquery, None, type(one)(one.type.item, value)) for value in one.value]
        return bigquery.ArrayQueryParameter(name, "STRUCT", items)
    return bigquery.ArrayQueryParameter(name, one.type.item.kind, one.value)


@contextmanager
def _said() -> Iterator[None]:
    """Raise what the server says as one of our errors."""
    from google.api_core.exceptions import GoogleAPICallError
    from requests.exceptions import ConnectionError as NoConnection

    try:
        yield
    except GoogleAPICallError as error:
        reasons = error.errors or [{}]
        kind = _REASONS.get(str(reasons[0].get("reason")), Internal)
        raise kind(reasons[0].get("message") or error.message) from None
    except NoConnection as error:
        raise Unavailable(f"no server answers: {error}") from None
