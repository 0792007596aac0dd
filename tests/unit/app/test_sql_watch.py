import os
import signal
import socket
import threading
import time

import pytest

from trivet.app import sql_watch
from trivet.app.sql_watch import Watch


class Listens:
    """A connection whose statement ends when it is interrupted."""

    def __init__(self):
        self.interrupted = threading.Event()
        self.times = 0

    def interrupt(self):
        self.times += 1
        self.interrupted.set()

    def wait(self):
        return self.interrupted.wait(10)


@pytest.fixture
def connection():
    return Listens()


@pytest.fixture
def watch(connection):
    watch = Watch()
    watch.connection = lambda: connection
    yield watch
    watch.close()
    assert (signal.getsignal(signal.SIGINT), signal.set_wakeup_fd(-1)) == (signal.default_int_handler, -1)


@pytest.fixture
def handled():
    """Return what a handler of the user's was told of, as long as the test runs."""
    told = []
    signal.signal(signal.SIGINT, lambda number, _: told.append(number))
    yield told
    signal.signal(signal.SIGINT, signal.default_int_handler)


def press(after=0.05):
    timer = threading.Timer(after, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    return timer


def test_what_runs_is_run_in_the_main_thread(watch):
    assert watch(threading.current_thread) is threading.main_thread()
    before = set(threading.enumerate())
    for _ in range(10):
        assert watch(threading.current_thread) is threading.main_thread()
    assert not set(threading.enumerate()) - before  # the thread that listens is started once


def test_ctrl_c_interrupts_what_runs_and_is_raised_when_that_has_ended(watch, connection):
    ended = []

    def run():
        connection.wait()
        time.sleep(0.05)
        ended.append(connection.times)

    press()
    with pytest.raises(KeyboardInterrupt):
        watch(run)
    assert ended == [1]


def test_it_is_not_for_what_runs_next(watch, connection):
    for _ in range(30):
        with pytest.raises(KeyboardInterrupt):
            watch(lambda: (os.kill(os.getpid(), signal.SIGINT), connection.wait()))
        connection.interrupted.clear()
        connection.times = 0
        assert watch(lambda: connection.interrupted.wait(0.001)) is False
        assert connection.times == 0


def test_an_interrupt_that_came_too_early_is_told_again(watch, connection, monkeypatch):
    monkeypatch.setattr(sql_watch, "_AGAIN", 0.02)

    def run():
        os.kill(os.getpid(), signal.SIGINT)
        connection.wait()
        connection.interrupted.clear()
        return connection.wait()

    with pytest.raises(KeyboardInterrupt):
        watch(run)
    assert connection.times >= 2


def test_what_does_not_listen_has_it_raised_in_it(watch, connection, monkeypatch):
    monkeypatch.setattr(sql_watch, "_AGAIN", 0.05)
    monkeypatch.setattr(sql_watch, "_MOST", 0.2)
    press()
    begun = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        watch(lambda: time.sleep(10))
    assert time.monotonic() - begun < 5


def test_the_second_time_it_is_raised_at_once(watch):
    press()
    press(0.2)
    begun = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        watch(lambda: time.sleep(10))
    assert time.monotonic() - begun < 4


def test_a_handler_of_the_users_is_called_while_a_statement_runs(watch, connection, handled):
    timer = press()
    told = watch(lambda: (timer.join(), connection.interrupted.wait(0.1), list(handled))[1:])
    assert told == (False, [signal.SIGINT])


def test_who_listens_for_signals_in_an_event_loop_hears_them(watch, connection):
    reads, writes = socket.socketpair()
    with reads, writes:
        for one in (reads, writes):
            one.setblocking(False)
        signal.set_wakeup_fd(writes.fileno())
        try:
            press()
            with pytest.raises(KeyboardInterrupt):
                watch(connection.wait)
            assert reads.recv(10) == bytes([signal.SIGINT])
            assert signal.set_wakeup_fd(writes.fileno()) == writes.fileno()
        finally:
            signal.set_wakeup_fd(-1)


def test_in_other_threads_it_runs_where_it_is(watch):
    found = []
    thread = threading.Thread(target=lambda: found.append(watch(threading.current_thread)))
    thread.start()
    thread.join()
    assert found == [thread]


def test_where_ctrl_c_is_ignored_so_it_is(watch, connection):
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        timer = press()
        assert watch(lambda: (timer.join(), connection.interrupted.wait(0.1)))[1] is False
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
