"""Streaming predictions over gRPC."""

import json
import queue
import threading
from contextlib import ExitStack

import grpc
import pytest
from google.api_core import exceptions
from google.cloud import aiplatform_v1 as v1

from tests.integration.gateway import Answered, refused, running

ENDPOINT = "projects/p/locations/us-central1/endpoints/1"
WITHIN = 30  # seconds; a bound for hangs, not a measurement


@pytest.fixture(scope="module")
def gateway(tmp_path_factory):
    with running(tmp_path_factory.mktemp("data")) as found:
        yield found


@pytest.fixture
def client(gateway):
    gateway.upstream.forget()
    with ExitStack() as stack:
        yield stack.enter_context(gateway.client(v1.PredictionServiceClient))


def answers(gateway, verb, answer):
    gateway.upstream.answers["POST", f"/v1/{ENDPOINT}:{verb}"] = answer


class Parts:
    """The parts of an answer, each sent when the test says so; None ends them."""

    def __init__(self):
        self._given = queue.SimpleQueue()

    def send(self, *parts):
        for part in parts:
            self._given.put(part)

    def __iter__(self):
        return iter(lambda: self._given.get(timeout=WITHIN), None)


def tensor(*values):
    return {"dtype": "DOUBLE", "shape": [len(values)], "double_val": values}


def test_elements_of_an_array_come_one_by_one(gateway, client):
    parts = Parts()
    answers(gateway, "serverStreamingPredict", Answered(parts=parts))
    parts.send(b'[{"outputs": [{"doubleVal": [1]}]}')
    stream = client.server_streaming_predict({"endpoint": ENDPOINT, "inputs": [tensor(1)]}, timeout=WITHIN)
    stream = iter(stream)
    assert next(stream).outputs[0].double_val == [1]  # before the server has sent more
    parts.send(b",\n{", b'"outputs": [{"doubleVal": [2]}]}, {}', b"\n]", None)
    assert [list(one.outputs[0].double_val) if one.outputs else None for one in stream] == [[2], None]
    (asked,) = gateway.upstream.asked
    assert asked.json == {"inputs": [{"dtype": 4, "shape": ["1"], "doubleVal": [1.0]}]}


def test_a_single_object_is_a_stream_of_one(gateway, client):
    answers(gateway, "serverStreamingPredict", Answered({"outputs": [{"stringVal": ["a"]}]}))
    found = list(client.server_streaming_predict({"endpoint": ENDPOINT}, timeout=WITHIN))
    assert [list(one.outputs[0].string_val) for one in found] == [["a"]]


def test_an_error_in_the_middle_of_a_stream_ends_it(gateway, client):
    error = {"error": {"code": 429, "message": "full", "status": "RESOURCE_EXHAUSTED"}}
    answers(gateway, "serverStreamingPredict", Answered([{"outputs": []}, error]))
    stream = iter(client.server_streaming_predict({"endpoint": ENDPOINT}, timeout=WITHIN))
    next(stream)
    with pytest.raises(exceptions.ResourceExhausted, match="full"):
        next(stream)


def test_a_stream_that_breaks_off_is_unavailable(gateway, client):
    answers(gateway, "serverStreamingPredict", Answered(parts=[b'[{"outputs": []},']))
    stream = iter(client.server_streaming_predict({"endpoint": ENDPOINT}, timeout=WITHIN))
    next(stream)
    with pytest.raises(exceptions.ServiceUnavailable, match="broke off"):
        next(stream)


@pytest.mark.parametrize("as_array", [False, True])
def test_a_refused_stream_has_the_servers_code(gateway, client, as_array):
    refusal = refused(400, "FAILED_PRECONDITION", "does not stream")
    answers(gateway, "serverStreamingPredict", Answered([refusal.content], 400) if as_array else refusal)
    with pytest.raises(exceptions.FailedPrecondition, match="does not stream"):
        next(iter(client.server_streaming_predict({"endpoint": ENDPOINT}, timeout=WITHIN)))


def test_a_raw_stream_is_passed_in_the_pieces_in_which_it_comes(gateway, client):
    parts = Parts()
    headers = {"content-type": "text/event-stream", "x-vertex-ai-deployed-model-id": "7"}
    answers(gateway, "streamRawPredict", Answered(parts=parts, headers=headers))
    body = {"content_type": "application/json", "data": b'{"a": 1}'}
    parts.send(b"data: 1\n\n")
    stream = client.stream_raw_predict({"endpoint": ENDPOINT, "http_body": body}, timeout=WITHIN)
    pieces = iter(stream)
    first = next(pieces)
    assert (first.content_type, first.data) == ("text/event-stream", b"data: 1\n\n")
    parts.send(b"data: 2\n\n", None)
    assert [one.data for one in pieces] == [b"data: 2\n\n"]
    assert gateway.upstream.asked[0].body == b'{"a": 1}'


def test_a_caller_that_leaves_a_stream_is_noticed_by_the_server(gateway, client, caplog):
    def without_end():
        yield b"[{}"
        while not gateway.upstream.left.wait(0.01):
            yield b",{}"

    answers(gateway, "serverStreamingPredict", lambda asked: Answered(parts=without_end()))
    stream = client.server_streaming_predict({"endpoint": ENDPOINT}, timeout=WITHIN)
    next(iter(stream))
    stream.cancel()
    assert gateway.upstream.left.wait(WITHIN)
    assert not [one for one in caplog.records if one.levelname == "ERROR"]


def doubled(asked):
    (given,) = asked.json["inputs"]
    return Answered({"outputs": [{"doubleVal": [2 * value for value in given["doubleVal"]]}]})


