"""Operations: calls that take longer than their answer."""

from trivet.core.resources import Location, Name, Operation, Page, Query


class Operations:
    """The part of a transaction that knows operations."""

    def operation(self, name: Name) -> Operation:
        """Return an operation; raises NotFound."""
        raise NotImplementedError

    def add_operation(self, one: Operation) -> Operation:
        """Add an operation; raises AlreadyExists."""
        raise NotImplementedError

    def put_operation(self, one: Operation) -> Operation:
        """Replace an operation; return it with its new `updated`. Raises NotFound."""
        raise NotImplementedError

    def delete_operation(self, name: Name) -> None:
        """Delete an operation, whether or not it is done; raises NotFound."""
        raise NotImplementedError

    def operations(self, parent: Location, query: Query) -> Page[Operation]:
        """List operations, by default the newest first; raises InvalidArgument."""
        raise NotImplementedError

    def unfinished(self, owner: str | None = None) -> list[Operation]:
        """Return the operations that are not done, of this owner if one is given, the oldest first."""
        raise NotImplementedError
