"""Eighteen rows, echoed, in each of the five formats that the managed service was measured with: 15 minutes.

From the command to the results, which must be the rows: `trivet batch echo: --vertex`. BigQuery is the
emulator of the tests, on loopback.
"""

import base64
import csv
import json
import os
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

B64 = "c29tZXRoaW5nIHRvIGVuY29kZSBhcyBiaW5hcnkgaGVyZQ=="
VALUES: list[Any] = [
    *(1, 2, 3, 4, 1.24578001, "a", "A", {"key": "value"}, [1], [1, 2, 3, 4], [[1, 2], [3, 4]]),
    *([[[1, 2], [3, 4]]], [{"key": "value"}], [{"key": "value"}, {"key": "value2"}]),
    *(["gs://bucket/path/to/image/image1.jpg"], B64, [B64], {"b64": B64}),
]
TEXTS = [value if isinstance(value, str) else json.dumps(value) for value in VALUES]
CELLS: list[Any] = [value if isinstance(value, int | float) else str(value) for value in VALUES]

Read = Callable[[Path], list[Any]]


def measure(folder: Path, repeats: int) -> dict[str, dict[str, Any]]:
    """Return, for each format, the median seconds, all of them, and why it failed if it did."""
    folder.mkdir(parents=True)
    made: dict[str, tuple[str, list[Any]]] = {
        "jsonl": (_jsonl(folder), VALUES),
        "csv": (_csv(folder), [[value] for value in CELLS]),
        "file-list": (_files(folder), [_b64(text.encode()) for text in TEXTS]),
        "tf-record": (_records(folder), [_b64(_example(text)) for text in TEXTS]),
    }
    found = {
        format: _many(format, uri, lambda output: output, _lines, expected, folder, repeats)
        for format, (uri, expected) in made.items()
    }
    found["bigquery"] = _bigquery(folder, repeats)
    return found


def _many(  # noqa: PLR0913, PLR0917 - what is run, and what is to come of it
    format: str,
    uri: str,
    output: Callable[[Any], Any],
    read: Read,
    expected: list[Any],
    folder: Path,
    repeats: int,
) -> dict[str, Any]:
    seconds, failed = [], ""
    for repeat in range(repeats):
        target = output(folder / f"{format}-{repeat}")
        command = [sys.executable, "-m", "trivet", "batch", "echo:", "--vertex", "--input-format", format]
        began = time.perf_counter()
        done = subprocess.run(
            [*command, "--input", uri, "--output", str(target)],
            env={**os.environ, "TRIVET_DATA": str(folder / "catalog")},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        seconds.append(time.perf_counter() - began)
        if done.returncode:
            failed = f"ended with {done.returncode}: {(done.stderr or done.stdout).strip()[-300:]}"
        elif (got := read(target)) != expected:
            failed = f"its results are not the rows: {got}"
    return {"seconds": median(seconds), "all": seconds, "failed": failed}


def _lines(output: Path) -> list[Any]:
    files = sorted(output.glob("prediction-*/prediction.results-*"))
    rows = (json.loads(line) for file in files for line in file.read_text().splitlines())
    return [row["prediction"] for row in rows]


def _bigquery(folder: Path, repeats: int) -> dict[str, Any]:
    try:
        import pytest
        from tests.integration.bigquery import emulated
    except ImportError as error:
        return {"seconds": 0.0, "all": [], "failed": f"it needs the emulator of the tests: {error}"}

    with pytest.MonkeyPatch.context() as patch, emulated(patch) as service:
        fields = [{"name": "input_1", "type": "STRING"}]
        service.put("p.ds.rows", fields, [{"input_1": str(value)} for value in VALUES])

        def read(_: Any) -> list[Any]:
            newest = max(key for key in service.tables if key[2].startswith("predictions_"))
            return [json.loads(row["prediction"]) for row in service.rows[newest]]

        expected = [[str(value)] for value in VALUES]
        return _many("bigquery", "bq://p.ds.rows", lambda _: "bq://p.ds", read, expected, folder, repeats)


def _jsonl(folder: Path) -> str:
    file = folder / "rows.jsonl"
    file.write_text("".join(json.dumps(value) + "\n" for value in VALUES))
    return str(file)


def _csv(folder: Path) -> str:
    file = folder / "rows.csv"
    with file.open("w", newline="") as out:
        writer = csv.writer(out, quoting=csv.QUOTE_NONNUMERIC)
        writer.writerows([["input_1"], *([value] for value in CELLS)])
    return str(file)


def _files(folder: Path) -> str:
    where = folder / "files"
    where.mkdir()
    paths = [where / f"instance_{index:02}.txt" for index in range(len(TEXTS))]
    for path, text in zip(paths, TEXTS, strict=True):
        path.write_text(text)
    file = folder / "files.txt"
    file.write_text("".join(f"{path}\n" for path in paths))
    return str(file)


def _records(folder: Path) -> str:
    """Write a file for each record, as they were for the managed service."""
    where = folder / "records"
    where.mkdir()
    for index, text in enumerate(TEXTS):
        (where / f"{index:02}.tfrecord").write_bytes(_framed(_example(text)))
    return f"{where}/*.tfrecord"


def _example(text: str) -> bytes:
    """Return a tf.train.Example with the feature `value`."""
    feature = _field(0x0A, _field(0x0A, text.encode()))  # a list of one string of bytes
    entry = _field(0x0A, b"value") + _field(0x12, feature)
    return _field(0x0A, _field(0x0A, entry))


def _field(tag: int, content: bytes) -> bytes:
    size, length = [], len(content)
    while length > 0x7F:
        size.append(length & 0x7F | 0x80)
        length >>= 7
    return bytes([tag, *size, length]) + content


def _framed(record: bytes) -> bytes:
    import google_crc32c

    def masked(content: bytes) -> bytes:
        crc = google_crc32c.value(content)
        return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)

    size = struct.pack("<Q", len(record))
    return size + masked(size) + record + masked(record)


def _b64(content: bytes) -> dict[str, str]:
    return {"b64": base64.b64encode(content).decode()}
