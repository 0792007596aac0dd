import contextlib
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trivet.core.errors import InvalidArgument
from trivet.core.filters import And, Comparison, Not, Or, Order, parse_filter, parse_order

FIELDS = {"display_name": "text", "id": "text", "labels": "labels", "create_time": "time", "done": "flag"}
A, B, C = (Comparison("id", "=", value) for value in "abc")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", And()),
        ("  ", And()),
        ('display_name="x"', Comparison("display_name", "=", "x")),
        ("displayName=x", Comparison("display_name", "=", "x")),
        ("  display_name  !=  'x y'  ", Comparison("display_name", "!=", "x y")),
        (r'display_name="a\"b\\c"', Comparison("display_name", "=", 'a"b\\c')),
        ("id=projects/p/models/5@3", Comparison("id", "=", "projects/p/models/5@3")),
        ("id=-5.2:x", Comparison("id", "=", "-5.2:x")),
        ('id:"a*"', Comparison("id", ":", "a*")),
        ("id<=b", Comparison("id", "<=", "b")),
        ("labels.team=a", Comparison("labels", "=", "a", "team")),
        ('labels.k:"v"', Comparison("labels", ":", "v", "k")),
        ("labels.team:*", Comparison("labels", ":", "*", "team")),
        ("labels:team", Comparison("labels", ":", "*", "team")),
        ('labels."a.b/c"=d', Comparison("labels", "=", "d", "a.b/c")),
        ("labels.größe-2_x=ä", Comparison("labels", "=", "ä", "größe-2_x")),
        ("done=true", Comparison("done", "=", True)),
        ("done!=false", Comparison("done", "!=", False)),
        ("id=a AND id=b", And((A, B))),
        ("id=a id=b", And((A, B))),
        ("id=a OR id=b OR id=c", Or((A, B, C))),
        ("NOT id=a", Not(A)),
        ("-id=a", Not(A)),
        ("id=a -id=b", And((A, Not(B)))),
        ("NOT(id=a)", Not(A)),
        ("NOT NOT id=a", Not(Not(A))),
        ("id=a AND id=b OR id=c", And((A, Or((B, C))))),  # as AIP-160 has it
        ("(id=a AND id=b) OR id=c", Or((And((A, B)), C))),
        ("NOT id=a OR id=b", Or((Not(A), B))),
        ("id=AND AND id=OR", And((Comparison("id", "=", "AND"), Comparison("id", "=", "OR")))),
    ],
)
def test_a_filter_is_read(text, expected):
    assert parse_filter(text, FIELDS) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2024-05-06T07:08:09Z", datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC)),
        ("2024-05-06T07:08:09.000001234Z", datetime(2024, 5, 6, 7, 8, 9, 1, tzinfo=UTC)),
        ('"2024-05-06T07:08:09+02:00"', datetime(2024, 5, 6, 5, 8, 9, tzinfo=UTC)),
        ("2024-05-06", datetime(2024, 5, 6, tzinfo=UTC)),
    ],
)
def test_a_time_without_a_zone_is_utc(text, expected):
    assert parse_filter(f"createTime>{text}", FIELDS) == Comparison("create_time", ">", expected)


@pytest.mark.parametrize(
    ("text", "position", "message"),
    [
        (
            "displayNme=x",
            1,
            "unknown field 'displayNme'; known are create_time, display_name, done, id, labels",
        ),
        ("id=a and id=b", 6, "unknown field 'and'; did you mean AND?"),
        ("id=a AND", 9, "expected a field"),
        ("id=a OR OR id=b", 9, "expected a field"),
        ("NOT", 4, "expected a field"),
        ("(id=a", 6, "expected ), AND or OR"),
        ("id=a)", 5, "expected AND, OR, a comparison or the end"),
        ("id", 3, "expected one of = != < <= > >= : after id"),
        ("id=", 4, "expected a value for id"),
        ('id="a', 4, "this quote is not closed"),
        ("id=a,b", 5, "expected a field"),
        ("labels=a", 7, "expected a key first: labels.KEY="),
        ("labels.=a", 8, "expected a key of labels"),
        ("labels.k<a", 9, "expected one of = != : after labels"),
        ('labels."a\\"b"=c', 8, "a key of labels has no quotes"),
        ("create_time=soon", 13, "expected a time like 2026-01-31T08:30:00Z"),
        ("create_time:2024", 12, "expected one of"),
        ("done=1", 6, "expected true or false"),
        ("id=a\0", 5, "no such character"),
        ("id=\ud800", 4, "no such character"),
        ("(" * 51 + "id=a", 51, "nested more than 50 deep"),
        (" ".join(["id=a"] * 101), 501, "more than 100 comparisons"),
    ],
)
def test_an_error_names_the_position_and_what_was_expected(text, position, message):
    with pytest.raises(InvalidArgument) as error:
        parse_filter(text, FIELDS)
    assert str(error.value).startswith(f"filter, position {position}, at ")
    assert message in str(error.value)


