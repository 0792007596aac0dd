"""What a sink of files has shown, read as its users would, and crashes over the wire of an object store."""

import io
import json
import re
import uuid
from contextlib import contextmanager

import pyarrow.parquet as pq
import pytest

from trivet.sinks.base import Outputs
from trivet.sinks.files import ERRORS
from trivet.storage.targets import RemoteFolder, target
from trivet.testing.crashes import crash_before
from trivet.testing.sinks import Shown


def place(uri):
    """Return a function that makes outputs under new names in one folder."""
    return lambda native: Outputs(str(uri), f"prediction-m [{uuid.uuid4()}]*-2026", native=native)


def find(outputs):
    """Return what is shown."""
    folder = target(outputs.uri).at(outputs.name)
    sizes = folder.sizes()
    if ERRORS not in sizes:
        assert not sizes or "://" in outputs.uri, f"only some files are shown: {sizes}"
        return None
    content = {}
    for name in sizes:
        with folder.read(name) as file:
            content[name] = file.read()
    results = sorted(name for name in content if name != ERRORS)
    for index, name in enumerate(results):
        assert name.startswith(f"prediction.results-{index:05}-of-{len(results):05}"), name
    rows = [row for name in results for row in read(name, content[name])]
    errors = [{**error.pop("error"), **error} for error in map(json.loads, content[ERRORS].splitlines())]
    return Shown(rows, errors, content)


def read(name, content):
    if name.endswith(".parquet"):
        return pq.read_table(io.BytesIO(content)).to_pylist()
    if content.startswith(b"{") or not content:
        return [json.loads(line) for line in content.splitlines()]
    return [
        {**row, "prediction": json.loads(answer) if isinstance(answer, str) else answer}
        for row in csv_rows(content.decode())
        for answer in [row["prediction"]]
    ]


def csv_rows(text):
    """Read CSV as its dialect says: quoted cells are strings, empty ones null."""
    rows = []
    for row in re.findall(r'((?:"(?:[^"]|"")*"|[^"\n])*)\n', text):
        cells = re.findall(r'((?:"(?:[^"]|"")*")|[^",]*),', row + ",")
        rows.append([cell_value(cell) for cell in cells])
    for row in rows[1:]:
        assert len(row) == len(rows[0]), row
        yield dict(zip(rows[0], row, strict=True))


def cell_value(cell):
    if cell.startswith('"'):
        return cell[1:-1].replace('""', '"')
    return json.loads(cell) if cell else None


class Crashing:
    """A client of an object store whose every request is a step; what it does to many, it does one by one."""

    def __init__(self, filesystem, steps):
        self.whole = self._filesystem = filesystem
        self._steps = steps

    def __getattr__(self, name):
        def call(*args, **kwargs):
            self._steps.step()
            return getattr(self._filesystem, name)(*args, **kwargs)

        return call

    def copy(self, before, after):
        for pair in zip(before, after, strict=True):
            self._steps.step()
            self._filesystem.cp_file(*pair)

    def rm(self, paths):
        for path in paths:
            self._steps.step()
            self._filesystem.rm_file(path)


@contextmanager
def requests(step):
    """Crash as `crash_before` does; the requests to an object store are steps, too."""
    with crash_before(step) as steps, pytest.MonkeyPatch.context() as monkeypatch:
        own = property(
            lambda folder: Crashing(vars(folder)["_filesystem"], steps),
            lambda folder, made: vars(folder).update(_filesystem=getattr(made, "whole", made)),
        )
        monkeypatch.setattr(RemoteFolder, "_filesystem", own, raising=False)
        yield steps
