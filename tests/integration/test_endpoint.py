"""An endpoint as a predictor: one that misbehaves on purpose, and a real `trivet serve`."""

import json
import socket
import threading
import time

import msgspec
import pytest

from tests.integration.endpoint import RESET, SILENT, echo, error, pause, scripted
from tests.integration.server import serve
from tests.zoo import cases
from trivet.core.batch import Counts
from trivet.core.errors import (
    Cancelled,
    FailedPrecondition,
    Internal,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    ResourceExhausted,
    ServingError,
    Unavailable,
)
from trivet.core.instances import Instances, object_column
from trivet.core.names import ModelRef
from trivet.jobs.run import load, prepare, prepared, run_shard
from trivet.jobs.work import Endpoint, Work
from trivet.serving.lifecycle import ModelSpec
from trivet.serving.remote import EndpointPredictor
from trivet.serving.remote_call import endpoint_url
from trivet.serving.scoring import score
from trivet.sinks.base import Outputs
from trivet.sinks.registry import get_sink
from trivet.sources.base import Inputs


@pytest.fixture
def predictor():
    made = []

    def of(url, rows=8, patience=30.0, **endpoint):
        made.append(EndpointPredictor(Endpoint(url, **endpoint), rows, patience=patience))
        return made[-1]

    yield of
    for one in made:
        one.close()


def instances(values):
    return Instances({"instance": object_column(values)}, len(values))


def asked(predictor, values, parameters=()):
    """Return the answers as (predictions of a range) or (row, error), checked to cover every row once."""
    answers, at = [], 0
    for start, stop, answer in score(predictor, instances(values), dict(parameters), 5):
        assert start == at
        at = stop
        if isinstance(answer, ServingError):
            assert stop == start + 1
            answers.append((start, type(answer), str(answer)))
        else:
            assert answer.count == stop - start
            answers.append(answer.columns["prediction"].tolist())
    assert at == len(values)
    return answers


def test_rows_are_asked_about_in_requests_and_answered_in_order(predictor):
    values = [[1, 2.5], {"a": None}, "x", None, True, 2**70, *range(94)]

    def script(instances, at_once):
        pause(0.01)
        return echo(instances)

    with scripted(script) as server:
        (answer,) = asked(predictor(server.url, headers={"Authorization": "me"}), values)
    assert answer == values
    assert sorted(len(one) for one in server.asked) == [4, *[8] * 12]
    assert set(server.paths) == {"/v1/models/m:predict"}
    assert all(head["Authorization"] == "me" for head in server.heads)
    assert 2 <= server.most <= 16


def test_no_rows_are_no_request(predictor):
    with scripted(echo) as server:
        assert asked(predictor(server.url), []) == []
    assert server.asked == []


def test_texts_are_sent_as_they_are_and_what_is_no_json_never(predictor):
    texts = [b"1e2", b"123456789012345678901", b"1,2", b'1],"parameters":[', b"", b"nope", b' {"a" : 1} ']
    with scripted(echo) as server:
        answers = asked(predictor(server.url), [msgspec.Raw(text) for text in texts])
    assert [answer[:2] if isinstance(answer, tuple) else None for answer in answers] == [
        None, *[(row, InvalidArgument) for row in range(2, 6)], None,
    ]  # fmt: skip
    assert answers[0] == [100.0, 123456789012345678901]
    assert answers[-1] == [{"a": 1}]


def test_large_instances_make_small_requests(predictor):
    with scripted(echo) as server:
        asked(predictor(server.url, rows=64), ["x" * 300_000] * 8)
    assert sorted(len(one) for one in server.asked) == [2, 3, 3]


@pytest.mark.parametrize("status", [400, 413, 422, 500])
def test_a_refused_request_is_halved_until_the_bad_rows_stand_alone(predictor, status):
    bad = {3, 40, 41, 99}

    def script(values, at_once):
        found = sorted(bad & set(values))
        return error(status, f"{found[0]} is bad") if found else echo(values)

    with scripted(script) as server:
        answers = asked(predictor(server.url, rows=32), list(range(100)))
    kind = Internal if status == 500 else InvalidArgument
    assert answers == [
        [*range(3)],
        (3, kind, "3 is bad"),
        [*range(4, 40)],
        (40, kind, "40 is bad"),
        (41, kind, "41 is bad"),
        [*range(42, 99)],
        (99, kind, "99 is bad"),
    ]
    sent = sum(len(one) for one in server.asked)
    assert sent < 100 + 3 * 2 * 32, "only the requests that failed are asked again"


def test_what_a_container_says_fails_is_a_row_unless_nothing_ever_worked(predictor):
    def script(values, at_once):
        return error(400, "it failed", "FAILED_PRECONDITION") if 7 in values else echo(values)

    with scripted(script) as server:
        answers = asked(predictor(server.url), list(range(20)))
        assert answers[1] == (7, InvalidArgument, "it failed")
    with (
        scripted(lambda *_: error(400, "it has no models", "FAILED_PRECONDITION")) as server,
        pytest.raises(ServingError, match="it has no models"),
    ):
        asked(predictor(server.url), list(range(20)))


