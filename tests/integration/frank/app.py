"""An application of the standard library alone that tells what it was sent, and streams.

Its predict route answers with the request's own bytes and media type; below `/tell` it says what came, below
`/stream` it sends pieces, each but the first when there is the file `NEXT-NUMBER`, and at `/wait` it answers
when there is the file `next`.
"""

import json
import os
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit


def wait(file):
    """Return when there is the file."""
    while not file.exists():
        time.sleep(0.01)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_any(self):
        content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        url = urlsplit(self.path)
        if url.path == os.environ["AIP_HEALTH_ROUTE"]:
            self.answer(200, b"{}", "application/json")
        elif url.path.endswith("/wait"):
            wait(Path(parse_qs(url.query)["next"][0]))
            self.answer(200, b"", "")
        elif url.path.endswith("/stream"):
            self.stream(parse_qs(url.query))
        elif url.path.endswith("/tell"):
            told = {
                "method": self.command,
                "target": self.path,
                "headers": {name.lower(): value for name, value in self.headers.items()},
                "body": content.decode("latin-1"),
            }
            self.answer(int(self.headers.get("X-Status", 200)), json.dumps(told).encode(), "application/json")
        else:
            self.answer(int(self.headers.get("X-Status", 200)), content, self.headers.get("Content-Type", ""))

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_any

    def answer(self, status, content, media_type):
        self.send_response(status, "As It Is")
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Content-Type", media_type)
        self.send_header("X-Own", "one")
        self.send_header("X-Own", "two")
        self.send_header("X-Vertex-AI-Endpoint-Id", "another")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def stream(self, query):
        step = Path(query["next"][0])
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for number in range(int(query["pieces"][0])):
            if number:
                wait(Path(f"{step}-{number}"))
            if query.get("dies") == [str(number)]:
                os._exit(3)
            piece = b"data: %d\n\n" % number
            self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
        self.wfile.write(b"0\r\n\r\n")

    def log_message(self, *args):
        pass


ThreadingHTTPServer(("", int(os.environ["AIP_HTTP_PORT"])), Handler).serve_forever()
