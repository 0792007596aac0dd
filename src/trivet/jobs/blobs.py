"""Records that are bytes, as those of a TFRecord file: sent as `{"b64": ...}`."""

from base64 import b64encode
from collections.abc import Sequence

from trivet.codecs import tf_example
from trivet.core.batch import Shard
from trivet.jobs.shape import Batch, Ways, refused, unread
from trivet.sources.base import Blobs, Records


class BlobShape:
    """Where `instanceConfig` names fields, records are TensorFlow's Examples, sent without the others."""

    def __init__(self, ways: Ways) -> None:
        self._config = config = ways.config
        self._by_field = bool(config.key or config.included or config.excluded)

    def check(self, uri: str, records: Records, shards: Sequence[Shard] = ()) -> list[str]:
        """Nothing is known of bytes."""
        return []

    def batch(self, uri: str, records: Records) -> Batch:
        """Make an instance of each."""
        assert isinstance(records, Blobs)
        failed = unread(uri, records)
        if not self._by_field:
            sent = [_sent(blob) for blob in records.blobs]
            return Batch(uri, records.offsets, sent, records.labels, failed=failed)
        offsets, sent, keys = [], [], []
        for offset, blob in zip(records.offsets, records.blobs, strict=True):
            try:
                instance, key = self._instance(blob)
            except ValueError as error:
                failed.append(refused(uri, offset, str(error), _sent(blob)))
                continue
            offsets.append(offset)
            sent.append(instance)
            keys.append(key)
        return Batch(uri, offsets, sent, None, keys if self._config.key else None, failed=failed)

    def _instance(self, blob: bytes) -> tuple[bytes, bytes]:
        config, fields = self._config, tf_example.fields(blob)
        for name in ((config.key,) if config.key else ()) + config.included:
            if name not in fields:
                raise ValueError(f"{name}: missing in the Example, and instanceConfig names it")
        left_out = {config.key, *config.excluded} & fields.keys()
        if config.included:
            left_out = fields.keys() - set(config.included)
        return _sent(tf_example.without(blob, left_out)), fields.get(config.key, b"")


def _sent(blob: bytes) -> bytes:
    return b'{"b64":"' + b64encode(blob) + b'"}'
