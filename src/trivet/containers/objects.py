"""The files of a model as objects of a bucket: listed, described and found as Cloud Storage does it."""

import base64
import mimetypes
import re
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

_PAGE = 1000
"""Objects and prefixes in one page of a list, at most."""

_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


class NotThere(Exception):
    """There is no bucket or object of that name."""


class Wrong(Exception):
    """What is asked for is not known here."""


@dataclass(frozen=True, slots=True)
class Span:
    """Which bytes of a file are asked for, up to `stop`; `partial` unless that is all by default."""

    start: int
    stop: int
    partial: bool

    @classmethod
    def of(cls, asked: str | None, size: int) -> Self | None:
        """Read a Range header; what is none, or several, means all. None where it is not within the file."""
        found = _RANGE.fullmatch(asked or "")
        if found is None or found[0] == "bytes=-":
            return cls(0, size, partial=False)
        first, last = found.groups()
        if not first:
            start, stop = max(0, size - int(last)), size
        else:
            start, stop = int(first), min(size, int(last) + 1) if last else size
        return cls(start, stop, partial=True) if start < stop else None


class Objects:
    """Files by the names of objects in `bucket`; `url` is that of who serves them."""

    def __init__(self, bucket: str, files: Mapping[str, Path]) -> None:
        self.bucket = bucket
        self.url = ""
        self._files = files
        self._names = sorted(files)

    @classmethod
    def of(cls, uri: str, files: Path) -> Self:
        """Put a folder's files, or one file, at `gs://BUCKET[/PREFIX]`; links that lead out are left out."""
        bucket, _, prefix = uri.removeprefix("gs://").rstrip("/").partition("/")
        root = files.resolve() if files.is_dir() else files.resolve().parent
        found = [files] if files.is_file() else [one for one in files.rglob("*") if one.is_file()]
        paths = {one: one.resolve() for one in found if one.resolve().is_relative_to(root)}
        named = {
            (f"{prefix}/" if prefix else "") + _relative(one, files): path for one, path in paths.items()
        }
        return cls(bucket, named)

    def path(self, bucket: str, name: str) -> Path:
        """Return the file of an object; raises NotThere."""
        self._check(bucket)
        if name not in self._files:
            raise NotThere(f"No such object: {bucket}/{name}")
        return self._files[name]

    def described_bucket(self, bucket: str) -> Mapping[str, Any]:
        """Return the resource of a bucket; raises NotThere."""
        self._check(bucket)
        return {
            "kind": "storage#bucket",
            "id": bucket,
            "name": bucket,
            "location": "US",
            "storageClass": "STANDARD",
            "selfLink": f"{self.url}/storage/v1/b/{quote(bucket, safe='')}",
        }

    def described(self, bucket: str, name: str) -> Mapping[str, Any]:
        """Return the resource of an object; raises NotThere."""
        path = self.path(bucket, name)
        about = path.stat()
        link = f"storage/v1/b/{quote(bucket, safe='')}/o/{quote(name, safe='')}"
        generation = self.generation(path)
        changed = datetime.fromtimestamp(about.st_mtime, UTC).isoformat(timespec="milliseconds")
        when = changed.replace("+00:00", "Z")
        checksum = _checksum(path, generation)
        return {
            "kind": "storage#object",
            "id": f"{bucket}/{name}/{generation}",
            "name": name,
            "bucket": bucket,
            "generation": generation,
            "metageneration": "1",
            "contentType": self.content_type(path),
            "storageClass": "STANDARD",
            "size": str(about.st_size),
            **({"crc32c": checksum} if checksum else {}),
            "etag": generation,
            "timeCreated": when,
            "updated": when,
            "selfLink": f"{self.url}/{link}",
            "mediaLink": f"{self.url}/download/{link}?generation={generation}&alt=media",
        }

    def page(self, bucket: str, asked: Mapping[str, str]) -> Mapping[str, Any]:
        """Return a page of the list of objects, as `objects.list` has it; raises NotThere and Wrong."""
        self._check(bucket)
        if "matchGlob" in asked:
            raise Wrong("matchGlob: is not known here; list by prefix")
        try:
            most = min(_PAGE, max(1, int(asked.get("maxResults", _PAGE))))
            after = base64.b64decode(asked.get("pageToken", ""), b"-_", validate=True).decode()
        except ValueError:
            raise Wrong("maxResults, pageToken: expected a number, and a token of an earlier page") from None
        items: list[Mapping[str, Any]] = []
        prefixes: list[str] = []
        token = last = ""
        for entry, is_prefix in self._entries(asked):
            if entry <= after and after:
                continue
            if len(items) + len(prefixes) == most:
                token = base64.urlsafe_b64encode(last.encode()).decode()
                break
            last = entry
            if is_prefix:
                prefixes.append(entry)
            else:
                items.append(self.described(bucket, entry))
        page: dict[str, Any] = {"kind": "storage#objects", "items": items, "prefixes": prefixes}
        return page | ({"nextPageToken": token} if token else {})

    def _entries(self, asked: Mapping[str, str]) -> Iterator[tuple[str, bool]]:
        """Yield names in order; of those with a delimiter behind the prefix, once what they have up to it."""
        prefix, delimiter = asked.get("prefix", ""), asked.get("delimiter", "")
        start, end = asked.get("startOffset", ""), asked.get("endOffset", "")
        seen = ""
        for name in self._names[bisect_left(self._names, max(prefix, start)) :]:
            if not name.startswith(prefix) or (end and name >= end):
                return
            cut = name.find(delimiter, len(prefix)) if delimiter else -1
            if cut < 0:
                yield name, False
            elif (found := name[: cut + len(delimiter)]) != seen:
                seen = found
                yield found, True

    @staticmethod
    def content_type(path: Path) -> str:
        """Return what kind of file it is, by its name."""
        return mimetypes.guess_type(path.name)[0] or "application/octet-stream"

    @staticmethod
    def generation(path: Path) -> str:
        """Return the number of a version of a file: when it was changed, in microseconds."""
        return str(path.stat().st_mtime_ns // 1000)

    def _check(self, bucket: str) -> None:
        if bucket != self.bucket:
            raise NotThere(f"The specified bucket does not exist: {bucket}; there is only {self.bucket}")


def _relative(path: Path, files: Path) -> str:
    return path.name if path == files else path.relative_to(files).as_posix()


@lru_cache(maxsize=100_000)
def _checksum(path: Path, generation: str) -> str:
    """Return the CRC-32C of a file as clients check it; empty where Google's library for it is missing."""
    try:
        library = import_module("google_crc32c")
    except ImportError:
        return ""
    sum_ = library.Checksum()
    with path.open("rb") as file:
        while data := file.read(1 << 20):
            sum_.update(data)
    return base64.b64encode(sum_.digest()).decode()
