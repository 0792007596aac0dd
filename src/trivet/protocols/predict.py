"""Answers `{"instances": [...]}` with `{"predictions": [...]}`: the body that several protocols share.

What a protocol adds around the predictions, and in headers, it gives as bytes when it makes the route,
so that nothing is looked up or built for a single request.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from trivet.codecs.json_body import BodyLimits, encode_predictions
from trivet.core.errors import Code, FailedPrecondition, ServingError
from trivet.core.instances import Predictions
from trivet.protocols.base import JSON, Caller, Headers, HotRoute, RequestHead, error_reply
from trivet.serving.batching import Answer, Pending
from trivet.serving.plane import DeployedModel, Route

log = logging.getLogger("trivet")


@dataclass(frozen=True, slots=True)
class Envelope:
    """What stands around the predictions of one deployed model."""

    after: bytes = b"}"
    headers: Headers = JSON


def predict_route(
    route: Route, envelope: Callable[[DeployedModel], Envelope], limits: BodyLimits
) -> HotRoute:
    """Return what answers for an address with predictions; raises what `split_route` does."""
    return split_route(route, lambda one: ModelRoute(one, envelope(one), limits))


def split_route(route: Route, desk: Callable[[DeployedModel], HotRoute]) -> HotRoute:
    """Return what answers for an address: the desk of the deployed model that its traffic split picks.

    Raises FailedPrecondition where none takes traffic, and Unavailable where those that do are not there.
    """
    route.check()
    if not route.split:
        raise FailedPrecondition(f"endpoint {route.name} has no deployed model that takes traffic")
    desks = {id_: desk(one) for id_, one in route.deployed.items()}
    return desks[next(iter(route.split))] if len(route.split) == 1 else _SplitRoute(route, desks)


class _SplitRoute:
    """Answers for an address with several deployed models."""

    def __init__(self, route: Route, desks: Mapping[str, HotRoute]) -> None:
        self._route = route
        self._desks = desks

    def answer(self, caller: Caller, head: RequestHead, body: bytes, now: float) -> Pending | None:
        return self._desks[self._route.choose()].answer(caller, head, body, now)


class ModelRoute:
    """Decodes, queues and encodes for one deployed model at one address."""

    _write = staticmethod(encode_predictions)

    def __init__(self, deployed: DeployedModel, envelope: Envelope, limits: BodyLimits) -> None:
        model = deployed.model
        self._deployed = deployed
        self._decode = deployed.decoder(limits).decode
        self._resolve = model.signature.resolve
        self._defaults = model.defaults
        self._headers, self._after = envelope.headers, envelope.after

    def answer(self, caller: Caller, head: RequestHead, body: bytes, now: float) -> Pending | None:
        """Predict; every failure becomes an error reply and is counted."""
        try:
            instances, given, shapes = self._decode(body)
            parameters = self._resolve(given, self._defaults) if given else self._defaults
            if not instances.count:
                caller.reply(200, self._headers, b'{"predictions":[]' + self._after)
                return None
            return self._deployed.submit(instances, parameters, shapes, now, head.timeout, self._done, caller)
        except ServingError as error:
            self._deployed.refuse(error)
            caller.reply(*error_reply(error))
            return None

    def _done(self, pending: Pending, answer: Answer) -> None:
        caller: Caller = pending.caller
        if type(answer) is Predictions:
            try:
                written = self._write(answer)
            except ServingError as error:
                answer = error
            else:
                caller.reply(200, self._headers, b'{"predictions":%b%b' % (written, self._after))
                self._deployed.served(pending)
                return
        assert isinstance(answer, ServingError)
        if answer.__cause__ is not None or answer.code is Code.INTERNAL:
            self._log(caller, answer)
        caller.reply(*error_reply(answer))
        self._deployed.refuse(answer)

    def _log(self, caller: Caller, error: ServingError) -> None:
        """Tell the operator of a failure that the caller can do nothing about."""
        ref, cause, extra = self._deployed.ref, error.__cause__, {"request_id": caller.request_id()}
        if cause is not None:
            log.error("%s: the model failed", ref, exc_info=cause, extra=extra)
        else:
            log.error("%s: %s", ref, error, extra=extra)
