"""The tables as this version uses them. `migrations` makes them; a test compares the two."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import JSON, BigInteger, Column, Dialect, MetaData, Table, Text, TypeDecorator, literal_column

from trivet.core.errors import InvalidArgument

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")


class Words(TypeDecorator[str]):
    """Text that both databases can keep, sorted by code point."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """Refuse what one of the databases would."""
        if value is not None and _UNSTORABLE.search(value):
            raise InvalidArgument(f"text {value[:50]!r}: there must be no NUL or lone surrogate in it")
        return value


class Moment(TypeDecorator[datetime]):
    """A time in microseconds since 1970, which is exact and sorts alike in both databases."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:
        """Turn a time with a zone into a number."""
        return None if value is None else micros(value)

    def process_result_value(self, value: Any | None, dialect: Dialect) -> datetime | None:
        """Turn the number into a time in UTC."""
        return None if value is None else moment(value)


def micros(value: datetime) -> int:
    """Return the microseconds since 1970 of a time with a zone."""
    return (value - _EPOCH) // timedelta(microseconds=1)


def moment(value: int) -> datetime:
    """Return the time in UTC; raises OverflowError for those that there are not."""
    return _EPOCH + timedelta(microseconds=value)


def _json() -> JSON:
    return JSON(none_as_null=True)


metadata = MetaData()

meta = Table(
    "meta",
    metadata,
    Column("key", Words, primary_key=True),
    Column("value", BigInteger, nullable=False),
)

models = Table(
    "models",
    metadata,
    Column("parent", Words, primary_key=True),
    Column("id", Words, primary_key=True),
    Column("last", BigInteger, nullable=False),  # the number of the newest version that there has been
)

versions = Table(
    "model_versions",
    metadata,
    Column("parent", Words, primary_key=True),
    Column("model", Words, primary_key=True),
    Column("version", BigInteger, primary_key=True),
    Column("is_default", BigInteger, nullable=False),  # 1 is what the alias `default` stands for
    Column("display_name", Words, nullable=False),
    Column("created", Moment, nullable=False),
    Column("updated", Moment, nullable=False),
    Column("model_created", Moment, nullable=False),
    Column("labels", _json(), nullable=False),
    Column("document", _json(), nullable=False),
    Column("artifact_key", Words, nullable=False),
    Column("artifact", _json()),
    Column("framework", Words, nullable=False),
    Column("etag", Words, nullable=False),
    Column("image_key", Words, nullable=False),  # of the copy of its folder
    Column("image", _json()),
)

aliases = Table(
    "aliases",
    metadata,
    Column("parent", Words, primary_key=True),
    Column("model", Words, primary_key=True),
    Column("alias", Words, primary_key=True),
    Column("version", BigInteger, nullable=False),
)

endpoints = Table(
    "endpoints",
    metadata,
    Column("parent", Words, primary_key=True),
    Column("id", Words, primary_key=True),
    Column("display_name", Words, nullable=False),
    Column("created", Moment, nullable=False),
    Column("updated", Moment, nullable=False),
    Column("labels", _json(), nullable=False),
    Column("document", _json(), nullable=False),
    Column("traffic", _json(), nullable=False),
    Column("etag", Words, nullable=False),
)

deployed = Table(
    "deployed_models",
    metadata,
    Column("parent", Words, primary_key=True),
    Column("endpoint", Words, primary_key=True),
    Column("id", Words, primary_key=True),
    Column("position", BigInteger, nullable=False),
    Column("model_parent", Words, nullable=False),
    Column("model", Words, nullable=False),
    Column("version", Words, nullable=False),
    Column("display_name", Words, nullable=False),
    Column("created", Moment, nullable=False),
    Column("document", _json(), nullable=False),
    Column("pool", Words, nullable=False),
    Column("state", Words, nullable=False),
)

pools = Table(
    "pools",
    metadata,
    Column("parent", Words, primary_key=True),
    Column("id", Words, primary_key=True),
    Column("created", Moment, nullable=False),
    Column("document", _json(), nullable=False),
)

operations = Table(
    "operations",
    metadata,
    Column("parent", Words, primary_key=True),
    Column("id", Words, primary_key=True),
    Column("kind", Words, nullable=False),
    Column("target", Words, nullable=False),
    Column("created", Moment, nullable=False),
    Column("updated", Moment, nullable=False),
    Column("api", Words, nullable=False),
    Column("request", _json(), nullable=False),
    Column("owner", Words, nullable=False),
    Column("revision", BigInteger, nullable=False),
    Column("done", BigInteger, nullable=False),
    Column("response", _json()),
    Column("failure", _json()),
)

nodes = Table(
    "nodes",
    metadata,
    Column("id", Words, primary_key=True),
    Column("applied", BigInteger, nullable=False),
    Column("seen", Moment, nullable=False),
    Column("failures", _json(), nullable=False),
)

batch_jobs = Table(
    "batch_jobs",
    metadata,
    Column("parent", Words, primary_key=True),
    Column("id", Words, primary_key=True),
    Column("display_name", Words, nullable=False),
    Column("created", Moment, nullable=False),
    Column("updated", Moment, nullable=False),
    Column("model", Words, nullable=False),
    Column("model_display_name", Words, nullable=False),
    Column("state", Words, nullable=False),
    Column("ended", BigInteger, nullable=False),  # 1 in a state that it does not leave by itself
    Column("labels", _json(), nullable=False),
    Column("document", _json(), nullable=False),
    Column("about", _json(), nullable=False),  # what nobody asks for in a filter
    Column("owner", Words, nullable=False),
    Column("attempt", BigInteger, nullable=False),
    Column("seen", Moment),
)

batch_shards = Table(
    "batch_shards",
    metadata,
    Column("parent", Words, primary_key=True),
    Column("job", Words, primary_key=True),
    Column("number", BigInteger, primary_key=True),
    Column("shard", _json(), nullable=False),
    Column("result", _json()),
)

sql_models = Table(
    "sql_models",
    metadata,
    Column("project", Words, primary_key=True),
    Column("dataset", Words, primary_key=True),
    Column("id", Words, primary_key=True),
    Column("created", Moment, nullable=False),
    Column("updated", Moment, nullable=False),
    Column("model_parent", Words, nullable=False),
    Column("model", Words, nullable=False),
    Column("version", Words, nullable=False),
    Column("expires", Moment),
    Column("document", _json(), nullable=False),
    Column("etag", Words, nullable=False),
)

# Numbers in the text of a query, since an index of some rows is only used where the query says which.
is_default = versions.c.is_default == literal_column("1")
not_done = operations.c.done == literal_column("0")
not_ended = batch_jobs.c.ended == literal_column("0")
