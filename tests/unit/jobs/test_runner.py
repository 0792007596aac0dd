"""A job from claim to end, over a real catalog, with an engine and a sink in memory."""

from dataclasses import replace

import pytest

from tests.unit.jobs.fakes import NAME, WORK, MemorySink, ScriptedEngine, catalog_with_job, ledger, result
from trivet.core.batch import Counts
from trivet.core.errors import Aborted, FailedPrecondition, Unavailable
from trivet.jobs.runner import Runner, Tolerance


@pytest.fixture
def catalog(tmp_path):
    catalog = catalog_with_job(tmp_path)
    yield catalog
    catalog.close()


@pytest.fixture
def sink():
    return MemorySink()


def job_in(catalog):
    with catalog.reading() as tx:
        return tx.batch_job(NAME)


def runner(catalog, engine, sink, owner="me", **more):
    return Runner(ledger(catalog, owner), WORK, engine, sink, **more)


def test_a_job_is_planned_run_shown_and_accounted_for(catalog, sink):
    told = []
    engine = ScriptedEngine(sink, 3)
    one = runner(catalog, engine, sink)
    one.told = told.append
    job = one.run()
    assert (job.state, job.counts, job.progress) == ("SUCCEEDED", Counts(30, 30, 0), (30, 30))
    assert (job.warnings, job.first) == (("mind",), "[1]")
    assert job.output == {"gcsOutputDirectory": "out/prediction-m"}
    assert job.failure is None
    assert job.started
    assert job.ended
    assert sink.shown == [0, 1, 2]
    assert engine.closed
    assert job == job_in(catalog)
    assert [one.counts.read for one in told] == sorted(one.counts.read for one in told)
    assert told[-1].done == told[-1].size == 30


def test_some_failed_rows_make_it_partially_succeeded_and_are_told_of(catalog, sink):
    job = runner(catalog, ScriptedEngine(sink, 3, failed=lambda i: i), sink).run()
    assert (job.state, job.counts) == ("PARTIALLY_SUCCEEDED", Counts(30, 27, 3))
    assert [one.offset for one in job.failures] == [10, 20, 21]


def test_a_job_none_of_whose_rows_has_a_prediction_has_failed_and_shows_its_errors(catalog, sink):
    job = runner(catalog, ScriptedEngine(sink, 2, failed=lambda i: 10), sink).run()
    assert (job.state, job.counts.failed) == ("FAILED", 20)
    assert job.output
    assert sink.shown == [0, 1]
    assert job.failure.code == 3
    assert job.failure.message == "all 20 rows failed; record 0 of in: bad"
    assert len(job.failures) == 20


def test_a_job_without_records_succeeds(catalog, sink):
    job = runner(catalog, ScriptedEngine(sink, 0), sink).run()
    assert (job.state, job.counts) == ("SUCCEEDED", Counts())


def test_a_model_that_cannot_be_loaded_fails_it(catalog, sink):
    engine = ScriptedEngine(sink, 2)
    engine.loads = FailedPrecondition("no licence")
    job = runner(catalog, engine, sink).run()
    assert (job.state, job.failure.message) == ("FAILED", "no licence")


def test_a_model_that_cannot_be_fetched_fails_it_when_it_has_begun(catalog, sink):
    def complete(work):
        assert job_in(catalog).state == "RUNNING"
        raise FailedPrecondition("its copy is gone")

    job = runner(catalog, ScriptedEngine(sink, 2), sink, complete=complete).run()
    assert (job.state, job.failure.message) == ("FAILED", "its copy is gone")


def test_an_engine_that_breaks_fails_it_and_says_where(catalog, sink):
    engine = ScriptedEngine(sink, 2)
    engine.loads = KeyError("shards")
    job = runner(catalog, engine, sink).run()
    assert (job.state, job.failure.code) == ("FAILED", 13)
    assert job.failure.message == "KeyError: 'shards'"


def test_shards_that_never_come_back_are_noticed(catalog, sink):
    engine = ScriptedEngine(sink, 3)
    engine.forgets = {1}
    job = runner(catalog, engine, sink).run()
    assert job.state == "FAILED"
    assert "1 shards were given to the engine, and never came back" in job.failure.message
    assert sink.shown is None


