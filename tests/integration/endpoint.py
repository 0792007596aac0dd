"""An endpoint that does what a test says: a small HTTP server with threads."""

import json
import socket
import struct
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

RESET, SILENT = "reset", "silent"
"""Instead of an answer: the connection is broken; nothing is ever said."""


class Scripted(ThreadingHTTPServer):
    """Answers each POST with what `script(instances, at_once)` returns: a status and JSON, or one of those.

    `asked` has the instances of every request, `paths` and `heads` its path and headers, `most` how many
    requests there were at once, at most.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, script, port=0):
        super().__init__(("127.0.0.1", port), _Handler)
        self.script = script
        self.asked, self.paths, self.heads = [], [], []
        self.at_once = self.most = 0
        self.lock = threading.Lock()
        self.over = threading.Event()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}/v1/models/m"

    def handle_error(self, request, client_address):
        """The client has gone away, which is its right."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        server = self.server
        with server.lock:
            server.at_once += 1
            server.most = max(server.most, server.at_once)
            request = json.loads(body)
            server.asked.append(request["instances"])
            server.paths.append(self.path)
            server.heads.append(dict(self.headers))
            at_once = server.at_once
        try:
            answer = server.script(request["instances"], at_once)
            if answer == SILENT:
                server.over.wait(60)
        finally:
            with server.lock:
                server.at_once -= 1
        if answer in (RESET, SILENT):
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close_connection = True
            return
        status, content, *headers = answer
        content = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_):
        """Say nothing."""


@contextmanager
def scripted(script, port=0):
    server = Scripted(script, port)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield server
    finally:
        server.over.set()
        server.shutdown()
        thread.join()
        server.server_close()


def pause(seconds):
    """Take a while, as a model does."""
    threading.Event().wait(seconds)


def echo(instances, at_once=0):
    return 200, {"predictions": instances}


def error(status, message="no", code="", *headers):
    return status, {"error": {"code": status, "message": message, "status": code}}, *headers
