"""Ask a server before it is loaded: how long until it answers, and are its answers right."""

import http.client
import time
from concurrent.futures import ThreadPoolExecutor

from contestants import Contestant
from models import Model, Rows
from processes import Server

CALLERS = 16
IN_A_ROW = 20
PATIENCE = 120.0  # seconds


class Failed(Exception):
    """A server did not start, or gave a wrong answer."""


def ask(contestant: Contestant, port: int, rows: Rows, seconds: float = 10) -> list[int]:
    """Send rows and return the labels; raises Failed for any other answer than 200."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=seconds)
    try:
        path = contestant.path.format(rows=len(rows))
        headers = {"Content-Type": "application/json"}
        connection.request("POST", path, contestant.wire.body(rows), headers)
        response = connection.getresponse()
        body = response.read()
    finally:
        connection.close()
    if response.status != 200:
        raise Failed(f"{response.status} {body[:200].decode(errors='replace')}")
    return contestant.wire.answer(body)


def cold_start(contestant: Contestant, server: Server, port: int, model: Model, rows: Rows) -> float:
    """Wait for the first right answer; returns the seconds since the process was started.

    Servers that listen before they can predict refuse at first; that counts as not started yet.
    """
    wanted, last = model.predict(rows[:1]), "nothing listens"
    while time.perf_counter() - server.started < PATIENCE:
        if reason := server.ended:
            raise Failed(reason)
        try:
            if ask(contestant, port, rows[:1]) == wanted:
                return time.perf_counter() - server.started
            last = "a wrong answer"
        except (OSError, http.client.HTTPException, Failed, ValueError, LookupError) as error:
            last = f"{type(error).__name__}: {error}"
        time.sleep(0.005)
    raise Failed(f"no right answer in {PATIENCE} s; the last was {last}")


def steady(contestant: Contestant, server: Server, port: int, model: Model, rows: Rows) -> None:
    """Wait until many answers in a row, each to a new connection, are right.

    A server with several processes on one port may have some ready before the others.
    """
    wanted, in_a_row = model.predict(rows[:1]), 0
    until = time.perf_counter() + PATIENCE
    while in_a_row < IN_A_ROW:
        if reason := server.ended:
            raise Failed(reason)
        if time.perf_counter() > until:
            raise Failed(f"its answers were not steady after {PATIENCE} s")
        try:
            in_a_row = in_a_row + 1 if ask(contestant, port, rows[:1]) == wanted else 0
        except (OSError, http.client.HTTPException, Failed, ValueError, LookupError):
            in_a_row = 0


def right(contestant: Contestant, port: int, model: Model, rows: Rows) -> None:
    """Compare the answer with the library's; raises Failed."""
    try:
        got = ask(contestant, port, rows)
    except (OSError, http.client.HTTPException, ValueError, LookupError) as error:
        raise Failed(f"{type(error).__name__}: {error}") from error
    wanted = model.predict(rows)
    if got != wanted:
        raise Failed(f"answered {got[:8]} where {model.name} gives {wanted[:8]} for {len(rows)} rows")


def right_in_a_crowd(contestant: Contestant, port: int, model: Model, rows: Rows) -> None:
    """Compare the answers to many callers at once, each with other rows; raises Failed.

    A server that joins requests must give each caller its own answers back.
    """
    parts = [rows[start : start + 3] for start in range(0, 8 * CALLERS, 3)]
    with ThreadPoolExecutor(CALLERS) as callers:
        list(callers.map(lambda part: right(contestant, port, model, part), parts))
