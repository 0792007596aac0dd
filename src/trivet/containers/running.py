"""Runs one application: starts it, waits until it is well, and follows how it is until it is over."""

import logging
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from time import monotonic

from trivet.containers.base import Application, Engine, Prepared
from trivet.containers.life import State
from trivet.containers.ports import Claim, claim
from trivet.containers.probes import look
from trivet.containers.rotation import Rotation, follow
from trivet.core.containers import ContainerSpec, Probe
from trivet.core.errors import FailedPrecondition, ServingError, model_error

log = logging.getLogger("trivet")

_LOOKS_EVERY = 0.1
"""Seconds in which the end of an application is noticed."""

_ENDS_SOON = 10
"""How many times more it is looked whether one that cannot be reached has ended."""

_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 1.0
"""Seconds between two checks of an application that is starting."""

_TELLS_AFTER = 10.0
"""Seconds of starting until the log says what is waited for; again after twice as long, and so on."""

_GRACE = 5.0
"""Seconds in which an application has to end that is asked to."""

_NOT_FOUND = "answered 404"
_WHERE = "; if its health route is another one, say so (healthRoute, --health-route)"

_LINES = 20

Variables = Callable[[int], Mapping[str, str]]
"""Returns the environment of an application that is to listen on that port."""


class Running:
    """An application from its start to its end; it is started once.

    All of its life is in one thread, so that the kernel can end it with that.
    """

    def __init__(
        self, spec: ContainerSpec, engine: Engine, prepared: Prepared, env: Variables, files: Path | None
    ) -> None:
        self._spec = spec
        self._engine = engine
        self._prepared = prepared
        self._env = env
        self._files = files
        self._application: Application | None = None
        self._began = threading.Event()
        self._stopping = threading.Event()
        self._over = threading.Event()
        self._failure: ServingError | None = None
        self._dead = ""
        self._lock = threading.Lock()
        self._watchers: list[Callable[[State], None]] = []
        self._state = State(0, well=False, reason="the container is starting")
        self._thread = threading.Thread(target=self._live, name="container", daemon=True)

    def __repr__(self) -> str:
        return f"<Running {self._engine.name}: {self._state}>"

    @property
    def state(self) -> State:
        """How it is now."""
        return self._state

    @property
    def began(self) -> bool:
        """Whether it has been well, or is known to never be."""
        return self._began.is_set()

    def start(self) -> None:
        """Start it, and wait for its first good health.

        Raises FailedPrecondition with its last lines where it ends before, or takes longer than its time.
        """
        self._thread.start()
        try:
            self._began.wait()
        except BaseException:  # whoever waited was interrupted
            self.stop()
            raise
        if self._failure is not None:
            self._thread.join()
            raise self._failure

    def watch(self, tell: Callable[[State], None]) -> None:
        """Tell the state of now, and then each new one; see `life.Listening`."""
        with self._lock:
            self._watchers.append(tell)
            tell(self._state)

    def is_over(self, within: float) -> bool:
        """Whether it is over, or will be within so many seconds."""
        return self._over.wait(within)

    def stop(self) -> None:
        """Have it end, and wait until it has; may be called more than once, by any thread but its own."""
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join()

    def _live(self) -> None:
        reason = "the container was stopped"
        port: Claim | None = None
        try:
            port = claim()
            self._start(port.number)
            self._began.set()
            reason = self._follow() or reason
        except Exception as error:  # noqa: BLE001  # whoever waits must hear of it, whatever it is
            self._failure = model_error(error)
            reason = str(error)
        finally:
            self._stopping.set()
            if self._application is not None:
                if self._application.ended:  # what is left to clean up is nobody's concern
                    self._tell(well=False, over=True, reason=reason)
                self._application.stop(_GRACE)
            if port is not None:
                port.close()
            self._tell(well=False, over=True, reason=reason)
            self._began.set()

    def _start(self, port: int) -> None:
        application = self._engine.start(self._spec, self._prepared, self._env(port), port, self._files)
        self._application = application
        until = monotonic() + self._spec.start_timeout
        if self._spec.startup is not None:
            self._await(application, self._spec.startup, until)
        self._await(application, self._health, until)
        self._tell(well=True)

    @property
    def _health(self) -> Probe:
        """What is asked whether it is well, with the health route where the probe says nothing else."""
        probe = self._spec.health
        if probe.path or probe.command or probe.port:
            return probe
        return Probe(
            self._spec.health_route,
            period=probe.period,
            timeout=probe.timeout,
            failures=probe.failures,
            delay=probe.delay,
        )

    def _await(self, application: Application, probe: Probe, until: float) -> None:
        """Check until it is good; more often than later on, since the model waits for it."""
        pause, since, told = _FIRST_PAUSE, monotonic(), _TELLS_AFTER
        while True:
            why = look(probe, application)
            if probe.path and _NOT_FOUND in why:
                why += _WHERE
            if ended := application.ended:
                raise FailedPrecondition(
                    _with_lines(f"the container {ended} before it was ready", application)
                )
            if not why:
                return
            if self._stopping.wait(min(pause, max(0.0, until - monotonic()))):
                raise FailedPrecondition("the container was stopped before it was ready")
            if monotonic() >= until:
                late = f"the container was not ready within {self._spec.start_timeout:g} s: {why}"
                raise FailedPrecondition(_with_lines(late, application))
            if (taken := monotonic() - since) >= told:
                log.warning("%s: the container is not ready after %.0f s: %s", self._spec.name, taken, why)
                told = 2 * taken
            pause = min(_LONGEST_PAUSE, pause * 1.5)

    def _follow(self) -> str:
        """Wait for the end of a running application; returns the reason, empty where it is to be stopped."""
        application = self._application
        assert application is not None
        followed = ((self._health, self._health_changed), (self._spec.liveness, self._not_live))
        for probe, changed in followed:
            threading.Thread(
                target=follow,
                args=(probe, lambda probe=probe: look(probe, application), changed),
                kwargs={"clock": monotonic, "over": self._stopping.wait},
                name="probe",
                daemon=True,
            ).start()
        ended = ""
        while not (ended or self._stopping.wait(_LOOKS_EVERY)):
            ended = application.ended
        for _ in range(_ENDS_SOON if self._dead else 0):  # an engine may hear of the end after a probe
            if ended := application.ended:
                break
            self._over.wait(_LOOKS_EVERY)
        reason = f"the container {ended}" if ended else self._dead
        if reason:
            self._log(reason)
        return reason

    def _not_live(self, rotation: Rotation) -> None:
        if rotation.well or self._stopping.is_set():
            return
        self._dead = f"the container was ended, since it could not be reached: {rotation.reason}"
        self._stopping.set()

    def _health_changed(self, rotation: Rotation) -> None:
        if self._stopping.is_set():
            return
        if rotation.well:
            log.warning("%s: the container is well again, and gets requests", self._spec.name)
            self._tell(well=True)
            return
        reason = f"the container is not well: {rotation.reason}, {self._spec.health.failures} times"
        self._log(f"{reason}; it gets no requests until it is")
        self._tell(well=False, reason=reason)

    def _log(self, told: str) -> None:
        assert self._application is not None
        log.error("%s: %s", self._spec.name, _with_lines(told, self._application))

    def _tell(self, *, well: bool, over: bool = False, reason: str = "") -> None:
        with self._lock:
            if self._state.over:
                return
            port = 0 if self._application is None else self._application.port
            self._state = State(port, well, over, reason)
            if over:
                self._over.set()
            for tell in self._watchers:
                tell(self._state)


def _with_lines(told: str, application: Application) -> str:
    """Add an application's last lines to what is told of it."""
    lines = application.tail(_LINES)
    return f"{told}; its last lines:\n" + "\n".join(lines) if lines else f"{told}; it printed nothing"
