"""Dates and times: the same boundaries, the same types, the same weeks as in GoogleSQL.

Source: https://cloud.google.com/bigquery/docs/reference/standard-sql/date_functions and its siblings.
"""

import re

from sqlglot import exp

from trivet.sql.translate.bounds import within
from trivet.sql.translate.forms import Node, Rules, expect, form, is_text, kind, refused, wrong
from trivet.sql.translate.texts import converted

RULES = Rules()

_STEPS = {
    "MICROSECOND": "to_microseconds(_n)",
    "MILLISECOND": "to_milliseconds(_n)",
    "SECOND": "to_seconds(_n)",
    "MINUTE": "to_minutes(_n)",
    "HOUR": "to_hours(_n)",
    "DAY": "to_days(_n)",
    "WEEK": "to_weeks(_n)",
    "MONTH": "to_months(_n)",
    "QUARTER": "to_months(3 * _n)",
    "YEAR": "to_years(_n)",
}
_SMALL = ("MICROSECOND", "MILLISECOND", "SECOND", "MINUTE", "HOUR")
_OF_DATES = ("DAY", "WEEK", "MONTH", "QUARTER", "YEAR", "ISOYEAR")
_WEEKDAYS = ("MONDAY", "TUESDAY", "WEDNESDAY", "THURSDAY", "FRIDAY", "SATURDAY", "SUNDAY")
_CAST = {"DATE": "DATE", "DATETIME": "TIMESTAMP", "TIMESTAMP": "TIMESTAMPTZ", "TIME": "TIME"}


def unit_of(node: Node, given: Node | None) -> tuple[str, int]:
    """Return a date part and, for weeks, the ISO number of the day on which they begin, else 0."""
    if isinstance(given, exp.WeekStart):
        day = given.name.upper()
        if day not in _WEEKDAYS:
            raise wrong(node, f"A valid date part name is required but found WEEK({day})")
        return "WEEK", _WEEKDAYS.index(day) + 1
    name = given.name.upper().rstrip() if given is not None else "DAY"
    if name == "ISOWEEK":
        return "WEEK", 1
    if name == "WEEK":
        return "WEEK", 7
    return name, 0


def temporal(node: Node, type_: str, name: str, *others: str) -> Node:
    """Return a value as one of these types; a string literal becomes the first of them."""
    if is_text(node) or isinstance(node, (exp.Parameter, exp.Placeholder)):
        return converted(node, type_, _CAST[type_])
    if kind(node) == "STRING":
        raise wrong(node, f"No matching signature for function {name}: expected {type_}, found STRING")
    return expect(node, name, type_, *others)


@RULES(
    exp.DateAdd, exp.DateSub, exp.DatetimeAdd, exp.DatetimeSub,
    exp.TimestampAdd, exp.TimestampSub, exp.TimeAdd, exp.TimeSub,
)  # fmt: skip
def _add(node: Node) -> Node:
    sign = "-" if type(node).__name__.endswith("Sub") else "+"
    base = type(node).__name__[:-3].upper()
    name, type_ = f"{base}_{'SUB' if sign == '-' else 'ADD'}", base
    value = node.this
    if type_ == "DATE" and kind(value) in ("DATETIME", "TIMESTAMP"):
        type_ = str(kind(value))
    unit = node.args["unit"].name.upper()
    if unit not in _STEPS or (type_ == "DATE" and unit in _SMALL) or (type_ == "TIME" and unit not in _SMALL):
        raise wrong(node, f"{name} does not support the {unit} date part")
    if type_ == "TIMESTAMP" and unit not in (*_SMALL, "DAY"):
        raise wrong(node, f"{name} does not support the {unit} date part")
    others = {"DATETIME": ("DATE",), "TIMESTAMP": ()}.get(type_, ())
    value = temporal(value, type_, name, *others)
    step = form(_STEPS[unit], n=_count(node.expression))
    text = f"CAST(_x {sign} _step AS DATE)" if type_ == "DATE" else f"_x {sign} _step"
    return within(form(text, type_, x=value, step=step), type_)


@RULES(exp.DateDiff, exp.DatetimeDiff, exp.TimeDiff)
def _diff(node: Node) -> Node:
    base = type(node).__name__[:-4].upper()
    unit, start = unit_of(node, node.args.get("unit"))
    allowed = {"DATE": _OF_DATES, "TIME": _SMALL, "DATETIME": (*_SMALL, *_OF_DATES)}[base]
    if unit not in allowed:
        raise wrong(node, f"{base}_DIFF does not support the {unit} date part")
    kinds = {"DATE": ("DATETIME", "TIMESTAMP"), "TIME": (), "DATETIME": ("DATE", "TIMESTAMP")}[base]
    end, begin = (temporal(x, base, f"{base}_DIFF", *kinds) for x in (node.this, node.expression))
    if start:
        ends = [week_start(x, start) for x in (begin, end)]
        return form("date_diff('day', _a, _b) // 7", "INT64", a=ends[0], b=ends[1])
    if unit == "ISOYEAR":
        return form("isoyear(_b) - isoyear(_a)", "INT64", a=begin, b=end)
    return form("date_diff(_unit, _a, _b)", "INT64", unit=unit.lower(), a=begin, b=end)


