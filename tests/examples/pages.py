"""Runs a Markdown page as its reader would: files are written, commands run, answers compared.

A block with a title is a file. `sh` blocks are commands, run in order in one folder; `trivet serve` and
`trivet up` are left running until the page ends or serves something else. A `json` block right after a
command is what it prints. Pages name the ports that servers have unless told otherwise; those of the tests
are free ones, and stand in their place in commands and files.
"""

import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from dataclasses import dataclass, field
from pathlib import Path

from tests.integration.server import Server, serve, up

BLOCK = re.compile(r"^```(\w+)(?: title=\"([^\"]+)\")?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LEFT_TO_CI = ("make ",)  # its run does these, on a clean clone
KEPT = ("export ", "eval ")  # commands that change the shell for those that follow
CONTAINERS = {  # base images cannot be fetched everywhere; environments are those of other pages, too
    "TRIVET_CONTAINERS_ENGINE": "process",
    "TRIVET_CONTAINERS_CACHE": str(Path("~/.cache/trivet/containers").expanduser()),
}
PORTS = {
    "http": ("localhost:8080", "127.0.0.1:8080"),
    "tls": ("localhost:8443",),
    "proxy": ("127.0.0.1:8081",),
}


@dataclass
class Reader:
    """Someone with a folder and a terminal, who does what a page says.

    `here` are the places that pages name, and what is in their place here.
    """

    folder: Path
    here: dict[str, str] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    shell: list[str] = field(default_factory=list)
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
        self.files[name] = text
        (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (self.folder / name).write_text(self.placed(text))
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
        if command.startswith("trivet up"):
            return self.up(command)
        quiet = re.sub(r"\bcurl ", "curl --silent --show-error ", self.placed(command))
        done = subprocess.run(
            ["bash", "-ec", "\n".join([*self.shell, quiet])],
            cwd=self.folder,
            env=self.environment(),
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        if command.startswith(KEPT):
            self.shell.append(quiet)
        return done.stdout if done.stdout.endswith("\n") or not done.stdout else done.stdout + "\n"

    def serve(self, command: str) -> str:
        self.stop()
        self.server = serve(*arguments(self.placed(command)), cwd=self.folder, **CONTAINERS)
        self.move({"http": self.server.url})
        return ""

    def up(self, command: str) -> str:
        self.stop()
        asked = {"TRIVET_GATEWAY_TLS_PORT": "0", "TRIVET_GATEWAY_PROXY_PORT": "0", **CONTAINERS}
        data = self.folder / ".trivet"
        self.server = up(data, *arguments(self.placed(command)), cwd=self.folder, **asked)
        self.move(json.loads((data / "server.json").read_text()))
        return ""

    def stop(self) -> None:
        if self.server is not None:
            with self.server:
                assert self.server.stop() == 0

    def move(self, addresses: dict[str, str]) -> None:
        """Write the addresses of the server of this page into its files, too."""
        for kind, named in PORTS.items():
            for one in named if kind in addresses else ():
                self.here[one] = addresses[kind].removeprefix("http://")
        for name, text in self.files.items():
            (self.folder / name).write_text(self.placed(text))

    def placed(self, text: str) -> str:
        """Return a text with the places that it names as they are here."""
        for named, real in self.here.items():
            text = text.replace(named, real)
        return text

    def environment(self) -> dict[str, str]:
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        return {"PATH": path, "HOME": str(self.folder), "COLUMNS": "100", **CONTAINERS}


def arguments(command: str) -> list[str]:
    """Return the arguments of a command of `trivet`, but for its port."""
    return shlex.split(command.replace("--port 8080", ""))[2:]


def commands(text: str) -> list[str]:
    """Return the commands of a block, one a line, without comments."""
    lines = [re.sub(r"\s+# .*", "", line) for line in text.splitlines()]
    return [line for line in lines if line and not line.startswith("#")]


def check_extras(command: str) -> str:
    """See that what a page tells to install exists."""
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    known = set(project["optional-dependencies"])
    (asked,) = re.findall(r"'trivet\[([^]]+)\]'", command)
    assert set(asked.split(",")) <= known, command
    return ""
