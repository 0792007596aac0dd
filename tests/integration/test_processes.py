"""The processes of a real server: what happens when one is killed, replaced or told to go."""

import http.client
import json
import os
import random
import re
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from tests.integration.server import MARK, STARTS_WITHIN, Server, serve

PREDICTOR = """
class Predictor:
    example = [1, 2]
    def predict(self, instances):
        return [sum(one) {change} for one in instances]
"""
KILLS = 50


def write(folder: Path, change: str = "") -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "predictor.py").write_text(PREDICTOR.format(change=change))
    return folder


def until(condition: Callable[[], Any]) -> Any:
    """Wait for something to be true, with a bound for hangs; return it."""
    since = time.monotonic()
    while not (found := condition()):
        assert time.monotonic() - since < STARTS_WITHIN, "it never came"
        threading.Event().wait(0.01)
    return found


def said(server: Server, text: str, times: int = 1) -> Callable[[], bool]:
    return lambda: sum(text in line for line in server.lines) >= times


def family(server: Server) -> list[int]:
    """Return the processes of a server but for its supervisor, whoever their parent is by now."""
    mark = f"{MARK}={server.mark}".encode()
    found = []
    for one in Path("/proc").iterdir():
        with suppress(FileNotFoundError, ProcessLookupError, PermissionError):
            if one.name.isdecimal() and mark in (one / "environ").read_bytes().split(b"\0"):
                found.append(int(one.name))
    return sorted(pid for pid in found if pid != server.process.pid)


def named(server: Server, kind: str) -> list[int]:
    """Return those of its processes that are `loader`s (and what these have forked) or `replica`s."""
    found = []
    for pid in family(server):
        with suppress(FileNotFoundError, ProcessLookupError):
            if f"\0{kind}\0" in Path(f"/proc/{pid}/cmdline").read_text():
                found.append(pid)
    return found


class Load:
    """Callers that ask two models all the time and check every answer, on connections they keep."""

    def __init__(self, url: str, callers: int = 6) -> None:
        self.url = urlsplit(url)
        self.answered: Counter[str] = Counter()
        self.failed: list[str] = []
        self.wrong: list[str] = []
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=[number]) for number in range(callers)]

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def answers(self, more: int, within: float = 20) -> float:
        """Wait until each model has answered so many more times; return the seconds that took."""
        since = time.monotonic()
        goal = {model: self.answered[model] + more for model in ("sum", "echo")}
        while any(self.answered[model] < count for model, count in goal.items()):
            assert time.monotonic() - since < within, f"no answers: {self.failed[-3:]}"
            assert not self._over.wait(0.005)
        return time.monotonic() - since

    def _ask(self, number: int) -> None:
        chance = random.Random(number)
        connection = None
        while not self._over.is_set():
            model = chance.choice(("sum", "echo"))
            rows = [[chance.randrange(1000), number] for _ in range(chance.randrange(1, 4))]
            expected = [sum(row) for row in rows] if model == "sum" else rows
            try:
                if connection is None:
                    connection = http.client.HTTPConnection(self.url.hostname, self.url.port, timeout=20)
                connection.request("POST", f"/v1/models/{model}:predict", json.dumps({"instances": rows}))
                response = connection.getresponse()
                content = response.read()
            except (OSError, http.client.HTTPException) as error:
                self.failed.append(f"{type(error).__name__}: {error}")
                if connection is not None:
                    connection.close()
                connection = None
                continue
            if response.status != 200:
                self.failed.append(f"{response.status}: {content[:200]!r}")
            elif json.loads(content)["predictions"] != expected:
                self.wrong.append(f"{model}: {rows}: {content!r}")
            else:
                self.answered[model] += 1
        if connection is not None:
            connection.close()


@pytest.fixture
def models(tmp_path):
    return ["echo=echo:", f"sum={write(tmp_path / 'sum')}"]


