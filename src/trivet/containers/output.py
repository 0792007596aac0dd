"""What an application prints: read as it comes, told line by line, and its last lines kept."""

import os
import re
import threading
from collections import deque
from collections.abc import Callable

KEPT = 200
"""Lines that are kept."""

LONGEST = 4096
"""Bytes after which a line is broken: whoever prints without an end of line fills no memory."""

_UNSEEN = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
"""Colours, movements of a terminal, other ends of lines and directions of writing: what is printed must not
write over what a log says, nor seem to be a line of it."""


class Output:
    """Reads a pipe, from a thread of its own, until nobody can write to it any more; then closes it.

    `says` is called with each line, by that thread. A line is text without its end; bytes that are no UTF-8
    are replaced.
    """

    def __init__(self, pipe: int, says: Callable[[str], None]) -> None:
        self._pipe = pipe
        self._says = says
        self._lines: deque[str] = deque(maxlen=KEPT)
        self._thread = threading.Thread(target=self._read, name="container output", daemon=True)
        self._thread.start()

    def __repr__(self) -> str:
        return f"<Output {len(self._lines)} lines, {'open' if self._thread.is_alive() else 'at its end'}>"

    def tail(self, lines: int) -> list[str]:
        """Return the last lines, the oldest first: at most `lines`, and at most KEPT."""
        return list(self._lines.copy())[-lines:] if lines > 0 else []

    def wait(self, seconds: float) -> None:
        """Wait until all is read that was printed, or for so long."""
        self._thread.join(seconds)

    def _read(self) -> None:
        rest = b""
        with open(self._pipe, "rb", buffering=0) as pipe:
            while data := os.read(pipe.fileno(), 1 << 16):
                *whole, rest = (rest + data).split(b"\n")
                for line in whole:
                    self._keep(line)
                while len(rest) > LONGEST:
                    self._keep(rest[:LONGEST])
                    rest = rest[LONGEST:]
        if rest:
            self._keep(rest)

    def _keep(self, line: bytes) -> None:
        for start in range(0, max(1, len(line)), LONGEST):
            part = line[start : start + LONGEST].rstrip(b"\r")
            # what is before a carriage return is written over: a bar of progress is its last state
            text = _UNSEEN.sub("", part.rpartition(b"\r")[2].decode(errors="replace"))
            self._lines.append(text)
            self._says(text)
