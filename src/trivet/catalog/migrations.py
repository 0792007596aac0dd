"""How the tables came to be: a list that only grows. What a released version has run is never changed.

`TEXT` is written `{text}`, since PostgreSQL would otherwise sort by the rules of a language.
"""

from collections.abc import Callable, Sequence

from sqlalchemy import Connection, inspect, text

from trivet.catalog.tables import metadata
from trivet.core.errors import FailedPrecondition

Migration = Callable[[Connection], None]

_LOCK = 0x7472_6976_6574  # any number, the same in every version


def _run(connection: Connection, statements: str) -> None:
    words = 'TEXT COLLATE "C"' if connection.dialect.name == "postgresql" else "TEXT"
    for statement in statements.replace("{text}", words).split(";"):
        if statement.strip():
            connection.exec_driver_sql(statement)


def _first(connection: Connection) -> None:
    """Models, endpoints, pools, operations, nodes, and the revision of the wishes."""
    _run(
        connection,
        """
        CREATE TABLE meta (key {text} NOT NULL PRIMARY KEY, value BIGINT NOT NULL);
        INSERT INTO meta (key, value) VALUES ('schema', 0), ('revision', 0);

        CREATE TABLE models (
            parent {text} NOT NULL,
            id {text} NOT NULL,
            last BIGINT NOT NULL,
            PRIMARY KEY (parent, id)
        );
        CREATE TABLE model_versions (
            parent {text} NOT NULL,
            model {text} NOT NULL,
            version BIGINT NOT NULL,
            is_default BIGINT NOT NULL,
            display_name {text} NOT NULL,
            created BIGINT NOT NULL,
            updated BIGINT NOT NULL,
            model_created BIGINT NOT NULL,
            labels JSON NOT NULL,
            document JSON NOT NULL,
            artifact_key {text} NOT NULL,
            artifact JSON,
            framework {text} NOT NULL,
            etag {text} NOT NULL,
            PRIMARY KEY (parent, model, version),
            FOREIGN KEY (parent, model) REFERENCES models (parent, id) ON DELETE CASCADE
        );
        CREATE UNIQUE INDEX model_default ON model_versions (parent, model) WHERE is_default = 1;
        CREATE INDEX model_by_age ON model_versions (parent, model_created, model) WHERE is_default = 1;
        CREATE INDEX model_by_change ON model_versions (parent, updated, model_created, model)
            WHERE is_default = 1;
        CREATE INDEX model_by_title ON model_versions (parent, display_name, model_created, model)
            WHERE is_default = 1;
        CREATE INDEX version_by_artifact ON model_versions (artifact_key);
        CREATE TABLE aliases (
            parent {text} NOT NULL,
            model {text} NOT NULL,
            alias {text} NOT NULL,
            version BIGINT NOT NULL,
            PRIMARY KEY (parent, model, alias),
            FOREIGN KEY (parent, model, version) REFERENCES model_versions (parent, model, version)
                ON DELETE CASCADE
        );

        CREATE TABLE endpoints (
            parent {text} NOT NULL,
            id {text} NOT NULL,
            display_name {text} NOT NULL,
            created BIGINT NOT NULL,
            updated BIGINT NOT NULL,
            labels JSON NOT NULL,
            document JSON NOT NULL,
            traffic JSON NOT NULL,
            etag {text} NOT NULL,
            PRIMARY KEY (parent, id)
        );
        CREATE INDEX endpoint_by_age ON endpoints (parent, created, id);
        CREATE INDEX endpoint_by_change ON endpoints (parent, updated, created, id);
        CREATE INDEX endpoint_by_title ON endpoints (parent, display_name, created, id);
        CREATE TABLE deployed_models (
            parent {text} NOT NULL,
            endpoint {text} NOT NULL,
            id {text} NOT NULL,
            position BIGINT NOT NULL,
            model_parent {text} NOT NULL,
            model {text} NOT NULL,
            version {text} NOT NULL,
            display_name {text} NOT NULL,
            created BIGINT NOT NULL,
            document JSON NOT NULL,
            pool {text} NOT NULL,
            state {text} NOT NULL,
            PRIMARY KEY (parent, endpoint, id),
            FOREIGN KEY (parent, endpoint) REFERENCES endpoints (parent, id) ON DELETE CASCADE
        );
        CREATE INDEX deployed_by_model ON deployed_models (model_parent, model, version);
        CREATE INDEX deployed_by_pool ON deployed_models (pool, created);

        CREATE TABLE pools (
            parent {text} NOT NULL,
            id {text} NOT NULL,
            created BIGINT NOT NULL,
            document JSON NOT NULL,
            PRIMARY KEY (parent, id)
        );
        CREATE INDEX pool_by_age ON pools (parent, created, id);

        CREATE TABLE operations (
            parent {text} NOT NULL,
            id {text} NOT NULL,
            kind {text} NOT NULL,
            target {text} NOT NULL,
            created BIGINT NOT NULL,
            updated BIGINT NOT NULL,
            api {text} NOT NULL,
            request JSON NOT NULL,
            owner {text} NOT NULL,
            revision BIGINT NOT NULL,
            done BIGINT NOT NULL,
            response JSON,
            failure JSON,
            PRIMARY KEY (parent, id)
        );
        CREATE INDEX operation_by_age ON operations (parent, created, id);
        CREATE INDEX operation_unfinished ON operations (created) WHERE done = 0;

        CREATE TABLE nodes (
            id {text} NOT NULL PRIMARY KEY,
            applied BIGINT NOT NULL,
            seen BIGINT NOT NULL,
            failures JSON NOT NULL
        );
        """,
    )


