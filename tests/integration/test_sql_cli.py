"""`trivet sql` as a process of its own: one statement, files of them, the shell, and beside a server."""

import csv
import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
from contextlib import suppress

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from tests import saved_models
from tests.integration.server import STARTS_WITHIN, up
from tests.integration.test_processes import until
from trivet.cli import main

LONG = (
    "SELECT COUNT(*) FROM UNNEST(GENERATE_ARRAY(1, 5000)) a, UNNEST(GENERATE_ARRAY(1, 5000)) b, "
    "UNNEST(GENERATE_ARRAY(1, 5000)) c WHERE a * b * c = 7"
)
CRASHES = """
import os

class Predictor:
    example = {"a": 1.0}
    def predict(self, instances):
        if any(one["a"] == 13 for one in instances):
            os._exit(7)
        return [one["a"] * 2 for one in instances]
"""
TYPED = {"TRIVET_DATA": "data", "TERM": "xterm-256color"}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty folder, in which the data folder is made."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TRIVET_DATA", "data")
    return tmp_path


def run(*arguments, status=0, **more):
    """Run a command in this process; returns what it printed, and what it said on standard error."""
    result = CliRunner().invoke(main, ["sql", *arguments], **more)
    assert result.exit_code == status, result.output
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result.stdout, result.stderr


def start(*arguments, **more):
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("TRIVET_", "AIP_"))}
    return subprocess.Popen(
        [sys.executable, "-m", "trivet", "sql", *arguments],
        env={**clean, **TYPED},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        **more,
    )


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with up(tmp_path_factory.mktemp("up") / "data") as server:
        yield server
        server.stop()


