from datetime import UTC, datetime, timedelta

import pytest

from trivet.cli.drawn import ago, bar, console, facts, span, table
from trivet.cli.status import _seconds


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (0.9, "0 s"),
        (59, "59 s"),
        (61, "1 min"),
        (7200, "2 h"),
        (90_000, "1 day"),
        (2e5, "2 days"),
    ],
)
def test_a_span_is_in_the_largest_unit_that_it_fills(seconds, text):
    assert span(seconds) == text


def test_ages_of_times_as_the_api_gives_them():
    stamp = (datetime.now(UTC) - timedelta(hours=3)).isoformat().replace("+00:00", "Z")
    assert ago(stamp) == "3 h ago"
    assert ago(datetime.now(UTC).isoformat()) == "just now"
    assert ago("") == ""


@pytest.mark.parametrize(
    ("share", "full"),
    [(0, 0), (1, 1), (50, 10), (99, 20), (100, 20)],
)
def test_a_share_that_is_not_nothing_shows(share, full):
    assert bar(share).plain == "█" * full + "░" * (20 - full) + f" {share:>3} %"
    assert bar(share, 0).plain == f"{share:>3} %"


def test_what_people_write_is_printed_as_it_is(capsys):
    made = table("model", ">rows")
    made.add_row("[red]a:smile:", "3")
    console().print(made)
    console().print(facts({"labels": "[a]=b", "empty": ""}))
    out = capsys.readouterr().out.splitlines()
    assert [line.split() for line in out] == [["model", "rows"], ["[red]a:smile:", "3"], ["labels", "[a]=b"]]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, ""), (0.0000421, "42 µs"), (0.0123, "12.3 ms"), (1.25, "1.2 s"), (float("inf"), "> 30 s")],
)
def test_latencies_are_short(seconds, text):
    assert _seconds(seconds) == text
