"""An application that is there whenever it is asked: started once, and again where it has ended meanwhile."""

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from trivet.containers.environment import own_storage, variables
from trivet.containers.files_server import FilesServer
from trivet.containers.life import State
from trivet.containers.registry import choose
from trivet.containers.running import Running
from trivet.core.containers import ContainerSpec
from trivet.core.errors import Cancelled, Unavailable

log = logging.getLogger("trivet")

CACHE = Path("~/.cache/trivet/containers")
"""Where engines keep what they make, unless a spec says so."""

_BUCKET = "trivet-models"
"""The bucket of files that come from no Cloud Storage."""


class Started:
    """One application at a time, made of a spec and, perhaps, a model's `files`; any thread may ask."""

    def __init__(self, spec: ContainerSpec, files: Path | None) -> None:
        """Prepare and start it, and wait until it is well.

        Raises what the engine does where there is none, or cannot prepare it, and FailedPrecondition with its
        last lines where it does not become well.
        """
        if spec.cache == Path():
            spec = replace(spec, cache=CACHE.expanduser())
        if not spec.name:
            spec = replace(spec, name=spec.image if spec.folder is None else spec.folder.name)
        self.spec = spec
        self._files = files
        self._engine = choose(spec)
        self._prepared = self._engine.prepare(spec, log.info)
        self._closed = False
        self._lock = threading.Lock()
        self._uri = _storage_uri(spec, files)
        self._server: FilesServer | None = None
        if files is not None and not own_storage(spec):
            self._server = FilesServer(self._uri, files, self._engine.near())
        self._running = self._made()
        try:
            self._running.start()
        except BaseException:
            self.close()
            raise

    def __repr__(self) -> str:
        return f"<Started {self._running!r}>"

    @property
    def state(self) -> State:
        """How it is now."""
        return self._running.state

    def watch(self, tell: Callable[[State], None]) -> None:
        """Tell the states of the application of now; see `life.Listening`."""
        self._running.watch(tell)

    def application(self) -> Running:
        """Return the application, which is well; one that has ended is started again.

        Raises Unavailable with the reason where it is not well, FailedPrecondition where it cannot be started
        any more, and Cancelled once this is closed.
        """
        if self._running.state.over or not self._running.began:
            with self._lock:  # which is free again when another thread has started it
                self._start_again()
        running = self._running
        if not (state := running.state).well:
            raise Unavailable(state.reason)
        return running

    def port(self) -> int:
        """Return the port of the application; raises as `application` does."""
        return self.application().state.port

    def close(self) -> None:
        """Stop it."""
        self._closed = True
        self._running.stop()
        if self._server is not None:
            self._server.close()

    def _start_again(self) -> None:
        if self._closed:
            raise Cancelled("the container was stopped")
        if self._running.state.over:
            log.info("%s: the container is started again", self.spec.name)
            self._running = self._made()
            self._running.start()
        if self._closed:  # meanwhile, by a thread that has not seen this one
            self._running.stop()

    def _made(self) -> Running:
        return Running(self.spec, self._engine, self._prepared, self._variables, self._files)

    def _variables(self, port: int) -> Mapping[str, str]:
        emulator = "" if self._server is None else self._server.url
        return variables(self.spec, port, storage_uri=self._uri, emulator=emulator)


def _storage_uri(spec: ContainerSpec, files: Path | None) -> str:
    """Return where an application is to read its model's files, as a folder of Cloud Storage."""
    if spec.artifact_uri.startswith("gs://"):
        return spec.artifact_uri.rstrip("/")
    return "" if files is None else f"gs://{_BUCKET}/{files.name}"