class TestOneStatement:
    def test_the_autoencoder_is_imported_and_asked(self, folder):
        """What a newcomer types first, word for word."""
        saved_models.autoencoder(folder / "parts")
        (folder / "models").mkdir()
        (folder / "parts/final").rename(folder / "models/ae")
        rows = np.random.default_rng(0).normal(size=(30, 30)).tolist()
        pq.write_table(pa.table({"id": range(30), "feats": rows}), "tx.parquet")
        told, _ = run(
            "CREATE OR REPLACE MODEL ds.ae OPTIONS(model_type='TENSORFLOW', model_path='models/ae/*')"
        )
        assert told == "Successfully created model named ae.\n"
        told, _ = run(
            "SELECT id, p.denormalized_MAE FROM ML.PREDICT(MODEL ds.ae, (SELECT id, feats AS input_layer "
            "FROM 'tx.parquet')) p ORDER BY 2 DESC LIMIT 10",
            "--format",
            "json",
        )
        answers = saved_models.answers(folder / "models/ae", {"input_layer": np.array(rows, np.float32)})
        errors = answers["denormalized_MAE"]
        found = json.loads(told)
        assert [one["id"] for one in found] == np.argsort(-errors, kind="stable")[:10].tolist()
        assert np.allclose([one["denormalized_MAE"] for one in found], np.sort(errors)[::-1][:10], rtol=1e-5)

    def test_rows_are_a_table_for_people(self, folder):
        told, _ = run("CREATE TABLE ds.t AS SELECT 1 AS id, 'x' AS name; SELECT * FROM ds.t")
        assert told.splitlines() == ["Created table local:ds.t with 1 row.", "id  name", " 1  x   "]

    def test_rows_in_every_format(self, folder):
        text = (
            "SELECT 1 AS i, 'a,b' AS s, [1, 2] AS l, STRUCT(1.5 AS x) AS r, DATE '2024-01-02' AS d, NULL AS n"
        )
        row = {"i": 1, "s": "a,b", "l": [1, 2], "r": {"x": 1.5}, "d": "2024-01-02", "n": None}
        assert json.loads(run(text, "--format", "json")[0]) == [row]
        assert [json.loads(line) for line in run(text, "--format", "jsonl")[0].splitlines()] == [row]
        lines = list(csv.reader(run(text, "--format", "csv")[0].splitlines()))
        assert lines == [
            ["i", "s", "l", "r", "d", "n"],
            ["1", "a,b", "[1, 2]", '{"x": 1.5}', "2024-01-02", ""],
        ]
        assert json.loads(run(f"SELECT * FROM ({text}) WHERE FALSE", "--format", "json")[0]) == []
        for name in ("rows.csv", "rows.json", "rows.jsonl", "rows.parquet"):
            _, said = run(text, "-o", name)
            assert said == f"{name}: 1 rows\n"
        assert pq.read_table("rows.parquet").to_pylist()[0]["l"] == [1, 2]
        assert json.loads((folder / "rows.json").read_text()) == [row]

    def test_a_file_that_cannot_be_written_whole_is_not_there(self, folder):
        run("SELECT 1 AS a UNION ALL SELECT ERROR('no')", "-o", "rows.csv", status=1)
        assert [file.name for file in folder.iterdir()] == ["data"]

    def test_parameters(self, folder):
        text = "SELECT @n AS n, @s AS s, @a AS a, @t AS t, @d IS NULL AS d"
        given = [
            "n:INT64:3",
            "s::a:b",
            "a:ARRAY<INT64>:[1, 2]",
            "t:TIMESTAMP:2024-01-02 03:04:05",
            "d:DATE:NULL",
        ]
        told, _ = run(text, "--format", "json", *(part for one in given for part in ("--param", one)))
        assert json.loads(told) == [
            {"n": 3, "s": "a:b", "a": [1, 2], "t": "2024-01-02T03:04:05+00:00", "d": True}
        ]
        told, _ = run("SELECT ? + ? AS n", "--param", ":INT64:3", "--param", ":INT64:4", "--format", "csv")
        assert told == "n\n7\n"
        for wrong in ("n", "n:INT64", "n:WORD:3", "n:INT64:x", "n:BOOL:perhaps"):
            assert "--param" in run("SELECT 1", "--param", wrong, status=1)[1]

    def test_texts_from_files_and_pipes(self, folder):
        (folder / "few.sql").write_text("SELECT 1 AS a;\n-- and\nSELECT 2 AS b;\n")
        assert run("-f", "few.sql", "--format", "csv")[0] == "a\n1\nb\n2\n"
        assert run("--format", "csv", input="SELECT 3 AS c")[0] == "c\n3\n"
        assert run("-f", "-", "--format", "csv", input="SELECT 4 AS d")[0] == "d\n4\n"
        assert "cannot be read" in run("-f", "nope.sql", status=1)[1]

    def test_an_error_shows_its_place(self, folder):
        (folder / "wrong.sql").write_text("SELECT 1 AS a;\n\nSELECT a,\n       nope\nFROM (SELECT 1 AS a)")
        told, said = run("-f", "wrong.sql", "--format", "csv", status=1)
        assert told == "a\n1\n"
        assert said.splitlines() == ["Error: Unrecognized name: nope at [4:8]", "         nope", "         ^"]

    def test_what_cannot_be_together(self, folder):
        for arguments in (
            ["SELECT 1", "-f", "x.sql"], ["SELECT 1", "--format", "parquet"], ["SELECT 1", "-o", "rows.txt"],
            ["SELECT 1", "--staging", "gs://b"], ["SELECT 1", "--engine", "bigquery"], ["\\models"],
        ):  # fmt: skip
            assert run(*arguments, status=1)[1].startswith("Error: ")

    def test_other_dialects_and_defaults(self, folder):
        told, _ = run("SELECT 7 // 2 AS a, 'x'::VARCHAR AS b", "--dialect", "duckdb", "--format", "csv")
        assert told == "a,b\n3,x\n"
        run("CREATE TABLE t AS SELECT 5 AS a", "--dataset", "mine", "--project", "other")
        told, _ = run("SELECT a FROM other.mine.t", "--format", "csv")
        assert told == "a\n5\n"


class TestProcesses:
    def test_ctrl_c_ends_it_at_once(self, folder):
        process = start(LONG)
        with suppress(subprocess.TimeoutExpired):
            process.communicate(timeout=4)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=STARTS_WITHIN)
        assert (process.returncode, said) == (130, "Interrupted\n")

    def test_readers_share_and_a_writer_is_alone(self, folder):
        run("CREATE TABLE ds.t AS SELECT 1 AS a")
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(folder)
            reader = start("--read-only", "-f", "-", stdin=subprocess.PIPE)
            others = [start("SELECT a FROM ds.t", "--read-only", "--format", "csv") for _ in range(2)]
            assert [one.communicate(timeout=STARTS_WITHIN)[0] for one in others] == ["a\n1\n"] * 2
            reader.communicate("SELECT 1", timeout=STARTS_WITHIN)

    def test_a_file_that_another_process_has_is_named_with_it(self, folder):
        import duckdb

        run("CREATE TABLE ds.t AS SELECT 1 AS a")
        with duckdb.connect(folder / "data/sql/local.duckdb"):
            _, said = _ended(start("SELECT 1"))
        assert f"process {os.getpid()} has the database open for writing" in said
        assert "--read-only" in said

    def test_a_model_that_crashes_ends_nothing_else(self, folder):
        (folder / "model").mkdir()
        (folder / "model/predictor.py").write_text(CRASHES)
        (folder / "steps.sql").write_text(
            """CREATE MODEL ds.m INPUT(a FLOAT64) OUTPUT(b FLOAT64)
                 OPTIONS(model_type='PYTHON', model_path='model');
               SELECT b FROM ML.PREDICT(MODEL ds.m, (SELECT 2.0 AS a));
            """
        )
        told, said = _ended(start("-f", "steps.sql", "--format", "csv"), 0)
        assert told == "b\n4.0\n", said
        _, said = _ended(start("SELECT b FROM ML.PREDICT(MODEL ds.m, (SELECT 13.0 AS a))"))
        assert said.startswith("Error: ")
        assert "Traceback" not in said


