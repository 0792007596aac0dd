"""Instances that are JSON texts of their own, as a batch has them, to columns: what fits is as in a body."""

import re
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

import msgspec

from trivet.codecs.json_body import is_deeper
from trivet.codecs.json_rows import RowDecoder
from trivet.codecs.json_types import REFUSALS, typed_rows
from trivet.core.errors import InvalidArgument
from trivet.core.instances import Instances
from trivet.core.signature import Signature

_FIRST = re.compile(r"^instances\[0\](\.|: |)")
_any = msgspec.json.Decoder().decode


class LineDecoder:
    """Decodes JSON texts for one signature, each one instance."""

    def __init__(self, signature: Signature, max_depth: int = 100) -> None:
        self._rows = RowDecoder(signature)
        self._max_depth = max_depth
        self.dynamic = any(spec.dynamic for spec in signature.inputs)
        typed = typed_rows(signature)
        self._read = msgspec.json.Decoder(typed.kind).decode if typed else None
        self._pack = typed.pack if typed else None
        self._alike = {
            first: (msgspec.json.Decoder(kind).decode, pack)
            for first, (kind, pack) in (typed.alike.items() if typed else ())
        }

    def decode(self, texts: Sequence[bytes]) -> Instances:
        """Return the instances; raises InvalidArgument where one does not fit: of one alone, why."""
        if texts and (alike := self._alike.get(texts[0][:1])):
            read, stream = alike
            try:
                return stream(map(read, texts))
            except REFUSALS:
                pass
        if self._read is not None and self._pack is not None:
            try:
                return self._pack(list(map(self._read, texts)))
            except REFUSALS:
                pass
        try:
            return self._rows.decode([self._parsed(text) for text in texts])
        except InvalidArgument as error:
            raise InvalidArgument(_FIRST.sub("", str(error))) from None

    def refused(self, texts: Sequence[bytes]) -> dict[int, str]:
        """Return which instances do not fit, each seen by itself, and why."""
        found = {}
        for index, text in enumerate(texts):
            try:
                if self._read is not None and self._pack is not None:
                    self._pack([self._read(text)])
                    continue
            except REFUSALS:
                pass
            try:
                self._rows.decode([self._parsed(text)])
            except InvalidArgument as error:  # which is not kept: it holds on to all that it came through
                found[index] = _FIRST.sub("", str(error))
            except Exception as error:  # noqa: BLE001  # whatever it is, it costs only its row
                found[index] = f"cannot be read: {type(error).__name__}: {error}"
        return found

    def runs(self, texts: Sequence[bytes]) -> Iterator[Instances]:
        """Return instances that fit, but may differ in shape: neighbours of one shape together."""
        for _, run in groupby((self.decode([text]) for text in texts), self._shapes):
            yield Instances.join(list(run))

    def _shapes(self, instances: Instances) -> list[tuple[int, ...]]:
        return [column.shape[1:] for column in instances.columns.values()]

    def _parsed(self, text: bytes) -> Any:
        try:
            value = _any(text)
        except RecursionError:
            raise InvalidArgument("the instance is nested too deeply") from None
        except (msgspec.MsgspecError, ValueError) as error:
            raise InvalidArgument(f"not valid JSON: {error}") from None
        if text.count(b"[") + text.count(b"{") > self._max_depth and is_deeper(value, self._max_depth):
            raise InvalidArgument(
                f"the instance is nested too deeply: expected at most {self._max_depth} levels"
            )
        return value
