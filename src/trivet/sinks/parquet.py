"""Parquet files: a typed column for each field of the instances, and the prediction, typed as the model's.

Several outputs of a model are one column of structs. What kind a column is, is found out by looking (see
`kinds`) and kept in the file beside it; where a later row says otherwise, what is there is written anew.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import IO, Any, BinaryIO

import numpy as np

from trivet.codecs.json_body import prediction_texts
from trivet.core.errors import FailedPrecondition
from trivet.core.instances import Predictions
from trivet.sinks import kinds
from trivet.sinks.base import Outputs, Results
from trivet.sinks.columns import PREDICTION, RECORD, decoded, values
from trivet.sinks.files import FileSink, Rewrite, unicode
from trivet.storage.libraries import need
from trivet.storage.targets import Upload

Name = tuple[int, str]
"""A column: 0 and a field of the instances, 1 and an output ("" where there is one only), or 2 and what tells
the record. This is their order in the file."""

Kinds = dict[Name, str]

_ROWS, _BYTES = 1 << 16, 64 << 20  # of a row group
_KIND, _PLACE = b"trivet.kind", b"trivet.place"


class Table:
    """Writes the rows of one shard, a row group at a time."""

    def __init__(self, new: Callable[[], Upload], *, native: bool) -> None:
        self._new = new
        self._upload = new()
        self._native = native
        self._kinds: Kinds = {}
        self._writer: Any = None
        self._waiting: list[tuple[Kinds, dict[Name, Any], int]] = []
        self._rows = self._bytes = 0

    def add(self, results: Results) -> None:
        """Take rows; they are written when there are enough of them."""
        count = results.predictions.count
        if not count:
            return
        found: dict[Name, tuple[str, Any]] = {}
        for name, column in values(results, native=self._native).items():
            found[0, name] = _of(column)
        found |= _predicted(results.predictions)
        if self._native:
            found[2, RECORD[0]] = _of([unicode(results.uri)] * count)
            found[2, RECORD[1]] = "big", kinds.from_values(list(map(int, results.offsets)), "big")
        here = {name: kind for name, (kind, _) in found.items()}
        self._waiting.append((here, {name: array for name, (_, array) in found.items()}, count))
        self._rows += count
        self._bytes += sum(array.nbytes for _, array in found.values())
        if self._rows >= _ROWS or self._bytes >= _BYTES:
            self._flush()

    def end(self) -> Upload:
        """Return the file; without rows it has the one column that is known."""
        self._flush()
        if self._writer is None:
            self._writer = _writer(self._upload.file, {(1, ""): "null"})
        self._writer.close()
        return self._upload

    def discard(self) -> None:
        """Give the file up."""
        self._waiting.clear()
        self._upload.discard()

    def _flush(self) -> None:
        import pyarrow as pa

        if not self._waiting:
            return
        wanted = joined([self._kinds, *(here for here, _, _ in self._waiting)])
        if self._writer is not None and wanted != self._kinds:
            self._writer.close()
            before, self._upload = self._upload, self._new()
            try:
                before.file.seek(0)
                self._writer = _copy(before.file, self._upload.file, wanted)
            finally:
                before.discard()
        self._kinds = wanted
        if self._writer is None:
            self._writer = _writer(self._upload.file, wanted)
        tables = [_table(arrays, here, wanted, rows) for here, arrays, rows in self._waiting]
        self._writer.write_table(pa.concat_tables(tables).combine_chunks(), row_group_size=self._rows)
        self._waiting.clear()
        self._rows = self._bytes = 0


def _of(column: Sequence[Any]) -> tuple[str, Any]:
    kind = kinds.of_values(column)
    return kind, kinds.from_values(column, kind)


def _predicted(predictions: Predictions) -> dict[Name, tuple[str, Any]]:
    found = {}
    single = len(predictions.columns) == 1
    for name, column in predictions.columns.items():
        place = (1, "" if single else name)
        kind = kinds.of_column(column)
        if kind != "json":
            found[place] = kind, kinds.from_column(np.ascontiguousarray(column), kind)
        else:
            texts = prediction_texts(Predictions({"": column}, predictions.count))
            found[place] = _of([decoded(text) for text in texts])
    return found


def joined(parts: Sequence[Kinds]) -> Kinds:
    """Return the columns of all parts, as they turn up; the kind of each holds what is in it anywhere."""
    found: Kinds = {}
    for part in parts:
        for name, kind in part.items():
            found[name] = kinds.common(found.get(name, kind), kind)
    several = any(name[0] == 1 and name[1] for name in found)
    if several and found.pop((1, ""), "null") != "null":  # which a part without rows has
        raise FailedPrecondition("the model gives some rows one output and others several by name")
    return {name: found[name] for name in sorted(found, key=lambda name: name[0])}


def _schema(columns: Kinds) -> Any:
    import pyarrow as pa

    def field(name: str, column: Name) -> Any:
        kind = columns[column]
        about = {_KIND: kind.encode(), _PLACE: b"%d" % column[0]}
        return pa.field(name, kinds.type_of(kind), metadata=about)

    outputs = [field(column[1], column) for column in columns if column[0] == 1 and column[1]]
    made = [field(column[1], column) for column in columns if column[0] == 0]
    made += [field(PREDICTION, column) for column in columns if column == (1, "")]
    made += [pa.field(PREDICTION, pa.struct(outputs))] if outputs else []
    made += [field(column[1], column) for column in columns if column[0] == 2]
    return pa.schema(made)


def kinds_of(schema: Any) -> Kinds:
    """Return the columns of a file that was written here."""
    import pyarrow as pa

    found: Kinds = {}
    for field in schema:
        if field.metadata and _KIND in field.metadata:
            place = int(field.metadata[_PLACE])
            found[place, "" if place == 1 else field.name] = field.metadata[_KIND].decode()
        elif pa.types.is_struct(field.type):
            for index in range(field.type.num_fields):
                one = field.type.field(index)
                found[1, one.name] = one.metadata[_KIND].decode()
    return found


def _table(arrays: Mapping[Name, Any], here: Kinds, wanted: Kinds, rows: int) -> Any:
    import pyarrow as pa

    columns: dict[Name, Any] = {}
    for name, kind in wanted.items():
        array = arrays.get(name)
        if array is None:
            columns[name] = pa.nulls(rows, kinds.type_of(kind))
        else:
            columns[name] = kinds.convert(array, here[name], kind)
    schema = _schema(wanted)
    outputs = [name for name in wanted if name[0] == 1 and name[1]]
    made = [columns[name] for name in wanted if name[0] == 0 or name == (1, "")]
    if outputs:
        struct = schema.field(PREDICTION).type
        made.append(pa.StructArray.from_arrays([columns[name] for name in outputs], fields=list(struct)))
    made += [columns[name] for name in wanted if name[0] == 2]
    return pa.table(made, schema=schema)


def _writer(file: IO[bytes], columns: Kinds) -> Any:
    from pyarrow import parquet

    return parquet.ParquetWriter(file, _schema(columns))


def _copy(source: IO[bytes], file: IO[bytes], wanted: Kinds) -> Any:
    """Begin a file with what is in another, by its row groups; returns what writes the rest."""
    from pyarrow import parquet

    reader = parquet.ParquetFile(source)
    here = kinds_of(reader.schema_arrow)
    writer = _writer(file, wanted)
    for index in range(reader.num_row_groups):
        table = reader.read_row_group(index).combine_chunks()
        arrays: dict[Name, Any] = {}
        for name in here:
            place, field = name
            column = table.column(PREDICTION if place == 1 else field).combine_chunks()
            arrays[name] = column.field(field) if place == 1 and field else column
        rows = table.num_rows
        writer.write_table(_table(arrays, here, wanted, rows), row_group_size=max(rows, 1))
    return writer


class Parquet:
    """Files have the same columns of the same types."""

    tabular = True
    suffix = ".parquet"

    def check(self) -> None:
        """Need pyarrow."""
        need("pyarrow.parquet", "batch")

    def begin(self, outputs: Outputs, new: Callable[[], Upload]) -> Table:
        """Begin the rows of a shard."""
        return Table(new, native=outputs.native)

    def agree(self, parts: Sequence[Callable[[], BinaryIO]]) -> Mapping[int, Rewrite]:
        """Give all parts all columns, each of the kind that holds what is in it anywhere."""
        from pyarrow import parquet

        found = []
        for read in parts:
            with read() as file:
                found.append(kinds_of(parquet.read_schema(file)))
        wanted = joined(found)
        return {
            index: partial(_rewritten, read, wanted)
            for index, (read, here) in enumerate(zip(parts, found, strict=True))
            if list(here.items()) != list(wanted.items())
        }


def _rewritten(read: Callable[[], BinaryIO], wanted: Kinds, file: IO[bytes]) -> None:
    with read() as source:
        _copy(source, file, wanted).close()


SINK = FileSink(Parquet())
