"""BigQuery by Google's client: what a URI names, a client for it, and what the service says.

The client is made as Google's own tools make it: with the credentials of the environment, or without any
where `BIGQUERY_EMULATOR_HOST` names an emulator.
"""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from trivet.core.errors import FailedPrecondition, InvalidArgument, NotFound, ServingError
from trivet.storage.libraries import need

PATIENCE = 60.0
"""Seconds for which a request that fails for a moment is tried again."""

_URI = re.compile(
    r"bq://(?P<project>[^/.:]+(?:\.[a-z]+:[^/.:]+)?)(?:\.(?P<dataset>\w+)(?:\.(?P<table>.+))?)?"
)


@dataclass(frozen=True, slots=True)
class Place:
    """A project, a dataset in it, or a table in that."""

    project: str
    dataset: str = ""
    table: str = ""

    @property
    def name(self) -> str:
        """As Google's client takes it."""
        return ".".join(part for part in (self.project, self.dataset, self.table) if part)


def place(uri: str) -> Place:
    """Return what a URI names; raises InvalidArgument."""
    found = _URI.fullmatch(uri)
    if not found or "/" in uri.removeprefix("bq://"):
        raise InvalidArgument(f"{uri}: expected bq://PROJECT.DATASET.TABLE, or the beginning of it")
    return Place(found["project"], found["dataset"] or "", found["table"] or "")


class Service:
    """BigQuery, asked on behalf of a project. Closed at the end of a `with`.

    Raises NotFound for what is not there, and FailedPrecondition for whatever else the service, its client
    or its credentials say.
    """

    def __init__(self, project: str, uri: str) -> None:
        self._uri = uri
        self.library = need("google.cloud.bigquery", "batch")
        credentials = None
        if os.environ.get("BIGQUERY_EMULATOR_HOST"):  # noqa: TID251 - it is no setting, but what the client asks
            credentials = need("google.auth.credentials", "batch").AnonymousCredentials()
        with self.failures():
            self.client = self.library.Client(project=project, credentials=credentials)

    def __enter__(self) -> "Service":
        return self

    def __exit__(self, *error: object) -> None:
        self.client.close()

    @property
    def patiently(self) -> dict[str, Any]:
        """Arguments of most of the client's methods: how long to try."""
        return {"retry": self.library.DEFAULT_RETRY.with_timeout(PATIENCE), "timeout": PATIENCE}

    def table(self, of: Place) -> Any:
        """Return what a table is now."""
        with self.failures():
            return self.client.get_table(of.name, **self.patiently)

    @contextmanager
    def failures(self) -> Iterator[None]:
        """Say what went wrong, and where; the client raises errors of many libraries."""
        try:
            yield
        except ServingError:
            raise
        except Exception as error:
            lines = str(getattr(error, "message", "") or error).strip().splitlines()
            reason = (lines or [type(error).__name__])[0][:400]
            if getattr(error, "code", None) == 404:
                raise NotFound(f"{self._uri}: {reason}") from error
            raise FailedPrecondition(f"{self._uri}: BigQuery, or its client, says: {reason}") from error
