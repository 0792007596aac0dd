"""SQL: `CREATE MODEL` and `ML.PREDICT` over DuckDB, in BigQuery's dialect."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trivet.sql.session import Connection


def connect(
    path: str | Path | None = None,
    *,
    data: str | Path | None = None,
    project: str | None = None,
    dataset: str | None = None,
    dialect: str = "bigquery",
    read_only: bool = False,
) -> "Connection":
    """Open a database and connect to it.

    `path` is a DuckDB file (`*.duckdb`, `*.db`) for the tables, a data folder, or `:memory:`, where all is
    gone in the end, models too. `data` is the data folder; without either, the settings say which, as for
    `trivet sql`. `dataset` is that of plain names. With `read_only` several processes may have it open.
    Raises FailedPrecondition where another process has it open for writing, and InvalidArgument.
    """
    from trivet.app import sql

    return sql.connect(
        path, data=data, project=project, dataset=dataset, dialect=dialect, read_only=read_only
    )
