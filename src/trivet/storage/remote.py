"""Files of an object store, by fsspec: Google Cloud Storage and S3.

Google's is asked as Google's own client would: with `STORAGE_EMULATOR_HOST` in the environment the emulator
is, without credentials, and nothing else.
"""

from collections.abc import Collection, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from trivet.core.errors import FailedPrecondition, NotFound, ServingError
from trivet.storage.base import MAX_FILES, File, Report, silent
from trivet.storage.names import check

EXTRAS = {"gs": "gcs", "s3": "s3"}


class RemoteFiles:
    """An object, or all objects below a prefix, at a URI of scheme gs or s3.

    Raises FailedPrecondition where the library for it is missing. Where it is a single object, those named
    in `beside` belong to it if they are under the same prefix.
    """

    def __init__(self, location: str, beside: Collection[str] = ()) -> None:
        self._location = location
        self._beside = beside
        scheme, _, path = location.partition("://")
        self._root = self._folder = path.rstrip("/")
        with self._failures():
            self._filesystem = filesystem(scheme)

    @property
    def name(self) -> str:
        """The last part of the URI."""
        return self._root.rpartition("/")[2]

    def files(self) -> Sequence[File]:
        """List all objects but the empty ones that consoles leave for folders."""
        found = self.listed()
        if not found:
            raise NotFound(f"{self._location}: there is nothing at this address")
        if len(found) > MAX_FILES:
            raise FailedPrecondition(f"{self._location}: has more than {MAX_FILES} files")
        return [File(check(one.name, self._location), one.size) for one in found]

    def listed(self) -> Sequence[File]:
        """List all objects as they are named, in order; none where there is nothing."""
        with self._failures():
            try:
                found = self._filesystem.find(self._root, detail=True)
            except FileNotFoundError:  # of the bucket
                return []
            folder = self._root
            if list(found) == [self._root]:
                folder = self._root.rpartition("/")[0]
                for name in self._beside:
                    found.update(self._filesystem.find(f"{folder}/{name}", detail=True))
        start = len(folder) + 1
        files = [File(path[start:], int(about["size"] or 0)) for path, about in found.items()]
        self._folder = folder
        return sorted((one for one in files if not one.name.endswith("/")), key=lambda one: one.name)

    def copy(self, file: File, target: Path, report: Report = silent) -> None:
        """Download one of the objects listed."""
        with self._failures():
            self._filesystem.get_file(f"{self._folder}/{file.name}", str(target), callback=_callback(report))
        if target.stat().st_size != file.size:
            raise FailedPrecondition(f"{self._location}: {file.name} changed while it was copied; try again")

    def put(self, file: Path, name: str) -> None:
        """Upload a file; `name` is relative to this address, which is then that of a folder."""
        with self._failures():
            self._filesystem.put_file(str(file), f"{self._root}/{name}")

    def remove(self) -> None:
        """Delete every object below this address."""
        with self._failures():
            for file in self.listed():
                self._filesystem.rm_file(f"{self._root}/{file.name}")

    def _failures(self) -> AbstractContextManager[None]:
        return failures(self._location)


@contextmanager
def failures(location: str) -> Iterator[None]:
    """Say what went wrong, and where; the libraries raise what they like."""
    try:
        yield
    except ServingError:
        raise
    except Exception as error:
        reason = str(error).strip() or type(error).__name__
        raise FailedPrecondition(
            f"{location}: the object store, or its library, says: {reason[:400]}"
        ) from error


def filesystem(scheme: str) -> Any:
    """Return fsspec's client of a store, gs or s3; raises FailedPrecondition where its library is missing."""
    # not fsspec.filesystem("gs"): it asks Google about each bucket, even where an emulator is meant
    module, name = {"gs": ("gcsfs.core", "GCSFileSystem"), "s3": ("s3fs", "S3FileSystem")}[scheme]
    try:
        made = getattr(import_module(module), name)
    except ImportError:
        raise FailedPrecondition(
            f"{scheme}:// needs a library that is not installed: pip install 'trivet[{EXTRAS[scheme]}]'"
        ) from None
    return made(use_listings_cache=False, skip_instance_cache=True)


def _callback(report: Report) -> Any:
    from fsspec.callbacks import Callback

    class Reporting(Callback):  # type: ignore[misc]
        def relative_update(self, inc: int = 1) -> None:
            report(inc)

    return Reporting()