def test_a_filter_has_a_length():
    with pytest.raises(InvalidArgument, match="at most 10000"):
        parse_filter("id=" + "a" * 10_000, FIELDS)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ()),
        ("id", (Order("id"),)),
        ("createTime desc", (Order("create_time", descending=True),)),
        (
            " create_time  desc ,display_name asc",
            (Order("create_time", descending=True), Order("display_name")),
        ),
    ],
)
def test_an_order_is_read(text, expected):
    assert parse_order(text, FIELDS) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id,", "position 4, at its end: expected a field after the comma"),
        ("id id", "position 4, at 'id': expected asc, desc, a comma or the end"),
        ("id descending", "position 4, at 'descending': expected asc"),
        ("id, id", "position 5, at 'id': id is there twice"),
        (", id", "position 1, at ', id': expected a field, one of create_time, display_name, done, id"),
        ("labels", "position 1, at 'labels': unknown field"),
    ],
)
def test_an_order_that_is_none_is_refused(text, message):
    with pytest.raises(InvalidArgument) as error:
        parse_order(text, FIELDS)
    assert message in str(error.value)


def written(one):
    """Write an expression, with more parentheses than are needed."""
    match one:
        case And(parts):
            return " AND ".join(f"({written(part)})" for part in parts)
        case Or(parts):
            return " OR ".join(f"({written(part)})" for part in parts)
        case Not(part):
            return f"NOT ({written(part)})"
    value = one.value
    if isinstance(value, bool):
        value = str(value).lower()
    elif isinstance(value, datetime):
        value = value.isoformat()
    value = str(value).replace("\\", "\\\\").replace('"', '\\"')
    key = f'."{one.key}"' if one.key else ""
    return f'{one.field}{key} {one.op} "{value}"'


texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
zones = st.integers(-12, 12).map(lambda hours: timezone(timedelta(hours=hours)))
comparisons = st.one_of(
    st.builds(Comparison, st.just("id"), st.sampled_from(["=", "!=", "<", "<=", ">", ">=", ":"]), texts),
    st.builds(Comparison, st.just("labels"), st.sampled_from(["=", "!=", ":"]), texts, st.just("a.b c")),
    st.builds(
        Comparison, st.just("create_time"), st.sampled_from(["=", "<", ">"]), st.datetimes(timezones=zones)
    ),
    st.builds(Comparison, st.just("done"), st.sampled_from(["=", "!="]), st.booleans()),
)
expressions = st.recursive(
    comparisons,
    lambda parts: st.one_of(
        st.builds(Not, parts),
        st.builds(And, st.lists(parts, min_size=2, max_size=3).map(tuple)),
        st.builds(Or, st.lists(parts, min_size=2, max_size=3).map(tuple)),
    ),
    max_leaves=8,
)


@given(expressions)
def test_what_is_written_is_read(expression):
    assert parse_filter(written(expression), FIELDS) == expression


WORDS = ["id", "labels", ".", "=", ":", "-", "(", ")", '"', "'", "\\", " ", "AND", "OR", "x"]


@given(st.lists(st.sampled_from(WORDS)).map("".join))
def test_any_text_is_read_or_refused(text):
    with contextlib.suppress(InvalidArgument):
        parse_filter(text, FIELDS)