def _second(connection: Connection) -> None:
    """Batch prediction jobs, and the shards that they are done in."""
    _run(
        connection,
        """
        CREATE TABLE batch_jobs (
            parent {text} NOT NULL,
            id {text} NOT NULL,
            display_name {text} NOT NULL,
            created BIGINT NOT NULL,
            updated BIGINT NOT NULL,
            model {text} NOT NULL,
            model_display_name {text} NOT NULL,
            state {text} NOT NULL,
            ended BIGINT NOT NULL,
            labels JSON NOT NULL,
            document JSON NOT NULL,
            about JSON NOT NULL,
            owner {text} NOT NULL,
            attempt BIGINT NOT NULL,
            seen BIGINT,
            PRIMARY KEY (parent, id)
        );
        CREATE INDEX batch_job_by_age ON batch_jobs (parent, created, id);
        CREATE INDEX batch_job_by_change ON batch_jobs (parent, updated, created, id);
        CREATE INDEX batch_job_by_title ON batch_jobs (parent, display_name, created, id);
        CREATE INDEX batch_job_unfinished ON batch_jobs (created) WHERE ended = 0;
        CREATE TABLE batch_shards (
            parent {text} NOT NULL,
            job {text} NOT NULL,
            number BIGINT NOT NULL,
            shard JSON NOT NULL,
            result JSON,
            PRIMARY KEY (parent, job, number),
            FOREIGN KEY (parent, job) REFERENCES batch_jobs (parent, id) ON DELETE CASCADE
        );
        """,
    )


def _third(connection: Connection) -> None:
    """The names that models have in the datasets of SQL, and the number of their changes."""
    _run(
        connection,
        """
        INSERT INTO meta (key, value) VALUES ('sql', 0);
        CREATE TABLE sql_models (
            project {text} NOT NULL,
            dataset {text} NOT NULL,
            id {text} NOT NULL,
            created BIGINT NOT NULL,
            updated BIGINT NOT NULL,
            model_parent {text} NOT NULL,
            model {text} NOT NULL,
            version {text} NOT NULL,
            expires BIGINT,
            document JSON NOT NULL,
            etag {text} NOT NULL,
            PRIMARY KEY (project, dataset, id)
        );
        CREATE INDEX sql_model_by_model ON sql_models (model_parent, model, version);
        CREATE INDEX sql_model_by_end ON sql_models (expires) WHERE expires IS NOT NULL;
        """,
    )


def _fourth(connection: Connection) -> None:
    """What the containers of models' own are made from."""
    _run(
        connection,
        """
        ALTER TABLE model_versions ADD COLUMN image_key {text} NOT NULL DEFAULT '';
        ALTER TABLE model_versions ADD COLUMN image JSON;
        CREATE INDEX version_by_image ON model_versions (image_key) WHERE image_key <> '';
        """,
    )


MIGRATIONS: Sequence[Migration] = (_first, _second, _third, _fourth)


def schema_of(connection: Connection) -> int:
    """Return how many migrations the database has seen; 0 where it is empty.

    Raises FailedPrecondition if it has tables of these names that Trivet has not made.
    """
    there = inspect(connection)
    if there.has_table("meta") and [one["name"] for one in there.get_columns("meta")] == ["key", "value"]:
        seen: int = connection.scalars(text("SELECT value FROM meta WHERE key = 'schema'")).one()
        return seen
    if foreign := set(there.get_table_names()) & set(metadata.tables):
        raise FailedPrecondition(
            f"the database has tables that are not Trivet's ({', '.join(sorted(foreign))}): use an empty one"
        )
    return 0


def migrate(connection: Connection, migrations: Sequence[Migration] = MIGRATIONS) -> None:
    """Run the missing migrations in the transaction that the connection is in; others wait meanwhile.

    Raises FailedPrecondition if the database has seen more than there are, or is somebody else's.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
    seen = schema_of(connection)
    if seen > len(migrations):
        raise FailedPrecondition(
            f"the catalog has schema {seen}, and this Trivet knows none after {len(migrations)}: "
            "it was last opened by a newer Trivet; use that one"
        )
    for migration in migrations[seen:]:
        migration(connection)
    if seen < len(migrations):
        connection.execute(
            text("UPDATE meta SET value = :seen WHERE key = 'schema'"), {"seen": len(migrations)}
        )
