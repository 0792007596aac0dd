"""The databases that the catalog's contract is tested on."""

import os

import pytest

from tests.contract import postgres as server
from trivet.catalog import Catalog

INSTALL = (
    "PostgreSQL is not installed: `apt-get install postgresql`, "
    "or set TRIVET_WITHOUT_POSTGRES=1 to leave its tests out"
)


@pytest.fixture(scope="session")
def postgres():
    """Return a PostgreSQL server."""
    if os.environ.get("TRIVET_WITHOUT_POSTGRES") == "1":
        pytest.skip("TRIVET_WITHOUT_POSTGRES=1")
    binaries = server.programs()
    if binaries is None:
        pytest.fail(INSTALL)
    with server.running(binaries) as running:
        yield running


def database(request, tmp_path_factory):
    """Give the address of a new, empty database."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path_factory.mktemp('sqlite') / 'catalog.db'}"
    else:
        with request.getfixturevalue("postgres").database() as made:
            yield made


DATABASES = ["sqlite", "postgresql"]
url = pytest.fixture(database, params=DATABASES, name="url")
url_of_module = pytest.fixture(database, params=DATABASES, name="url_of_module", scope="module")


@pytest.fixture
def catalog(url):
    """Return an empty catalog."""
    opened = Catalog(url)
    yield opened
    opened.close()
