"""The jobs of BigQuery that make a table of parts, once: loads into a table of their own, then one copy.

What is relied on: the id of a job is used once, so that a job whose answer was lost, or that an earlier try
has begun, is found again by its id; a load job is all or nothing; a copy job is atomic. A job that has failed
keeps its id, so each try has a number.
"""

import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, BinaryIO

from trivet.core.errors import NotFound
from trivet.sinks.bigquery_rows import Schema
from trivet.storage.bigquery import Place, Service

LOAD_BYTES = 1 << 30
"""Bytes that one load job takes, about; BigQuery allows 1500 jobs a table and day."""

_SMALL = 8 << 20  # bytes that are sent by one request
_TRIES = 3
_LEFT = timedelta(days=7)
"""After so long BigQuery itself removes what a job has left that was never ended."""


@dataclass(frozen=True, slots=True)
class Part:
    """Lines to load: the first `size` bytes of a file."""

    open: Callable[[], BinaryIO]
    size: int


class Loads:
    """Makes the tables of one job: `errors`, and another. `digest` tells it from all other jobs."""

    def __init__(self, service: Service, digest: str, errors: Place) -> None:
        self._service = service
        self._digest = digest
        self._errors = errors
        self._library = service.library

    def location(self, dataset: Place, *, make: bool) -> str:
        """Return where a dataset is; makes it where it is not there and may be made."""
        client, patiently = self._service.client, self._service.patiently
        with self._service.failures():
            if make:
                made = self._library.Dataset(dataset.name)
                return str(client.create_dataset(made, exists_ok=True, **patiently).location)
            return str(client.get_dataset(dataset.name, **patiently).location)

    def staging(self, final: Place) -> Place:
        """Return the table that rows are loaded into, which nobody takes for results."""
        return Place(final.project, final.dataset, f"_trivet_{self._digest}_{self._kind(final)}")

    def is_shown(self, final: Place, location: str) -> bool:
        """Whether a table was made by this job."""
        found = self._jobs(f"copy-{self._kind(final)}", location)
        return any(job.state == "DONE" and job.error_result is None for job in found)

    def show(self, final: Place, location: str, parts: Sequence[Part], schema: Schema) -> None:
        """Make a table of parts; does nothing where that was done."""
        if self.is_shown(final, location):
            return
        library, client, patiently = self._library, self._service.client, self._service.patiently
        staging = self.staging(final)
        with self._service.failures():
            table = library.Table(
                staging.name, schema=[library.SchemaField.from_api_repr(one) for one in schema]
            )
            table.expires = datetime.now(UTC) + _LEFT
            made = client.create_table(table, exists_ok=True, **patiently)
        # what was loaded into a table that is gone is loaded again
        of = f"load-{self._kind(final)}-{int(made.created.timestamp() * 1000)}"
        for number, group in enumerate(_groups(parts)):
            self._once(f"{of}-{number}", location, partial(self._load, location, staging, group))
        config = library.CopyJobConfig(write_disposition="WRITE_EMPTY", create_disposition="CREATE_IF_NEEDED")
        self._once(
            f"copy-{self._kind(final)}",
            location,
            lambda name: client.copy_table(
                staging.name, final.name, job_id=name, location=location, job_config=config, **patiently
            ),
        )

    def clean(self, final: Place) -> None:
        """Remove the table that rows were loaded into."""
        with self._service.failures():
            self._service.client.delete_table(
                self.staging(final).name, not_found_ok=True, **self._service.patiently
            )

    def _load(self, location: str, staging: Place, group: Sequence[Part], name: str) -> Any:
        size = sum(part.size for part in group)
        config = self._library.LoadJobConfig(
            source_format="NEWLINE_DELIMITED_JSON",
            write_disposition="WRITE_APPEND",
            create_disposition="CREATE_NEVER",
        )
        with Joined(group) as file:
            return self._service.client.load_table_from_file(
                file,
                staging.name,
                size=size if size <= _SMALL else None,
                job_id=name,
                location=location,
                job_config=config,
                timeout=self._service.patiently["timeout"],
            )

    def _once(self, name: str, location: str, begin: Callable[[str], Any]) -> None:
        """Have a job done, if it was not: whoever began it."""
        from google.api_core.exceptions import Conflict

        tried = 0
        for number in range(1000):
            job = self._job(f"{name}-{number}", location)
            if begun := job is None:
                tried += 1
                with self._service.failures():
                    try:
                        job = begin(self._name(f"{name}-{number}"))
                    except Conflict:  # it was begun all the same, and only the answer lost
                        job = self._job(f"{name}-{number}", location)
            with self._service.failures():
                try:
                    job.result(retry=self._service.patiently["retry"])  # however long it takes
                    return
                except Exception:
                    # one that may still be running is not begun again
                    if not _has_failed(job) or (begun and (tried == _TRIES or _is_final(job))):
                        raise

    def _jobs(self, name: str, location: str) -> Iterator[Any]:
        for number in range(1000):
            if (job := self._job(f"{name}-{number}", location)) is None:
                return
            yield job

    def _job(self, name: str, location: str) -> Any:
        try:
            with self._service.failures():
                return self._service.client.get_job(
                    self._name(name), location=location, **self._service.patiently
                )
        except NotFound:
            return None

    def _name(self, name: str) -> str:
        return f"trivet-{self._digest}-{name}"

    def _kind(self, final: Place) -> str:
        return "errors" if final == self._errors else "predictions"


