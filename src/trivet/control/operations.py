"""Operations: how they begin, wait for the machines, go on and end.

An operation with a revision waits until every machine that is alive serves that revision; one without has
artifacts to copy or to delete here. What it does next is its kind's, given as a stage or as work; those who
begin operations register these. All of its state is in the catalog.
"""

import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from threading import Lock
from typing import TYPE_CHECKING

from trivet.control.settings import ControlSettings
from trivet.core.errors import Cancelled, Code, FailedPrecondition, NotFound, ServingError, model_error
from trivet.core.resources import (
    STARTING,
    Document,
    Failure,
    Location,
    Name,
    Node,
    Operation,
    Page,
    Query,
)
from trivet.serving.replica import FAULTS

if TYPE_CHECKING:
    from trivet.catalog import Catalog, Transaction

log = logging.getLogger("trivet")

KEPT = 10_000
KEPT_SECONDS = 7 * 24 * 3600.0
"""How many operations that are done are kept, and for how long."""

_PRUNED_EVERY = 64  # operations begun: once a day would be enough, once for each too often
_UNATTENDED = timedelta(hours=1)
"""How old a copy may be whose process cannot be asked, before it is held to be gone."""

_GONE = 6
"""After how many times `alive_within` others do the work of a machine that is not heard of."""

Work = Callable[[Operation], None]
"""Carries an operation out and ends it; what it raises is the operation's failure. May be called again."""

Stage = Callable[["Transaction", Operation, Failure | None], None]
"""Goes on with an operation that every machine has caught up with, or whose deployed model one of them could
not load. It puts the operation."""


@dataclass(slots=True)
class Kind:
    """What there is to do for a kind of operation, besides waiting; and what cancelling it means."""

    work: Work | None = None
    stage: Stage | None = None
    cancel: Callable[["Transaction", Operation], None] | None = None


@dataclass(frozen=True, slots=True)
class Begun:
    """What a call has begun: see `Operation`."""

    kind: str
    target: Name
    api: str
    request: Document = field(default_factory=dict)
    revision: int = 0
    response: Document | None = None