@RULES(exp.TimestampDiff)
def _timestamp_diff(node: Node) -> Node:
    unit = unit_of(node, node.args.get("unit"))[0]
    if unit not in (*_SMALL, "DAY"):
        raise wrong(node, f"TIMESTAMP_DIFF does not support the {unit} date part")
    end, begin = (
        temporal(x, "TIMESTAMP", "TIMESTAMP_DIFF", "DATETIME", "DATE") for x in (node.this, node.expression)
    )
    if {kind(end), kind(begin)} == {"DATETIME"}:
        return form("date_diff(_unit, _a, _b)", "INT64", unit=unit.lower(), a=begin, b=end)
    return form("date_sub(_unit, _a, _b)", "INT64", unit=unit.lower(), a=begin, b=end)


def week_start(value: Node, first: int) -> Node:
    """Return the first day, at midnight, of the week that a value is in; weeks begin on ISO day `first`."""
    if first == 1:
        return form("date_trunc('week', _x)", x=value)
    days = 8 - first
    return form(f"date_trunc('week', _x + to_days({days})) - to_days({days})", x=value)


def truncated(value: Node, unit: str, start: int) -> Node:
    """Return the beginning of a part, as a timestamp."""
    return week_start(value, start) if start else form("date_trunc(_unit, _x)", unit=unit.lower(), x=value)


@RULES(exp.DateTrunc, exp.DatetimeTrunc, exp.TimestampTrunc)
def _trunc(node: Node) -> Node:
    base = type(node).__name__[:-5].upper()
    unit, start = unit_of(node, node.args.get("unit"))
    value, zone = node.this, node.args.get("zone")
    type_ = str(kind(value)) if kind(value) in ("DATE", "DATETIME", "TIMESTAMP") else base
    if unit not in (*_OF_DATES, *_SMALL) or (type_ == "DATE" and unit in _SMALL):
        raise wrong(node, f"{base}_TRUNC does not support the {unit} date part")
    value = temporal(value, type_, f"{base}_TRUNC", *(("DATE",) if type_ == "DATETIME" else ()))
    if type_ == "DATE":
        return within(form("CAST(_x AS DATE)", "DATE", x=truncated(value, unit, start)), "DATE")
    if type_ == "TIMESTAMP" and zone is not None:
        local = form("_x AT TIME ZONE _zone", x=value, zone=zone)
        begin = truncated(local, unit, start)
        return within(form("_x AT TIME ZONE _zone", x=begin, zone=zone.copy()), "TIMESTAMP")
    return within(form(f"CAST(_x AS {_CAST[type_]})", type_, x=truncated(value, unit, start)), type_)


@RULES(exp.TimeTrunc)
def _time_trunc(node: Node) -> Node:
    unit = unit_of(node, node.args.get("unit"))[0]
    if unit not in _SMALL:
        raise wrong(node, f"TIME_TRUNC does not support the {unit} date part")
    value = temporal(node.this, "TIME", "TIME_TRUNC")
    return form("CAST(date_trunc(_unit, DATE '2000-01-01' + _x) AS TIME)", "TIME", unit=unit.lower(), x=value)


_NEXT = {"MONTH": "to_months(1)", "QUARTER": "to_months(3)", "YEAR": "to_years(1)", "WEEK": "to_days(7)"}


@RULES(exp.LastDay)
def _last_day(node: Node) -> Node:
    unit, start = unit_of(node, node.args.get("unit") or exp.var("MONTH"))
    value = temporal(node.this, "DATE", "LAST_DAY", "DATETIME")
    if unit == "ISOYEAR":
        last = form(
            "CAST(date_trunc('isoyear', date_trunc('isoyear', _x) + to_days(380)) - to_days(1) AS DATE)",
            x=value,
        )
        return within(last, "DATE")
    if unit not in _NEXT:
        raise wrong(node, f"LAST_DAY does not support the {unit} date part")
    begin = truncated(value, unit, start)
    return within(form(f"CAST(_x + {_NEXT[unit]} - to_days(1) AS DATE)", x=begin), "DATE")


_PARTS = {
    "DAYOFWEEK": "date_part('dow', _x) + 1",
    "DAYOFYEAR": "date_part('doy', _x)",
    "ISOYEAR": "date_part('isoyear', _x)",
    "MICROSECOND": "date_part('microsecond', _x) % 1000000",
    "MILLISECOND": "date_part('millisecond', _x) % 1000",
    **{part: f"date_part('{part.lower()}', _x)"
       for part in ("YEAR", "QUARTER", "MONTH", "DAY", "HOUR", "MINUTE", "SECOND")},
}  # fmt: skip


