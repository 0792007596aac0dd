"""Statements that a Trivet server runs, or the real BigQuery, through Google's own client."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from trivet.core.errors import FailedPrecondition, InvalidArgument, NotFound
from trivet.sql.real.engine import BigQueryEngine

if TYPE_CHECKING:
    from trivet.settings import Settings
    from trivet.sql.parameters import Given
    from trivet.sql.result import Result

_MISSING = "Not found: Dataset "


class There(BigQueryEngine):
    """A server's SQL. It is sent one statement after another, so that each shows what it gives."""

    def __init__(self, server: str, settings: "Settings", dataset: str) -> None:
        try:
            from google.auth.credentials import AnonymousCredentials
            from google.cloud.bigquery import Client
        except ImportError:
            raise FailedPrecondition(
                "--server needs a library that is not installed: pip install 'trivet[batch]'"
            ) from None
        project = settings.catalog.project
        client = Client(
            project=project,
            credentials=AnonymousCredentials(),
            client_options={"api_endpoint": server},
        )
        super().__init__(project, dataset=dataset, client=client)
        self._server = server
        self._makes_datasets = settings.sql.create_datasets

    @property
    def place(self) -> str:
        """Where statements are run, for people."""
        return self._server

    def script(self, text: str, given: "Given" = None, *, streams: bool = False) -> Iterator["Result"]:
        """Run statements one by one."""
        from trivet.sql.written import statements

        for start, one in statements(text):
            before = text[:start]  # left blank, so that positions are those in the whole text
            blank = "\n" * before.count("\n") + " " * len(before.rpartition("\n")[2])
            yield self._run(blank + one, given)

    def prepared(self, text: str) -> str:
        """Return a text as it is sent: as it is."""
        return text

    def _run(self, text: str, given: "Given") -> "Result":
        """Run a statement; the dataset that it makes something in is made, where there is none."""
        try:
            return self.sql(text, given)
        except NotFound as error:
            found = str(error).partition(_MISSING)[2].split()
            if not (self._makes_datasets and found and text.lstrip().upper().startswith("CREATE")):
                raise
        self._client.create_dataset(found[0].replace(":", "."), exists_ok=True)
        return self.sql(text, given)


def bigquery(settings: "Settings", project: str | None, dataset: str, staging: str | None) -> BigQueryEngine:
    """Return what runs statements on the real BigQuery, with the credentials of the environment."""
    from trivet.app.models import permissions_of

    if project is None and settings.sources.get("catalog.project") == "default":
        raise InvalidArgument("--engine bigquery: expected --project, Google's id of the one that pays")
    return BigQueryEngine(
        settings.catalog.project,
        dataset=dataset,
        staging=staging or "",
        buckets=settings.storage.folders,
        permissions=permissions_of(settings),
        say=lambda line: click.echo(line, err=True),
    )