@dataclass(slots=True)
class Operations:
    """The operations of a catalog, of which this machine carries out its own."""

    catalog: "Catalog"
    settings: ControlSettings
    nudge: Callable[[], None]
    kinds: dict[str, Kind] = field(default_factory=dict)
    _running: set[Name] = field(default_factory=set)
    _lock: Lock = field(default_factory=Lock)
    _begun: int = 0

    def begin(self, tx: "Transaction", begun: Begun) -> Operation:
        """Add an operation; with a response and without a revision to wait for, it is done.

        With both it is done, so answered, once that revision is served.
        """
        now = datetime.now(UTC)
        if self._begun % _PRUNED_EVERY == 0:
            tx.prune_operations(KEPT_SECONDS, KEPT)
        self._begun += 1
        return tx.add_operation(
            Operation(
                name=begun.target.parent.child("operations", tx.new_id()),
                kind=begun.kind,
                target=str(begun.target),
                created=now,
                updated=now,
                api=begun.api,
                request=begun.request,
                owner=self.settings.node,
                revision=begun.revision,
                done=begun.response is not None and not begun.revision,
                response=begun.response,
            )
        )

    def get(self, name: Name) -> Operation:
        """Return an operation; what it will answer is not told before it is done."""
        with self.catalog.reading() as tx:
            return _shown(tx.operation(name))

    def page(self, parent: Location, query: Query) -> Page[Operation]:
        """Return operations."""
        with self.catalog.reading() as tx:
            page = tx.operations(parent, query)
        return Page([_shown(one) for one in page.items], page.next_page_token)

    def delete(self, name: Name) -> None:
        """Forget an operation that is done; raises FailedPrecondition for another."""
        with self.catalog.transaction() as tx:
            if not tx.operation(name).done:
                raise FailedPrecondition(f"{name} is not done yet: wait for it, or cancel it")
            tx.delete_operation(name)

    def cancel(self, name: Name) -> None:
        """Stop an operation where its kind can be stopped."""
        with self.catalog.transaction() as tx:
            operation = tx.operation(name)
            cancel = self.kinds.get(operation.kind, Kind()).cancel
            if operation.done or cancel is None:
                return
            cancel(tx, operation)
        self.nudge()

    def take_over(self) -> list[Name]:
        """Make those operations this machine's own that were left with work to do; return them."""
        with self.catalog.reading() as tx:
            if not self._abandoned(tx):
                return []
        with self.catalog.transaction() as tx:
            taken = self._abandoned(tx)
            for one in taken:
                log.info("%s (%s): taken over from %s", one.name, one.kind, one.owner)
                tx.put_operation(replace(one, owner=self.settings.node))
        return [one.name for one in taken]

    def pending(self) -> list[Name]:
        """Return this machine's operations that have work to do now, with those that it takes over."""
        self.take_over()
        with self.catalog.reading() as tx:
            mine = tx.unfinished(self.settings.node)
            served = self._served(tx) if any(one.revision for one in mine) else 0
        return [one.name for one in mine if self._work(one) is not None and one.revision <= served]

    def _abandoned(self, tx: "Transaction") -> list[Operation]:
        """Return the operations with work to do whose machine has not been heard of for long.

        The process that copies an artifact is left alone while it lives; one that deletes may be gone before
        the machines that serve have come that far.
        """
        heard = {node.id for node in tx.nodes(self.settings.alive_within * _GONE)} | {self.settings.node}
        left = [one for one in tx.unfinished() if one.owner not in heard and self._work(one) is not None]
        return [one for one in left if self._is_left(one)]

    def _is_left(self, one: Operation) -> bool:
        alive = self.settings.alive(one.owner)
        if one.request.get("attended") and alive is None:
            return one.updated < datetime.now(UTC) - _UNATTENDED
        return not alive or bool(one.revision)

    def run(self, name: Name) -> None:
        """Do the work of an operation, unless another thread does, or it is done."""
        with self._lock:
            if name in self._running:
                return
            self._running.add(name)
        try:
            self._run(name)
        finally:
            with self._lock:
                self._running.discard(name)

    def _run(self, name: Name) -> None:
        with self.catalog.reading() as tx:
            try:
                operation = tx.operation(name)
            except NotFound:
                return  # it has ended and been forgotten meanwhile
            work = self._work(operation)
            if operation.done or work is None or operation.revision > self._served(tx):
                return
        try:
            work(operation)
        except FAULTS as error:
            if not isinstance(error, ServingError):
                log.exception("%s (%s) failed", name, operation.kind)
            with self.catalog.transaction() as tx, suppress(NotFound):
                self.fail(tx, tx.operation(name), failure_of(error))
        self.nudge()

    def applied(self, revision: int, failures: Mapping[str, Failure]) -> None:
        """Hear what this machine serves, and go on with whatever waited for it."""
        with self.catalog.transaction() as tx:
            tx.beat(self.settings.node, revision, failures)
            served, nodes = self._served(tx), tx.nodes(self.settings.alive_within)
            waiting = [
                one.name for one in tx.unfinished() if self._work(one) is None and _is_due(one, served, nodes)
            ]
        for name in waiting:
            self._go_on(name)
        if waiting:
            self.nudge()

    def _go_on(self, name: Name) -> None:
        with self.catalog.transaction() as tx:
            try:
                operation = tx.operation(name)
            except NotFound:
                return  # another has ended it, and it has been forgotten
            nodes = tx.nodes(self.settings.alive_within)
            if operation.done or not _is_due(operation, self._served(tx), nodes):
                return  # it has gone on in the meantime
            failure = _failed(operation, nodes)
            stage = self.kinds.get(operation.kind, Kind()).stage
            if stage is None:
                self.end(tx, operation, operation.response or {})
            else:
                stage(tx, operation, failure)

    def recover(self) -> None:
        """Say that this machine has begun anew, and serves nothing yet."""
        with self.catalog.transaction() as tx:
            tx.beat(self.settings.node, 0, {})
        self.nudge()

    def reached(self, revision: int) -> bool:
        """Say whether every machine that is alive serves a revision, or a later one."""
        with self.catalog.reading() as tx:
            return revision <= self._served(tx)

    def end(self, tx: "Transaction", operation: Operation, response: Document) -> None:
        """Mark an operation done, unless it is; what was asked is not needed any more."""
        if not operation.done:
            tx.put_operation(replace(operation, request={}, done=True, response=response, failure=None))

    def fail(self, tx: "Transaction", operation: Operation, failure: Failure) -> None:
        """Mark an operation failed, unless it is done; what was asked is not needed any more."""
        if not operation.done:
            tx.put_operation(replace(operation, request={}, done=True, response=None, failure=failure))

    def _work(self, operation: Operation) -> Work | None:
        return self.kinds.get(operation.kind, Kind()).work

    def _served(self, tx: "Transaction") -> int:
        """Return the revision that all machines alive have come to; 0 where this one is not heard of.

        Where this one does not serve, and no other is alive, nobody serves what is older than the newest.
        """
        nodes = {node.id: node.applied for node in tx.nodes(self.settings.alive_within)}
        if not self.settings.serves:
            return min(nodes.values(), default=tx.revision())
        return min(nodes.values()) if self.settings.node in nodes else 0


def failure_of(error: BaseException) -> Failure:
    """Return what an operation says of an error."""
    if isinstance(error, OSError):
        return Failure(
            Code.INTERNAL.value, f"{error.filename or 'artifact store'}: {error.strerror or error}"
        )
    known = model_error(error)
    return Failure(known.code.value, str(known))


CANCELLED = Failure(Cancelled.code.value, "the operation was cancelled")


def _is_due(operation: Operation, served: int, nodes: list[Node]) -> bool:
    """Whether what an operation waits for is there on every machine, or will never be on one."""
    if _failed(operation, nodes):
        return True
    return operation.revision <= served and STARTING not in _said(operation, nodes)


def _failed(operation: Operation, nodes: list[Node]) -> Failure | None:
    """Return why a machine that has come as far as an operation could not load what it deploys."""
    return next((one for one in _said(operation, nodes) if one != STARTING), None)


def _said(operation: Operation, nodes: list[Node]) -> list[Failure]:
    """Return what machines that have come as far as an operation say of the model that it deploys."""
    id_ = operation.request.get("deployedModelId")
    if not id_ or not operation.revision:
        return []
    far = [node for node in nodes if node.applied >= operation.revision]
    return [node.failures[id_] for node in far if id_ in node.failures]


def _shown(operation: Operation) -> Operation:
    return operation if operation.done else replace(operation, response=None)
