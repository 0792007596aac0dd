"""Uploads: load jobs whose data comes with them, at once or piece by piece.

https://cloud.google.com/bigquery/docs/reference/api-uploads
"""

import asyncio
import re
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from urllib.parse import urlsplit
from uuid import uuid4

from trivet.core.errors import InvalidArgument, NotFound, ResourceExhausted, Unimplemented
from trivet.protocols.base import Call, Reply, encode_json
from trivet.protocols.bigquery.calls import Service, insert
from trivet.protocols.bigquery.wire import Asked, Json, read_body, read_query

MOST = 1000
"""Uploads that may be under way; one more ends the oldest."""

_PATH = re.compile(r"/(?:resumable/)?upload/bigquery/v2/projects/(?P<project>[^/]+)/jobs")
_RANGE = re.compile(r"bytes (?:(?P<first>[0-9]{1,15})-(?P<last>[0-9]{1,15})|\*)/(?P<total>[0-9]{1,15}|\*)")
_BOUNDARY = re.compile(r'boundary=(?:"(?P<quoted>[^"]{1,200})"|(?P<plain>[^\s;,"]{1,200}))', re.IGNORECASE)


@dataclass(slots=True)
class _Upload:
    """A file that comes piece by piece, and the job that waits for it."""

    project: str
    job: Json
    file: Path
    size: int = 0
    touched: float = field(default_factory=monotonic)
    answer: Json | None = None
    busy: asyncio.Lock = field(default_factory=asyncio.Lock)


class Uploads:
    """Takes files in, into `folder`, and begins with the jobs that load them."""

    def __init__(self, service: Service, folder: Path, tls: str) -> None:
        self._service = service
        self._folder = folder
        self._tls = tls
        self._uploads: dict[str, _Upload] = {}
        shutil.rmtree(folder, ignore_errors=True)

    def takes(self, path: str) -> bool:
        """Whether a path is that of uploads."""
        return path.startswith(("/upload/", "/resumable/"))

    async def answer(self, call: Call) -> Reply:
        """Answer a call of an upload; raises ServingError."""
        match = _PATH.fullmatch(call.path)
        if match is None:
            raise NotFound(f"there is nothing at {call.path[:200]}")
        query = read_query(call.query)
        how = query.get("uploadType", [""])[-1]
        if call.method == "PUT" or "upload_id" in query:
            return await self._more(call, query.get("upload_id", [""])[-1])
        if call.method != "POST":
            raise Unimplemented(f"method {call.method} is not allowed here; expected POST or PUT")
        if how == "multipart":
            about, media = _parts(call)
            job = read_body(about)
            file = await self._service.in_thread(lambda: self._written(media))
            return _whole(await self._load(match["project"], job, file))
        if how == "resumable":
            return self._begin(call, match["project"])
        raise InvalidArgument(f"uploadType: expected multipart or resumable; got {how[:40]!r}")

    def _begin(self, call: Call, project: str) -> Reply:
        if len(self._uploads) >= MOST:
            oldest = min(self._uploads, key=lambda id_: self._uploads[id_].touched)
            self._uploads.pop(oldest).file.unlink(missing_ok=True)
        id_ = uuid4().hex
        self._uploads[id_] = _Upload(project, read_body(call.body), self._folder / id_)
        where = f"{self._address(call)}{call.path}?uploadType=resumable&upload_id={id_}"
        return Reply(200, b"{}", headers={"location": where, "x-guploader-uploadid": id_})

    def _address(self, call: Call) -> str:
        """Return the URL at which the caller finds the server again, which may be by TLS."""
        found = urlsplit(call.address)
        try:
            ours = bool(self._tls) and found.port == urlsplit(f"//{self._tls}").port
        except ValueError:
            ours = False
        secure = ours or (found.hostname or "").endswith(".googleapis.com")
        return call.address.replace("http://", "https://", 1) if secure else call.address

    async def _more(self, call: Call, id_: str) -> Reply:
        """Take a piece of a file, and after the last one begin with the job."""
        upload = self._uploads.get(id_)
        if upload is None:
            raise NotFound(f"upload {id_[:40]!r}: there is none; it may be too old")
        async with upload.busy:
            upload.touched = monotonic()
            if upload.answer is not None:
                return _whole(upload.answer)
            first, total = _range(call)
            if first is not None or total == 0:
                if (first or 0) > upload.size:
                    raise InvalidArgument(f"Content-Range: expected bytes from {upload.size} on; got {first}")
                piece = call.body[upload.size - (first or 0) :]  # what came twice is there
                await self._service.in_thread(lambda: self._append(upload, piece))
            if total is None or upload.size < total:
                reached = {"range": f"bytes=0-{upload.size - 1}"} if upload.size else {}
                return Reply(308, headers=reached)
            if upload.size != total:
                raise InvalidArgument(f"Content-Range: {upload.size} bytes came of {total}")
            upload.answer = await self._load(upload.project, upload.job, upload.file)
            return _whole(upload.answer)

    def _written(self, media: bytes) -> Path:
        file = self._folder / uuid4().hex
        self._folder.mkdir(parents=True, exist_ok=True)
        try:
            file.write_bytes(media)
        except OSError as error:
            raise _no_room(error) from None
        return file

    def _append(self, upload: _Upload, piece: bytes) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        try:
            with upload.file.open("ab") as file:
                file.truncate(upload.size)
                file.write(piece)
        except OSError as error:
            raise _no_room(error) from None
        upload.size += len(piece)

    async def _load(self, project: str, body: Json, file: Path) -> Json:
        try:
            if "load" not in (body.get("configuration") or {}):
                raise InvalidArgument("configuration: expected a load job, since a file comes with it")
            return await insert(self._service, Asked({"project": project}, {}, body), file)
        except BaseException:
            await self._service.in_thread(lambda: file.unlink(missing_ok=True))
            raise


