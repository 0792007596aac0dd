"""Two applications of one image at one endpoint, as people have them on Vertex AI, and a batch job.

`fraud/` is an image's folder as it would be built for Google Cloud: one application answers with scores, the
other in detail, and MODULE_NAME says which of them a version of the model starts.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.request import Request, urlopen

import numpy as np
from catboost import CatBoostClassifier

APPLICATION = Path(__file__).parent / "fraud"
COLUMNS = ["Time", *(f"V{number}" for number in range(1, 29)), "Amount"]


def train(folder: Path) -> list[list[float]]:
    """Write a model of payments that are fraud, and return two it has not seen: an honest one, and fraud."""
    random = np.random.default_rng(7)
    rows = random.normal(size=(3000, len(COLUMNS)))
    fraud = rows[:, 14] + rows[:, 4] > 1
    folder.mkdir()
    model = CatBoostClassifier(iterations=60, depth=4, verbose=False, allow_writing_files=False)
    model.fit(rows, fraud.astype(int)).save_model(str(folder / "model.cbm"))
    honest, stolen = np.zeros(len(COLUMNS)), np.zeros(len(COLUMNS))
    stolen[[4, 14]] = 2.0
    return [honest.tolist(), stolen.tolist()]


class Server:
    """A `trivet up` of its own, and the commands that use it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._environment = {**os.environ, "TRIVET_DATA": str(folder / "data")}
        command = self._command("up", "--port", "0", "--tls-port", "-1", "--proxy-port", "-1")
        self._process = subprocess.Popen(
            command, env=self._environment, stderr=subprocess.PIPE, text=True, cwd=folder
        )
        assert self._process.stderr is not None
        messages = (json.loads(line)["msg"] for line in self._process.stderr)
        said = next(message for message in messages if message.startswith("serving on "))
        self.address = said.removeprefix("serving on ")

    def trivet(self, *arguments: object) -> None:
        """Run a command, and print it with what it prints."""
        print("$ trivet", *arguments)
        done = subprocess.run(
            self._command(*arguments),
            env=self._environment,
            cwd=self.folder,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        print(done.stdout)

    def ask(self, rows: list[list[float]]) -> None:
        """Ask the endpoint, and print which version answered what."""
        url = f"{self.address}/v1/projects/local/locations/us-central1/endpoints/scoring:predict"
        with urlopen(Request(url, json.dumps({"instances": rows}).encode())) as response:
            answer = json.load(response)
        print(f"version {answer['modelVersionId']} answers {json.dumps(answer['predictions'])}\n")

    def stop(self) -> None:
        self._process.terminate()
        self._process.communicate()

    def _command(self, *arguments: object) -> list[str]:
        return [sys.executable, "-m", "trivet", *map(str, arguments)]


def manage(server: Server, rows: list[list[float]]) -> None:
    upload = ("model", "upload", "fraud", "model", "--image", APPLICATION)
    server.trivet(*upload, "--alias", "simple")
    server.trivet(*upload, "--alias", "detailed", "--env", "MODULE_NAME=main2")
    server.trivet("endpoint", "create", "scoring")
    server.trivet("deploy", "fraud@simple", "--to", "scoring")
    server.ask(rows)
    server.trivet("deploy", "fraud@detailed", "--to", "scoring", "--traffic", "0")
    server.trivet("traffic", "scoring", "fraud@simple=0", "fraud@detailed=100")
    server.ask(rows)
    (server.folder / "rows.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows * 50))
    server.trivet("batch", "fraud@simple", "--input", "rows.jsonl", "--output", "out")


def main() -> None:
    with TemporaryDirectory() as name:
        folder = Path(name)
        rows = train(folder / "model")
        server = Server(folder)
        try:
            manage(server, rows)
        finally:
            server.stop()


if __name__ == "__main__":
    main()
