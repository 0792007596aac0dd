"""Keep what was measured as JSON, with all that one needs to judge it: versions, machine, time, settings."""

import json
import os
import platform
import subprocess
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import environments
from contestants import Contestant
from environments import HERE
from measure import Plan, Record


class Results:
    """The document, written after each addition: an interrupted run keeps what it has."""

    def __init__(self, document: dict[str, Any], file: Path) -> None:
        self.document = document
        self._file = file

    def take_in(self, contestant: Contestant) -> None:
        versions = (
            {} if contestant.name.startswith("nginx") else environments.versions_of(contestant.environment)
        )
        self.document["contestants"][contestant.name] = {"note": contestant.note, "versions": versions}

    def leave_out(self, contestant: Contestant, reason: str) -> None:
        self.document["left_out"][contestant.name] = reason

    def add(self, records: list[Record], repeat: int, scaling: bool = False) -> None:
        start, *cells = ({"repeat": repeat, **record} for record in records)
        if scaling:
            self.document["scaling"] += cells
        else:
            self.document["starts"].append(start)
            self.document["cells"] += cells
        self._file.parent.mkdir(parents=True, exist_ok=True)
        whole = self._file.with_suffix(".part")
        whole.write_text(json.dumps(self.document, indent=1, ensure_ascii=False) + "\n")
        whole.replace(self._file)


def begin(plan: Plan, repeats: int, file: Path) -> Results:
    settings = {**asdict(plan), "repeats": repeats}
    document = {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _said("git", "-C", str(HERE), "describe", "--always", "--dirty"),
        "machine": {
            "processor": _processor(),
            "cores": os.cpu_count(),
            "system": f"{platform.system()} {platform.machine()}",
            "python": platform.python_version(),
        },
        "tools": {"wrk": _said("wrk", "--version"), "nginx": _said("nginx", "-v")},
        "settings": settings,
        "contestants": {},
        "left_out": {},
        "starts": [],
        "cells": [],
        "scaling": [],
        "scaling_settings": {},
    }
    return Results(document, file)


def _said(*command: str) -> str:
    """Return the first line that a command prints, to whichever stream."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    return done.stdout.splitlines()[0].strip() if done.stdout.strip() else "?"


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()
