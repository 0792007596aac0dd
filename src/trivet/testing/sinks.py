"""`check_sink`: what every sink must keep."""

import gc
import json
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from trivet.core.batch import Counts, RowFailure, ShardResult
from trivet.core.instances import Predictions, object_column
from trivet.sinks import registry
from trivet.sinks.base import Failed, Outputs, Results, Sink, Writer
from trivet.testing.crashes import CrashBefore, crash_before, each_crash

FIRST, SECOND = "a.jsonl", 'b "ü".jsonl'
SHARDS = 4


@dataclass(frozen=True, slots=True)
class Shown:
    """What a user finds in the output of a job that is finished.

    `rows` and `errors` are objects, in the order of the output. A row has `prediction`, decoded, and, where
    the output is native, `source` and `offset`; one that stands for an instance has it as `instance`, or has
    its fields, or else `key`. An error has `code` and `message`, and, natively, `source` and `offset`.
    `content` is all there is, for telling whether two outputs are the same.
    """

    rows: Sequence[Mapping[str, Any]]
    errors: Sequence[Mapping[str, Any]]
    content: Any = None


Place = Callable[[bool], Outputs]
"""Makes outputs that nothing was written to, native ones or not; each time others."""

Find = Callable[[Outputs], Shown | None]
"""Finds what is shown, by what is visible to anybody; None where there is nothing."""


@dataclass(frozen=True, slots=True)
class _Case:
    """Records of one kind, in four shards: one with failures, one with nothing else, one without records."""

    native: bool = True
    keys: bool = False
    shown: bool = True
    several: bool = False

    def write(self, writer: Writer, shard: int) -> Counts:
        if shard == 0:
            writer.write(self._results(FIRST, range(0, 3)))
            writer.fail([self._failed(FIRST, 3)])
            writer.write(self._results(FIRST, [4, 7]))
            return Counts(6, 5, 1)
        if shard == 1:
            writer.fail([self._failed(FIRST, 8), self._failed(FIRST, 9)])
            return Counts(2, 0, 2)
        if shard == 3:
            writer.fail([])
            writer.write(self._results(SECOND, range(0, 2)))
            return Counts(2, 2, 0)
        return Counts()

    def expected(self) -> Iterator[tuple[str, int, Any]]:
        for uri, offset in [*((FIRST, offset) for offset in (0, 1, 2, 4, 7)), (SECOND, 0), (SECOND, 1)]:
            value = _value(uri, offset)
            if self.several:
                yield uri, offset, {"label": f"is {offset}", "scores": [value, 0.5]}
            else:
                yield uri, offset, value

    def failed(self) -> list[tuple[str, int]]:
        return [(FIRST, 3), (FIRST, 8), (FIRST, 9)]

    def _results(self, uri: str, offsets: Sequence[int]) -> Results:
        values = [_value(uri, offset) for offset in offsets]
        column = np.array([np.nan if value is None else value for value in values])
        if self.several:
            labels = object_column([f"is {offset}" for offset in offsets])
            scores = np.stack([column, np.full(len(column), 0.5)], axis=1)
            predictions = Predictions.of({"label": labels, "scores": scores})
        else:
            predictions = Predictions.of({"y": column})
        instances = [_instance(uri, offset) for offset in offsets] if self.shown else None
        keys = [_key(offset) for offset in offsets] if self.keys else None
        return Results(uri, offsets, instances, keys, predictions)

    def _failed(self, uri: str, offset: int) -> Failed:
        failure = RowFailure(uri, offset, 3, f'no "number"\n: {offset}')
        return Failed(failure, _instance(uri, offset), _key(offset) if self.keys else None)


def _value(uri: str, offset: int) -> float | None:
    return None if (uri, offset) == (FIRST, 2) else offset + len(uri) / 4


def _instance(uri: str, offset: int) -> bytes:
    number = offset if uri == FIRST else offset + 0.5  # another type in another shard
    one = {"id": 2**60 + offset, "text": f'{offset}, "ü"\n', "number": number, "none": None}
    if offset == 4:
        one["late"] = [offset, {"a": None}]
    return json.dumps(one, ensure_ascii=False).encode()


def _key(offset: int) -> bytes:
    return json.dumps(f"k{offset}").encode()


CASES = (
    _Case(),
    _Case(native=False),
    _Case(native=False, keys=True),
    _Case(several=True),
    _Case(native=False, shown=False, several=True),
    _Case(keys=True, shown=False),
)