@pytest.mark.parametrize(
    "content", [b"<html>", {"predictions": 1}, {"predictions": []}, b"\xff", b"[" * 10**5]
)
def test_what_is_no_answer_of_an_endpoint_ends_the_work(predictor, content):
    with (
        scripted(lambda *_: (200, content)) as server,
        pytest.raises(Internal, match=r"/v1/models/m (answered|gave)"),
    ):
        asked(predictor(server.url), [[1], [2]])


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, PermissionDenied),
        (403, PermissionDenied),
        (404, NotFound),
        (302, FailedPrecondition),
        (418, FailedPrecondition),
    ],
)
def test_what_concerns_every_request_ends_the_work_at_once(predictor, status, kind):
    with (
        scripted(lambda *_: error(status, "so it is", "", ("Location", "/there"))) as server,
        pytest.raises(kind, match="so it is"),
    ):
        asked(predictor(server.url), list(range(1000)))
    assert len(server.asked) <= 4


def test_concurrency_falls_while_there_are_429s_and_recovers(predictor):
    room = 3
    peaks = []

    def script(values, at_once):
        peaks.append(at_once)
        pause(0.01)
        return (
            error(429, "full", "RESOURCE_EXHAUSTED", ("Retry-After", "0")) if at_once > room else echo(values)
        )

    with scripted(script) as server:
        one = predictor(server.url, rows=1)
        (answer,) = asked(one, list(range(400)))
        assert answer == list(range(400))
        squeezed = one.throttle.limit
        assert 1 <= squeezed <= 8
        assert 0 < one.throttle.refusals < 200
        room = 100
        (answer,) = asked(one, list(range(400)))
        assert one.throttle.limit == 16
    assert max(peaks) >= 12


def test_retry_after_is_waited_for(predictor):
    times = []

    def script(values, at_once):
        times.append(time.monotonic())
        return error(429, "full", "", ("Retry-After", "1")) if len(times) == 1 else echo(values)

    with scripted(script) as server:
        assert asked(predictor(server.url, concurrency=1), [1, 2]) == [[1, 2]]
    assert 1.0 <= times[1] - times[0] < 3


@pytest.mark.parametrize("status", [429, 503])
def test_a_server_that_never_has_time_is_given_up(predictor, status):
    with (
        scripted(lambda *_: error(status, "never")) as server,
        pytest.raises(
            (ResourceExhausted, Unavailable), match=r"never; no request has been answered for 0\.5 s"
        ),
    ):
        asked(predictor(server.url, patience=0.5), [1])


def test_nobody_there_is_said_soon(predictor):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(Unavailable, match=r"no answer from .*refused"):
        asked(predictor(f"http://127.0.0.1:{port}/v1/models/m", patience=0.3), [1])


def test_a_server_that_dies_and_comes_back_costs_no_row(predictor):
    values = list(range(300))
    done = threading.Event()

    def script(instances, at_once):
        if 100 in instances:
            done.set()
        pause(0.005)
        return RESET if done.is_set() else echo(instances)

    answers = []
    with scripted(script) as server:
        port = server.server_port
        one = predictor(server.url, rows=4)
        thread = threading.Thread(target=lambda: answers.extend(asked(one, values)))
        thread.start()
        assert done.wait(10)
    assert not answers
    with scripted(echo, port) as server:
        thread.join(20)
    assert answers == [values]
    assert "<EndpointPredictor http" in repr(one)


@pytest.mark.parametrize("way", [RESET, SILENT, (503, b"crashed"), (504, b"too late")])
def test_a_row_that_is_never_answered_while_others_are_costs_only_itself(predictor, way):
    def script(values, at_once):
        pause(0.01)
        return way if 13 in values else echo(values)

    with scripted(script) as server:
        one = predictor(server.url, rows=4, timeout=0.2)
        answers = asked(one, list(range(200)))
    assert answers[0] == list(range(13))
    assert answers[1][:2] == (13, Internal)
    assert answers[1][2].startswith("it went unanswered 3 times while other requests were answered: ")
    assert answers[2] == list(range(14, 200))


def test_a_connection_that_the_server_ended_while_idle_is_no_failure(predictor):
    def script(values, at_once):
        return *echo(values), ("Connection", "close")

    with scripted(script) as server:
        one = predictor(server.url, rows=1, concurrency=1)
        asked(one, [1, 2, 3])
    with scripted(echo, server.server_port):
        assert asked(one, [4]) == [[4]]
    assert one.throttle.refusals == 0


@pytest.mark.parametrize("way", [SILENT, (429, b""), (503, b"")])
def test_closing_ends_a_question_at_once(predictor, way):
    with scripted(lambda *_: way) as server:
        one = predictor(server.url)
        raised = []

        def ask():
            try:
                asked(one, list(range(100)))
            except ServingError as error:
                raised.append(error)

        thread = threading.Thread(target=ask)
        thread.start()
        while not server.asked:
            pause(0.01)
        begun = time.monotonic()
        one.close()
        thread.join(5)
        assert time.monotonic() - begun < 0.5
        assert isinstance(raised[0], Cancelled)
    with pytest.raises(Cancelled):
        asked(one, [1])


