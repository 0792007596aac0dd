"""What all sinks of files have in common: parts, their names, the errors, and how they are shown.

The parts of a job's shards are in a hidden folder beside the one that will hold its results:

    OUTPUT/.NAME/results-00007, OUTPUT/.NAME/errors-00007
    OUTPUT/NAME/prediction.results-00007-of-00012, OUTPUT/NAME/prediction.errors_stats-00000-of-00001

A shard has a part of results, be it empty, and one of errors only where there are some. `finish` puts the
errors together, gives the parts their names, and moves them: on a local disk by one rename of the folder, in
an object store one by one, the errors last, so that they are the sign that all is there. Each of its steps
leaves what the next one, or the next attempt, goes on from.
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import lru_cache
from shutil import copyfileobj
from typing import IO, Any, BinaryIO, Protocol

import msgspec

from trivet.core.batch import ShardResult
from trivet.core.errors import FailedPrecondition
from trivet.sinks.base import Failed, Outputs, Results
from trivet.storage.sources import locate
from trivet.storage.targets import RemoteFolder, Target, Upload, target

ERRORS = "prediction.errors_stats-00000-of-00001"

_CHUNK = 1 << 20
_encode = msgspec.json.Encoder().encode

Rewrite = Callable[[IO[bytes]], None]
"""Writes a part once more, in another form, to a file."""


class Rows(Protocol):
    """Writes the results of one shard to a file, in one format."""

    def add(self, results: Results) -> None:
        """Write rows."""
        ...

    def end(self) -> Upload:
        """Return the file, with everything in it."""
        ...

    def discard(self) -> None:
        """Give the file up."""
        ...


class Format(Protocol):
    """How results are written to files; errors are JSON lines in all of them."""

    tabular: bool
    suffix: str
    """How the names of the files end."""

    def check(self) -> None:
        """Raise FailedPrecondition where its library is missing."""
        ...

    def begin(self, outputs: Outputs, new: Callable[[], Upload]) -> Rows:
        """Begin the results of a shard; `new` begins a file, and another where they must be written anew."""
        ...

    def agree(self, parts: Sequence[Callable[[], BinaryIO]]) -> Mapping[int, Rewrite]:
        """Return how some parts, by their index, must be written once more to agree with the others.

        It is asked again after a crash, when some have been; then those are as they must be.
        """
        ...


class FileSink:
    """A sink that writes files of one format to a folder."""

    def __init__(self, format: Format) -> None:
        self._format = format
        self.tabular = format.tabular

    def check(self, outputs: Outputs) -> None:
        """Refuse what is no folder that this process may write to, or an object store that says no."""
        self._format.check()
        hidden, _ = places(outputs)
        hidden.probe()

    def open(self, outputs: Outputs, shard: int) -> "FileWriter":
        """Begin the parts of a shard."""
        hidden, _ = places(outputs)
        rows = self._format.begin(outputs, lambda: hidden.open(results_part(shard)))
        return FileWriter(hidden, shard, rows, native=outputs.native)

    def missing(self, outputs: Outputs, results: Sequence[ShardResult]) -> list[int]:
        """Return the shards whose parts are neither there nor on their way to being shown."""
        hidden, final = places(outputs)
        if ERRORS in final.sizes():
            return []
        here, names = hidden.sizes(), self._names(results)
        return [
            result.index
            for result in results
            if any(
                here.get(part) != size and names.get(part, ERRORS) not in here
                for part, size in result.parts.items()
            )
        ]

    def finish(self, outputs: Outputs, results: Sequence[ShardResult]) -> dict[str, Any]:
        """Show all parts; where that was done already, only what is left of the hidden ones is removed."""
        hidden, final = places(outputs)
        try:
            with hidden.alone():
                if ERRORS not in final.sizes():
                    names = self._shown(hidden, results)
                    _join_errors(hidden, results)
                    hidden.move_to(final, {**names, ERRORS: ERRORS})
                    return {"gcsOutputDirectory": final.location}
        except FailedPrecondition:
            if ERRORS not in final.sizes():  # else somebody does the same, and was first
                raise
        hidden.remove()
        return {"gcsOutputDirectory": final.location}

    def discard(self, outputs: Outputs) -> None:
        """Remove the hidden parts, and those that an attempt to show them has left."""
        hidden, final = places(outputs)
        with hidden.alone():  # a folder that somebody is about to show is shown whole
            # on a disk all of it was shown at once; in a store parts stay hidden until all of them are shown
            if isinstance(final, RemoteFolder) and hidden.sizes():
                shown = final.sizes()
                if ERRORS not in shown:
                    final.remove([name for name in shown if name.startswith("prediction.results-")])
            hidden.remove()

    def _names(self, results: Sequence[ShardResult]) -> dict[str, str]:
        """Return the names that parts of results are shown by, in the order of their shards."""
        order = sorted(result.index for result in results)
        return {
            results_part(shard): f"prediction.results-{index:05}-of-{len(order):05}{self._format.suffix}"
            for index, shard in enumerate(order)
        }

    def _shown(self, hidden: Target, results: Sequence[ShardResult]) -> dict[str, str]:
        """Have the parts agree; returns the new names of all, by those they have here."""
        here, names = hidden.sizes(), self._names(results)
        if lost := [part for part, name in names.items() if part not in here and name not in here]:
            raise FailedPrecondition(f"{hidden.location}: {lost[0]} is gone; resume the job, which redoes it")
        # a part that was redone since an earlier attempt counts more than what that has made of it
        found = [part if part in here else name for part, name in names.items()]

        def reader(name: str) -> Callable[[], BinaryIO]:
            return lambda: hidden.read(name)

        rewrites = self._format.agree([reader(name) for name in found])
        shown = {}
        for index, (place, name) in enumerate(zip(found, names.values(), strict=True)):
            shown[place] = name
            if index in rewrites:
                with ExitStack() as stack, hidden.failures():
                    upload = hidden.open(name)
                    stack.callback(upload.discard)
                    rewrites[index](upload.file)
                    upload.commit()
                del shown[place]
                shown[name] = name
        return shown


class FileWriter:
    """Writes the parts of one shard into a folder."""

    def __init__(self, folder: Target, shard: int, rows: Rows, *, native: bool) -> None:
        self._folder = folder
        self._shard = shard
        self._rows = rows
        self._native = native
        self._errors: Upload | None = None

    def write(self, results: Results) -> None:
        """Add rows."""
        with self._folder.failures():
            self._rows.add(results)

    def fail(self, failed: Sequence[Failed]) -> None:
        """Add rows of errors."""
        if not failed:
            return
        with self._folder.failures():
            if self._errors is None:
                self._errors = self._folder.open(errors_part(self._shard))
            self._errors.file.write(b"".join(error_lines(failed, native=self._native)))

    def commit(self) -> Mapping[str, int]:
        """Put the parts in place, over those of an earlier try."""
        parts = {}
        with self._folder.failures():
            if self._errors is not None:
                parts[errors_part(self._shard)] = self._errors.commit()
            parts[results_part(self._shard)] = self._rows.end().commit()
        return parts

    def abort(self) -> None:
        """Give up what is not in place yet."""
        self._rows.discard()
        if self._errors is not None:
            self._errors.discard()


def places(outputs: Outputs) -> tuple[Target, Target]:
    """Return the folder of hidden parts, and the one that results are shown in."""
    path, _ = locate(outputs.uri, outputs.buckets)
    if path is None:
        return _connected(outputs.uri, outputs.name, os.getpid())
    root = target(outputs.uri, outputs.buckets, outputs.folders)
    return root.at(f".{outputs.name}"), root.at(outputs.name)


@lru_cache(maxsize=4)
def _connected(uri: str, name: str, process: int) -> tuple[Target, Target]:
    """Keep the connection to a store from shard to shard, since making one may take as long as a shard does.

    It is of one process: a fork would not have its thread.
    """
    root = target(uri)
    return root.at(f".{name}"), root.at(name)


def results_part(shard: int) -> str:
    """Return the name of a shard's results."""
    return f"results-{shard:05}"


