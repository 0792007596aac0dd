"""Serves a model's files as Cloud Storage does, for reading alone, to an application beside this process.

With `STORAGE_EMULATOR_HOST` set to its URL, the client libraries of Google find in `gs://BUCKET/PREFIX/`
what is in a folder, and nothing else anywhere. It knows what reading takes of the JSON API, and plain URLs.
https://cloud.google.com/storage/docs/json_api/v1/objects
"""

import json
import shutil
import socket
import threading
from collections.abc import Mapping
from contextlib import suppress
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qsl, unquote, urlsplit

from trivet.containers.base import Near
from trivet.containers.objects import NotThere, Objects, Span, Wrong

_FREEBIND = 15
"""IP_FREEBIND of linux/in.h, which the `socket` module lacks: the address may come into being later."""

_IDLE = 60.0
"""Seconds after which a connection is ended over which nothing comes."""


class FilesServer:
    """Serves `files`, a folder or one file, at `uri`, until it is closed."""

    def __init__(self, uri: str, files: Path, near: Near) -> None:
        objects = Objects.of(uri, files)
        self._server = _Server((near.listen, 0), type("_Bound", (_Handler,), {"objects": objects}))
        self.url = f"http://{near.called}:{self._server.server_address[1]}"
        objects.url = self.url
        threading.Thread(target=self._server.serve_forever, name="files", daemon=True).start()

    def __repr__(self) -> str:
        return f"<FilesServer {self.url}>"

    def close(self) -> None:
        """Serve nothing more."""
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def server_bind(self) -> None:
        with suppress(OSError):  # not Linux: the address has to be there then
            self.socket.setsockopt(socket.IPPROTO_IP, _FREEBIND, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: it is the application that has left in the middle."""


class _Handler(BaseHTTPRequestHandler):
    """One connection. Each answer has its length, so that the next request can follow."""

    protocol_version = "HTTP/1.1"
    timeout = _IDLE
    objects: ClassVar[Objects]

    def do_GET(self) -> None:
        """Answer a request to list, describe or read."""
        url = urlsplit(self.path)
        asked = dict(parse_qsl(url.query))
        try:
            self._answer(url.path, asked)
        except NotThere as error:
            self._fail(404, str(error))
        except Wrong as error:
            self._fail(400, str(error))

    do_HEAD = do_GET

    def do_POST(self) -> None:
        """Refuse to change anything."""
        self.close_connection = True  # the body is not read
        self._fail(403, "the files of a model can only be read")

    do_PUT = do_PATCH = do_DELETE = do_POST

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""

    def _answer(self, path: str, asked: Mapping[str, str]) -> None:
        media = path.startswith("/download/") or asked.get("alt") == "media"
        rest = path.removeprefix("/download").removeprefix("/storage/v1/b/")
        if rest == path.removeprefix("/download"):  # https://storage.googleapis.com/BUCKET/OBJECT
            bucket, _, name = unquote(path[1:]).partition("/")
            self._send_file(bucket, name)
            return
        bucket, _, rest = rest.partition("/")
        bucket = unquote(bucket)
        if not rest:
            self._send_json(self.objects.described_bucket(bucket))
        elif rest in ("o", "o/"):
            self._send_json(self.objects.page(bucket, asked))
        elif rest.startswith("o/"):
            name = unquote(rest[2:])
            if media:
                self._send_file(bucket, name)
            else:
                self._send_json(self.objects.described(bucket, name))
        else:
            raise NotThere(f"{path}: no such resource here")

    def _send_json(self, document: Mapping[str, Any], status: int = 200) -> None:
        content = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json; charset=UTF-8")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def _fail(self, status: int, message: str) -> None:
        self._send_json({"error": {"code": status, "message": message, "errors": []}}, status)

    def _send_file(self, bucket: str, name: str) -> None:
        path = self.objects.path(bucket, name)
        size = path.stat().st_size
        span = Span.of(self.headers.get("Range"), size)
        if span is None:
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{size}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(206 if span.partial else 200)
        if span.partial:
            self.send_header("Content-Range", f"bytes {span.start}-{span.stop - 1}/{size}")
        self.send_header("Content-Type", self.objects.content_type(path))
        self.send_header("Content-Length", str(span.stop - span.start))
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Last-Modified", formatdate(path.stat().st_mtime, usegmt=True))
        self.send_header("ETag", f'"{self.objects.generation(path)}"')
        self.send_header("X-Goog-Generation", self.objects.generation(path))
        self.end_headers()
        if self.command == "HEAD":
            return
        with path.open("rb") as file:
            if not span.partial:
                shutil.copyfileobj(file, self.wfile, 1 << 20)
                return
            file.seek(span.start)
            left = span.stop - span.start
            while left and (data := file.read(min(left, 1 << 20))):
                self.wfile.write(data)
                left -= len(data)
