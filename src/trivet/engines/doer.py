"""What a process does that an engine has started, wherever: it loads the model once, and does shards."""

import logging
from collections.abc import Callable
from dataclasses import replace
from time import monotonic

from trivet.core.batch import ShardResult
from trivet.core.errors import ServingError, model_error
from trivet.engines.messages import Do, Done, Failed, Further, Load, Loaded, Message, Planned, Prepare
from trivet.jobs import run
from trivet.jobs.engine import Reading
from trivet.serving import hop
from trivet.serving.replica import FAULTS

log = logging.getLogger("trivet")

_TELLS_EVERY = 0.1  # seconds


class Doer:
    """Does what it is asked, one thing after the other; `told` hears meanwhile how far it is."""

    def __init__(self, told: Callable[[Further], None]) -> None:
        self._told = told
        self._scorer: run.Scorer | None = None
        self._last = 0.0

    def answer(self, asked: Load | Prepare | Do) -> Message:
        """Do what is asked, and return how it went."""
        try:
            self._scorer = self._scorer or run.load(asked.work)
            return self._done(asked, self._scorer)
        except FAULTS as error:
            known = model_error(error)
            if known is not error:
                log.exception("%s", asked.work.job)
            return Failed(hop.failure(known))

    def _done(self, asked: Load | Prepare | Do, scorer: run.Scorer) -> Message:
        if isinstance(asked, Load):
            return Loaded()
        if isinstance(asked, Prepare):
            prepared, shards = run.prepare(asked.work, scorer)
            return Planned(prepared, list(shards))
        self._last = monotonic()
        try:
            return Done(_sendable(run.run_shard(asked.work, asked.shard, scorer, self._report)))
        except ServingError as error:
            error.add_note(f"{asked.shard.uri} from record {asked.shard.first} on")
            raise

    def _report(self, reading: Reading) -> None:
        if (now := monotonic()) - self._last >= _TELLS_EVERY:
            self._last = now
            self._told(Further(reading))


def _sendable(result: ShardResult) -> ShardResult:
    """Return a result whose messages are text that JSON has: a model may have put anything into them."""
    clean = (
        replace(one, message=one.message.encode("utf-8", "backslashreplace").decode())
        for one in result.failures
    )
    return replace(result, failures=tuple(clean))
