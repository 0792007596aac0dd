"""Pages of lists, which end by their bytes, too: a thousand resources may be a thousand large ones."""

from collections.abc import Callable
from dataclasses import replace
from itertools import accumulate

from trivet.control.plane import ControlPlane
from trivet.protocols.base import encode_json
from trivet.protocols.vertex.wire import Asked, Json

List = Callable[[ControlPlane, Asked], Json]

BYTES = 8 << 20
"""Bytes of JSON in a page, unless its first resource alone has more."""

_DEFAULT = 100
_FIRST, _GROWS = 16, 4
"""Resources that are read at once: few at first, since nobody knows yet how large they are."""


def by_bytes(list_: List) -> List:
    """Return the same list in pages that end before they have too many bytes, with a token for the rest."""

    def page(control: ControlPlane, asked: Asked) -> Json:
        query = asked.page()
        left, size, room = query.page_size or _DEFAULT, _FIRST, BYTES
        token, whole = query.page_token, None
        while True:
            part = list_(control, _from(asked, token, min(size, left)))
            sizes = _sizes(part)
            count, fits = len(sizes), [at for at in accumulate(sizes) if at <= room]
            if len(fits) < count:
                if whole is not None and not fits:
                    return whole
                return _joined(whole, list_(control, _from(asked, token, len(fits) or 1)))
            whole, token = _joined(whole, part), part["nextPageToken"]
            left, room = left - count, room - (fits[-1] if fits else 0)
            if not token or left <= 0:
                return whole
            size *= _GROWS

    return page


def _from(asked: Asked, token: str, size: int) -> Asked:
    others = {name: values for name, values in asked.query.items() if name not in ("page_size", "page_token")}
    return replace(asked, query={**others, "pageSize": [str(size)], "pageToken": [token]})


def _sizes(part: Json) -> list[int]:
    """Return the bytes of each resource; a page may have several lists that tell of the same ones."""
    lists = [value for value in part.values() if isinstance(value, list)]
    return [sum(len(encode_json(one)) for one in row) for row in zip(*lists, strict=True)]


def _joined(whole: Json | None, part: Json) -> Json:
    if whole is None:
        return part
    return {name: whole[name] + value if isinstance(value, list) else value for name, value in part.items()}
