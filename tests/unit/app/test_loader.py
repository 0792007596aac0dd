"""The loader and the signals of its children, in a process of its own."""

import subprocess
import sys
import textwrap

START = """
import os, signal, socket, time
from trivet.app.channel import BlockingChannel
from trivet.app.loader import Loader
from trivet.app.messages import Loading

own, other = socket.socketpair()
loader, heard = Loader(own), BlockingChannel(other)
signal.signal(signal.SIGCHLD, loader._reap)
send = loader._channel.send

def fork():
    child = os.fork()
    if not child:
        os._exit(3)
    loader._children.add(child)
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
    return child
"""


def ran(code: str) -> str:
    """Run code after the start above; returns what it prints."""
    done = subprocess.run(
        [sys.executable, "-c", START + textwrap.dedent(code)],
        check=False,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_child_that_ends_while_another_is_told_of_is_told_of_next():
    told = ran("""
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
        children = [fork(), fork()]

        def interrupted(message):
            os.kill(os.getpid(), signal.SIGCHLD)
            send(message)

        loader._channel.send = interrupted
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
        ended = [heard.receive(), heard.receive()]
        assert sorted(one.pid for one in ended) == sorted(children)
        assert {os.waitstatus_to_exitcode(one.status) for one in ended} == {3}
        print(loader._children)
    """)
    assert told == "set()\n"


def test_a_child_that_ends_while_something_is_told_waits_for_its_end():
    told = ran("""
        def slow(message):
            loader._channel.send = send
            child = fork()
            assert child in loader._children
            send(message)

        loader._channel.send = slow
        loader._tell(Loading("1", "m@1"))
        print(type(heard.receive()).__name__, type(heard.receive()).__name__)
    """)
    assert told == "Loading Exited\n"
