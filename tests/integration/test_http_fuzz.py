"""Mutated requests and random bytes, some of those that `benchmarks/fuzz.py` sends by the million."""

from benchmarks.fuzz import fuzz, models

from tests.integration.server import serve


def test_whatever_is_sent_the_server_answers_in_http_or_closes_and_goes_on(tmp_path):
    with serve(*models(tmp_path), "--log-requests=none") as server:
        report = fuzz(server, inputs=20_000, seed=20260731)
    assert report.failures == []
    assert report.statuses[200] > 5000
    assert report.statuses[400] > 1000
