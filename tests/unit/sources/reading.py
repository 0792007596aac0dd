"""What tests of sources share: the definition of CSV, letter by letter, and ways to read a text."""

from io import BytesIO

from trivet.core.errors import FailedPrecondition
from trivet.sources.base import Blobs, Inputs, Table
from trivet.sources.lines import blocks
from trivet.sources.registry import get_source
from trivet.storage.streams import Stream


def records_of(text):
    """Return the records of CSV text, their line ends included; the last may be within quotes."""
    records, begin, within, fresh = [], 0, False, True
    at = 0
    while at < len(text):
        letter = text[at : at + 1]
        if within and text[at : at + 2] == b'""':
            at += 1
        elif letter == b'"' and (within or fresh):
            within = not within
        elif letter == b"\n" and not within:
            records.append(text[begin : at + 1])
            begin = at + 1
        fresh = letter in b",\n" and not within
        at += 1
    return [*records, text[begin:]] if begin < len(text) else records


def cells_of(record):
    """Return the cells of a record as they are written; None where text comes after a closing quote, or a
    quote is never closed."""
    row = record.removesuffix(b"\n").removesuffix(b"\r")
    cells = []
    at = 0
    while at <= len(row):
        end = (row + b",").find(b",", at)
        if row[at : at + 1] == b'"':
            end = at + 1
            while row[end : end + 1] != b'"' or row[end : end + 2] == b'""':
                if end >= len(row):
                    return None
                end += 2 if row[end : end + 2] == b'""' else 1
            end += 1
            if row[end : end + 1] not in (b"", b","):
                return None
        cells.append(row[at:end])
        at = end + 1
    return cells


def split(text, splitter, size):
    """Return the records of a text, read in blocks of a size, and the problems of those that have one."""
    found = []
    taken = 0
    for block in blocks(Stream(BytesIO(text), "text", len(text)), splitter, size):
        taken += block.size
        if block.problem:
            found.append((block.text, block.problem))
            continue
        at = 0
        for end in (*splitter.ends(block.text).tolist(), len(block.text)):
            if end > at:
                found.append((block.text[at:end], ""))
            at = end
    assert taken == len(text)
    return found


def read(name, path, **options):
    """Read a file as every job does; returns its records by offset, those that cannot be read as errors."""
    inputs = Inputs((str(path),), **options)
    source = get_source(name)
    found = {}
    for shard in source.plan(inputs):
        size = 0
        for batch in source.read(shard, inputs):
            size += batch.size
            if isinstance(batch, Table):
                values = list(zip(*batch.cells, strict=True)) if batch.offsets else []
            elif isinstance(batch, Blobs):
                values = batch.blobs
            else:
                values = batch.texts
            for offset, value in zip(batch.offsets, values, strict=True):
                assert offset not in found
                found[offset] = value
            for one in batch.unreadable:
                assert one.offset not in found
                found[one.offset] = FailedPrecondition(one.message)
        assert size == shard.size
    return dict(sorted(found.items()))
