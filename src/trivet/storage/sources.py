"""From the text that somebody gave, a path or a URI, to the files that it means."""

from collections.abc import Collection, Mapping
from pathlib import Path
from urllib.parse import unquote, urlsplit

from trivet.core.errors import InvalidArgument
from trivet.storage.base import Source
from trivet.storage.local import LocalFiles
from trivet.storage.names import check
from trivet.storage.remote import EXTRAS, RemoteFiles

Buckets = Mapping[str, str]
"""Local folders by the buckets that they stand for: `gs://bucket` or `s3://bucket`."""


def source(
    location: str,
    buckets: Buckets | None = None,
    folders: Collection[str | Path] | None = None,
    beside: Collection[str] = (),
    ignores: str = "",
) -> Source:
    """Return what there is at a path or a URI of scheme file, gs or s3.

    Local paths must be in one of `folders`, links resolved, or may be anywhere where that is None; what
    stands for a bucket must be in the bucket's folder. The files named in `beside` go along with a single
    file, and the file `ignores` in a local folder says what is left out of it. Raises InvalidArgument for
    any other scheme or place, NotFound where nothing is there, and FailedPrecondition where the client
    library is missing.
    """
    path, within = locate(location, buckets)
    if path is None:
        return RemoteFiles(location, beside)
    if within is not None or folders is None:
        return LocalFiles(path, location, within, beside, ignores)
    for folder in folders:
        if path.resolve().is_relative_to(Path(folder).resolve()):
            return LocalFiles(path, location, Path(folder), beside, ignores)
    raise InvalidArgument(f"{location}: not in a folder that models may come from (artifacts.folders)")


def locate(location: str, buckets: Buckets | None = None) -> tuple[Path | None, Path | None]:
    """Return the local path that a location means, None for a store's, and the folder it must stay in."""
    scheme, separator, rest = location.partition("://")
    if not separator:
        if not location or "\0" in location:
            raise InvalidArgument(f"{location!r}: expected a local path or a URI of scheme file, gs or s3")
        return Path(location), None
    if scheme == "file":
        return _of_file_uri(location), None
    if scheme not in EXTRAS:
        raise InvalidArgument(
            f"{location}: expected a local path or a URI of scheme file, gs or s3; got {scheme!r}"
        )
    bucket, _, name = rest.partition("/")
    if not bucket:
        raise InvalidArgument(f"{location}: names no bucket; expected {scheme}://BUCKET/PATH")
    if name.strip("/"):
        check(name.strip("/"), location)
    for mapped, folder in (buckets or {}).items():
        if mapped.rstrip("/") == f"{scheme}://{bucket}":
            return Path(folder) / name.strip("/"), Path(folder)
    return None, None


def fetch(location: str, into: Path, buckets: Buckets | None = None) -> Path:
    """Return the local path of an artifact, copied into the folder `into` if it is elsewhere.

    Raises InvalidArgument for another scheme than file, gs and s3, NotFound where nothing is there,
    FailedPrecondition where the client library is missing or the store refuses.
    """
    path, within = locate(location, buckets)
    if path is not None:
        return path if within is None else LocalFiles(path, location, within).path
    remote = RemoteFiles(location)
    files = remote.files()
    folder = into / remote.name
    for file in files:
        target = folder / file.name
        target.parent.mkdir(parents=True, exist_ok=True)
        remote.copy(file, target)
    return folder / files[0].name if [file.name for file in files] == [remote.name] else folder


def _of_file_uri(location: str) -> Path:
    parts = urlsplit(location)
    path = unquote(parts.path)
    if parts.netloc not in ("", "localhost") or parts.query or parts.fragment or "\0" in path:
        raise InvalidArgument(f"{location}: expected file:///PATH, with no host, query or fragment")
    return Path(path)
