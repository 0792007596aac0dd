"""The transaction of a connection."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from trivet.core.errors import FailedPrecondition
from trivet.sql.failures import told


class Transactions:
    """One after another, of one cursor. `settle` is called before the cursor is used, `changed` after."""

    def __init__(self, cursor: Any, settle: Callable[[], None], changed: Callable[[], None]) -> None:
        self._cursor = cursor
        self._settle = settle
        self._changed = changed
        self._within = False

    @contextmanager
    def whole(self) -> Iterator[None]:
        """Have all or nothing of what is done within happen; what is within a transaction is part of it."""
        self._settle()
        if self._within:
            yield
            return
        self.begin()
        try:
            yield
        except BaseException:
            self.rollback()
            raise
        self.commit()

    def begin(self) -> None:
        """Begin one; raises FailedPrecondition within one."""
        if self._within:
            raise FailedPrecondition("Transaction is already in progress")
        with told():
            self._cursor.begin()
        self._within = True

    def commit(self) -> None:
        """End it, with all that it has done."""
        self._end(self._cursor.commit)

    def rollback(self) -> None:
        """End it as if nothing had been done in it."""
        self._end(self._cursor.rollback)

    def _end(self, end: Callable[[], object]) -> None:
        if not self._within:
            raise FailedPrecondition("There is no transaction in progress")
        self._settle()
        self._within = False
        with told():
            end()
        self._changed()