def _whole(answer: Json) -> Reply:
    return Reply(200, encode_json(answer))


def _no_room(error: OSError) -> ResourceExhausted:
    return ResourceExhausted(f"the upload cannot be kept: {error.strerror or error}")


def _range(call: Call) -> tuple[int | None, int | None]:
    """Return where a piece begins, if it is one, and how many bytes there are in all, if that is known."""
    said = call.headers.get("content-range")
    if said is None:
        return 0, len(call.body)
    match = _RANGE.fullmatch(said.strip())
    if match is None:
        raise InvalidArgument(f"Content-Range: expected bytes FIRST-LAST/TOTAL; got {said[:60]!r}")
    total = None if match["total"] == "*" else int(match["total"])
    if match["first"] is None:
        return None, total
    if int(match["last"]) - int(match["first"]) + 1 != len(call.body):
        raise InvalidArgument(f"Content-Range: {said[:60]!r} is not {len(call.body)} bytes, which came")
    return int(match["first"]), total


def _parts(call: Call) -> tuple[bytes, bytes]:
    """Return the two parts of a multipart/related body: what is to be done, and the data."""
    match = _BOUNDARY.search(call.headers.get("content-type", ""))
    if match is None:
        raise InvalidArgument("Content-Type: expected multipart/related with a boundary")
    mark = b"--" + (match["quoted"] or match["plain"]).encode("latin-1")
    body = call.body if call.body.startswith(mark) else call.body[call.body.find(b"\r\n" + mark) + 2 :]
    first = body.find(b"\r\n" + mark, len(mark))
    last = body.rfind(b"\r\n" + mark + b"--")
    if not body.startswith(mark) or first < 0 or last <= first:
        raise InvalidArgument("the body: expected two parts, a JSON object and the data")
    return _content(body[len(mark) : first]), _content(body[first + 2 + len(mark) : last])


def _content(part: bytes) -> bytes:
    head, found, content = part.partition(b"\r\n\r\n")
    if not found or len(head) > 4096:
        raise InvalidArgument("the body: expected parts with headers, an empty line and content")
    return content
