import json
import logging
import sys

from trivet.app.logs import JsonFormatter, TextFormatter


def record(level=logging.WARNING, error=False, **extra):
    try:
        raise ZeroDivisionError("by zero")
    except ZeroDivisionError:
        info = sys.exc_info() if error else None
    made = logging.LogRecord("trivet", level, __file__, 1, "asked %s", ("me",), info)
    vars(made).update(extra)
    return made


def test_a_line_is_one_json_object():
    line = JsonFormatter().format(record(request_id="r-1", status=400, other="dropped"))
    parsed = json.loads(line)
    assert "\n" not in line
    assert parsed.pop("ts").endswith("+00:00")
    assert parsed == {"level": "warning", "msg": "asked me", "request_id": "r-1", "status": 400}


def test_a_traceback_stays_within_its_line():
    line = JsonFormatter().format(record(error=True))
    assert "\n" not in line
    assert "ZeroDivisionError: by zero" in json.loads(line)["exception"]


def test_people_get_text():
    line = TextFormatter().format(record(error=True, request_id="r-1"))
    assert "warning asked me  request_id=r-1\n" in line
    assert line.endswith("ZeroDivisionError: by zero")
