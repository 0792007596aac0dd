"""The functions of DuckDB that predict: one for each version of a model, made when a statement needs it.

DuckDB calls one with at most 2,048 rows, from several of its threads at once. A row that cannot be predicted
fails the statement, or is NULL where `SAFE.ML.PREDICT` asked. DuckDB keeps but the text of an exception, and
is given one that says under which number the exception itself is kept.
"""

import inspect
import re
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from hashlib import sha256
from itertools import count
from typing import Any, Protocol

import msgspec

from trivet.core.errors import Cancelled, Internal, ServingError, model_error
from trivet.serving.leases import Leases
from trivet.serving.lifecycle import ModelSpec
from trivet.sql.columns import outputs_of, takes_arrays
from trivet.sql.model import SqlModel
from trivet.sql.remote import RemoteScored
from trivet.sql.scored import Scored
from trivet.sql.types import struct

_KEPT = 64
_MOST = 500
"""Functions that are there at most, but for those in use."""
_NUMBER = re.compile(r"\(trivet error (\d+)\)")


class Function(Protocol):
    """What a function of DuckDB calls."""

    def __call__(self, arrays: Sequence[Any]) -> Any:
        """Return an Arrow array of structs."""
        ...

    def interrupt(self) -> None:
        """Break off what waits for another process or a server."""
        ...

    def close(self) -> None:
        """Nothing is asked any more."""
        ...


class Functions:
    """The functions of one DuckDB instance. May be used by several threads."""

    def __init__(self, leases: Leases) -> None:
        self._leases = leases
        self._made: OrderedDict[str, tuple[str, Function]] = (
            OrderedDict()
        )  # by name: whose, and what is called
        self._forgotten: dict[str, int] = {}  # by name: when
        self._users: set[int] = set()
        self._clock = count(1)
        self._own: Any = None  # connection: a function made in a transaction would go with it
        self._errors: dict[int, ServingError] = {}
        self._numbers = count()

    def __repr__(self) -> str:
        return f"<Functions {len(self._made)} made>"

    def ensure(
        self, connection: Any, model: SqlModel, spec: Callable[[], ModelSpec] | None, *, safe: bool
    ) -> str:
        """Return the name of a model's function, which any connection of the instance may use from now on.

        `spec` says what to load, and is only asked when a row is predicted; None for a remote model. The
        model is loaded, or the endpoint connected to, with the first row.
        """
        name = _name(model, safe=safe)
        with self._leases.alone:
            if name not in self._made:
                function = self._function(model, spec, safe=safe)
                self._register(connection, name, model, function)
                self._made[name] = model.key, function
            self._made.move_to_end(name)
            self._forgotten.pop(name, None)
            for old in list(self._made)[:-_MOST]:
                self._forgotten.setdefault(old, next(self._clock))
        return name

    def enter(self) -> int:
        """Begin to use functions; what is returned is for `leave`, until which those there are now stay.

        DuckDB does not keep a function that a statement calls from being removed, nor bear that it is.
        """
        with self._leases.alone:
            user = next(self._clock)
            self._users.add(user)
            return user

    def leave(self, user: int) -> None:
        """Use them no more: those that were forgotten and that nobody can use any more are removed."""
        with self._leases.alone:
            self._users.discard(user)
            first = min(self._users, default=next(self._clock))
            for name in [name for name, when in self._forgotten.items() if when < first]:
                del self._forgotten[name]
                self._remove(name)

    def raised(self, error: BaseException) -> ServingError | None:
        """Return what a function raised, given DuckDB's exception for it; None where no function did."""
        found = _NUMBER.findall(str(error))
        if not found:
            return None
        return self._errors.pop(int(found[-1]), None) or Internal(str(error))

    def interrupt(self, names: Iterable[str]) -> None:
        """Break off calls of these functions that wait for another process or a server.

        Called by any thread, beside `interrupt` of the DuckDB connection. They raise Cancelled.
        """
        for name in names:
            if (made := self._made.get(name)) is not None:
                made[1].interrupt()

    def forget(self, connection: Any, key: str) -> None:
        """Have the functions of a model (`SqlModel.key`) that was dropped or replaced be removed.

        A statement that runs keeps its own until it ends.
        """
        with self._leases.alone:
            for name in [name for name, (of, _) in self._made.items() if of == key]:
                self._forgotten.setdefault(name, next(self._clock))

    def close(self) -> None:
        """Remove all functions, and let go of endpoints; models are the leases' to give up."""
        with self._leases.alone:
            for name in list(self._made):
                self._remove(name)
            if self._own is not None:
                self._own.close()
                self._own = None

    def _function(self, model: SqlModel, spec: Callable[[], ModelSpec] | None, *, safe: bool) -> Function:
        if model.remote is not None:
            return RemoteScored(model, safe=safe)
        if spec is None:
            raise Internal(f"model {model.name}: nobody knows where it is")
        return Scored(self._leases, model, spec, safe=safe)

    def _register(self, connection: Any, name: str, model: SqlModel, function: Function) -> None:
        def call(*columns: Any) -> Any:
            try:
                return function(columns)
            except BaseException as error:  # noqa: BLE001 - of which DuckDB would keep but the text
                raise _Told(self._keep(error)) from None

        inputs = [one.type.duckdb for one in model.inputs] or None  # None takes whatever comes
        if inputs is not None:  # DuckDB counts them
            kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
            named = [inspect.Parameter(f"a{index}", kind) for index in range(len(inputs))]
            call.__signature__ = inspect.Signature(named)  # type: ignore[attr-defined]
        result = struct(*outputs_of(model)).duckdb
        if self._own is None:
            self._own = connection.cursor()
        self._own.create_function(
            name, call, inputs, result, type="arrow", null_handling="special", side_effects=True
        )

    def _remove(self, name: str) -> None:
        from duckdb import Error

        _, function = self._made.pop(name)
        with suppress(Error):  # where the instance is closed already, it has none
            self._own.remove_function(name)
        function.close()

    def _keep(self, error: BaseException) -> str:
        known = Cancelled("interrupted") if isinstance(error, KeyboardInterrupt) else model_error(error)
        number = next(self._numbers)
        self._errors[number] = known
        self._errors.pop(number - _KEPT, None)
        return f"{known} (trivet error {number})"


class _Told(Exception):
    """What DuckDB is told."""


def _name(model: SqlModel, *, safe: bool) -> str:
    """Return a name that changes whenever the answers may."""
    outputs = [(one.name, str(one.type)) for one in model.outputs]
    inputs = [(one.name, str(one.type)) for one in model.inputs]
    how = takes_arrays(model.options), dict(model.parameters), safe, model.remote
    what = (model.key, str(model.created), inputs, outputs, how)
    digest = sha256(msgspec.json.encode(what, order="sorted")).hexdigest()
    return f"ml_{digest[:20]}"
