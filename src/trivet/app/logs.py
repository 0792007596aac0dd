"""Log lines: one JSON object each for machines, one short line each for people."""

import logging
import sys
from datetime import UTC, datetime

import msgspec

from trivet.settings import Log

FIELDS = ("request_id", "method", "path", "status", "code", "duration_ms")
_encode = msgspec.json.Encoder().encode


class JsonFormatter(logging.Formatter):
    """`ts`, `level`, `msg`, whatever of FIELDS the record has, and a traceback as `exception`."""

    def format(self, record: logging.LogRecord) -> str:
        """Return one line."""
        line = {
            "ts": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "msg": record.getMessage(),
        }
        line |= {name: getattr(record, name) for name in FIELDS if hasattr(record, name)}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return _encode(line).decode()


class TextFormatter(logging.Formatter):
    """`12:03:22 warning  message  request_id=...`."""

    def format(self, record: logging.LogRecord) -> str:
        """Return one line, and the traceback below it."""
        time = datetime.fromtimestamp(record.created).astimezone().strftime("%H:%M:%S")
        given = [f"{name}={getattr(record, name)}" for name in FIELDS if hasattr(record, name)]
        line = "  ".join([f"{time} {record.levelname.lower():<7} {record.getMessage()}", *given])
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def configure(settings: Log) -> None:
    """Send Trivet's messages, and warnings, to standard error in the form asked for."""
    text = settings.format == "text" or (settings.format == "auto" and sys.stderr.isatty())
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(TextFormatter() if text else JsonFormatter())
    logging.captureWarnings(True)
    for name, level in (
        ("trivet", settings.level),
        ("py.warnings", "warning"),
    ):
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.setLevel(level.upper())
        logger.propagate = False
