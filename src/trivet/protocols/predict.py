"""Answers `{"instances": [...]}` with `{"predictions": [...]}`: the body that several protocols share.

What a protocol adds around the predictions, and in headers, it gives as bytes when it makes the route,
so that nothing is looked up or built for a single request.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from trivet.codecs.json_body import BodyDecoder, encode_predictions
from trivet.core.errors import InvalidArgument, ServingError
from trivet.core.instances import Predictions
from trivet.protocols.base import JSON, Headers, HotRequest, Reply, error_reply
from trivet.serving.batching import Answer, Pending
from trivet.serving.plane import DataPlane, DeployedModel

log = logging.getLogger("trivet")


@dataclass(frozen=True, slots=True)
class Envelope:
    """What stands around the predictions of one deployed model."""

    after: bytes = b"}"
    headers: Headers = JSON


class PredictRoute:
    """Decodes, queues and encodes for one address."""

    def __init__(
        self,
        plane: DataPlane,
        choose: Callable[[], DeployedModel],
        envelopes: dict[DeployedModel, Envelope],
        max_instances: int,
    ) -> None:
        self._plane = plane
        self._choose = choose
        self._envelopes = envelopes
        self._decoders = {
            deployed: BodyDecoder(deployed.model.signature, max_instances).decode for deployed in envelopes
        }

    def answer(self, request: HotRequest, reply: Reply) -> Pending | None:
        """Predict; every failure becomes an error reply and is counted."""
        deployed = self._choose()
        model = deployed.model
        try:
            body = self._decoders[deployed](request.body)
            parameters = model.signature.resolve(body.parameters, model.defaults)
            if not body.instances.count:
                envelope = self._envelopes[deployed]
                reply(200, envelope.headers, b'{"predictions":[]' + envelope.after)
                return None
            return self._plane.submit(
                deployed,
                body.instances,
                parameters,
                partial(self._done, deployed, request.request_id, reply),
                shapes=body.shapes,
                timeout=timeout_of(request),
            )
        except ServingError as error:
            deployed.refuse(error)
            reply(*error_reply(error))
            return None

    def _done(
        self, deployed: DeployedModel, request_id: str, reply: Reply, pending: Pending, answer: Answer
    ) -> None:
        if isinstance(answer, Predictions):
            try:
                predictions = encode_predictions(answer)
            except ServingError as error:
                answer = error
            else:
                envelope = self._envelopes[deployed]
                reply(200, envelope.headers, b'{"predictions":' + predictions + envelope.after)
        if isinstance(answer, ServingError):
            if answer.__cause__ is not None:
                extra = {"request_id": request_id}
                log.error("%s: the model failed", deployed.ref, exc_info=answer.__cause__, extra=extra)
            reply(*error_reply(answer))
        deployed.measure(pending, answer)


def timeout_of(request: HotRequest) -> float | None:
    """Return the seconds that the caller gives (`X-Server-Timeout`, as Google's APIs take it)."""
    value = request.header(b"x-server-timeout")
    if not value:
        return None
    try:
        seconds = float(value)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise InvalidArgument(
            f"X-Server-Timeout: expected a number of seconds above 0; got {value[:40].decode('latin-1')!r}"
        )
    return seconds
