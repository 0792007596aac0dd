"""Runs a Markdown page as its reader would: files are written, commands run, answers compared.

A block with a title is a file. `sh` blocks are commands, run in order in one folder; `trivet serve` is left
running until the page ends or serves something else. A `json` block right after a command is what it prints.
"""

import json
import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass, field
from importlib.metadata import metadata
from pathlib import Path

from tests.integration.server import Server, serve

BLOCK = re.compile(r"^```(\w+)(?: title=\"([^\"]+)\")?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LEFT_TO_CI = ("make ",)  # its run does these, on a clean clone


@dataclass
class Reader:
    """Someone with a folder and a terminal, who does what a page says."""

    folder: Path
    ran: list[str] = field(default_factory=list)
    printed: str = ""
    server: Server | None = None

    def read(self, page: Path) -> None:
        for language, title, text in BLOCK.findall(page.read_text()):
            if title:
                self.write(title, text)
            elif language == "sh":
                self.printed = "".join(self.run(line) for line in commands(text))
            elif language == "json" and self.printed:
                expected = [json.loads(line) for line in text.splitlines()]
                assert [json.loads(line) for line in self.printed.splitlines()] == expected
                self.printed = ""

    def write(self, name: str, text: str) -> None:
        (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (self.folder / name).write_text(text)
        if name == "trivet.toml":
            self.run("trivet config")

    def run(self, command: str) -> str:
        self.ran.append(command)
        if command.startswith(LEFT_TO_CI):
            return ""
        if command.startswith("pip install"):
            return check_extras(command)
        if command.startswith("trivet serve"):
            return self.serve(command)
        done = subprocess.run(
            ["bash", "-ec", self.here(command)],
            cwd=self.folder,
            env=self.environment(),
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        return done.stdout if done.stdout.endswith("\n") or not done.stdout else done.stdout + "\n"

    def serve(self, command: str) -> str:
        self.stop()
        arguments = shlex.split(command.replace("--port 8080", ""))[2:]
        self.server = serve(*arguments, cwd=self.folder)
        return ""

    def stop(self) -> None:
        if self.server is not None:
            with self.server:
                assert self.server.stop() == 0

    def here(self, command: str) -> str:
        """Ask the server of this page, quietly, and let an error reply be an answer."""
        if self.server is not None:
            command = command.replace("localhost:8080", self.server.url.removeprefix("http://"))
        return re.sub(r"\bcurl ", "curl --silent --show-error ", command)

    def environment(self) -> dict[str, str]:
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        return {"PATH": path, "HOME": str(self.folder), "COLUMNS": "100"}


def commands(text: str) -> list[str]:
    """Return the commands of a block, one a line, without comments."""
    lines = [re.sub(r"\s+# .*", "", line) for line in text.splitlines()]
    return [line for line in lines if line and not line.startswith("#")]


def check_extras(command: str) -> str:
    """See that what a page tells to install exists."""
    known = set(metadata("trivet").get_all("Provides-Extra"))
    (asked,) = re.findall(r"'trivet\[([^]]+)\]'", command)
    assert set(asked.split(",")) <= known, command
    return ""
