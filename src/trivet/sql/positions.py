"""Where in a statement something stands, as BigQuery's messages say it: ` at [line:column]`, both from 1."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from sqlglot import exp

from trivet.core.errors import ServingError

_PLACE = re.compile(r" at \[\d+:\d+\]")


def at(node: exp.Expression) -> str:
    """Return where a node begins, with a blank before; empty where the parser has not kept that."""
    metas = [one._meta for one in node.walk() if one._meta and "line" in one._meta]
    starts = [(meta["line"], max(meta["col"] - (meta["end"] - meta["start"]), 1)) for meta in metas]
    return " at [{}:{}]".format(*min(starts)) if starts else ""


@contextmanager
def positioned(place: str, about: str = "") -> Iterator[None]:
    """Add where in the statement it was (see `at`) to an error that does not say so.

    With `about`, only to one that speaks of that.
    """
    try:
        yield
    except ServingError as error:
        if not place or about not in str(error) or _PLACE.search(str(error)):
            raise
        raise type(error)(f"{error}{place}") from error