@RULES(exp.Extract)
def _extract(node: Node) -> Node:
    unit, start = unit_of(node, node.this)
    value = node.expression
    if isinstance(value, exp.AtTimeZone):
        value = at_zone(value.this, value.args["zone"])
    if unit in ("DATE", "TIME", "DATETIME"):
        return within(form(f"CAST(_x AS {_CAST[unit]})", unit, x=value), unit)
    if node.this.name.upper() == "ISOWEEK":
        return form("date_part('week', _x)", "INT64", x=value)
    if start:
        return form(
            f"(date_part('doy', _x) + 6 - (date_part('isodow', _x) + {7 - start}) % 7) // 7", "INT64", x=value
        )
    if unit not in _PARTS:
        raise refused(node, name=f"EXTRACT({unit} ..)")
    return form(_PARTS[unit], "INT64", x=value)


def at_zone(value: Node, zone: Node) -> Node:
    """Return the wall clock of a TIMESTAMP in a zone, as a DATETIME, which may be out of range."""
    return form("CAST(_x AS TIMESTAMPTZ) AT TIME ZONE _zone", "DATETIME", x=value, zone=zone)


@RULES(exp.GenerateDateArray, exp.GenerateTimestampArray)
def _series(node: Node) -> Node:
    date = isinstance(node, exp.GenerateDateArray)
    type_ = "DATE" if date else "TIMESTAMP"
    begin, end = (temporal(node.args[key], type_, f"GENERATE_{type_}_ARRAY") for key in ("start", "end"))
    step = node.args.get("step") or exp.Interval(this=exp.Literal.string("1"), unit=exp.var("DAY"))
    if not isinstance(step, exp.Interval):
        raise refused(node, "the step must be written as INTERVAL n part")
    months = {"MONTH": 1, "QUARTER": 3, "YEAR": 12}.get(step.args["unit"].name.upper())
    if date and months is not None:
        return _months(node, begin, end, step.this, months)
    if date:
        text = "CAST(generate_series(CAST(_begin AS TIMESTAMP), CAST(_end AS TIMESTAMP), _step) AS DATE[])"
    else:
        text = "generate_series(_begin, _end, _step)"
    return form(text, "ARRAY", begin=begin, end=end, step=step)


def _months(node: Node, begin: Node, end: Node, count: Node, months: int) -> Node:
    """Every date is so many months after the first: 31 January, 29 February, 31 March."""
    step = int(count.name) * months if is_text(count) and re.fullmatch(r"-?[1-9]\d*", count.name) else 0
    if not step:
        raise refused(node, "the step must be a literal other than 0", "GENERATE_DATE_ARRAY")
    return form(
        f"list_filter(list_transform(range(0, greatest(date_diff('month', _begin, _end) // {step} + 2, 0)), "
        f"lambda e_: CAST(_begin + to_months(e_ * {step}) AS DATE)), "
        f"lambda e_: e_ {'<=' if step > 0 else '>='} _end)",
        "ARRAY", begin=begin, end=end,
    )  # fmt: skip


@RULES(exp.Interval)
def _interval(node: Node) -> Node | None:
    unit = node.args.get("unit")
    if isinstance(unit, exp.IntervalSpan):
        raise refused(node, "write it as a sum of intervals of one part", "INTERVAL .. TO ..")
    if unit is None or unit.name.upper() not in _STEPS:
        raise refused(node, name="INTERVAL")
    parent = node.parent
    if isinstance(parent, (exp.GenerateDateArray, exp.GenerateTimestampArray)) or is_text(node.this):
        return None
    return form(_STEPS[unit.name.upper()], "INTERVAL", n=node.this)


def _count(node: Node) -> Node:
    """Return the number of `INTERVAL 5 DAY`, which sqlglot has as a string."""
    if not is_text(node):
        return node
    return exp.Literal.number(node.name) if node.name.isdigit() else form("CAST(_x AS BIGINT)", x=node)


@RULES(exp.MakeInterval)
def _make_interval(node: Node) -> Node:
    steps = {
        "year": "YEAR",
        "month": "MONTH",
        "day": "DAY",
        "hour": "HOUR",
        "minute": "MINUTE",
        "second": "SECOND",
    }
    total = form("INTERVAL '0' DAY", "INTERVAL")
    for key, unit in steps.items():
        given = node.args.get(key)
        if given is not None:
            given = given.expression if isinstance(given, exp.Kwarg) else given
            total = form("_a + _b", "INTERVAL", a=total, b=form(_STEPS[unit], n=given))
    return total


@RULES(exp.AtTimeZone)
def _at_time_zone(node: Node) -> Node | None:
    if isinstance(node.parent, exp.Extract):
        return None
    raise refused(node, "use DATETIME(ts, zone) or EXTRACT(.. AT TIME ZONE zone)", "AT TIME ZONE")
