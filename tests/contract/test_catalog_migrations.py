"""What every database of a catalog must do when it is opened: new, old, newer, or by several."""

import sqlite3
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import inspect, text

from tests.contract.catalog_values import HERE, endpoint
from tests.contract.test_catalog_safety import finished, process
from trivet.catalog import Catalog, engine, migrations, tables
from trivet.core.errors import FailedPrecondition, Unavailable
from trivet.core.resources import Query


@pytest.fixture
def database(url):
    """Return an engine for the database, as a catalog has one."""
    made = engine.make_engine(engine.check_url(url), 5.0)
    yield made
    made.dispose()


def migrate(database, steps):
    with database.connect() as connection:
        engine.to_migrate(connection)
        migrations.migrate(connection, steps)
        connection.commit()


def schema(database):
    """Return what there is: the columns and indexes of each table."""
    found = inspect(database)
    return {
        name: (
            {(one["name"], str(one["type"]), one["nullable"]) for one in found.get_columns(name)},
            {(one["name"], tuple(one["column_names"])) for one in found.get_indexes(name)},
            found.get_pk_constraint(name)["constrained_columns"],
        )
        for name in found.get_table_names()
    }


def stored_schema(database):
    with database.connect() as connection:
        return migrations.schema_of(connection)


def breaks(connection):
    connection.execute(text("CREATE TABLE half (a TEXT)"))
    raise ZeroDivisionError


def adds(connection):
    connection.execute(text("ALTER TABLE pools ADD COLUMN colour TEXT"))


@pytest.mark.parametrize("seen", range(len(migrations.MIGRATIONS) + 1))
def test_a_database_of_any_age_becomes_todays(url, database, seen):
    migrate(database, migrations.MIGRATIONS[:seen])
    catalog = Catalog(url)
    with catalog.transaction() as one:
        one.add_endpoint(endpoint())
        one.bump()
    catalog.close()
    assert stored_schema(database) == len(migrations.MIGRATIONS)
    expected = {
        table.name: (
            {(column.name, column.nullable) for column in table.columns},
            [column.name for column in table.primary_key],
        )
        for table in tables.metadata.tables.values()
    }
    found = {
        name: ({(column, nullable) for column, _, nullable in columns}, key)
        for name, (columns, _, key) in schema(database).items()
    }
    assert found == expected


def test_versions_from_before_there_were_containers_have_none(url, database):
    migrate(database, migrations.MIGRATIONS[:3])
    row = {"parent": str(HERE), "text": "5", "json": "{}", "number": 1}
    with database.begin() as connection:
        connection.execute(text("INSERT INTO models VALUES (:parent, :text, :number)"), row)
        connection.execute(
            text(
                "INSERT INTO model_versions VALUES (:parent, :text, :number, :number, :text, :number, "
                ":number, :number, :json, :json, :text, NULL, :text, :text)"
            ),
            row,
        )
    catalog = Catalog(url)
    with catalog.reading() as one:
        assert one.version(HERE.child("models", "5")).image is None
        assert one.artifact_is_used("5")
    catalog.close()


def test_text_sorts_by_code_point(url, database):
    Catalog(url).close()
    if database.dialect.name == "postgresql":
        with database.connect() as connection:
            query = "SELECT table_name, column_name FROM information_schema.columns WHERE data_type = 'text'"
            query += " AND table_schema = 'public' AND collation_name IS DISTINCT FROM 'C'"
            assert connection.execute(text(query)).all() == []


def test_a_migration_that_fails_leaves_everything_as_it_was(url, database):
    with pytest.raises(ZeroDivisionError):
        migrate(database, [*migrations.MIGRATIONS, breaks])
    assert schema(database) == {}
    Catalog(url).close()
    before = schema(database)
    with pytest.raises(ZeroDivisionError):
        migrate(database, [*migrations.MIGRATIONS, adds, breaks])
    assert (schema(database), stored_schema(database)) == (before, len(migrations.MIGRATIONS))


def test_a_migration_runs_once(url, database):
    Catalog(url).close()
    steps = [*migrations.MIGRATIONS, adds]
    migrate(database, steps)
    migrate(database, steps)
    assert stored_schema(database) == len(steps)


def test_a_newer_database_is_left_alone(url, database):
    migrate(database, [*migrations.MIGRATIONS, adds])
    before = schema(database)
    number = len(migrations.MIGRATIONS)
    message = f"the catalog has schema {number + 1}, and this Trivet knows none after {number}"
    with pytest.raises(FailedPrecondition, match=message):
        Catalog(url)
    assert schema(database) == before


def test_processes_may_open_a_new_database_at_once(url):
    code = "with catalog.transaction() as one: print(one.bump())"
    with process(code, url) as first, process(code, url) as second, process(code, url) as third:
        said = finished(first) + finished(second) + finished(third)
    assert sorted(said.split()) == ["1", "2", "3"]


def test_threads_may_open_a_new_database_at_once(url):
    with ThreadPoolExecutor(8) as pool:
        opened = list(pool.map(lambda _: Catalog(url), range(8)))
    for number, catalog in enumerate(opened):
        with catalog.transaction() as one:
            assert one.bump() == number + 1
        catalog.close()


@pytest.mark.parametrize("name", ["meta", "models"])
def test_a_database_of_somebody_else_is_left_alone(url, database, name):
    with database.begin() as connection:
        connection.execute(text(f"CREATE TABLE {name} (theirs TEXT)"))
    before = schema(database)
    with pytest.raises(FailedPrecondition, match="tables that are not Trivet's"):
        Catalog(url)
    assert schema(database) == before


def test_a_file_that_is_no_database_is_left_alone(tmp_path):
    (tmp_path / "text").write_text("This is not a database, as anybody can see." * 100)
    with pytest.raises(FailedPrecondition, match="it is no database"):
        Catalog(f"sqlite:///{tmp_path / 'text'}")


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(
        FailedPrecondition, match=r"nowhere/catalog\.db: unable to open database file; check the folder"
    ):
        Catalog(f"sqlite:///{tmp_path / 'nowhere/catalog.db'}")


def test_a_server_that_is_not_there_is_named_without_the_password(tmp_path):
    url = f"postgresql+psycopg://user:secret@/catalog?host={tmp_path}"
    with pytest.raises(Unavailable, match="check that the database is running") as error:
        Catalog(url, patience=2.0)
    assert "secret" not in str(error.value)


def test_a_database_that_is_not_there_is_named(postgres):
    with pytest.raises(Unavailable, match='database "nowhere" does not exist'):
        Catalog(postgres.url("nowhere"))


def test_a_commit_is_on_the_disk(tmp_path):
    """Also when the machine loses its power: synchronous = FULL (2), in the mode that lets readers read."""
    catalog = Catalog(f"sqlite:///{tmp_path / 'catalog.db'}")
    with catalog._engine.connect() as connection:
        asked = ("synchronous", "journal_mode", "foreign_keys")
        found = [connection.exec_driver_sql(f"PRAGMA {name}").scalar_one() for name in asked]
    assert found == [2, "wal", 1]
    with catalog.reading() as one:
        assert one.models(HERE, Query()).items == []
    catalog.close()
    with sqlite3.connect(tmp_path / "catalog.db") as other:
        assert other.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    other.close()


def test_a_catalog_prints_where_it_is_without_the_password(tmp_path):
    catalog = Catalog(f"sqlite:///{tmp_path / 'catalog.db'}")
    assert repr(catalog) == f"<Catalog sqlite:///{tmp_path / 'catalog.db'}>"
    catalog.close()