def test_counts_that_do_not_add_up_show_nothing(catalog, sink):
    engine = ScriptedEngine(sink, 2)
    engine.result = lambda index: replace(result(index), counts=Counts(10, 9, 0))
    job = runner(catalog, engine, sink).run()
    assert (job.state, job.failure.code, sink.shown) == ("FAILED", 13, None)
    assert "do not add up" in job.failure.message


@pytest.mark.parametrize(
    ("tolerance", "shards_done"),
    [(Tolerance(errors=2), 2), (Tolerance(errors=3), 3), (Tolerance(errors=4), 4)],
)
def test_too_many_errors_end_it_early_and_show_nothing(catalog, sink, tolerance, shards_done):
    engine = ScriptedEngine(sink, 5, failed=lambda i: 1 if i else 2)
    job = runner(catalog, engine, sink, tolerance=tolerance).run()
    assert job.state == "FAILED"
    assert job.failure.message == (
        f"{shards_done + 1} of {shards_done * 10} rows failed, and the job allows {tolerance.errors}"
    )
    assert sink.shown is None
    assert list(sink.parts) == engine.done == list(range(shards_done))  # for who resumes it


def test_a_share_is_judged_when_there_are_enough_rows_or_all_of_them(catalog, sink):
    tolerance = Tolerance(share=0.1)
    tolerance.check(Counts(999, 0, 999))
    tolerance.check(Counts(1000, 900, 100))
    tolerance.check(Counts(0, 0, 0), whole=True)
    with pytest.raises(FailedPrecondition, match=r"101 of 1000 rows failed, and the job allows 0\.1 of them"):
        tolerance.check(Counts(1000, 899, 101))
    engine = ScriptedEngine(sink, 3, failed=lambda i: 2)
    job = runner(catalog, engine, sink, tolerance=tolerance).run()
    assert (job.state, engine.done, sink.shown) == ("FAILED", [0, 1, 2], None)


def test_a_failed_job_goes_on_where_it_was(catalog, sink):
    engine = ScriptedEngine(sink, 4)
    engine.forgets = {2}
    assert runner(catalog, engine, sink).run().state == "FAILED"
    with catalog.transaction() as tx:
        job = tx.batch_job(NAME)
        tx.put_batch_job(replace(job, state="QUEUED", failure=None), attempt=job.attempt)
    again = ScriptedEngine(sink, 4)
    again.loads = AssertionError("it is planned already")
    del sink.parts[0]  # somebody has cleaned up
    job = runner(catalog, again, sink).run()
    assert again.done == [0, 2]
    assert (job.state, job.counts, sink.shown) == ("SUCCEEDED", Counts(40, 40, 0), [0, 1, 2, 3])
    assert job.attempt == 2


def test_an_attempt_that_cannot_even_begin_leaves_what_others_have_done(catalog, sink):
    engine = ScriptedEngine(sink, 3)
    engine.forgets = {2}
    runner(catalog, engine, sink).run()
    with catalog.transaction() as tx:
        job = tx.batch_job(NAME)
        tx.put_batch_job(replace(job, state="QUEUED", failure=None), attempt=job.attempt)

    def complete(work):
        raise FailedPrecondition("its copy is gone")

    assert runner(catalog, ScriptedEngine(sink, 3), sink, complete=complete).run().state == "FAILED"
    assert set(sink.parts) == {0, 1}


def test_the_first_failures_are_told_whatever_is_done_first(catalog, sink):
    engine = ScriptedEngine(sink, 30, failed=lambda i: i % 10)
    engine.order = reversed
    job = runner(catalog, engine, sink).run()
    assert [one.offset for one in job.failures] == [
        index * 10 + row for index in range(7) for row in range(index)
    ][:20]


def test_a_beat_tells_how_far_it_is(catalog, sink):
    engine = ScriptedEngine(sink, 2)
    one = runner(catalog, engine, sink)
    seen = []

    def beat():
        one.beat()
        seen.append(job_in(catalog))

    engine.each = beat
    one.beat()  # before it has begun: nothing to tell
    job = one.run()
    one.beat()  # nor after
    assert [each.counts.read for each in seen] == [0, 0, 0, 10, 10]
    assert [each.progress for each in seen] == [(0, 0), (0, 20), (0, 20), (10, 20), (10, 20)]
    assert {each.state for each in seen} == {"RUNNING"}
    assert job.process_seconds > 0
    assert job == job_in(catalog)


