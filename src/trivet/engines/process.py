"""A process that does shards, and the socket to it. Whoever starts one needs to have imported nothing yet."""

import socket
import subprocess
import sys


class Process:
    """A process of this machine, which waits for what it is told."""

    def __init__(self) -> None:
        self.socket, its = socket.socketpair()
        with its:
            self.popen = subprocess.Popen(
                [sys.executable, "-P", "-m", "trivet.engines.worker", str(its.fileno())],
                pass_fds=[its.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=2,  # what a model prints is none of the command's output
            )
        self.socket.setblocking(True)

    def __repr__(self) -> str:
        return f"<Process {self.popen.pid}>"

    def kill(self) -> None:
        """End it at once."""
        self.popen.kill()
        self.popen.wait()