def test_any_process_may_be_killed_at_any_time(models):
    """Only requests in flight in it fail: so no more than one for each caller, and none is wrong."""
    chance = random.Random(7)
    with serve(*models, TRIVET_SERVER_WORKERS="2") as server, Load(server.url) as load:
        load.answers(20)
        for _ in range(KILLS):
            failed = len(load.failed)
            victim = chance.choice(family(server))
            with suppress(ProcessLookupError):
                os.kill(victim, signal.SIGKILL)
            load.answers(5)
            until(lambda: len(family(server)) == 5)  # control, a loader, two fronts, a replica
            assert len(load.failed) - failed <= len(load._threads)
        load.answers(50)
        assert load.wrong == []
        refused = [one for one in load.failed if "refused" in one]
        assert refused == []
        assert server.process.poll() is None
        assert server.stop() == 0


def test_a_reload_takes_new_models_and_refuses_nobody(models, tmp_path):
    with serve(*models, TRIVET_SERVER_WORKERS="2") as server, Load(server.url) as load:
        for version in range(3):
            load.answers(20)
            before = set(family(server))
            (tmp_path / "sum" / "signature.json").write_text(json.dumps({"example": [version, 5]}))
            server.process.send_signal(signal.SIGHUP)
            expected = {"instances": [[version, 5]]}
            until(lambda expected=expected: example(server) == expected)
            until(
                lambda before=before: not before & set(family(server))
            )  # the old ones go when they are done
            load.answers(1)
        assert load.failed == []
        assert load.wrong == []


def example(server: Server) -> Any:
    return httpx.get(f"{server.url}/v1/models/sum").json()["example"]


def test_a_reload_that_fails_changes_nothing(models, tmp_path):
    with serve(*models) as server:
        (tmp_path / "sum" / "predictor.py").write_text("raise RuntimeError('broken now')")
        server.process.send_signal(signal.SIGHUP)
        until(said(server, "nothing reloaded"))
        assert any("broken now" in line for line in server.lines)
        assert server.predict("sum", [[1, 2]]).json() == {"predictions": [3]}
        assert server.stop() == 0


@pytest.mark.parametrize("broken", ["echo=nowhere.onnx", "echo=onnx:broken"])
def test_nothing_is_left_of_reloads_that_fail(broken, tmp_path):
    (tmp_path / "broken").write_bytes(b"no model")
    (tmp_path / "trivet.toml").write_text('[models.echo]\nframework = "echo"\n')
    with serve(cwd=tmp_path, TRIVET_SERVER_WORKERS="2") as server:
        before = family(server)
        name, _, path = broken.partition("=")
        framework, _, path = path.rpartition(":")
        framework = f'framework = "{framework}"\n' if framework else ""
        (tmp_path / "trivet.toml").write_text(f'[models.{name}]\npath = "{path}"\n{framework}')
        for times in (1, 2):
            server.process.send_signal(signal.SIGHUP)
            until(said(server, "nothing reloaded", times))
        until(lambda: family(server) == before)
        assert server.predict("echo", [1]).json() == {"predictions": [1]}


def test_what_is_changed_during_a_reload_is_taken_by_another(tmp_path):
    (tmp_path / "trivet.toml").write_text('[models.m]\npath = "m"\n')
    folder = write(tmp_path / "m")
    with serve(cwd=tmp_path) as server:
        (folder / "predictor.py").write_text(
            "from pathlib import Path\nhere = Path(__file__).parent\n(here / 'loading').touch()\n"
            "while not (here / 'go').exists(): pass\n" + PREDICTOR.format(change="+ 1")
        )
        server.process.send_signal(signal.SIGHUP)
        until((folder / "loading").exists)
        (folder / "predictor.py").write_text(PREDICTOR.format(change="+ 2"))
        server.process.send_signal(signal.SIGHUP)
        (folder / "go").touch()
        until(said(server, "reloaded: m@1", 2))
        until(lambda: server.predict("m", [[1, 2]]).json() == {"predictions": [5]})


