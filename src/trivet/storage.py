"""Where artifacts come from: local paths, and object stores by URI. Copies them to the local disk."""

from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from trivet.core.errors import FailedPrecondition, InvalidArgument, NotFound

EXTRAS = {"gs": "gcs", "s3": "s3"}


def fetch(location: str, into: Path) -> Path:
    """Return the local path of an artifact, copied into the folder `into` if it is elsewhere.

    Takes a path, file://, gs:// or s3://. Raises InvalidArgument for any other scheme, NotFound where
    nothing is there, FailedPrecondition where the client library is missing or the store refuses.
    """
    scheme, separator, _ = location.partition("://")
    if not separator:
        return Path(location)
    if scheme == "file":
        return Path(unquote(urlsplit(location).path))
    if scheme not in EXTRAS:
        raise InvalidArgument(
            f"{location}: expected a local path or a URI of scheme file, gs or s3; got {scheme!r}"
        )
    return _download(_filesystem(scheme), location, into)


def _filesystem(scheme: str) -> Any:
    import fsspec

    try:
        return fsspec.filesystem(scheme)
    except ImportError:
        raise FailedPrecondition(
            f"{scheme}:// needs a library that is not installed: pip install 'trivet[{EXTRAS[scheme]}]'"
        ) from None


def _download(filesystem: Any, location: str, into: Path) -> Path:
    root = filesystem._strip_protocol(location).rstrip("/")
    try:
        found = filesystem.find(root)
        if not found:
            raise NotFound(f"{location}: there is nothing at this address")
        for remote in found:
            target = into / PurePosixPath(root).name / _relative(remote, root, location)
            target.parent.mkdir(parents=True, exist_ok=True)
            if not remote.endswith("/"):  # consoles leave empty objects for folders
                filesystem.get_file(remote, str(target))
    except (OSError, ValueError) as error:
        raise FailedPrecondition(f"{location}: cannot be read: {error}") from error
    copied = into / PurePosixPath(root).name
    return copied / copied.name if found == [root] else copied


def _relative(remote: str, root: str, location: str) -> PurePosixPath:
    """Return where an object goes below the target folder; names that would leave it are refused."""
    relative = PurePosixPath(remote[len(root) :].lstrip("/") or PurePosixPath(root).name)
    if relative.is_absolute() or ".." in relative.parts:
        raise InvalidArgument(f"{location}: object name {remote!r} leads out of its folder")
    return relative
