"""A real server that is asked for three times what it can answer."""

import asyncio
import json
from collections import Counter

import pytest
from benchmarks.open_loop import PREDICTOR, Client, quantile

from tests.integration.server import serve

ROW_SECONDS, DEADLINE, SECONDS = 0.01, 0.5, 3.0
CAPACITY = 1 / ROW_SECONDS
SLACK = 0.15
"""Seconds by which a busy machine may let anybody notice something late."""


@pytest.fixture
def slow(tmp_path):
    (tmp_path / "slow").mkdir()
    ran = tmp_path / "ran"
    (tmp_path / "slow/predictor.py").write_text(PREDICTOR.format(ran=str(ran), seconds=ROW_SECONDS))
    with serve(f"m={tmp_path / 'slow'}") as server:
        yield server, ran


def begun(ran):
    """Return when the predictor began with each request."""
    batches = [json.loads(line) for line in ran.read_text().splitlines()]
    return {number: at for at, numbers in batches for number in numbers}


def test_most_of_the_capacity_is_answered_in_time_and_the_rest_refused_at_once(slow):
    server, ran = slow

    async def overload():
        client = Client(server.url, "m")
        await client.offer(CAPACITY, 1, DEADLINE)  # it learns how long batches take
        ran.write_text("")
        sent = await client.offer(3 * CAPACITY, SECONDS, DEADLINE)
        client.close()
        return sent

    sent = asyncio.run(overload())
    counts = Counter(one.status for one in sent)
    good = [one for one in sent if one.status == 200 and one.seconds <= DEADLINE + SLACK]
    refused = [one for one in sent if one.status == 429]
    assert set(counts) <= {200, 429, 504}, counts
    assert len(good) >= 0.75 * CAPACITY * SECONDS, counts
    assert counts[504] <= 0.1 * len(sent), counts
    assert quantile([one.seconds for one in sent if one.status == 200], 0.99) <= DEADLINE + SLACK
    assert quantile([one.seconds for one in refused], 0.9) <= SLACK
    assert all(one.retry_after >= 1 and "rows are waiting already" in one.message for one in refused)
    began = begun(ran)
    assert not {one.number for one in refused} & began.keys()
    late = [number for number, at in began.items() if at > sent[number].at + DEADLINE + SLACK]
    assert late == []


def test_what_nobody_waits_for_any_more_is_not_run(slow):
    server, ran = slow

    async def overload():
        client = Client(server.url, "m")
        sent = await client.offer(1.5 * CAPACITY, SECONDS, 5.0, leaving=2, leaves=0.1)
        client.close()
        return sent

    sent = asyncio.run(overload())
    left = [one for one in sent if one.leaves and one.status == 0]
    stayed = [one for one in sent if not one.leaves]
    assert {one.status for one in stayed} == {200}
    began = begun(ran)
    gone = {one.number for one in left}
    late = [
        number for number, at in began.items() if number in gone and at > sent[number].at + 0.1 + 0.05 + SLACK
    ]
    assert late == []
