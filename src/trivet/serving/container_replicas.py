"""The applications of a container as what predicts for a deployed model: a batch is one POST.

Instances go as the caller wrote them, and predictions come back as the application wrote them; in between
they are counted, and checked to be JSON. Requests that callers make of the application itself are passed on
beside them (`passing`).
"""

from collections.abc import Callable, Sequence
from functools import partial
from os import PathLike

import msgspec

from trivet.containers import answers
from trivet.core.containers import ContainerSpec
from trivet.core.errors import (
    Cancelled,
    FailedPrecondition,
    Internal,
    InvalidArgument,
    ResourceExhausted,
    ServingError,
)
from trivet.core.instances import Instances, Predictions, object_column
from trivet.core.signature import Parameters
from trivet.serving.asks import Ask
from trivet.serving.batching import Unwanted
from trivet.serving.passing import Passing, Request
from trivet.serving.replica import Done, run_apart
from trivet.serving.upstream import Head
from trivet.serving.upstreams import Upstreams

_INVOKED = (
    "this model's container has an invoke route prefix in place of a predict route: call it at "
    ".../endpoints/ENDPOINT/invoke/PATH"
)

_encode = msgspec.json.Encoder().encode
_UNSENDABLE = (msgspec.MsgspecError, TypeError, ValueError, OverflowError, RecursionError)


class _Batch(Ask):
    """Requests that are asked together, until they are answered. It is also what tells that nobody waits."""

    __slots__ = ("_alone", "_counts", "_done", "_gone", "_head", "_pieces", "_replicas", "_size", "apart")

    def __init__(
        self, replicas: "ContainerReplicas", written: bytes, counts: Sequence[int], done: Done
    ) -> None:
        super().__init__(written, repeatable=replicas.idempotent)
        self._replicas = replicas
        self._counts = counts
        self._done = done
        self._gone: set[int] = set()
        self._head: Head
        self._pieces: list[bytes] = []
        self._size = 0
        self.apart: Callable[[], Unwanted] | None = None  # asks for each part alone
        self._alone: Unwanted | None = None  # has been done, and tells the same of these

    def __call__(self, parts: Sequence[int]) -> None:
        """Nobody waits for these parts any more; where that is all of them, have none answered."""
        self._gone.update(parts)
        if self._alone is not None:
            self._alone(parts)
        elif len(self._gone) == len(self._counts) and not self.is_over:
            self._replicas.upstreams.forget(self)
            self._done([Cancelled("nobody waits for the answer any more")] * len(self._counts))

    @property
    def where(self) -> str:
        """Say where it is."""
        if self.place is not None:
            return "in the container"
        why = self._replicas.upstreams.why
        return f"waiting for the container{why and f': {why}'}"

    def head(self, head: Head) -> None:
        self._head = head
        self._pieces = []
        self._size = 0

    def body(self, data: bytes) -> None:
        self._pieces.append(data)
        self._size += len(data)
        if self._size > answers.MAX_BODY and not self.is_over:
            self._replicas.upstreams.forget(self)
            self.fail(answers.too_long())

    def end(self) -> None:
        content = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
        counts = self._counts
        try:
            if self._head.status != 200:
                retry_after = self._head.value(b"retry-after")
                told = retry_after.decode("latin-1") if retry_after is not None else None
                raise answers.refusal(self._head.status, told, content)
            texts = answers.texts(content, sum(counts))
        except ServingError as error:
            self.fail(error)
            return
        together = Predictions({"prediction": object_column(texts)}, len(texts))
        together.rows = texts
        self._done([together] if len(counts) == 1 else list(together.split(counts)))

    def fail(self, error: ServingError) -> None:
        blames = isinstance(error, Internal | InvalidArgument)
        if blames and self.apart is not None:  # one of them may be the reason
            self._alone = self.apart()
            if self._gone:
                self._alone(sorted(self._gone))
        else:
            self._done([error] * len(self._counts))


class ContainerReplicas:
    """Has the applications whose keepers listen at `paths` predict; must be made in the event loop.

    `idempotent` says that to ask an application twice does no harm.
    """

    blocks = False

    def __init__(
        self, paths: Sequence[str | PathLike[str]], container: ContainerSpec, *, idempotent: bool
    ) -> None:
        self.slots = self.lanes = container.concurrency * len(paths)
        self.container = container
        self.idempotent = idempotent
        self.upstreams = Upstreams(paths, container.concurrency)
        self.passing = 0
        # no more than there must be: an application may take longer to read a header than we do to write it
        self._head = (
            f"POST {container.predict_route} HTTP/1.1\r\nhost: localhost\r\n"
            "content-type: application/json\r\ncontent-length: "
        ).encode()

    def __repr__(self) -> str:
        return f"<ContainerReplicas {self.upstreams!r}, {self.passing} passed on>"

    async def connected(self) -> None:
        """Wait until at least one application takes requests."""
        await self.upstreams.well()

    def run(
        self, parts: Sequence[Instances], parameters: Parameters, deadlines: Sequence[float], done: Done
    ) -> Unwanted | None:
        """Ask an application about the parts together, or keep them until one is well."""
        if not self.container.predict_route:
            done([FailedPrecondition(_INVOKED)] * len(parts))
            return None
        counts = [part.count for part in parts]
        try:
            ((_, column),) = Instances.join(parts).columns.items()
            body = b'{"instances":' + _encode(column.tolist())
            body += b',"parameters":' + _encode(parameters) + b"}" if parameters else b"}"
        except _UNSENDABLE as error:
            if len(parts) > 1:
                return run_apart(self, parts, parameters, deadlines, done)
            done([InvalidArgument(f"instances: cannot be sent to the container: {error}")])
            return None
        batch = _Batch(self, b"%b%d\r\n\r\n%b" % (self._head, len(body), body), counts, done)
        if len(parts) > 1:
            batch.apart = partial(run_apart, self, parts, parameters, deadlines, done)
        self.upstreams.ask(batch)
        return batch

    def pass_on(self, request: Request) -> Passing:
        """Return a request of a caller's own, which has not begun yet and must be left.

        Raises ResourceExhausted.
        """
        if self.passing >= self.slots:
            raise ResourceExhausted(
                f"{self.passing} requests are being passed on to the container already "
                "(containers.concurrency)"
            )
        self.passing += 1
        return Passing(self.upstreams, request, self._left)

    def close(self) -> None:
        """Ask nothing more; what was sent is still answered."""
        self.upstreams.close()

    def _left(self) -> None:
        self.passing -= 1