def _ended(process, status=1):
    told, said = process.communicate(timeout=STARTS_WITHIN)
    assert process.returncode == status, said
    return told, said


class TestServer:
    def test_statements_are_the_servers(self, folder, server):
        told, _ = run(
            "CREATE TABLE there.t AS SELECT 1 AS a, [STRUCT('x' AS l)] AS b; "
            "INSERT INTO there.t (a) VALUES (2); SELECT a, b FROM there.t WHERE a < @most ORDER BY a",
            "--server", server.url, "--format", "jsonl", "--param", "most:INT64:2",
        )  # fmt: skip
        assert json.loads(told) == {"a": 1, "b": [{"l": "x"}]}
        _, said = run("SELECT 1;\nSELECT nope FROM there.t", "--server", server.url, status=1)
        assert "Unrecognized name: nope at [2:8]" in said

    def test_a_data_folder_that_a_server_has_is_asked_there(self, folder):
        with up("data") as server:
            run("CREATE TABLE ds.t AS SELECT 7 AS a", "--server", server.url)
            told, said = run("SELECT a FROM ds.t", "--format", "csv")
            assert told == "a\n7\n"
            assert said == f"data is the server's at {server.url}, which is asked instead\n"
            server.stop()
        assert run("SELECT a FROM ds.t", "--format", "csv") == ("a\n7\n", "")


class Terminal:
    """A shell on a terminal."""

    def __init__(self, *arguments):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.environ.update(TYPED)
            os.execv(sys.executable, [sys.executable, "-m", "trivet", "sql", *arguments])
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 160, 0, 0))
        self.said = ""

    def read(self):
        ready, _, _ = select.select([self.fd], [], [], 0.05)
        if ready:
            with suppress(OSError):
                got = os.read(self.fd, 65536).decode(errors="replace")
                if "\x1b[6n" in got:  # where is the cursor?
                    os.write(self.fd, b"\x1b[1;1R")
                self.said += re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", got)
        return self.said

    def await_(self, text):
        try:
            until(lambda: text in self.read())
        except AssertionError:
            raise AssertionError(f"{text!r} never came: {self.said!r}") from None
        self.said = self.said.partition(text)[2]

    def type(self, text):
        os.write(self.fd, text.encode() + b"\r")

    def close(self):
        self.type("\\q")
        self.read()
        until(lambda: self.read() is not None and os.waitpid(self.pid, os.WNOHANG)[0])
        os.close(self.fd)


class TestShell:
    def test_a_session(self, folder):
        run("CREATE TABLE ds.things AS SELECT 1 AS size, 'x' AS colour")
        shell = Terminal()
        shell.await_("local>")
        shell.type("\\tables")
        shell.await_("ds.things  TABLE")
        shell.type("\\d ds.things")
        shell.await_("colour  STRING")
        shell.type("\\timing")
        shell.await_("timing is on")
        shell.type("SELECT 40 + 2 AS answer,")
        shell.type("'y' AS b;")
        shell.await_("│     42 │ y │")
        shell.await_(" s\r\n")
        shell.type("SELECT nope;")
        shell.await_("Error: Unrecognized name: nope at [1:8]")
        shell.type("\\nope")
        shell.await_("there is no such command")
        shell.type(LONG + ";")
        shell.await_("0:00:0")  # the time that it has taken
        os.write(shell.fd, b"\x03")
        shell.await_("Interrupted")
        os.write(shell.fd, b"SELECT colour FROM ds.thi\t")
        shell.await_("ds.things")
        shell.type(";")
        shell.await_("│ x      │")
        shell.type("\\dialect duckdb")
        shell.await_("local duckdb>")
        shell.close()
        assert "SELECT nope;" in (folder / "data/sql/history").read_text()
