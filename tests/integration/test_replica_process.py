"""A replica process that ends in the middle of a prediction, in a real server."""

import os
import signal
import threading
import time
from contextlib import suppress
from datetime import datetime
from itertools import pairwise
from pathlib import Path

import httpx
import pytest

from tests.integration.processes import family
from tests.integration.server import serve
from trivet.serving.backoff import pause

PREDICTOR = """
import os, time
from pathlib import Path

class Predictor:
    {attribute}
    def predict(self, instances):
        for one in instances:
            if one == "wait":
                with open({pids!r}, "a") as file:
                    print(os.getpid(), file=file)
                while not Path({go!r}).exists():
                    time.sleep(0.01)
            if one == "die":
                with open({pids!r}, "a") as file:
                    print(os.getpid(), file=file)
                os.kill(os.getpid(), 9)
        return instances
"""


def write(folder, attribute="pass"):
    """Return a model that notes its process, and waits for a file or ends the process when asked to."""
    folder.mkdir()
    pids, go = folder / "pids", folder / "go"
    (folder / "predictor.py").write_text(
        PREDICTOR.format(attribute=attribute, pids=str(pids), go=str(go)).lstrip()
    )
    return pids, go


def seen(pids, count):
    """Wait until so many predictions have begun; return the processes they began in."""
    while not pids.exists() or len(found := pids.read_text().split("\n")[:-1]) < count:
        pass
    return [int(one) for one in found]


def killed(server, pids):
    """Ask, and kill the replica that predicts; return who asks, with what will be the answer."""
    answers = []
    asks = threading.Thread(target=lambda: answers.append(server.predict("m", ["wait"])))
    asks.start()
    (pid,) = seen(pids, 1)
    assert pid in family(server.process.pid)
    os.kill(pid, signal.SIGKILL)
    return asks, answers


def test_the_replacement_of_a_process_that_was_killed_answers_in_its_place(tmp_path):
    pids, go = write(tmp_path / "m")
    with serve(f"m={tmp_path / 'm'}") as server:
        asks, answers = killed(server, pids)
        first, second = seen(pids, 2)
        assert first != second
        go.touch()
        asks.join()
    assert answers[0].json() == {"predictions": ["wait"]}


def test_what_must_not_be_predicted_twice_is_not(tmp_path):
    pids, go = write(tmp_path / "m", "idempotent = False")
    with serve(f"m={tmp_path / 'm'}") as server:
        asks, answers = killed(server, pids)
        asks.join()
        assert answers[0].status_code == 503
        error = answers[0].json()["error"]
        assert error["status"] == "UNAVAILABLE"
        assert "the replica process ended before it answered" in error["message"]
        go.touch()
        assert server.predict("m", ["x"]).json() == {"predictions": ["x"]}
    assert len(seen(pids, 1)) == 1


def test_a_request_that_kills_its_process_harms_nobody_else(tmp_path):
    pids, _ = write(tmp_path / "m")
    write(tmp_path / "other")
    with serve(f"m={tmp_path / 'm'}", f"other={tmp_path / 'other'}", "echo=echo:") as server:
        others = {pid for pid in family(server.process.pid) if pid != server.process.pid}
        for attempt in (1, 2, 3):
            dead = server.predict("m", ["die"])
            assert dead.status_code == 503
            assert "the replica process ended before it answered" in dead.json()["error"]["message"]
            assert len(seen(pids, 2 * attempt)) == 2 * attempt, "two processes for each, and no more"
            assert server.predict("other", [1]).json() == {"predictions": [1]}
            assert server.predict("echo", [1]).json() == {"predictions": [1]}
        assert server.predict("m", ["x"]).json() == {"predictions": ["x"]}
        now = set(family(server.process.pid))
        assert others - now == {seen(pids, 6)[0]}, "no other process has ended"
        assert server.stop() == 0
        deaths = [line for line in server.log() if "was ended by SIGKILL" in line["msg"]]
    assert [line["msg"].split(" (")[0] for line in deaths] == ["replica 0 of m@1"] * 6
    times = [datetime.fromisoformat(line["ts"]).timestamp() for line in deaths]
    for failures, (one, following) in enumerate(pairwise(times), start=1):
        assert following - one >= pause(failures) - 0.05, "the more failures, the longer the pause"


@pytest.mark.parametrize("doing", ["predicts", "loads"])
def test_code_that_hangs_does_not_outlive_a_supervisor_that_was_killed(tmp_path, doing):
    pids, _ = write(tmp_path / "m")
    if doing == "loads":
        code = f"print(os.getpid(), file=open({str(pids)!r}, 'a'), flush=True)\nwhile True: time.sleep(1)\n"
        (tmp_path / "m/predictor.py").write_text(
            f"import os, time\n{code}class Predictor:\n def predict(self, x): ..."
        )
    wait = "ready" if doing == "predicts" else ""
    with serve(f"m={tmp_path / 'm'}", wait=wait, TRIVET_SERVER_DRAIN_TIMEOUT="1") as server:
        if doing == "predicts":
            asks = threading.Thread(target=ask_in_vain, args=(server,))
            asks.start()
        (pid,) = seen(pids, 1)
        server.process.kill()
        killed_at = time.monotonic()
        while running(pid):
            assert time.monotonic() - killed_at < 30
        if doing == "predicts":
            asks.join()


def ask_in_vain(server):
    with suppress(httpx.HTTPError):
        server.predict("m", ["wait"])


def running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
