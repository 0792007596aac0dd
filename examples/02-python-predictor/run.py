"""Serve the folder of this file, ask it, and stop it."""

import json
import subprocess
import sys
from pathlib import Path

TRIVET = [sys.executable, "-m", "trivet"]
TEXTS = ["the cat and the dog", "der Hund und die Katze", "le chat et le chien", "42"]


def main() -> None:
    folder = Path(__file__).parent
    server = subprocess.Popen(
        [*TRIVET, "serve", f"language={folder}", "--port", "0"], stderr=subprocess.PIPE, text=True
    )
    assert server.stderr is not None
    messages = (json.loads(line)["msg"] for line in server.stderr)
    address = next(m for m in messages if m.startswith("serving on ")).removeprefix("serving on ")
    given = [option for text in TEXTS for option in ("--instance", json.dumps(text))]
    try:
        subprocess.run([*TRIVET, "predict", address, "language", *given], check=True)
    finally:
        server.terminate()
        server.wait()


if __name__ == "__main__":
    main()