def test_the_front_that_answers_probes_may_be_killed_like_any_other(tmp_path):
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "predictor.py").write_text(
        "from pathlib import Path\nhere = Path(__file__).parent\n(here / 'loading').touch()\n"
        "while not (here / 'go').exists():\n    pass\n" + PREDICTOR.format(change="")
    )
    with serve(f"m={tmp_path / 'm'}", wait="") as server:
        until((tmp_path / "m" / "loading").exists)
        until(lambda: len(named(server, "loader")) == 2)
        os.kill(named(server, "loader")[1], signal.SIGKILL)
        (tmp_path / "m" / "go").touch()
        server.await_address()
        assert server.predict("m", [[1, 2]]).json() == {"predictions": [3]}


def test_a_front_is_not_kept_by_what_a_predictor_forks(tmp_path):
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "predictor.py").write_text(
        "import os, signal, threading\n"
        "class Predictor:\n    def predict(self, instances):\n"
        "        if instances[0] == 'fork' and os.fork() == 0:\n"
        "            threading.Event().wait(30)\n            os._exit(0)\n"
        "        return [os.getpid() for _ in instances]\n"
    )
    with serve(f"m={tmp_path / 'm'}") as server:
        pid = server.predict("m", ["fork"]).json()["predictions"][0]
        os.kill(pid, signal.SIGKILL)
        answer = server.predict("m", ["ask"]).json()
        assert answer["predictions"][0] != pid
        for left in family(server):
            if left not in named(server, "loader") and left != answer["predictions"][0]:
                os.kill(left, signal.SIGKILL)


def test_a_reload_that_cannot_begin_changes_nothing(models, tmp_path):
    (tmp_path / "scratch").mkdir()
    with serve(*models, TMPDIR=str(tmp_path / "scratch")) as server:
        (used,) = (tmp_path / "scratch").glob("trivet-*")
        used.rename(tmp_path / "moved")
        used.write_text("in the way")
        server.process.send_signal(signal.SIGHUP)
        until(said(server, "nothing reloaded"))
        assert server.predict("echo", [1]).json() == {"predictions": [1]}
        used.unlink()
        (tmp_path / "moved").rename(used)
        assert server.predict("sum", [[1, 2]]).json() == {"predictions": [3]}
        assert server.stop() == 0


def test_a_signal_during_a_reload_lets_requests_in_flight_finish(tmp_path):
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "predictor.py").write_text(
        "import time\nfrom pathlib import Path\nhere = Path(__file__).parent\n"
        "if (here / 'forever').exists():\n    (here / 'loading').touch()\n    while True: pass\n"
        "class Predictor:\n    def predict(self, instances):\n"
        "        (here / 'predicts').touch(); time.sleep(instances[0]); return instances\n"
    )
    with serve(f"m={tmp_path / 'm'}") as server:
        answers = []
        asks = threading.Thread(target=lambda: answers.append(server.predict("m", [2]).json()))
        asks.start()
        until((tmp_path / "m" / "predicts").exists)
        (tmp_path / "m" / "forever").touch()
        server.process.send_signal(signal.SIGHUP)
        until((tmp_path / "m" / "loading").exists)
        assert server.stop() == 0
        asks.join()
        assert answers == [{"predictions": [2]}]
        assert family(server) == []


def test_counts_never_fall_and_are_those_of_all_processes(models):
    def counted(server):
        with httpx.Client(base_url=server.url) as client:
            text = client.get("/metrics").text
        return int(re.search(r'requests_total{code="OK",model="echo",version="1"} (\d+)', text)[1])

    with serve(*models, TRIVET_SERVER_WORKERS="2") as server:
        for asked in range(1, 21):
            with httpx.Client(base_url=server.url) as client:  # each on a connection of its own
                client.post("/v1/models/echo:predict", content=b'{"instances": [1]}')
            assert counted(server) == asked
        _, *fronts = named(server, "loader")
        for front in fronts:
            os.kill(front, signal.SIGKILL)
        until(said(server, "another takes its place", len(fronts)))
        assert counted(server) == 20


