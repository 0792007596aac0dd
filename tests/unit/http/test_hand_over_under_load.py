"""Connections go from process to process while their callers ask without a pause."""

import random
import socket
import threading
from itertools import count, pairwise
from time import monotonic

import pytest

from tests.integration.raw import Raw, chunked
from tests.unit.http.fakes import request
from tests.unit.http.fronts import WITHIN, Place

CALLERS, FRONTS = 16, 21
EACH = 12  # turns that every caller has between two hand-overs


class Caller(threading.Thread):
    """Asks without a pause, in all the ways there are; `asked` has when it did, and which front answered."""

    def __init__(self, url, number):
        super().__init__()
        self.url, self.random, self.anew = url, random.Random(number), number % 4 == 0
        self.asked, self.turns, self.error = [], 0, None
        self.ends = threading.Event()

    def run(self):
        try:
            while not self.ends.is_set():
                self.front = 0  # of the last answer on this connection
                with Raw(self.url) as connection:
                    connection.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    for turn in count():
                        if self.ends.is_set() or (self.anew and turn == 20):
                            break
                        self.turn(connection)
                        self.turns += 1
        except BaseException as error:  # noqa: BLE001 - the test raises it
            self.error = error

    def turn(self, connection):
        chance = self.random.random()
        parts = [self.one() for _ in range(self.random.choice((1, 1, 1, 3, 6)))]
        sent = b"".join(part for part, _ in parts)
        cuts = sorted(self.random.randrange(len(sent)) for _ in range(0 if chance < 0.5 else 2))
        begun = monotonic()
        for start, end in pairwise([0, *cuts, len(sent)]):
            connection.send(sent[start:end])
        for _, wanted in parts:
            status, _, body = connection.answer()
            front, _, got = body.partition(b":")
            assert (status, got.endswith(wanted)) == (200, True), (status, body, wanted)
            assert int(front) >= self.front, "a connection went back"
            self.front = int(front)
            self.asked.append((begun, self.front))

    def one(self):
        mark = b"%d" % self.random.randrange(1 << 40)
        match self.random.randrange(5):
            case 0:
                return chunked(mark[:3], mark[3:], path="/hot"), mark
            case 1:
                return request("/app", b""), b" POST"
            case 2:
                large = mark * self.random.randrange(1, 4000)
                return request("/hot", large), large
            case _:
                return request("/hot", mark), mark


@pytest.fixture
def place():
    place = Place()
    yield place
    place.end()


def test_callers_that_never_pause_notice_nothing_of_twenty_hand_overs(place):
    fronts = place.fork(FRONTS)
    callers = [Caller(place.url, number) for number in range(CALLERS)]
    for caller in callers:
        caller.start()
    try:
        over_at = [hand_over(callers, old, new) for old, new in pairwise(fronts)]
        turn(callers)
    finally:
        for caller in callers:
            caller.ends.set()
        for caller in callers:
            caller.join()
    asked = [one for caller in callers for one in caller.asked]
    assert {front for _, front in asked} == set(range(FRONTS))
    for begun, front in asked:
        assert front == FRONTS - 1 or begun < over_at[front], "an old front began with a request"
    for front in fronts:
        front.until(idle=0, moving=0, closing=0, answering=0)
    sockets = [front.tell("counts")["sockets"] for front in fronts]
    assert sockets == [sockets[0]] * (FRONTS - 1) + [sockets[0] + 1]  # the last one listens


def hand_over(callers, old, new):
    """Let one front follow another; when the other was done."""
    turn(callers)
    new.tell("listen")
    return old.hand_over(new)[0]


def turn(callers):
    """Wait until every caller has had some more answers."""
    wanted = [caller.turns + EACH for caller in callers]
    until = monotonic() + WITHIN
    for caller, turns in zip(callers, wanted, strict=True):
        while caller.turns < turns:
            assert caller.error is None, caller.error
            assert monotonic() < until
            caller.ends.wait(0.002)
