"""What `trivet container check` asks an application, and what it makes of the answers."""

import http.client
import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal

from trivet.containers.answers import predictions, refusal, shown
from trivet.core.containers import ROWS, ContainerSpec
from trivet.core.errors import ServingError

_BASE64 = "c29tZXRoaW5nIHRvIGVuY29kZSBhcyBiaW5hcnkgaGVyZQ=="
SHAPES = (
    1, 2, 3, 4, 1.24578001, "a", "A", {"key": "value"}, [1], [1, 2, 3, 4], [[1, 2], [3, 4]],
    [[[1, 2], [3, 4]]], [{"key": "value"}], [{"key": "value"}, {"key": "value2"}],
    ["gs://bucket/path/to/image/image1.jpg"], _BASE64, [_BASE64], {"b64": _BASE64},
)  # fmt: skip
"""Instances of every JSON shape."""

BROKEN = ("", "no JSON", "[]", "{}", '{"instances": 1}')
"""Bodies that are no requests."""

_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class Finding:
    """What became of one check; `?` is what may be meant so."""

    mark: Literal["ok", "?", "wrong"]
    text: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back; status 0 and the reason as content where nothing did."""

    status: int
    content: bytes


@dataclass(frozen=True, slots=True)
class Asked:
    """An application that listens on a port of 127.0.0.1, with `timeout` seconds for each answer."""

    port: int
    spec: ContainerSpec
    timeout: float

    def health(self) -> Answer:
        """Ask how it is."""
        return self._request("GET", self.spec.health_route)

    def post(self, body: str, content_type: str = "application/json") -> Answer:
        """Ask for predictions."""
        return self._request("POST", self.spec.predict_route, body.encode(), content_type)

    def predict(self, instances: Sequence[Any]) -> list[Any]:
        """Return the predictions for instances; raises a ServingError that says why there are none."""
        answer = self.post(json.dumps({"instances": instances}))
        if answer.status != 200:
            raise refusal(answer.status, None, answer.content)
        return predictions(answer.content, len(instances))

    def _request(self, method: str, path: str, body: bytes | None = None, kind: str = "") -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=self.timeout)
        try:
            connection.request(method, path, body, {"Content-Type": kind} if kind else {})
            response = connection.getresponse()
            return Answer(response.status, response.read())
        except (OSError, http.client.HTTPException) as error:
            return Answer(0, (str(error) or type(error).__name__).encode())
        finally:
            connection.close()


def checks(asked: Asked, instances: Sequence[Any]) -> Iterator[Finding]:
    """Ask, and yield what was found; without instances of the user's, with those of every shape."""
    yield _healthy(asked, "GET {route} answers 200")
    answered = [one for one in instances or SHAPES if _answers(asked, one)]
    yield from _alone(asked, instances, answered)
    if answered:
        yield from _together(asked, answered)
    yield from _broken(asked)
    yield _healthy(asked, "well after all this")


def _healthy(asked: Asked, good: str) -> Finding:
    answer, route = asked.health(), asked.spec.health_route
    if answer.status == 200:
        return Finding("ok", good.format(route=route))
    return Finding("wrong", f"GET {route} {_told(answer)}; expected 200 where it can predict")


def _answers(asked: Asked, instance: Any) -> bool:
    try:
        asked.predict([instance])
    except ServingError:
        return False
    return True


def _alone(asked: Asked, own: Sequence[Any], answered: Sequence[Any]) -> Iterator[Finding]:
    """Tell about instances that are sent alone."""
    tried = own or SHAPES
    which = "instances" if own else "shapes of JSON values"
    if own or answered:
        mark: Literal["ok", "wrong"] = "wrong" if len(answered) < len(tried) and own else "ok"
        yield Finding(mark, f"answers {len(answered)} of {len(tried)} {which}")
    else:
        yield Finding("?", f"answers none of {len(tried)} {which}: give instances of yours, as -i '[1, 2]'")
    for instance in tried:
        if instance not in answered:
            answer = asked.post(json.dumps({"instances": [instance]}))
            if own or not 400 <= answer.status < 500:
                yield _refused(answer, f"to the instance {json.dumps(instance)[:60]}")


def _refused(answer: Answer, to: str) -> Finding:
    """Say what to think of an answer to something that it does not take."""
    if answer.status == 200:
        return Finding("wrong", f"{to}: {_not_predictions(answer)}")
    if answer.status == 0:
        return Finding("wrong", f"{_told(answer)} {to}")
    advice = "" if answer.status < 500 else "; a status of 400 tells callers to mend it"
    return Finding("?", f"{_told(answer)} {to}{advice}")


def _not_predictions(answer: Answer) -> str:
    try:
        predictions(answer.content, 1)
    except ServingError as error:
        return str(error)
    return "answered at the second try"


def _together(asked: Asked, answered: Sequence[Any]) -> Iterator[Finding]:
    """Tell about many instances in a request, about many requests at once, and about their Content-Type."""
    many = [answered[index % len(answered)] for index in range(ROWS)]
    yield _tried(f"answers {ROWS} instances in one request, as of batch jobs", asked, many)
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        found = list(pool.map(lambda _: _tried("", asked, many[:1]), range(_AT_ONCE)))
    failed = [one for one in found if one.mark != "ok"]
    yield failed[0] if failed else Finding("ok", f"answers {_AT_ONCE} requests at once")
    answer = asked.post(json.dumps({"instances": many[:1]}), "text/plain")
    if answer.status == 200:
        yield Finding("ok", "reads JSON whatever the Content-Type")
    else:
        yield Finding(
            "?", f"{_told(answer)} where the Content-Type is not application/json, as of some clients"
        )


def _tried(good: str, asked: Asked, instances: Sequence[Any]) -> Finding:
    try:
        asked.predict(instances)
    except ServingError as error:
        return Finding("wrong", f"{len(instances)} instances in one request: {error}")
    return Finding("ok", good)


def _broken(asked: Asked) -> Iterator[Finding]:
    """Tell about requests that are none."""
    answers = {body: asked.post(body) for body in BROKEN}
    bad = [(body, answer) for body, answer in answers.items() if not 400 <= answer.status < 500]
    if not bad:
        yield Finding("ok", "refuses what is no request")
    for body, answer in bad:
        if answer.status == 200:
            yield Finding("?", f"answered 200 to the body {body!r}; expected 400")
        else:
            yield _refused(answer, f"to the body {body!r}")


def _told(answer: Answer) -> str:
    if answer.status == 0:
        return f"gave no answer ({answer.content.decode()})"
    return f"answered {answer.status}: {shown(answer.content[:80])}"
