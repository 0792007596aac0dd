"""`check_source`: what every source of batch prediction must keep."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np

from trivet.core.batch import Shard
from trivet.core.errors import FailedPrecondition, NotFound
from trivet.sources import registry
from trivet.sources.base import Blobs, Inputs, Records, Source, Table, Values

Record = tuple[str, int, Any]
"""Where a record is, its URI and offset, and what it is."""

CUTS = ((1, 1), (2, 1), (7, 2), (40, 3), (1000, 10), (1 << 20, 10_000))
"""Bytes and rows of shards that are tried."""


def check_source(
    name: str,
    inputs: Inputs,
    records: Sequence[Any],
    *,
    unreadable: int = 0,
    missing: str = "",
    change: Callable[[], object] | None = None,
) -> None:
    """Check a source with an input, and the records in it that can be read, in order.

    A record is a JSON value, a dict by column for a row, or bytes; `unreadable` is how many others there are.
    However the input is cut, each must be there once, in the order of offsets that do not depend on the cuts,
    in batches that are the same when read again, from shards that have travelled as JSON. `missing` is a URI
    at which there is nothing; `change` changes the input, after which shards that were planned before are
    refused. Raises AssertionError that says what is not kept.
    """
    source = registry.get_source(name)
    expected: list[Record] | None = None
    for shard_bytes, shard_rows in CUTS:
        cut = replace(inputs, shard_bytes=shard_bytes, shard_rows=shard_rows)
        how = f"{name}, in shards of {shard_bytes} bytes or {shard_rows} rows"
        shards = planned(source, cut, how)
        found = [record for shard in shards for record in _read_twice(source, shard, cut, how)]
        readable = [value for _, _, value in found if not isinstance(value, Lost)]
        _same(list(records), readable, how)
        lost = len(found) - len(readable)
        assert lost == unreadable, f"{how}: {lost} records are unreadable; expected {unreadable}"
        expected = found if expected is None else expected
        _same(expected, found, f"{how}: other offsets, or order, than in other cuts")
        for shard in reversed(shards):  # from any of them on
            _read_twice(source, shard, cut, how)
    if missing:
        nowhere = replace(inputs, uris=(missing,))
        _check_raises(NotFound, lambda: list(source.plan(nowhere)), f"{name}: nothing is at {missing}")
    if change is not None:
        shards = planned(source, inputs, name)
        change()
        _check_raises(
            FailedPrecondition,
            lambda: [list(source.read(shard, inputs)) for shard in shards],
            f"{name}: the input has changed",
        )


class Lost(str):
    """Why a record cannot be read."""

    __slots__ = ()


def planned(source: Source, inputs: Inputs, how: str = "") -> list[Shard]:
    """Return the shards of an input as they arrive elsewhere; checks what all plans keep."""
    shards = list(source.plan(inputs))
    assert shards, f"{how}: there is no shard"
    assert [shard.index for shard in shards] == list(range(len(shards))), f"{how}: shards out of order"
    arrived = [msgspec.json.decode(msgspec.json.encode(shard), type=Shard) for shard in shards]
    assert arrived == shards, f"{how}: the shards are not the same when they have been JSON"
    return arrived


def read(source: Source, shard: Shard, inputs: Inputs, how: str = "") -> list[Record]:
    """Return the records of a shard, those that cannot be read as Lost; checks what all batches keep."""
    found: list[Record] = []
    size, last = 0, -1
    for batch in source.read(shard, inputs):
        part = _records(batch, shard.uri)
        offsets = [offset for _, offset, _ in part]
        assert offsets == sorted(set(offsets)), f"{how}: an offset twice in a batch"
        assert not offsets or offsets[0] > last, f"{how}: batches out of order, at offset {offsets[0]}"
        last = offsets[-1] if offsets else last
        found += part
        size += batch.size
    assert size == shard.size, f"{how}: read {size} of a shard of size {shard.size}"
    return found


def _check_raises(error: type[Exception], call: Callable[[], object], how: str) -> None:
    try:
        call()
    except error:
        return
    raise AssertionError(f"{how}; expected {error.__name__}")


def _read_twice(source: Source, shard: Shard, inputs: Inputs, how: str) -> list[Record]:
    found = read(source, shard, inputs, how)
    sizes = [(list(batch.offsets), batch.size) for batch in source.read(shard, inputs)]
    again = [(list(batch.offsets), batch.size) for batch in source.read(shard, inputs)]
    assert sizes == again, f"{how}: a shard read again has other batches"
    _same(found, read(source, shard, inputs, how), f"{how}: a shard read again is another")
    return found


def _records(batch: Records, uri: str) -> list[Record]:
    if isinstance(batch, Values):
        values = [_parse(text) for text in batch.texts]
    elif isinstance(batch, Table):
        values = _rows(batch)
    else:
        assert isinstance(batch, Blobs), f"{type(batch).__name__} is none of Values, Table and Blobs"
        values = list(batch.blobs)
        assert batch.labels is None or len(batch.labels) == len(values), "labels of another number"
    assert len(values) == len(batch.offsets), f"{len(values)} records, {len(batch.offsets)} offsets"
    bad = [(uri, one.offset, Lost(one.message)) for one in batch.unreadable]
    assert all(message for _, _, message in bad), "a record is unreadable, and nothing says why"
    good = [(uri, offset, value) for offset, value in zip(batch.offsets, values, strict=True)]
    return sorted([*good, *bad], key=lambda one: one[1])


def _rows(batch: Table) -> list[Any]:
    assert len(batch.cells) == len(batch.names), "columns of another number than names"
    columns = [[_parse(text) for text in texts] for texts in batch.cells]
    assert {len(column) for column in columns} <= {len(batch.offsets)}, "columns of another length"
    if batch.numbers is not None:
        held = np.array(columns, np.float64).T
        assert np.array_equal(batch.numbers, held), "the numbers are not those of the cells"
    if batch.text is not None:
        lines = [msgspec.json.decode(b"[" + line + b"]") for line in batch.text.split(b"\n")]
        assert lines == [list(row) for row in zip(*columns, strict=True)], "lines are not the cells"
    return [dict(zip(batch.names, row, strict=True)) for row in zip(*columns, strict=True)]


def _parse(text: bytes) -> Any:
    """Return a JSON value; what is none is a text."""
    try:
        return msgspec.json.decode(text)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return text


def _same(expected: Sequence[Any], found: Sequence[Any], how: str) -> None:
    assert len(found) == len(expected), f"{how}: {len(found)} records; expected {len(expected)}"
    for index, (one, other) in enumerate(zip(expected, found, strict=True)):
        assert repr(one) == repr(other), f"{how}: record {index}: {other!r}; expected {one!r}"
