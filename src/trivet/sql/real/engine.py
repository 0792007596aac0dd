"""Runs statements on the real BigQuery, by Google's own client."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from trivet.core.errors import InvalidArgument, NotFound
from trivet.runtimes.base import Permissions
from trivet.sql.names import DatasetName, ObjectName, dataset_name
from trivet.sql.parameters import Given
from trivet.sql.real.failures import told
from trivet.sql.real.imports import Importer
from trivet.sql.real.rows import ClientRows
from trivet.sql.real.statement import changed, create_models
from trivet.sql.real.values import fields, parameters
from trivet.sql.result import Done, Planned, Result
from trivet.storage.libraries import need
from trivet.storage.sources import Buckets

Say = Callable[[str], object]
"""Told what is done with models, a line at a time."""

_DDL = {"CREATE": "CREATE", "REPLACE": "REPLACE", "SKIP": "SKIP", "DROP": "DROP", "ALTER": "ALTER"}


class BigQueryEngine:
    """Statements of one user, one text after another; `interrupt` may be called by another thread.

    `staging` is the `gs://BUCKET/PREFIX` where model files are put, `dataset` that of plain names; `buckets`
    are local folders by the buckets they stand for. `client` is Google's, made of the environment's
    credentials where it is not given. Everything raises the errors of `core.errors`.
    """

    dialect = "bigquery"

    def __init__(  # noqa: PLR0913 - what a user may say
        self,
        project: str,
        *,
        dataset: str = "",
        staging: str = "",
        location: str = "",
        buckets: Buckets | None = None,
        permissions: Permissions | None = None,
        say: Say = lambda line: None,
        client: Any = None,
    ) -> None:
        self.project = project
        self.default = dataset_name(project, dataset) if dataset else None
        self.location = location
        self._importer = Importer(staging, buckets, permissions or Permissions(), say)
        self._library = need("google.cloud.bigquery", "batch")
        self._client = client if client is not None else self._made()
        self._job: Any = None

    def __repr__(self) -> str:
        return f"<BigQueryEngine {self.default or self.project}>"

    def __enter__(self) -> "BigQueryEngine":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def place(self) -> str:
        """Where statements are run, for people."""
        return f"BigQuery, project {self.project}"

    def sql(self, text: str, given: Given = None) -> Result:
        """Run a text, and return what its last statement gives; raises what BigQuery says of it."""
        sent = self.prepared(text)
        with self._failing():
            self._job = self._client.query(sent, job_config=self._configured(given), **self._located)
            job = self._job
            rows = job.result()
        self._job = None
        planned = self._planned(job, rows.schema)
        if planned.fields:
            return Result(Done(planned), ClientRows(rows, self._failing))
        return Result(self._done(job, planned))

    def script(self, text: str, given: Given = None, *, streams: bool = False) -> Iterator[Result]:
        """Run a text as one job, as BigQuery runs scripts."""
        yield self.sql(text, given)

    def plan(self, text: str, given: Given = None) -> Planned:
        """Return what a text would do; neither it nor the files of its models go anywhere."""
        with self._failing():
            configured = self._configured(given, dry_run=True)
            job = self._client.query(text, job_config=configured, **self._located)
        return self._planned(job, job.schema or ())

    def prepared(self, text: str) -> str:
        """Return a text as it is sent: models that are not in a bucket yet are put into one.

        Raises InvalidArgument, FailedPrecondition or Unimplemented that says what to change about a model.
        """
        changes: dict[tuple[int, int], str] = {}
        for statement in create_models(text):
            changes.update(self._importer.changes(statement))
        return changed(text, changes)

    def interrupt(self) -> None:
        """Cancel the job that runs."""
        job = self._job
        if job is not None:
            with self._failing():
                job.cancel()

    def progress(self) -> float:
        """Return how much of the job is done, from 0 to 1; -1 where that is not known."""
        timeline = getattr(self._job, "timeline", None) or ()
        if not timeline:
            return -1.0
        units = timeline[-1]
        whole = units.completed_units + units.pending_units + units.active_units
        return float(units.completed_units / whole) if whole else -1.0

    def tables(self) -> list[tuple[str, str, str]]:
        """Return the tables and views of the project: name, kind and description."""
        return [
            (f"{dataset.dataset_id}.{one.table_id}", one.table_type, "")
            for dataset in self._datasets()
            for one in self._listed(self._client.list_tables, dataset)
        ]

    def models(self) -> list[tuple[str, str, str]]:
        """Return the models of the project: name, type and description."""
        return [
            (f"{dataset.dataset_id}.{one.model_id}", one.model_type or "", one.description or "")
            for dataset in self._datasets()
            for one in self._listed(self._client.list_models, dataset)
        ]

    def columns(self, name: str) -> list[tuple[str, str, str]]:
        """Return name, type and note of each column of a table, view or model; raises NotFound."""
        full = str(self._named(name)).replace(":", ".")
        try:
            with self._failing():
                schema = self._client.get_table(full).schema
        except NotFound:
            with self._failing():
                model = self._client.get_model(full)
            return [
                (one.name, one.type.type_kind.name if one.type else "", note)
                for note, given in (("input", model.feature_columns), ("output", model.label_columns))
                for one in given
            ]
        return [(one.name, str(one.type), one.description) for one in fields(schema)]

    def use(self, dataset: str) -> None:
        """Have plain names be those of a dataset; raises NotFound."""
        with self._failing():
            self._client.get_dataset(f"{self.project}.{dataset}")
        self.default = dataset_name(self.project, dataset)

    def close(self) -> None:
        """Let the client go; jobs that run go on."""
        self._client.close()

    @property
    def _located(self) -> dict[str, str]:
        return {"location": self.location} if self.location else {}

    def _made(self) -> Any:
        from trivet.storage.bigquery import Service

        return Service(self.project, f"project {self.project}").client

    def _configured(self, given: Given, *, dry_run: bool = False) -> Any:
        config = self._library.QueryJobConfig(dry_run=dry_run, use_legacy_sql=False)
        config.query_parameters = parameters(given, self._library)
        if self.default is not None:
            config.default_dataset = f"{self.default.project}.{self.default.dataset}"
        return config

    def _planned(self, job: Any, schema: Sequence[Any]) -> Planned:
        kind = job.statement_type or ""
        query = kind in ("SELECT", "SCRIPT") or not kind
        target = _target(job)
        return Planned(
            kind,
            fields(schema) if query else (),
            tuple(
                ObjectName(one.project, one.dataset_id, one.table_id) for one in job.referenced_tables or ()
            ),
            target,
            _DDL.get(job.ddl_operation_performed or "", ""),
        )

    def _done(self, job: Any, planned: Planned) -> Done:
        rows = job.num_dml_affected_rows
        changes = {}
        if (stats := job.dml_stats) is not None:
            changes = {
                "inserted": stats.inserted_row_count,
                "updated": stats.updated_row_count,
                "deleted": stats.deleted_row_count,
            }
        if planned.kind == "CREATE_MODEL" and planned.operation != "SKIP":
            name = planned.target.name if isinstance(planned.target, ObjectName) else ""
            message = f"Successfully created model named {name}".rstrip()
        elif rows is not None:
            message = f"{rows:,} row{'' if rows == 1 else 's'} changed"
        else:
            message = f"{planned.kind.replace('_', ' ').lower() or 'done'}: done"
        return Done(planned, rows, message, {name: count for name, count in changes.items() if count})

    def _datasets(self) -> Any:
        with self._failing():
            return list(self._client.list_datasets(self.project))

    def _listed(self, listing: Callable[[Any], Any], dataset: Any) -> Any:
        with self._failing():
            return list(listing(dataset.reference))

    def _named(self, name: str) -> ObjectName:
        parts = name.replace("`", "").replace(":", ".").split(".")
        if len(parts) == 1 and self.default is not None:
            return self.default.child(parts[0])
        if not 2 <= len(parts) <= 3:
            raise InvalidArgument(f"{name}: expected DATASET.NAME, or a default dataset")
        return dataset_name(parts[-3] if len(parts) == 3 else self.project, parts[-2]).child(parts[-1])

    @contextmanager
    def _failing(self) -> Iterator[None]:
        with told(self.project):
            yield


def _target(job: Any) -> ObjectName | DatasetName | None:
    if (table := job.ddl_target_table) is not None:
        return ObjectName(table.project, table.dataset_id, table.table_id)
    if (table := job.destination) is not None and job.statement_type not in ("SELECT", None):
        return ObjectName(table.project, table.dataset_id, table.table_id)
    return None
