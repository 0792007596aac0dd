"""`trivet batch` as a process of its own, and models that say what they do."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.integration.processes import family
from tests.integration.server import STARTS_WITHIN
from trivet.catalog import Catalog
from trivet.core.batch import ShardResult
from trivet.core.resources import Location, Name

HOME = Location("local", "us-central1")

NOTING = """
import os, signal, sys, time
from pathlib import Path

HERE = Path(__file__).parent

class Predictor:
    example = 1
    def predict(self, instances):
        with (HERE / ".begun").open("a") as file:
            print(os.getpid(), len(instances), file=file)
        {does}
        return [[one, "seen"] for one in instances]
"""
"""A predictor that notes each call. What it does besides may speak of `instances`."""


def write_model(folder: Path, does: str = "pass") -> Path:
    folder.mkdir(parents=True)
    (folder / "predictor.py").write_text(NOTING.format(does=does))
    return folder


@dataclass
class Place:
    """A folder in which `trivet batch` is run."""

    folder: Path
    variables: dict[str, str] = field(default_factory=dict)
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    def start(self, *arguments: str, **more: Any) -> subprocess.Popen[str]:
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("TRIVET_", "AIP_"))}
        process = subprocess.Popen(
            [sys.executable, "-m", "trivet", "batch", *arguments],
            cwd=self.folder,
            env={**clean, **self.variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **more,
        )
        self.started.append(process)
        return process

    def close(self) -> None:
        """End what is left."""
        for process in self.started:
            process.kill()
            process.wait()
            for pipe in (process.stdout, process.stderr):  # which its workers may still hold
                if pipe is not None:
                    pipe.close()

    def run(self, *arguments: str, status: int = 0) -> str:
        """Run a command to its end; returns what it printed."""
        process = self.start(*arguments)
        printed, said = process.communicate(timeout=STARTS_WITHIN)
        assert process.returncode == status, said + printed
        return said if status == 1 and not printed else printed

    def job(self, *arguments: str, status: int = 0) -> dict[str, Any]:
        """Run a job to its end; returns it as the API has it."""
        told = json.loads(self.run(*arguments, "--json", status=status))
        assert isinstance(told, dict)
        return told

    def shown(self) -> list[Path]:
        """Return the folders of results that anybody can see."""
        return sorted((self.folder / "out").glob("[!.]*"))

    def hidden(self) -> list[Path]:
        return [*(self.folder / "out").glob(".*"), *(self.folder / ".trivet" / "batch").glob("*")]

    def output(self) -> bytes:
        """Return all results in their order, and then the errors."""
        (folder,) = self.shown()
        return b"".join(file.read_bytes() for file in sorted(folder.iterdir(), key=by_kind))

    def results(self, id_: str) -> Iterator[ShardResult]:
        """Yield the results of shards that are kept; none where there is no such job yet."""
        file = self.folder / ".trivet" / "catalog.db"
        if not file.exists():
            return
        catalog = Catalog(f"sqlite:///{file}")
        with catalog.reading() as tx:
            shards = tx.batch_shards(HOME.child("batchPredictionJobs", id_))
        catalog.close()
        yield from (result for _, result in shards if result is not None)

    def name(self, id_: str) -> Name:
        return HOME.child("batchPredictionJobs", id_)


def by_kind(file: Path) -> tuple[bool, str]:
    return "errors" in file.name, file.name


def rows(content: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in content.splitlines()]


def workers(process: subprocess.Popen[str]) -> list[int]:
    """Return the processes that a runner has started."""
    return family(process.pid)[1:]
