"""The job process: it runs one batch prediction job, beside a server.

It ends with its job, or when the control process does: then the job is left for the next one.
"""

import logging
import os
import socket
import threading
from contextlib import suppress

from trivet.app import logs
from trivet.app.channel import BlockingChannel
from trivet.app.jobs import Attempt, open_place
from trivet.app.messages import RunJob
from trivet.core.errors import Aborted, NotFound, ServingError, Unavailable
from trivet.core.resources import Name
from trivet.serving.replica import FAULTS

log = logging.getLogger("trivet")


def run(control: socket.socket) -> None:
    """Run the job that the control process says; never returns."""
    status = 1
    try:
        channel = BlockingChannel(control)
        asked = channel.receive()
        if isinstance(asked, RunJob):
            _run(channel, asked)
        status = 0
    except FAULTS:
        log.exception("a job process ends")
    finally:  # what a library left to be done at exit may wait for ever
        os._exit(status)


def _run(channel: BlockingChannel, asked: RunJob) -> None:
    logs.configure(asked.settings.log)
    os.nice(asked.settings.batch.nice)
    name = Name.parse(asked.job)
    try:
        place = open_place(asked.settings, asked.data, asked.catalog, asked.store)
        attempt = Attempt(place, name)
    except (NotFound, Unavailable) as error:
        log.error("%s: %s", name.id, error)
        return
    threading.Thread(target=_watch, args=(channel, attempt), daemon=True).start()
    log.info("batch prediction job %s begins", name.id)
    try:
        job = attempt.run()
    except (Aborted, Unavailable) as error:
        log.info("batch prediction job %s: %s", name.id, error)
        return
    counts = job.counts
    told = f"{counts.read} read = {counts.successful} successful + {counts.failed} failed"
    log.info(
        "batch prediction job %s is %s: %s", name.id, job.state, job.failure.message if job.failure else told
    )


def _watch(channel: BlockingChannel, attempt: Attempt) -> None:
    """Leave the job to others when the control process ends."""
    with suppress(OSError):
        while channel.receive() is not None:
            pass
    with suppress(ServingError):
        attempt.leave()
    os._exit(0)