def test_predicting_raises_for_a_row_which_it_names(predictor):
    def script(values, at_once):
        return error(400, "odd") if 11 in values else echo(values)

    with scripted(script) as server:
        one = predictor(server.url)
        assert one.predict(instances([1, 2]), {"a": 1}).columns["prediction"].tolist() == [1, 2]
        with pytest.raises(InvalidArgument, match=r"instances\[11\]: odd"):
            one.predict(instances(list(range(20))), {})


SLOW = """
import time

class Predictor:
    def predict(self, instances):
        if any(one == "bad" for one in instances):
            raise ValueError("a bad one")
        time.sleep(0.002 * len(instances))
        return [{"got": one} for one in instances]
"""


@pytest.fixture
def slow(tmp_path):
    (tmp_path / "slow").mkdir()
    (tmp_path / "slow/predictor.py").write_text(SLOW)
    return f"m={tmp_path / 'slow'}"


def test_a_real_server_that_refuses_what_is_too_much_loses_nothing(slow, predictor):
    few = {"TRIVET_BATCHING_MAX_QUEUED_ROWS": "16", "TRIVET_BATCHING_MAX_ROWS": "8"}
    values = [[number, "x"] for number in range(800)]
    values[33] = values[700] = "bad"
    with serve(slow, **few) as server:
        one = predictor(endpoint_url("m", server.url))
        limits = []
        over = threading.Event()

        def watch():
            while not over.wait(0.005):
                limits.append(int(one.throttle.limit))

        watching = threading.Thread(target=watch)
        watching.start()
        answers = asked(one, values)
        over.set()
        watching.join()
    assert one.throttle.refusals > 0, "it was never too much"
    low = next(at for at in range(1, len(limits)) if limits[at] <= (limits[at - 1] + 1) / 2)
    assert max(limits[low:]) > limits[low], "it never recovered"
    assert [answer if isinstance(answer, tuple) else len(answer) for answer in answers] == [
        33, (33, Internal, "the model failed: ValueError: a bad one"),
        666, (700, Internal, "the model failed: ValueError: a bad one"), 99,
    ]  # fmt: skip
    assert answers[2] == [{"got": value} for value in values[34:700]]


def test_a_real_server_that_is_killed_and_started_again_loses_nothing(slow, predictor):
    values = list(range(600))
    answers = []
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    one = predictor(f"http://127.0.0.1:{port}/v1/models/m")
    thread = threading.Thread(target=lambda: answers.extend(asked(one, values)))
    with serve(slow, f"--port={port}") as server:
        thread.start()
        while one.throttle.answers < 10:
            pause(0.01)
        server.process.kill()
    assert not answers
    with serve(slow, f"--port={port}"):
        thread.join(60)
    assert answers == [[{"got": value} for value in values]]
    assert one.throttle.refusals > 0


def test_what_does_not_fit_a_real_models_signature_is_a_row(tmp_path, zoo, predictor):
    case = next(case for case in cases() if case.name == "onnx-binary")
    rows = [*case.rows, [1.0], "x", *case.rows]
    with serve(f"m={zoo(case)}") as server:
        answers = asked(predictor(endpoint_url("m", server.url)), rows)
        expected = server.predict("m", case.rows).json()["predictions"]
    good = len(case.rows)
    assert [answer[:2] if isinstance(answer, tuple) else answer for answer in answers] == [
        expected, (good, InvalidArgument), (good + 1, InvalidArgument), expected,
    ]  # fmt: skip


def test_a_job_that_asks_an_endpoint_writes_what_one_with_the_model_itself_writes(tmp_path, zoo):
    case = next(case for case in cases() if case.name == "onnx-binary")
    rows = [case.rows[number % len(case.rows)] for number in range(700)]
    path = tmp_path / "in.jsonl"
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    with serve(f"m={zoo(case)}") as server:
        endpoint = Endpoint(endpoint_url("m", server.url))
        counts = [
            of_job(path, tmp_path / "asked", endpoint=endpoint),
            of_job(path, tmp_path / "own", model=ModelSpec(ModelRef("m", "1"), zoo(case))),
        ]
    assert counts == [Counts(700, 700, 0)] * 2
    name = "prediction-m/prediction.results-00000-of-00001"
    asked_, own = ((tmp_path / one / name).read_text() for one in ("asked", "own"))
    assert asked_ == own


def of_job(path, out, **what):
    work = Work("j", "jsonl", "jsonl", Inputs((str(path),)), Outputs(str(out), "prediction-m"), **what)
    scorer = load(work)
    found, (shard,) = prepare(work, scorer)
    work = prepared(work, found)
    result = run_shard(work, shard, scorer, lambda reading: None)
    scorer.close()
    get_sink(work.sink).finish(work.outputs, [result])
    return result.counts
