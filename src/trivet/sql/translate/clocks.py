"""Dates and times out of their parts, their strings and numbers, and the present one."""

from sqlglot import exp

from trivet.sql.translate.bounds import within
from trivet.sql.translate.formats import parsed_time, written_time
from trivet.sql.translate.forms import Node, Rules, form, kind, refused
from trivet.sql.translate.texts import converted
from trivet.sql.translate.times import at_zone, temporal

RULES = Rules()


@RULES(exp.CurrentDate)
def _today(node: Node) -> Node:
    return form("CAST(now() AT TIME ZONE _zone AS DATE)", "DATE", zone=node.this or "UTC")


@RULES(exp.CurrentDatetime)
def _now_here(node: Node) -> Node:
    return form("now() AT TIME ZONE _zone", "DATETIME", zone=node.this or "UTC")


@RULES(exp.CurrentTime)
def _clock(node: Node) -> Node:
    return form("CAST(now() AT TIME ZONE _zone AS TIME)", "TIME", zone=node.this or "UTC")


@RULES(exp.CurrentTimestamp)
def _now(_node: Node) -> Node:
    return form("now()", "TIMESTAMP")


@RULES(exp.Date, exp.TsOrDsToDate)
def _date(node: Node) -> Node:
    zone = node.args.get("zone")
    if zone is not None:
        return within(form("CAST(_x AS DATE)", "DATE", x=at_zone(node.this, zone)), "DATE")
    value = node.this
    if kind(value) == "STRING":
        value = converted(value, "DATETIME", "TIMESTAMP")
    return form("CAST(_x AS DATE)", "DATE", x=value)


@RULES(exp.DateFromParts)
def _date_of(node: Node) -> Node:
    parts = {key: node.args[key] for key in ("year", "month", "day")}
    return within(form("make_date(_year, _month, _day)", **parts), "DATE")


@RULES(exp.TimestampFromParts)
def _datetime_of(node: Node) -> Node:
    keys = ("year", "month", "day", "hour", "min", "sec")
    if any(node.args.get(key) is None for key in keys):
        raise refused(node, "takes 1, 2 or 6 arguments", "DATETIME")
    parts = {key: node.args[key] for key in keys}
    return within(form("make_timestamp(_year, _month, _day, _hour, _min, _sec)", **parts), "DATETIME")


@RULES(exp.Datetime)
def _datetime(node: Node) -> Node:
    value, other = node.this, node.expression
    if kind(other) == "STRING":
        return within(at_zone(value, other), "DATETIME")
    if kind(other) == "TIME" or kind(value) == "DATE":
        return form("CAST(_x AS DATE) + CAST(_y AS TIME)", "DATETIME", x=value, y=other)
    raise refused(node, "the type of the second argument is not known here; CAST it to STRING or TIME")


@RULES(exp.TsOrDsToDatetime)
def _to_datetime(node: Node) -> Node:
    return converted(node.this, "DATETIME", "TIMESTAMP")


@RULES(exp.Timestamp)
def _timestamp(node: Node) -> Node:
    zone = node.args.get("zone")
    if zone is not None:
        return _zoned(converted(node.this, "DATETIME", "TIMESTAMP"), zone)
    return converted(node.this, "TIMESTAMP", "TIMESTAMPTZ")


def _zoned(value: Node, zone: Node | str) -> Node:
    """Return the TIMESTAMP of a wall clock in a zone."""
    return within(form("CAST(_x AS TIMESTAMP) AT TIME ZONE _zone", x=value, zone=zone), "TIMESTAMP")


@RULES(exp.TsOrDsToTimestamp)
def _to_timestamp(node: Node) -> Node:
    return converted(node.this, "TIMESTAMP", "TIMESTAMPTZ")


@RULES(exp.TsOrDsToTime)
def _to_time(node: Node) -> Node:
    return converted(node.this, "TIME", "TIME")


@RULES(exp.Time)
def _time(node: Node) -> Node:
    return form("CAST(_x AS TIME)", "TIME", x=at_zone(node.this, node.args["zone"]))


@RULES(exp.TimeFromParts)
def _time_of(node: Node) -> Node:
    parts = {key: node.args[key] for key in ("hour", "min", "sec")}
    return form("make_time(_hour, _min, _sec)", "TIME", **parts)


@RULES(exp.UnixSeconds, exp.UnixMillis, exp.UnixMicros)
def _unix(node: Node) -> Node:
    value = temporal(node.this, "TIMESTAMP", name_of_unix(node))
    size = {exp.UnixSeconds: 1_000_000, exp.UnixMillis: 1_000, exp.UnixMicros: 1}[type(node)]
    if size == 1:
        return form("epoch_us(_x)", "INT64", x=value)
    return form(f"(epoch_us(_x) - ((epoch_us(_x) % {size}) + {size}) % {size}) // {size}", "INT64", x=value)


def name_of_unix(node: Node) -> str:
    """Return `UNIX_SECONDS` and its like."""
    return f"UNIX_{type(node).__name__[4:].upper()}"


@RULES(exp.UnixDate)
def _unix_date(node: Node) -> Node:
    value = temporal(node.this, "DATE", "UNIX_DATE")
    return form("date_diff('day', DATE '1970-01-01', _x)", "INT64", x=value)


@RULES(exp.DateFromUnixDate)
def _of_unix_date(node: Node) -> Node:
    return within(form("DATE '1970-01-01' + CAST(_n AS INTEGER)", n=node.this), "DATE")


@RULES(exp.UnixToTime)
def _of_unix(node: Node) -> Node:
    scale = node.args.get("scale")
    size = 10 ** (6 - int(scale.name if scale is not None else 0))
    return within(form(f"make_timestamptz({size} * CAST(_n AS BIGINT))", n=node.this), "TIMESTAMP")


@RULES(exp.TimeToStr)
def _written(node: Node) -> Node:
    value, zone = node.this, node.args.get("zone")
    if zone is not None:
        value = at_zone(value, zone)
    return written_time(node, value, zone)


@RULES(exp.StrToDate)
def _parse_date(node: Node) -> Node:
    _no_format(node)
    return within(form("CAST(_x AS DATE)", x=parsed_time(node, "PARSE_DATE")), "DATE")


@RULES(exp.ParseDatetime)
def _parse_datetime(node: Node) -> Node:
    return within(form("CAST(_x AS TIMESTAMP)", x=parsed_time(node, "PARSE_DATETIME")), "DATETIME")


@RULES(exp.ParseTime)
def _parse_time(node: Node) -> Node:
    return form("CAST(_x AS TIME)", "TIME", x=parsed_time(node, "PARSE_TIME"))


@RULES(exp.StrToTime)
def _parse_timestamp(node: Node) -> Node:
    _no_format(node)
    zone = node.args.get("zone")
    value = parsed_time(node, "PARSE_TIMESTAMP")
    if "%z" in node.args["format"].name or "%Z" in node.args["format"].name:
        return within(form("CAST(_x AS TIMESTAMPTZ)", x=value), "TIMESTAMP")
    return _zoned(value, zone or "UTC")


def _no_format(node: Node) -> None:
    if node.args.get("default_year") is None:  # which the functions have, and CAST has not
        raise refused(node, "use PARSE_DATE, PARSE_DATETIME, PARSE_TIME or PARSE_TIMESTAMP", "CAST .. FORMAT")
