"""An application of the standard library alone that does what its instances, and its environment, say.

An instance `{"do": [WHAT, VALUE]}` makes it misbehave; any other comes back as it was.
"""

import json
import os
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


def say(text):
    """Print a line at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


class Mood:
    """What it answers for its health, 0 nothing; the instance `{"do": ["health", 503]}` changes it."""

    health = 200


def misbehave(what, value, predictions):
    """Do what an instance says; returns the status and the body of the answer."""
    if what == "crash":
        say(f"crashing with {value}")
        os._exit(value)
    if what == "sleep":
        time.sleep(value)
    if what == "health":
        Mood.health = value
    if what == "status":
        return value, {"detail": f"status {value} was asked for"}
    if what == "text":
        return 200, value
    if what == "fewer":
        return 200, {"predictions": predictions[value:]}
    return 200, {"predictions": predictions}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.path == os.environ["AIP_HEALTH_ROUTE"]:
            if not Mood.health:
                time.sleep(1000)
            self.answer(Mood.health, {})
        elif self.path == "/env":
            self.answer(200, {**os.environ, "PID": str(os.getpid())})
        elif self.path == "/files":
            self.answer(
                200, {one.name: one.read_text() for one in Path(os.environ["TRIVET_MODEL_DIR"]).iterdir()}
            )
        else:
            self.answer(404, {})

    def do_POST(self):
        content = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path != os.environ["AIP_PREDICT_ROUTE"]:
            self.answer(404, {})
            return
        body = json.loads(content)
        asked = body["instances"]
        if os.environ.get("SHOW") == "requests":
            predictions = [
                {"rows": len(asked), "parameters": body.get("parameters"), "pid": os.getpid()}
            ] * len(asked)
        else:
            predictions = asked
        for one in asked:
            if isinstance(one, dict) and "do" in one:
                self.answer(*misbehave(*one["do"], predictions))
                return
        self.answer(200, {"predictions": predictions})

    def answer(self, status, body):
        content = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *args):
        pass


if "BROKEN" in os.environ:
    say("reading the model")
    sys.exit(f"no such file: {os.environ['BROKEN']}")
time.sleep(float(os.environ.get("STARTS_IN", "0")))
say(f"listening on {os.environ['AIP_HTTP_PORT']}")
Mood.health = int(os.environ.get("HEALTH", "200"))
ThreadingHTTPServer((os.environ.get("HOST", ""), int(os.environ["AIP_HTTP_PORT"])), Handler).serve_forever()