Crashes = Callable[[Callable[[], object]], Iterator[int]]
"""Attempts something until it comes to its end, and yields after each crash."""


def check_sink(
    format: str, place: Place, find: Find, crash: CrashBefore = crash_before, *, quick: bool = False
) -> None:
    """Check a sink with outputs of its own.

    It must be found by its name. Nothing may be shown before `finish`, and then every row once, in the order
    of the shards, with its prediction and what it can be joined back by, and every error; and that again,
    the same to the last byte, whatever came between: shards written in another order or twice, a writer that
    was given up, a process that crashed before any step of a shard, of `finish` or of `discard`, a `finish`
    after `finish`. `missing` must name the shards whose parts are gone, and no other. `crash` gives contexts
    that crash before a step: by default one that touches the file system, or sends HTTP, in this thread.
    Where `quick`, since its store is slow, there are fewer kinds of records, and fewer crashes.
    Raises AssertionError that says what is not kept.
    """
    sink = registry.get_sink(format)
    assert isinstance(sink.tabular, bool)
    for case in CASES[1 : 2 if quick else None]:
        expected = _check_rows(sink, case, place(case.native), find)
        _check_other_ways(sink, case, place, find, expected)
    case = CASES[0]
    expected = _check_rows(sink, case, place(case.native), find)
    crashes = partial(each_crash, crash, every=3 if quick else 1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # of files that a crash leaves open
        _check_other_ways(sink, case, place, find, expected)
        _check_crashes_of_a_shard(sink, case, place, find, crashes, expected)
        _check_crashes_of_finish(sink, case, place, find, crashes, expected)
        _check_discard(sink, case, place, find, crashes, expected)
        gc.collect()


def _do(sink: Sink, case: _Case, outputs: Outputs, shard: int) -> ShardResult:
    writer = sink.open(outputs, shard)
    counts = case.write(writer, shard)
    parts = writer.commit()
    writer.abort()  # does nothing any more
    return ShardResult(shard, counts, (), parts)


def _check_rows(sink: Sink, case: _Case, outputs: Outputs, find: Find) -> Any:
    """Check an uninterrupted job, and return its content."""
    sink.check(outputs)
    assert find(outputs) is None, f"{case}: something is shown after `check`"
    results = [_do(sink, case, outputs, shard) for shard in range(SHARDS)]
    assert sink.missing(outputs, results) == [], f"{case}: shards are missing that were written"
    assert find(outputs) is None, f"{case}: something is shown before `finish`"
    info = sink.finish(outputs, results)
    shown = find(outputs)
    assert shown is not None, f"{case}: nothing is shown after `finish`"
    _check_content(case, shown)
    assert sink.missing(outputs, results) == [], f"{case}: shards are missing that are shown"
    assert sink.finish(outputs, results) == info, f"{case}: another `outputInfo` when finished again"
    _same(case, find(outputs), shown.content, "finished twice")
    return shown.content


def _check_content(case: _Case, shown: Shown) -> None:
    expected = list(case.expected())
    assert [row["prediction"] for row in shown.rows] == [one[2] for one in expected], f"{case}: predictions"
    assert [error["code"] for error in shown.errors] == [3] * 3, f"{case}: codes of errors"
    messages = [f'no "number"\n: {offset}' for _, offset in case.failed()]
    assert [error["message"] for error in shown.errors] == messages, f"{case}: messages of errors"
    if case.native:
        places = [(row["source"], row["offset"]) for row in shown.rows]
        assert places == [one[:2] for one in expected], f"{case}: source and offset of rows"
        places = [(error["source"], error["offset"]) for error in shown.errors]
        assert places == case.failed(), f"{case}: source and offset of errors"
    for row, (uri, offset, _) in zip(shown.rows, expected, strict=True):
        if case.keys:
            assert row["key"] == f"k{offset}", f"{case}: key"
            assert "instance" not in row, f"{case}: an instance beside its key"
        elif case.shown:
            instance = row.get("instance", row)
            for name, value in json.loads(_instance(uri, offset)).items():
                assert _alike(instance[name], value), f"{case}: {name} of an instance: {instance[name]!r}"


def _alike(found: Any, value: Any) -> bool:
    """Compare values of a field; what has no type in a table is a JSON text."""
    if found == value:
        return True
    try:
        return bool(json.loads(found) == value)
    except (TypeError, ValueError):
        return False


def _same(case: _Case, shown: Shown | None, content: Any, how: str) -> None:
    assert shown is not None, f"{case}: {how}: nothing is shown"
    assert shown.content == content, f"{case}: {how}: the output is another"


def _check_other_ways(sink: Sink, case: _Case, place: Place, find: Find, content: Any) -> None:
    outputs = place(case.native)
    given_up = []
    for shard in range(SHARDS):  # at once, or when others have done it all
        writer = sink.open(outputs, shard)
        case.write(writer, shard)
        if shard % 2:
            writer.abort()
        given_up.append(writer)
    done = {shard: _do(sink, case, outputs, shard) for shard in (3, 1, 0, 2, 0, 1)}
    results = list(done.values())
    assert sink.missing(outputs, results) == [], f"{case}: missing, after other tries"
    lost = [replace(one, index=one.index + SHARDS, parts=_moved(one)) for one in results]
    assert sorted(sink.missing(outputs, lost)) == sorted(_with_parts(lost)), f"{case}: what was never written"
    sink.finish(outputs, results)
    for writer in given_up:
        writer.abort()
    _same(case, find(outputs), content, "shards in another order, and twice")


def _moved(result: ShardResult) -> Mapping[str, int]:
    """Return parts that were never written: names that another shard has."""
    before, after = f"{result.index:05}", f"{result.index + SHARDS:05}"
    return {name.replace(before, after): size for name, size in result.parts.items()}


def _with_parts(results: Sequence[ShardResult]) -> list[int]:
    return [result.index for result in results if result.parts]


def _check_crashes_of_a_shard(
    sink: Sink, case: _Case, place: Place, find: Find, crashes: Crashes, content: Any
) -> None:
    outputs = place(case.native)
    results = [_do(sink, case, outputs, shard) for shard in (1, 2, 3)]
    for step in crashes(lambda: _do(sink, case, outputs, 0)):
        assert find(outputs) is None, f"a shard that crashed at step {step} is shown"
        assert sink.missing(outputs, results) == [], f"a crash at step {step} of a shard cost others"
    results.append(_do(sink, case, outputs, 0))
    sink.finish(outputs, results)
    _same(case, find(outputs), content, "a shard that crashed at each step")


def _check_crashes_of_finish(
    sink: Sink, case: _Case, place: Place, find: Find, crashes: Crashes, content: Any
) -> None:
    whole = place(case.native)
    results = [_do(sink, case, whole, shard) for shard in range(SHARDS)]
    for step in crashes(lambda: sink.finish(whole, results)):
        if (shown := find(whole)) is not None:
            _same(case, shown, content, f"shown by a `finish` that crashed at step {step}")
        lost = sink.missing(whole, results)
        assert lost == [], f"`finish` crashed at step {step}, and shards {lost} are missing"
    _same(case, find(whole), content, "`finish` crashed at each step")
    begun: list[tuple[Outputs, list[ShardResult]]] = []

    def finish_another() -> None:
        outputs, results = begun.pop()
        sink.finish(outputs, results)

    def begin() -> tuple[Outputs, list[ShardResult]]:
        outputs = place(case.native)
        begun.append((outputs, [_do(sink, case, outputs, shard) for shard in range(SHARDS)]))
        return begun[-1]

    outputs, results = begin()
    for step in crashes(finish_another):
        if find(outputs) is None:
            results[0] = _do(sink, case, outputs, 0)  # as if its part had been lost
        sink.finish(outputs, results)
        _same(case, find(outputs), content, f"finished after a crash of `finish` at step {step}")
        outputs, results = begin()
    sink.finish(outputs, results)


def _check_discard(sink: Sink, case: _Case, place: Place, find: Find, crashes: Crashes, content: Any) -> None:
    outputs = place(case.native)
    sink.discard(outputs)  # of nothing
    results = [_do(sink, case, outputs, shard) for shard in range(SHARDS)]
    for _ in crashes(lambda: sink.discard(outputs)):
        assert find(outputs) is None, "something is shown of what is being discarded"
    lost = sink.missing(outputs, results)
    assert sorted(lost) == _with_parts(results), f"only {lost} are missing after `discard`"
    results = [_do(sink, case, outputs, shard) for shard in range(SHARDS)]
    sink.finish(outputs, results)
    _same(case, find(outputs), content, "done again after `discard`")
    sink.discard(outputs)
    _same(case, find(outputs), content, "`discard` of what is finished")