@pytest.mark.parametrize("at", range(5))
def test_a_cancelled_job_ends_at_the_next_event_and_leaves_nothing(catalog, sink, at):
    engine = ScriptedEngine(sink, 2)
    one = runner(catalog, engine, sink)
    moments = iter(range(100))

    def each():
        if next(moments) == at:
            with catalog.transaction() as tx:
                job = tx.batch_job(NAME)
                tx.put_batch_job(replace(job, state="CANCELLING"), attempt=job.attempt)
            one.beat()

    engine.each = each
    job = one.run()
    assert (job.state, job.output, sink.parts, sink.shown) == ("CANCELLED", {}, {}, None)
    assert engine.closed
    assert next(moments) == at + 1


def test_a_job_that_was_to_be_cancelled_when_its_runner_died_is_only_cleaned_up(tmp_path, sink):
    catalog = catalog_with_job(tmp_path, "CANCELLING")
    engine = ScriptedEngine(sink, 2)
    sink.parts = {0: 10}
    job = runner(catalog, engine, sink).run()
    assert (job.state, engine.done, sink.parts) == ("CANCELLED", [], {})
    catalog.close()


def test_whoever_cancels_the_runner_itself_ends_it_too(catalog, sink):
    engine = ScriptedEngine(sink, 2)
    one = runner(catalog, engine, sink)
    engine.each = one.cancel
    assert one.run().state == "CANCELLED"


def test_whoever_cancels_a_runner_whose_job_is_anothers_by_now_removes_nothing(catalog, sink):
    engine = ScriptedEngine(sink, 3)
    one = runner(catalog, engine, sink)

    def each():
        if engine.done:  # it was stopped for a while
            ledger(catalog, "other").claim()
            one.cancel()

    engine.each = each
    with pytest.raises(Aborted, match="other"):
        one.run()
    assert 0 in sink.parts
    assert (job_in(catalog).state, job_in(catalog).owner) == ("RUNNING", "other")


def test_a_job_that_another_has_is_let_be(catalog, sink):
    ledger(catalog, "other", alive_within=5).claim()
    engine = ScriptedEngine(sink, 2)
    with pytest.raises(Aborted, match="run by other"):
        Runner(ledger(catalog, alive_within=5), WORK, engine, sink).run()
    assert job_in(catalog).owner == "other"
    assert engine.closed


@pytest.mark.parametrize("beats", [False, True])
def test_a_runner_whose_job_was_taken_over_stops_and_leaves_everything(catalog, sink, beats):
    engine = ScriptedEngine(sink, 3)
    one = runner(catalog, engine, sink)
    moments = iter(range(100))

    def each():
        if next(moments) == 3:
            ledger(catalog, "other").claim()
            if beats:
                one.beat()

    engine.each = each
    with pytest.raises(Aborted, match="other"):
        one.run()
    assert engine.closed
    assert 0 in sink.parts
    assert (job_in(catalog).state, job_in(catalog).owner) == ("RUNNING", "other")


def test_a_catalog_that_is_lost_is_as_good_as_a_crash(catalog, sink, monkeypatch):
    engine = ScriptedEngine(sink, 3)
    kept = ledger(catalog)
    one = Runner(kept, WORK, engine, sink)

    def lost(*_):
        raise Unavailable("the catalog: no route to host")

    with monkeypatch.context() as patched:
        patched.setattr(type(kept), "done", lost)
        patched.setattr(type(kept), "beat", lost)
        engine.each = one.beat  # which alone ends nothing
        with pytest.raises(Unavailable, match="no route"):
            one.run()
    assert (job_in(catalog).state, sink.shown) == ("RUNNING", None)
    assert runner(catalog, ScriptedEngine(sink, 3), sink, "another").run().state == "SUCCEEDED"


def test_a_catalog_that_is_lost_when_all_is_shown_is_as_good_as_a_crash(catalog, sink, monkeypatch):
    kept = ledger(catalog)
    end, answers = type(kept).end, iter([Unavailable("the catalog: no route to host")])

    def lost_once(self, *given, **more):
        for error in answers:
            raise error
        return end(self, *given, **more)

    monkeypatch.setattr(type(kept), "end", lost_once)
    with pytest.raises(Unavailable, match="no route"):
        Runner(kept, WORK, ScriptedEngine(sink, 3), sink).run()
    assert (job_in(catalog).state, sink.shown) == ("RUNNING", [0, 1, 2])
    again = ScriptedEngine(sink, 3)
    assert runner(catalog, again, sink, "another").run().state == "SUCCEEDED"
    assert again.done == []
