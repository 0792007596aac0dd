"""How a request and its answer look on the wire: the JSON of each family of servers."""

import json
from collections.abc import Callable
from dataclasses import dataclass

from models import Rows


@dataclass(frozen=True)
class Wire:
    """A body for rows, and the labels in an answer."""

    body: Callable[[Rows], bytes]
    answer: Callable[[bytes], list[int]]


def _compact(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _tensor(rows: Rows) -> bytes:
    flat = [value for row in rows for value in row]
    shape = [len(rows), len(rows[0])]
    return _compact({"inputs": [{"name": "x", "shape": shape, "datatype": "FP64", "data": flat}]})


V1 = Wire(lambda rows: _compact({"instances": rows}), lambda body: json.loads(body)["predictions"])
V2 = Wire(_tensor, lambda body: json.loads(body)["outputs"][0]["data"])
BARE = Wire(V1.body, json.loads)  # BentoML answers with the array alone
