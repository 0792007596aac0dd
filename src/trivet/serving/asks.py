"""What is asked of an application, from when it is written until it is answered."""

from abc import abstractmethod
from typing import Protocol

from trivet.core.errors import ServingError
from trivet.serving.upstream import Connection, Head


class Holder(Protocol):
    """The application that something was given to."""

    def forget(self, ask: "Ask") -> None:
        """Let it not be answered any more."""
        ...


class Ask:
    """A whole request, `written`, and who takes its answer: it gets that or fails, once.

    It is `repeatable` while asking once more does no harm; `bare` answers have no body. `sent` counts how
    often it was, `place` is the application that has it, and `connection` the one on which it was sent.
    """

    __slots__ = ("bare", "connection", "is_over", "place", "repeatable", "sent", "written")

    def __init__(self, written: bytes, *, repeatable: bool, bare: bool = False) -> None:
        self.written = written
        self.repeatable = repeatable
        self.bare = bare
        self.sent = 0
        self.is_over = False  # nobody waits for it any more
        self.place: Holder | None = None
        self.connection: Connection | None = None

    @abstractmethod
    def head(self, head: Head) -> None:
        """Take the head of the answer."""

    @abstractmethod
    def body(self, data: bytes) -> None:
        """Take a piece of its body."""

    @abstractmethod
    def end(self) -> None:
        """Know that the answer is whole."""

    @abstractmethod
    def fail(self, error: ServingError) -> None:
        """Know that there will be no answer, or no more of it."""
