"""An application that keeps the container contract with the standard library alone, and does as told."""

# ruff: noqa: T201 - what it prints is looked for
import json
import os
import signal
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

KEPT = []


class Answers(BaseHTTPRequestHandler):
    """GET of the health route, POST of the predict route; any other GET is something to do."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.path == os.environ["AIP_HEALTH_ROUTE"]:
            return self.answer({})
        does, _, what = self.path.strip("/").partition("/")
        return self.answer(getattr(self, f"tell_{does}")(what))

    def do_POST(self):
        content = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path != os.environ["AIP_PREDICT_ROUTE"]:
            return self.answer({"error": self.path}, 404)
        return self.answer({"predictions": json.loads(content)["instances"]})

    def tell_environment(self, _):
        return dict(os.environ)

    def tell_greeting(self, _):
        return Path(os.environ["GREETING_FILE"]).read_text()

    def tell_model(self, name):
        return (Path(os.environ["TRIVET_MODEL_DIR"]) / name).read_text()

    def tell_write(self, name):
        Path(name).write_text("written")
        return sorted(os.listdir())

    def tell_home(self, _):
        (Path.home() / "mark").touch()
        return True

    def tell_print(self, text):
        print(text)
        print(f"{text} as an error", file=sys.stderr)
        return True

    def tell_exit(self, status):
        print("it exits", flush=True)
        os._exit(int(status))

    def tell_kill(self, number):
        os.kill(os.getpid(), int(number))

    def tell_eat(self, megabytes):
        KEPT.append(bytearray(int(megabytes) << 20))
        return len(KEPT)

    def tell_start(self, _):
        """Start a process that has nothing to do with this one any more, and listens beside it."""
        code = "import socket, sys, time; s = socket.create_server(('127.0.0.1', 0)); time.sleep(1000)"
        return subprocess.Popen([sys.executable, "-c", code], start_new_session=True).pid

    def answer(self, value, status=200):
        content = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_):
        pass


def main():
    """Serve until SIGTERM, which `STUBBORN` has it ignore."""
    print("it starts", *sys.argv[1:], flush=True)
    host = os.environ.get("HOST", "0.0.0.0")
    server = ThreadingHTTPServer((host, int(os.environ["AIP_HTTP_PORT"])), Answers)

    def end(*_):
        print("it ends", flush=True)
        threading.Thread(target=server.shutdown).start()

    signal.signal(signal.SIGTERM, signal.SIG_IGN if "STUBBORN" in os.environ else end)
    server.serve_forever()


if __name__ == "__main__":
    main()