def test_nothing_is_left_when_the_supervisor_is_killed(tmp_path):
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "predictor.py").write_text(
        "import time\nclass Predictor:\n    def predict(self, instances):\n"
        "        time.sleep(instances[0]); return instances\n"
    )
    with serve(f"m={tmp_path / 'm'}", TRIVET_SERVER_WORKERS="2") as server:
        answers = []
        asks = threading.Thread(target=lambda: answers.append(server.predict("m", [1])))
        asks.start()
        idle = 'in_flight_requests{model="m",version="1"} 0'
        until(lambda: idle not in httpx.get(f"{server.url}/metrics").text)
        os.kill(server.process.pid, signal.SIGKILL)
        asks.join()
        assert answers[0].json() == {"predictions": [1]}  # what was in flight is still answered
        until(lambda: not family(server))


def test_a_signal_to_all_processes_at_once_ends_them_in_good_order(models):
    with serve(*models, TRIVET_SERVER_WORKERS="2") as server:
        for pid in (*family(server), server.process.pid):  # as a terminal or systemd does
            os.kill(pid, signal.SIGTERM)
        assert server.process.wait(20) == 0
        assert not any("another takes its place" in line for line in server.lines)


def test_a_client_that_was_answered_once_is_answered_from_then_on(tmp_path):
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "predictor.py").write_text(
        "from pathlib import Path\n"
        "while not Path(__file__).with_name('go').exists():\n    pass\n"
        "class Predictor:\n    def predict(self, instances):\n        return instances\n"
    )
    with serve(f"m={tmp_path / 'm'}", wait="", TRIVET_SERVER_WORKERS="2", TRIVET_SERVER_PORT="0") as server:
        port = _port(server.process.pid)
        seen = []
        while len(seen) < 200 or 200 not in seen:
            with suppress(httpx.ConnectError):
                seen.append(httpx.get(f"http://127.0.0.1:{port}/readyz").status_code)
            if len(seen) == 20:
                (tmp_path / "m" / "go").touch()
        assert seen[0] == 503
        assert set(seen[seen.index(200) :]) == {200}


def _port(pid: int) -> int:
    """Return the port on which a process has bound a socket, as soon as it listens."""
    while True:
        inodes = set()
        with suppress(FileNotFoundError):
            for one in Path(f"/proc/{pid}/fd").iterdir():
                with suppress(FileNotFoundError):
                    inodes.add(os.readlink(one).removeprefix("socket:[").removesuffix("]"))
        for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[9] in inodes and fields[3] == "0A":
                return int(fields[1].partition(":")[2], 16)


@pytest.mark.parametrize("where", ["inline", "thread", "process"])
def test_where_a_model_runs_is_the_users_choice_and_changes_no_answer(models, where):
    with serve(*models, f"--placement={where}") as server:
        for model, rows, expected in (("sum", [[1, 2]], [3]), ("echo", [{"a": None}], [{"a": None}])):
            told = server.client.get(f"/v1/models/{model}").json()["placement"]
            assert told == {"where": where, "reason": "set by the user"}
            assert server.predict(model, rows).json() == {"predictions": expected}


def test_replicas_share_the_work(tmp_path):
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "predictor.py").write_text(
        "import os, time\nclass Predictor:\n    def predict(self, instances):\n"
        "        time.sleep(0.1); return [os.getpid() for _ in instances]\n"
    )
    with serve(f"m={tmp_path / 'm'}", "--replicas=3") as server:
        answers = []
        asks = [
            threading.Thread(target=lambda: answers.append(server.predict("m", [0]).json()["predictions"][0]))
            for _ in range(12)
        ]
        for one in asks:
            one.start()
        for one in asks:
            one.join()
        assert len(set(answers)) == 3


def test_a_process_that_ends_while_it_loads_is_named_with_its_model(tmp_path):
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "predictor.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n")
    with serve("echo=echo:", f"m={tmp_path / 'm'}", wait="") as server:
        assert server.process.wait(STARTS_WITHIN) == 1
        assert re.search(r"m@1: .*replica 0 of m@1.*SIGSEGV.*while it loaded m@1", server.told())
