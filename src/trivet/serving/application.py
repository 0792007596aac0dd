"""An application that was started for a batch job or SQL: it has several requests under way at once.

It is asked as an endpoint on another server is (`remote`): as many requests as it takes, halved where a row
is bad. Where it ends, it is started again, and what it was asked is asked again.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from trivet.containers import answers
from trivet.containers.asking import Asking, Lost
from trivet.containers.life import State
from trivet.core.containers import ContainerSpec
from trivet.core.errors import DeadlineExceeded, Internal, ServingError, Unavailable
from trivet.runtimes.container import ContainerPredictor
from trivet.serving.remote import EndpointPredictor
from trivet.serving.remote_call import Concerns, Refusal

_ROUTE = (401, 403, 404, 405)
"""What an application answers to whatever it is asked, where its predict route is another."""


@dataclass(frozen=True, slots=True)
class _Asked:
    """What `EndpointPredictor` wants to know of an endpoint."""

    concurrency: int
    timeout: float
    url: str = "the container"
    headers: dict[str, str] = field(default_factory=dict)


class ApplicationPredictor(EndpointPredictor):
    """Asks an application in requests of as many rows as its spec says. It is `Listening`, too."""

    _halved_after = 1  # it has most likely ended for what it was asked, and starting it takes a while
    _is_there = True  # or is started again

    def __init__(self, predictor: ContainerPredictor) -> None:
        self.container: ContainerSpec = predictor.container
        self._predictor = predictor
        asked = _Asked(predictor.container.concurrency, predictor.container.timeout)
        super().__init__(asked, predictor.container.rows, connects=lambda: _Calls(predictor.asking()))
        self.signature, self.traits = predictor.signature, predictor.traits
        self._reached = True  # it was well

    def __repr__(self) -> str:
        return f"<ApplicationPredictor {self._predictor!r}: {self.throttle!r}>"

    @property
    def _called(self) -> str:
        return self.container.called

    @property
    def state(self) -> State:
        """How the application is now."""
        return self._predictor.state

    def watch(self, tell: Callable[[State], None]) -> None:
        """Have `tell` called with the state of now, and with each new one."""
        self._predictor.watch(tell)

    def close(self) -> None:
        """Ask nothing more, and stop the application."""
        super().close()
        self._predictor.close()


class _Calls:
    """A connection to an application; see `remote_call.Calls`."""

    def __init__(self, asking: Asking) -> None:
        self._asking = asking

    def ask(self, body: bytes, count: int) -> list[Any] | Refusal:
        try:
            reply = self._asking.post(body)
            if reply.status == 200:
                return answers.predictions(reply.content, count)
        except (Lost, DeadlineExceeded) as error:
            return Refusal("lost", error)
        except Unavailable as error:  # it is not well
            return Refusal("away", error, sent=False)
        except Internal as error:
            return Refusal("rows", error)
        except ServingError as error:  # it cannot be started any more
            return Refusal("job", error, sent=False)
        refusal = answers.refusal(reply.status, reply.retry_after, reply.content)
        return Refusal(_concerns(reply.status), refusal)

    def end(self) -> None:
        self._asking.end()

    def close(self) -> None:
        self._asking.close()


def _concerns(status: int) -> Concerns:
    if status == 429:
        return "full"
    if status == 503:
        return "away"
    if status in (408, 504):
        return "lost"
    return "doubtful" if status in _ROUTE else "rows"
