"""What every database of a catalog must do: batch prediction jobs, their shards, and who has them."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from tests.contract.catalog_values import HERE, START, at
from tests.contract.test_catalog_lists import ids, pages
from trivet.catalog import Catalog
from trivet.core.batch import BatchPredictionJob, Counts, RowFailure, Shard, ShardResult
from trivet.core.errors import Aborted, AlreadyExists, InvalidArgument, NotFound
from trivet.core.resources import Failure, Location, Query
from trivet.jobs.ledger import MAX_FAILURES, Ledger, News, first_failures
from trivet.jobs.work import Prepared

J = HERE.child("batchPredictionJobs", "j")
BIG = 2**63 + 1


def job(id_="j", parent=HERE, **changes):
    values = {"display_name": f"job {id_}", "created": START, "updated": START}
    return BatchPredictionJob(parent.child("batchPredictionJobs", id_), **(values | changes))


WHOLE = job(
    created=at(1),
    updated=at(2),
    model=f"{HERE}/models/m@2",
    model_display_name="größe",
    state="PARTIALLY_SUCCEEDED",
    labels={"team": "ä"},
    document={"inputConfig": {"instancesFormat": "jsonl"}, "modelParameters": {"n": BIG, "f": 1.5}},
    output_name="prediction-m-2026",
    started=at(3),
    ended=at(4.5),
    output={"gcsOutputDirectory": "gs://b/o"},
    counts=Counts(BIG, BIG - 1, 1),
    progress=(BIG, BIG + 1),
    failures=(RowFailure("gs://b/i", BIG, 3, "a\n'\"\\"),),
    warnings=("arrays",),
    first='{"a":1}',
    prepared={"columns": ["a"], "schema": [{"name": "a"}], "framework": "onnx"},
    failure=Failure(9, "no"),
    attempt=3,
    process_seconds=1.25,
)
SHARDS = [
    Shard(0, "gs://b/i", 0, 2**60, 0, 2**60, {"generation": str(BIG)}),
    Shard(1, "gs://b/i", 2**60, BIG, 12, 5),
]


@pytest.fixture
def with_job(catalog):
    with catalog.transaction() as tx:
        tx.add_batch_job(job())
    return catalog


def test_a_job_comes_back_as_it_was_added(catalog):
    with catalog.transaction() as tx:
        assert tx.add_batch_job(WHOLE) == WHOLE
        with pytest.raises(AlreadyExists, match="batchPredictionJobs/j already exists"):
            tx.add_batch_job(job())
    with catalog.reading() as tx:
        assert tx.batch_job(J) == WHOLE
        assert tx.batch_jobs(HERE, Query()).items == [WHOLE]
        assert tx.batch_jobs(Location("other", "us-central1"), Query()).items == []
        assert tx.newest_batch_job() == at(1)


def test_putting_a_job_needs_its_attempt(with_job):
    with with_job.transaction() as tx:
        changed = tx.put_batch_job(replace(WHOLE, state="RUNNING"), attempt=0)
        assert (changed.state, changed.created, changed.attempt) == ("RUNNING", START, 3)
        assert changed.updated > START
        with pytest.raises(Aborted, match="taken over by another"):
            tx.put_batch_job(changed, attempt=2)
        tx.put_batch_job(changed, attempt=3)
        tx.delete_batch_job(J)
        for call in (tx.batch_job, tx.delete_batch_job):
            with pytest.raises(NotFound, match=r"BatchPredictionJob projects/acme/.*/j is not found"):
                call(J)
        with pytest.raises(NotFound):
            tx.put_batch_job(changed, attempt=3)


def test_jobs_are_listed_by_what_google_lists_them_by(catalog):
    states = ["QUEUED", "RUNNING", "SUCCEEDED", "FAILED", "RUNNING"]
    with catalog.transaction() as tx:
        for number, state in enumerate(states):
            one = job(f"j{number}", created=at(number), updated=at(-number), state=state)
            model = f"{HERE}/models/m@{number % 2}"
            tx.add_batch_job(
                replace(one, model=model, model_display_name=f"M{number % 2}", labels={"n": str(number)})
            )

    def found(filter_, order_by="", size=2):
        return ids(pages(catalog, Query(filter_, order_by, size), "batch_jobs"))

    assert found("") == ["j4", "j3", "j2", "j1", "j0"]
    assert found('state="JOB_STATE_RUNNING"') == ["j4", "j1"]
    assert found('state="JOB_STATE_FAILED" OR display_name="job j0"') == ["j3", "j0"]
    assert found('NOT state="JOB_STATE_RUNNING" AND labels.n:*', "create_time") == ["j0", "j2", "j3"]
    assert found(f'model="{HERE}/models/m@1"') == ["j3", "j1"]
    assert found('model_display_name="M0"', "update_time desc") == ["j0", "j2", "j4"]
    assert found(f'create_time>="{at(3).isoformat()}"') == ["j4", "j3"]
    assert found('display_name:"*3"') == ["j3"]
    with catalog.reading() as tx, pytest.raises(InvalidArgument, match="owner"):
        tx.batch_jobs(HERE, Query('owner="x"'))


def test_the_model_of_a_job_may_be_written_plainly_and_without_its_version(catalog):
    with catalog.transaction() as tx:
        for id_, model in [("a", "m@1"), ("b", "m@2"), ("c", "mm@1"), ("d", "")]:
            tx.add_batch_job(job(id_, model=model and f"{HERE}/models/{model}"))

    def found(filter_):
        return sorted(ids(pages(catalog, Query(filter_, "", 9), "batch_jobs")))

    assert found('model="m"') == found("model:m") == found(f'model="{HERE}/models/m"') == ["a", "b"]
    assert found('model="m@1"') == ["a"]
    assert found('model!="m"') == found('NOT model="m"') == ["c", "d"]
    assert found('model=""') == ["d"]
    assert found('model:"*/m@*"') == ["a", "b"]


def test_a_model_is_used_until_its_jobs_have_ended(catalog):
    models = [HERE.child("models", id_) for id_ in ("m", "M", "mm")]
    with catalog.transaction() as tx:
        tx.add_batch_job(job("a", model=f"{models[0]}@2"))
        tx.add_batch_job(job("b", model=f"{models[0]}@12", state="CANCELLING"))
        tx.add_batch_job(job("c", model=f"{models[2]}@1"))
        tx.add_batch_job(job("d", model=f"{models[0]}@2", state="FAILED"))
        tx.add_batch_job(job("e", model=f"{models[1]}@2"))
        assert [one.id for one in tx.batch_jobs_using(models[0])] == ["a", "b"]
        assert [one.id for one in tx.batch_jobs_using(models[0], "2")] == ["a"]
        assert [one.id for one in tx.batch_jobs_using(models[0].at("12"))] == ["b"]
        assert [one.id for one in tx.batch_jobs_using(models[1])] == ["e"]


def test_shards_are_kept_with_what_became_of_them(with_job):
    result = ShardResult(1, Counts(3, 2, 1), (RowFailure("u", BIG, 3, "bad"),), {"results-00001": BIG})
    with with_job.transaction() as tx:
        assert tx.batch_shards(J) == []
        tx.plan_batch_job(J, SHARDS[:1])
        tx.plan_batch_job(J, SHARDS)
        tx.put_shard_result(J, replace(result, counts=Counts()))
        tx.put_shard_result(J, result)
        assert tx.batch_shards(J) == [(SHARDS[0], None), (SHARDS[1], result)]
        with pytest.raises(NotFound, match=r"Shard 7 of BatchPredictionJob projects/acme/.*/j is not found"):
            tx.put_shard_result(J, replace(result, index=7))
        tx.add_batch_job(job("k"))
        tx.plan_batch_job(HERE.child("batchPredictionJobs", "k"), SHARDS)
        tx.delete_batch_job(J)
        assert tx.batch_shards(J) == []
        assert len(tx.batch_shards(HERE.child("batchPredictionJobs", "k"))) == 2


def test_a_job_is_left_when_its_owner_is_not_heard_of(url):
    now = [START]
    catalog = Catalog(url, lambda: now[0])
    with catalog.transaction() as tx:
        tx.add_batch_job(job("free", created=at(2)))
        tx.add_batch_job(job("mine", owner="me", created=at(1)))
        tx.add_batch_job(job("ended", state="SUCCEEDED"))
        assert tx.batch_job(HERE.child("batchPredictionJobs", "mine")).seen == START

    def left():
        with catalog.reading() as tx:
            return [one.id for one in tx.batch_jobs_left(5)]

    assert left() == ["free"]
    now[0] = at(5.001)
    assert left() == ["mine", "free"]
    with catalog.transaction() as tx:
        one = tx.batch_job(HERE.child("batchPredictionJobs", "mine"))
        assert tx.batch_job_is_left(one.name, 5)
        tx.put_batch_job(one, attempt=0)
        assert tx.batch_job_is_left(one.name, 5)
        tx.put_batch_job(one, attempt=0, heard=True)
        assert not tx.batch_job_is_left(one.name, 5)
    catalog.close()


# The ledger, which is a few of these together.


def test_a_runner_keeps_what_it_does(with_job):
    before = datetime.now(UTC)
    ledger = Ledger(with_job, J, "me")
    claimed = ledger.claim()
    assert (claimed.state, claimed.owner, claimed.attempt) == ("RUNNING", "me", 1)
    assert claimed.started >= before
    assert ledger.prepared() is None
    prepared = Prepared(("careful",), "[1]", ("a", "b"), ({"name": "a"},), "onnx")
    ledger.plan(SHARDS, prepared)
    assert ledger.prepared() == prepared
    assert ledger.job().progress == (0, 2**60 + 5)
    result = ShardResult(0, Counts(1, 0, 1), (RowFailure("u", 0, 3, "odd \0 \ud800"),), {"results-0": 1})
    ledger.done(result)
    [(_, kept), (_, other)] = ledger.shards()
    assert other is None
    assert kept == replace(result, failures=(RowFailure("u", 0, 3, "odd \ufffd ?"),))
    news = News(Counts(3, 2, 1), (7, 9), kept.failures * 30, 2.5)
    assert ledger.beat(news) == "RUNNING"
    told = ledger.job()
    assert (told.counts, told.progress, told.process_seconds) == (Counts(3, 2, 1), (7, 9), 2.5)
    assert len(told.failures) == MAX_FAILURES
    ended = ledger.end("SUCCEEDED", News(Counts(4, 4, 0)), output={"gcsOutputDirectory": "/o"})
    assert (ended.state, ended.counts, ended.output, ended.owner) == (
        "SUCCEEDED", Counts(4, 4, 0), {"gcsOutputDirectory": "/o"}, "",
    )  # fmt: skip
    assert ended.ended >= ended.started
    with pytest.raises(Aborted, match="it is SUCCEEDED and nobody's"):
        ledger.beat()


def test_one_runner_has_a_job(with_job):
    first, other = Ledger(with_job, J, "first"), Ledger(with_job, J, "other")
    first.claim()
    with pytest.raises(Aborted, match="is being run by first"):
        other.claim()
    gone = Ledger(with_job, J, "other", heard_within=-1)
    assert gone.claim().attempt == 2
    for call in (first.beat, first.job, first.shards, lambda: first.plan(SHARDS, Prepared())):
        with pytest.raises(Aborted, match="not run by first any more: other has taken it over"):
            call()
    with pytest.raises(Aborted):
        first.done(ShardResult(0, Counts()))
    with pytest.raises(Aborted):
        first.end("FAILED", error=ValueError())
    gone.release()
    assert first.claim().attempt == 3
    assert first.end("FAILED", error=ValueError("odd \ud800")).failure == Failure(13, "ValueError: odd ?")


def test_a_job_that_is_cancelled_tells_its_runner_and_the_next_one(with_job):
    ledger = Ledger(with_job, J, "me")
    ledger.claim()
    with with_job.transaction() as tx:
        tx.put_batch_job(replace(tx.batch_job(J), state="CANCELLING"), attempt=1)
    assert ledger.beat(News(Counts(1, 1, 0))) == "CANCELLING"
    again = Ledger(with_job, J, "next", heard_within=-1)
    assert again.claim().state == "CANCELLING"
    assert again.end("CANCELLED").counts == Counts(1, 1, 0)


def test_a_job_that_is_deleted_is_nobodys(with_job):
    ledger = Ledger(with_job, J, "me")
    ledger.claim()
    with with_job.transaction() as tx:
        tx.delete_batch_job(J)
    with pytest.raises(Aborted, match="has been deleted"):
        ledger.beat()
    with pytest.raises(NotFound):
        Ledger(with_job, J, "other").claim()


def test_a_planned_again_job_begins_to_count_anew(with_job):
    ledger = Ledger(with_job, J, "me")
    ledger.claim()
    ledger.beat(News(Counts(3, 2, 1), failures=(RowFailure("u", 0, 3, "bad"),)))
    ledger.plan(SHARDS[:1], Prepared())
    told = ledger.job()
    assert (told.counts, told.failures, told.progress) == (Counts(), (), (0, 2**60))
    assert ledger.prepared() == Prepared()


def test_failures_are_told_in_the_order_of_the_input():
    results = [
        ShardResult(index, Counts(), tuple(RowFailure("u", index * 15 + row, 3, "") for row in range(15)))
        for index in (1, 0)
    ]
    assert [one.offset for one in first_failures(results)] == list(range(20))