def errors_part(shard: int) -> str:
    """Return the name of a shard's errors."""
    return f"errors-{shard:05}"


def unicode(value: str) -> str:
    """Return a string with escapes for what is no Unicode in it, as in a file's name that is no UTF-8."""
    return value.encode("utf-8", "backslashreplace").decode()


def text(value: str) -> bytes:
    """Return a string as JSON text."""
    return _encode(unicode(value))


def error_lines(failed: Sequence[Failed], *, native: bool) -> Iterator[bytes]:
    """Yield a line for each record that has no prediction: what it was, and why."""
    for one in failed:
        failure = one.failure
        row = b'{"instance":%b' % one.shown if one.key is None else b'{"key":%b' % one.key
        row += b',"error":{"code":%d,"message":%b}' % (failure.code, text(failure.message))
        if native:
            row += b',"source":%b,"offset":%d' % (text(failure.uri), failure.offset)
        yield row + b"}\n"


def _join_errors(hidden: Target, results: Sequence[ShardResult]) -> None:
    here = hidden.sizes()
    ordered = sorted(results, key=lambda result: result.index)
    parts = [part for result in ordered for part in result.parts if part == errors_part(result.index)]
    if lost := [part for part in parts if part not in here]:
        if ERRORS in here:  # they were joined, and then removed
            return
        raise FailedPrecondition(f"{hidden.location}: {lost[0]} is gone; resume the job, which redoes it")
    with ExitStack() as stack, hidden.failures():
        upload = hidden.open(ERRORS)
        stack.callback(upload.discard)
        for part in parts:
            with hidden.read(part) as file:
                copyfileobj(file, upload.file, _CHUNK)
        upload.commit()
