"""`python -m trivet.app.child KIND FD ...`: how the supervisor starts a process that is not forked."""

import gc
import signal
import socket
import sys
from types import FrameType

LEFT_TO_THE_SUPERVISOR = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def main() -> None:
    """Be a loader, or another kind of process with further sockets on which it listens."""
    for number in LEFT_TO_THE_SUPERVISOR:  # a terminal, or a service manager, sends them to all at once
        signal.signal(number, _nothing)  # unlike SIG_IGN, not passed on to what a predictor may start
    kind, *descriptors = sys.argv[1:]
    sockets = [socket.socket(fileno=int(one)) for one in descriptors]
    for one in sockets:
        one.set_inheritable(False)
    if kind == "loader":
        from trivet.app.loader import Loader

        Loader(*sockets).run()
    elif kind == "control":
        from trivet.app import control

        control.run(*sockets)
    elif kind == "gateway":
        from trivet.app import gateway

        gateway.run(*sockets)
    elif kind == "sql":
        from trivet.app import sql_process

        sql_process.run(*sockets)
    elif kind == "job":
        from trivet.app import job

        job.run(*sockets)
    else:
        from trivet.app import replica

        replica.run_alone(*sockets)


def _nothing(number: int, frame: FrameType | None) -> None:
    """Leave a signal to the supervisor."""


def settle() -> None:
    """Keep the garbage collector from ever looking again at what there is now: it stays."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


if __name__ == "__main__":
    main()
