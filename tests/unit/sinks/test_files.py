import fcntl
import itertools
import os
import resource
import threading

import pytest

from tests.unit.sinks.jobs import NAME, failed, files, results, write
from trivet.core.batch import Counts, ShardResult
from trivet.core.errors import FailedPrecondition, InvalidArgument, NotFound
from trivet.sinks import registry
from trivet.sinks.base import Outputs

SHARDS = [[results([b"1"])], [results([b"2"]), failed(b"3")]]


def begun(folder):
    """Return a job whose shards are done, and not shown."""
    write("jsonl", folder, SHARDS, finish=False)
    outputs = Outputs(str(folder), NAME)
    sizes = {path.name: path.stat().st_size for path in (folder / f".{NAME}").iterdir()}
    parts = [{"results-00000": 30}, {"results-00001": 30, "errors-00001": 49}]
    assert sizes == {name: size for one in parts for name, size in one.items()}
    return outputs, [ShardResult(index, Counts(), (), part) for index, part in enumerate(parts)]


@pytest.mark.parametrize(("part", "shard"), [("results-00000", 0), ("errors-00001", 1)])
def test_a_part_that_is_gone_or_cut_is_missing(tmp_path, part, shard):
    outputs, done = begun(tmp_path)
    sink = registry.get_sink("jsonl")
    path = tmp_path / f".{NAME}" / part
    path.write_bytes(path.read_bytes()[:-1])
    assert sink.missing(outputs, done) == [shard]
    assert sink.missing(outputs, done[:shard]) == []
    path.unlink()
    assert sink.missing(outputs, done) == [shard]
    with pytest.raises(FailedPrecondition, match=f"{part} is gone; resume"):
        sink.finish(outputs, done)
    assert not (tmp_path / NAME).exists()


def test_only_parts_that_count_are_shown(tmp_path):
    """A shard that is done again without its failures, as where an endpoint answers at last, leaves none."""
    outputs, done = begun(tmp_path)
    sink = registry.get_sink("jsonl")
    done[1] = ShardResult(1, Counts(), (), {"results-00001": 30})
    (tmp_path / f".{NAME}" / ".results-00001.f00").write_bytes(b"of a process that was killed")
    sink.finish(outputs, done)
    assert files(tmp_path / NAME)["prediction.errors_stats-00000-of-00001"] == b""
    assert len(list((tmp_path / NAME).iterdir())) == 3


def test_two_may_finish_at_once(tmp_path):
    sink = registry.get_sink("jsonl")
    for index in range(30):
        outputs, done = begun(tmp_path / str(index))
        failures, gate = [], threading.Barrier(2)

        def finish(outputs=outputs, done=done, failures=failures, gate=gate):
            gate.wait()
            try:
                sink.finish(outputs, done)
            except Exception as error:  # noqa: BLE001
                failures.append(error)

        both = [threading.Thread(target=finish) for _ in range(2)]
        [one.start() for one in both]
        [one.join() for one in both]
        assert failures == []
        assert os.listdir(tmp_path / str(index)) == [NAME]
        assert len(files(tmp_path / str(index) / NAME)) == 3


def test_what_somebody_shows_meanwhile_is_not_discarded(tmp_path):
    """As by a runner that was stopped for a while, and whose job another one finishes."""
    outputs, _ = begun(tmp_path)
    hidden = tmp_path / f".{NAME}"
    (hidden / "prediction.errors_stats-00000-of-00001").write_text("")
    lock = os.open(hidden, os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    discards = threading.Thread(target=registry.get_sink("jsonl").discard, args=[outputs])
    discards.start()
    discards.join(0.1)
    there = len(files(hidden))
    hidden.rename(tmp_path / NAME)
    os.close(lock)
    discards.join()
    assert len(files(tmp_path / NAME)) == there == 4


def test_what_is_there_already_is_not_touched(tmp_path):
    outputs, done = begun(tmp_path)
    (tmp_path / NAME).mkdir()
    (tmp_path / NAME / "mine").write_text("x")
    sink = registry.get_sink("jsonl")
    with pytest.raises(FailedPrecondition, match=f"{NAME}: Directory not empty"):
        sink.finish(outputs, done)
    sink.discard(outputs)
    assert files(tmp_path / NAME) == {"mine": b"x"}


@pytest.mark.parametrize("format", ["jsonl", "csv", "parquet"])
def test_a_disk_that_is_full_is_said(tmp_path, format):
    sink = registry.get_sink(format)
    writer = sink.open(Outputs(str(tmp_path), NAME), 0)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(FailedPrecondition, match=f"{NAME}: File too large"):  # noqa: PT012
            writer.write(results([b'"%d"' % one for one in range(100_000)]))
            writer.commit()
    finally:
        writer.abort()
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list((tmp_path / f".{NAME}").iterdir()) == []


@pytest.mark.parametrize("name", ["a/b", "..", "", "x\ny", "x" * 255, "ü" * 128])
def test_names_that_are_none_of_a_folder_are_refused(tmp_path, name):
    with pytest.raises(InvalidArgument):
        registry.get_sink("jsonl").check(Outputs(str(tmp_path), name))


def test_an_unknown_format_names_those_there_are():
    assert set(itertools.islice(registry.formats(), 99)) >= {"jsonl", "csv", "parquet"}
    with pytest.raises(NotFound, match="output format 'json': unknown format; did you mean 'jsonl'"):
        registry.get_sink("json")
    for name in ("files", "base", "registry", "../x", "", "j.sonl"):
        with pytest.raises(NotFound):
            registry.get_sink(name)
