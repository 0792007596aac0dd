"""BigQuery: a table of predictions, each a text of JSON beside the columns of its row, and one of errors.

Parts are lines of JSON in the job's scratch folder. At the end they are loaded into a table that nobody
takes for results, which is then copied to the one that everybody sees, by one job (see `bigquery_loads`); the
errors come first.
"""

import hashlib
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Any

from trivet.core.batch import ShardResult
from trivet.core.errors import AlreadyExists, FailedPrecondition, InvalidArgument, NotFound
from trivet.sinks.base import Outputs, Writer
from trivet.sinks.bigquery_errors import write_errors
from trivet.sinks.bigquery_loads import Loads, Part
from trivet.sinks.bigquery_rows import ERRORS, LoadLines, Schema, columns_of, schema
from trivet.sinks.columns import PREDICTION, RECORD
from trivet.sinks.files import ERRORS as ERRORS_FILE
from trivet.sinks.files import FileSink, places
from trivet.storage.bigquery import Place, Service, place
from trivet.storage.targets import Target

_TIME = re.compile(r"\d{4}_\d\d_\d\dT\d\d_\d\d_\d\d_\d{3}Z$")
_LOADED = "errors"


@dataclass(frozen=True, slots=True)
class Tables:
    """What a job writes. `makes_dataset` where its user has named only a project."""

    predictions: Place
    errors: Place
    makes_dataset: bool

    @classmethod
    def of(cls, outputs: Outputs) -> "Tables":
        """Name them, always the same for one job."""
        to = place(outputs.uri)
        time = _TIME.search(outputs.name)
        stamp = time[0] if time else re.sub(r"\W", "_", outputs.name)
        digits = f"{zlib.crc32(_identity(outputs)) % 1000:03}"
        if to.table:
            return cls(to, replace(to, table=f"errors_{to.table}"), makes_dataset=False)
        if to.dataset:
            made = replace(to, table=f"predictions_{stamp}_{digits}")
            return cls(made, replace(to, table=f"errors_{stamp}_{digits}"), makes_dataset=False)
        to = replace(to, dataset=re.sub(r"\W", "_", outputs.name)[:1000])
        return cls(replace(to, table="predictions"), replace(to, table="errors"), makes_dataset=True)

    @property
    def dataset(self) -> Place:
        """Where both are."""
        return replace(self.predictions, table="")


def _identity(outputs: Outputs) -> bytes:
    """Return what no other job has, and this one wherever it is run: scratch folders end in its name."""
    return "\n".join((outputs.uri, outputs.name, PurePosixPath(outputs.scratch).name)).encode()


class BigQuerySink:
    """Writes to `bq://PROJECT.DATASET`, to a new dataset of `bq://PROJECT`, or to a new table."""

    tabular = True

    def __init__(self) -> None:
        self._files = FileSink(LoadLines())

    def check(self, outputs: Outputs) -> None:
        """Refuse a dataset that is not there, and a table that is."""
        tables = Tables.of(outputs)
        self._files.check(_hidden(outputs))
        if tables.makes_dataset:
            return
        with Service(tables.dataset.project, outputs.uri) as service:
            loads = Loads(service, _digest(outputs), tables.errors)
            try:
                location = loads.location(tables.dataset, make=False)
            except NotFound as error:
                raise InvalidArgument(f"{error}; expected a dataset that is there") from None
            for made in (tables.predictions, tables.errors):
                try:
                    service.table(made)
                except NotFound:
                    continue
                if not loads.is_shown(made, location):
                    raise AlreadyExists(
                        f"{outputs.uri}: there is a table {made.table}; expected the name of a new one"
                    )

    def open(self, outputs: Outputs, shard: int) -> Writer:
        """Begin the parts of a shard."""
        return self._files.open(_hidden(outputs), shard)

    def missing(self, outputs: Outputs, results: Sequence[ShardResult]) -> list[int]:
        """Return the shards whose parts are gone, unless they are in their table already."""
        gone = self._files.missing(_hidden(outputs), results)
        if not gone:
            return []
        tables = Tables.of(outputs)
        with Service(tables.dataset.project, outputs.uri) as service:
            loads = Loads(service, _digest(outputs), tables.errors)
            try:
                location = loads.location(tables.dataset, make=False)
            except NotFound:
                return gone
            return [] if loads.is_shown(tables.predictions, location) else gone

    def finish(self, outputs: Outputs, results: Sequence[ShardResult]) -> dict[str, Any]:
        """Load and copy what was not yet, the errors first."""
        tables = Tables.of(outputs)
        hidden = _hidden(outputs)
        _, folder = places(hidden)
        with Service(tables.dataset.project, outputs.uri) as service:
            loads = Loads(service, _digest(outputs), tables.errors)
            location = loads.location(tables.dataset, make=tables.makes_dataset)
            if not loads.is_shown(tables.predictions, location):
                self._files.finish(hidden, results)
                if folder.sizes()[ERRORS_FILE]:
                    write_errors(folder, ERRORS_FILE, _LOADED, outputs)
                    loads.show(tables.errors, location, *_parts(folder, [_LOADED], outputs))
                names = sorted(name for name in folder.sizes() if name.startswith("prediction.results-"))
                loads.show(tables.predictions, location, *_parts(folder, names, outputs))
            loads.clean(tables.errors)
            loads.clean(tables.predictions)
        self._files.discard(hidden)
        folder.remove()
        dataset = tables.dataset
        return {
            "bigqueryOutputDataset": f"bq://{dataset.name}",
            "bigqueryOutputTable": tables.predictions.table,
        }

    def discard(self, outputs: Outputs) -> None:
        """Remove the parts, and tables that were begun."""
        hidden = _hidden(outputs)
        _, folder = places(hidden)
        if folder.sizes():  # else nothing was loaded yet
            tables = Tables.of(outputs)
            with Service(tables.dataset.project, outputs.uri) as service:
                loads = Loads(service, _digest(outputs), tables.errors)
                loads.clean(tables.errors)
                loads.clean(tables.predictions)
            folder.remove()
        self._files.discard(hidden)


def _digest(outputs: Outputs) -> str:
    return hashlib.sha256(_identity(outputs)).hexdigest()[:24]


def _hidden(outputs: Outputs) -> Outputs:
    """Return where parts are kept until the end."""
    if not outputs.scratch:
        raise FailedPrecondition(f"{outputs.uri}: a job that writes there needs a scratch folder")
    return replace(outputs, uri=outputs.scratch, name="results", folders=None)


def _parts(folder: Target, names: Sequence[str], outputs: Outputs) -> tuple[list[Part], Schema]:
    """Return the parts to load into a table, and its columns."""
    sizes, parts, columns = folder.sizes(), [], []
    for name in names:
        with folder.failures(), folder.read(name) as file:
            size, found = columns_of(file, sizes[name])
        columns.append(found)
        parts.append(Part(lambda name=name: folder.read(name), size))  # type: ignore[misc]
    own: Schema = [{"name": PREDICTION, "type": "STRING"}]
    if list(names) == [_LOADED]:
        code, message = {"name": "code", "type": "INTEGER"}, {"name": "message", "type": "STRING"}
        own = [{"name": ERRORS, "type": "RECORD", "fields": [code, message]}]
    if outputs.native:
        own += [{"name": RECORD[0], "type": "STRING"}, {"name": RECORD[1], "type": "INTEGER"}]
    return parts, [*schema(columns, outputs), *own]


SINK = BigQuerySink()