@pytest.mark.parametrize(
    ("method", "kind"),
    [("stream_direct_predict", "StreamDirectPredict"), ("streaming_predict", "StreamingPredict")],
)
def test_each_message_of_a_stream_is_asked_for_itself(gateway, client, method, kind):
    answers(gateway, "directPredict", doubled)
    request = getattr(v1.types, f"{kind}Request")
    requests = [request(endpoint=ENDPOINT if n == 0 else "", inputs=[tensor(n)]) for n in range(50)]
    found = getattr(client, method)(requests=iter(requests), timeout=WITHIN)
    assert [one.outputs[0].double_val[0] for one in found] == [2 * n for n in range(50)]
    assert len(gateway.upstream.asked) == 50


@pytest.mark.parametrize(
    ("method", "kind"),
    [
        ("stream_direct_raw_predict", "StreamDirectRawPredict"),
        ("streaming_raw_predict", "StreamingRawPredict"),
    ],
)
def test_so_is_each_raw_message(gateway, client, method, kind):
    def echoed(asked):
        return Answered({"output": asked.json["input"]})

    answers(gateway, "directRawPredict", echoed)
    request = getattr(v1.types, f"{kind}Request")
    requests = [request(endpoint=ENDPOINT, method_name="m", input=b"1"), request(input=b"2")]
    found = getattr(client, method)(requests=iter(requests), timeout=WITHIN)
    assert [one.output for one in found] == [b"1", b"2"]
    assert [one.json["methodName"] for one in gateway.upstream.asked] == ["m", "m"]


def test_answers_come_while_the_caller_still_asks(gateway, client):
    answers(gateway, "directPredict", doubled)
    given = queue.SimpleQueue()

    def messages():
        yield from iter(lambda: given.get(timeout=WITHIN), None)

    def ask(number):
        given.put(v1.StreamDirectPredictRequest(endpoint=ENDPOINT, inputs=[tensor(number)]))

    ask(0)  # the client waits for the first answer before it gives the stream
    stream = iter(client.stream_direct_predict(requests=messages(), timeout=WITHIN))
    for number in range(3):
        assert next(stream).outputs[0].double_val == [2 * number]
        ask(number + 1)
    assert next(stream).outputs[0].double_val == [6]
    given.put(None)
    assert list(stream) == []


def test_answers_are_in_order_though_the_first_takes_longest(gateway, client):
    others = threading.Semaphore(0)

    def answer(asked):
        if asked.json["inputs"][0]["doubleVal"] == [0.0]:
            for _ in range(3):
                assert others.acquire(timeout=WITHIN)
        else:
            others.release()
        return doubled(asked)

    answers(gateway, "directPredict", answer)
    requests = [v1.StreamDirectPredictRequest(endpoint=ENDPOINT, inputs=[tensor(n)]) for n in range(4)]
    found = client.stream_direct_predict(requests=iter(requests), timeout=WITHIN)
    assert [one.outputs[0].double_val[0] for one in found] == [0, 2, 4, 6]


def test_an_error_ends_a_stream_after_the_answers_before_it(gateway, client):
    def answer(asked):
        bad = asked.json["inputs"][0]["doubleVal"] == [2.0]
        return refused(400, "INVALID_ARGUMENT", "not 2") if bad else doubled(asked)

    answers(gateway, "directPredict", answer)
    requests = [v1.StreamDirectPredictRequest(endpoint=ENDPOINT, inputs=[tensor(n)]) for n in range(5)]
    stream = iter(client.stream_direct_predict(requests=iter(requests), timeout=WITHIN))
    assert [next(stream).outputs[0].double_val[0] for _ in range(2)] == [0, 2]
    with pytest.raises(exceptions.InvalidArgument, match="not 2"):
        next(stream)


def test_a_message_that_is_none_ends_a_stream(gateway, client):
    path = "/google.cloud.aiplatform.v1.PredictionService/StreamDirectPredict"
    with gateway.channel() as to, pytest.raises(grpc.RpcError) as raised:
        list(to.stream_stream(path)(iter([b"\xff\xff"]), timeout=WITHIN))
    assert raised.value.code() is grpc.StatusCode.INVALID_ARGUMENT


def test_a_stream_without_messages_has_no_answers(gateway, client):
    assert list(client.stream_direct_predict(requests=iter(()), timeout=WITHIN)) == []


def test_streams_of_the_preview_api(gateway):
    gateway.upstream.forget()
    gateway.upstream.answers["POST", f"/v1beta1/{ENDPOINT}:serverStreamingPredict"] = Answered([{}, {}])
    gateway.upstream.answers["POST", f"/v1beta1/{ENDPOINT}:directRawPredict"] = Answered({"output": "aGk="})
    service = "/google.cloud.aiplatform.v1beta1.PredictionService"
    first = v1.StreamDirectRawPredictRequest.pb()(endpoint=ENDPOINT).SerializeToString()
    with gateway.channel() as to:
        served = to.unary_stream(f"{service}/ServerStreamingPredict")(first, timeout=WITHIN)
        assert list(served) == [b"", b""]
        both = to.stream_stream(f"{service}/StreamDirectRawPredict")(iter([first, first]), timeout=WITHIN)
        assert [v1.DirectRawPredictResponse.pb().FromString(one).output for one in both] == [b"hi"] * 2


def test_a_large_stream_is_not_kept_whole(gateway, client):
    element = json.dumps({"outputs": [{"stringVal": ["x" * 100_000]}]}).encode()

    def many():
        yield b"["
        for _ in range(100):
            yield element
            yield b","
        yield element + b"]"

    answers(gateway, "serverStreamingPredict", lambda asked: Answered(parts=many()))
    stream = client.server_streaming_predict({"endpoint": ENDPOINT}, timeout=WITHIN)
    assert sum(len(one.outputs[0].string_val[0]) for one in stream) == 101 * 100_000