def _has_failed(job: Any) -> bool:
    return job.state == "DONE" and job.error_result is not None


def _is_final(job: Any) -> bool:
    """Whether a job would fail again."""
    reason = (job.error_result or {}).get("reason", "")
    return reason not in ("", "backendError", "internalError", "rateLimitExceeded", "jobBackendError",
                          "jobInternalError", "jobRateLimitExceeded", "quotaExceeded", "timeout")  # fmt: skip


def _groups(parts: Sequence[Part]) -> Iterator[list[Part]]:
    """Put parts together that one job loads."""
    group: list[Part] = []
    for part in parts:
        if not part.size:
            continue
        if group and sum(one.size for one in group) + part.size > LOAD_BYTES:
            yield group
            group = []
        group.append(part)
    if group:
        yield group


class Joined(io.RawIOBase):
    """Parts as one file, for reading; nothing of them is held."""

    def __init__(self, parts: Sequence[Part]) -> None:
        self._parts = parts
        self._at = 0
        self._index = 0
        self._left = parts[0].size if parts else 0
        self._file: BinaryIO | None = None

    def readable(self) -> bool:
        """It is for reading."""
        return True

    def seekable(self) -> bool:
        """An upload that was interrupted goes back."""
        return True

    def tell(self) -> int:
        """Return the place in all of them together."""
        return self._at

    def seek(self, offset: int, whence: int = 0) -> int:
        """Go to a place counted from the beginning."""
        if whence != io.SEEK_SET:
            raise io.UnsupportedOperation("only from the beginning")
        self._leave()
        self._at, self._index, before = offset, 0, offset
        while self._index < len(self._parts) and before >= self._parts[self._index].size:
            before -= self._parts[self._index].size
            self._index += 1
        self._left = 0
        if self._index < len(self._parts):
            self._left = self._parts[self._index].size - before
            self._file = self._parts[self._index].open()
            self._file.seek(before)
        return offset

    def read(self, size: int | None = -1) -> bytes:
        """Return so many bytes, or all that is left."""
        wanted = sum(part.size for part in self._parts) if size is None or size < 0 else size
        found = []
        while wanted and self._index < len(self._parts):
            if not self._left:
                self._leave()
                self._index += 1
                self._left = self._parts[self._index].size if self._index < len(self._parts) else 0
                continue
            if self._file is None:
                self._file = self._parts[self._index].open()
            chunk = self._file.read(min(wanted, self._left))
            if not chunk:
                raise EOFError("a part is shorter than it was")
            found.append(chunk)
            wanted, self._left, self._at = (
                wanted - len(chunk), self._left - len(chunk), self._at + len(chunk)
            )  # fmt: skip
        return b"".join(found)

    def close(self) -> None:
        """Close what is open."""
        self._leave()
        super().close()

    def _leave(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
