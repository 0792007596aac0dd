"""Records that are JSON values, as lines of JSONL: sent as they are, or by field as `instanceConfig` says."""

from collections.abc import Mapping, Sequence

import msgspec

from trivet.core.batch import Shard
from trivet.core.errors import InvalidArgument
from trivet.jobs.shape import Batch, Ways, refused, unread
from trivet.sinks.base import Failed
from trivet.sources.base import Records, Values

Fields = Mapping[str, msgspec.Raw]

_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_encode = msgspec.json.Encoder().encode


class ValueShape:
    """Keeps the text of every value as it is read: numbers of any size, and the order of fields."""

    def __init__(self, ways: Ways) -> None:
        self._config = config = ways.config
        self._left_out = {*config.excluded, *((config.key,) if config.key else ())}
        self._shows_sent = bool(config.included) and not ways.tabular
        self._as_they_are = not (config.type or config.key or config.included or config.excluded)

    def check(self, uri: str, records: Records, shards: Sequence[Shard] = ()) -> list[str]:
        """Lines differ; each is judged by itself."""
        return []

    def batch(self, uri: str, records: Records) -> Batch:
        """Make an instance of each line."""
        assert isinstance(records, Values)
        failed = unread(uri, records)
        if self._as_they_are:
            texts = records.texts
            return Batch(uri, records.offsets, texts, texts, failed=failed)
        return self._by_field(uri, records, failed)

    def _by_field(self, uri: str, records: Values, failed: list[Failed]) -> Batch:
        offsets, sent, shown, keys = [], [], [], []
        for offset, text in zip(records.offsets, records.texts, strict=True):
            try:
                instance, key = self._instance(text)
            except InvalidArgument as error:
                failed.append(refused(uri, offset, str(error), text))
                continue
            offsets.append(offset)
            sent.append(instance)
            shown.append(instance if self._shows_sent else text)
            if key is not None:
                keys.append(key)
        return Batch(uri, offsets, sent, shown, keys if self._config.key else None, failed=failed)

    def _instance(self, text: bytes) -> tuple[bytes, bytes | None]:
        """Return what is sent of a line, and its key."""
        config = self._config
        if config.type == "array" and text.lstrip().startswith(b"["):
            if config.key or config.included or config.excluded:
                raise InvalidArgument(
                    "an array has no fields, which instanceConfig names; expected an object"
                )
            return text, None
        fields = _read(text)
        for name in ((config.key,) if config.key else ()) + config.included:
            if name not in fields:
                raise InvalidArgument(f"{name}: missing, and instanceConfig names it")
        key = bytes(fields[config.key]) if config.key else None
        names = config.included or [name for name in fields if name not in self._left_out]
        if config.type == "array":
            if not config.included:
                raise InvalidArgument(
                    "an object has no order: to send it as an array, instanceConfig.includedFields is needed"
                )
            return _encode([fields[name] for name in names]), key
        return _encode({name: fields[name] for name in names}), key


def _read(text: bytes) -> Fields:
    try:
        return _fields(text)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        if text.lstrip()[:1] == b"{":
            raise InvalidArgument(f"not valid JSON: {error}") from None
        raise InvalidArgument("expected an object, of whose fields instanceConfig speaks") from None
