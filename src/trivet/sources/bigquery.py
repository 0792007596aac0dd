"""Tables of BigQuery, by the REST calls of Google's client: rows in the order in which the table lists them.

A row has no name there but its place, so a table is read only as it was when the job was planned: one that
has changed is refused.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from trivet.codecs.arrow_cells import Cells
from trivet.codecs.bigquery_cells import Field, matrix, texts
from trivet.core.batch import Kind, Shard
from trivet.core.errors import FailedPrecondition, InvalidArgument, NotFound
from trivet.sources.base import Inputs, Records, Table
from trivet.storage.bigquery import Place, Service, place

_PAGE_BYTES, _PAGE_ROWS = 2 << 20, 8192


class BigQuerySource:
    """Reads `bq://PROJECT.DATASET.TABLE`; `start` and `stop` of a shard are rows.

    The details of each have what the table was, those of the first its columns, too.
    """

    kind: Kind = "rows"

    def plan(self, inputs: Inputs) -> Iterator[Shard]:
        """Cut tables into ranges of `shard_rows`."""
        index = 0
        for uri in inputs.uris:
            for shard in self._plan(uri, index, inputs):
                yield shard
                index = shard.index + 1

    def _plan(self, uri: str, index: int, inputs: Inputs) -> Iterator[Shard]:
        of = _table(uri)
        with Service(of.project, uri) as service:
            table = service.table(of)
        if table.table_type != "TABLE":
            raise FailedPrecondition(
                f"{uri}: is a {table.table_type}, and only tables can be read row by row; save its rows as a "
                "table (CREATE TABLE ... AS SELECT)"
            )
        if table.streaming_buffer is not None:
            raise FailedPrecondition(
                f"{uri}: rows are being streamed into it and have no fixed places yet; wait, or copy it"
            )
        rows = int(table.num_rows or 0)
        page = min(max(_PAGE_BYTES * rows // max(int(table.num_bytes or 0), 1), 64), _PAGE_ROWS)
        details: dict[str, Any] = {"page": page, "was": _state(table)}
        # only whole pages, so that a batch is none of two shards
        step = max(inputs.shard_rows // page, 1) * page
        for start in range(0, rows, step) or [0]:
            size = min(step, rows - start)
            schema = {} if start else {"schema": [field.to_api_repr() for field in table.schema]}
            yield Shard(index, uri, start, start + size, start, size, details | schema)
            index += 1

    def read(self, shard: Shard, inputs: Inputs) -> Iterator[Records]:
        """Read pages of so many rows, however the service cuts its own."""
        of = _table(shard.uri)
        with Service(of.project, shard.uri) as service:
            table = _unchanged(service, of, shard)
            fields = [field.to_api_repr() for field in table.schema]
            first = shard.start
            for rows in _pages(service, table, shard):
                yield _records(rows, fields, first)
                first += len(rows)
            _unchanged(service, of, shard)
            if first != shard.stop:
                raise FailedPrecondition(
                    f"{shard.uri}: {shard.stop - shard.start} rows were expected from row {shard.start} on, "
                    f"and {first - shard.start} came"
                )


def _table(uri: str) -> Place:
    of = place(uri)
    if not of.table:
        raise InvalidArgument(f"{uri}: expected a table: bq://PROJECT.DATASET.TABLE")
    return of


def _state(table: Any) -> dict[str, Any]:
    """Return what tells whether a table has changed; not its etag, which also its storage class changes."""
    return {
        "created": table.created.isoformat(),
        "modified": table.modified.isoformat(),
        "rows": int(table.num_rows or 0),
    }


def _unchanged(service: Service, of: Place, shard: Shard) -> Any:
    was: Mapping[str, Any] = shard.details["was"]
    try:
        table = service.table(of)
    except NotFound as error:
        raise FailedPrecondition(f"it has changed since the job was planned: {error}") from None
    if (now := _state(table)) != was:
        raise FailedPrecondition(
            f"{shard.uri}: has changed since the job was planned (it had {was['rows']} rows of "
            f"{was['modified']}, and has {now['rows']} of {now['modified']}); make a new job"
        )
    return table


def _pages(service: Service, table: Any, shard: Shard) -> Iterator[Sequence[Any]]:
    """Yield raw rows, so many at once."""
    size: int = shard.details["page"]
    if shard.start == shard.stop:
        return
    with service.failures():
        pages = iter(
            service.client.list_rows(
                table,
                start_index=shard.start,
                max_results=shard.stop - shard.start,
                page_size=size,
                **service.patiently,
            ).pages
        )
    kept: list[Any] = []
    while True:
        with service.failures():
            page = next(pages, None)
        if page is None:
            break
        kept += page.raw_page.get("rows", ())
        while len(kept) >= size:
            yield kept[:size]
            del kept[:size]
    if kept:
        yield kept


def _records(rows: Sequence[Any], fields: Sequence[Field], first: int) -> Table:
    columns = [[row["f"][index]["v"] for row in rows] for index in range(len(fields))]
    cells = Cells(list(zip(columns, fields, strict=True)), lambda column: texts(*column))
    names = tuple(field["name"] for field in fields)
    return Table(range(first, first + len(rows)), (), len(rows), names, cells, matrix(columns, fields))


SOURCE = BigQuerySource()
