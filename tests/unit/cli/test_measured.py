import math

import pytest

from trivet.cli.measured import Counts, Moment, pace, read
from trivet.telemetry import Metrics, exposition

BOUNDS = (0.001, 0.01, 0.1)


def counted(*seconds, errors=0, queue=0, metrics=None, **labels):
    """Return metrics as a server has them, with requests that took so long."""
    metrics = metrics or Metrics()
    labels = {"model": "fraud", "version": "1", **labels}
    histogram = metrics.histogram("trivet_request_duration_seconds", "", BOUNDS, **labels)
    for one in seconds:
        histogram.observe(one)
    metrics.counter("trivet_requests_total", "", **labels, code="OK").add(len(seconds))
    metrics.counter("trivet_requests_total", "", **labels, code="INVALID_ARGUMENT").add(errors)
    metrics.gauge("trivet_queue_rows", "", lambda: queue, **labels)
    return metrics


def told(metrics):
    return read(exposition(metrics.samples()))


def test_what_a_server_exposes_is_read_by_deployed_model():
    metrics = counted(0.005, 0.005, 0.2, errors=3, queue=7, deployed_model="17")
    counted(0.5, metrics=metrics)
    found = told(metrics)
    assert set(found) == {"17", "fraud@1"}
    assert (found["17"].requests, found["17"].errors, found["17"].queue) == (6, 3, 7)
    assert found["17"].below == {0.001: 0, 0.01: 2, 0.1: 2, math.inf: 3}


def test_applications_that_are_well_are_counted_now():
    before, now = (counted(deployed_model="17") for _ in range(2))
    now.gauge("trivet_containers_well", "", lambda: 2, model="fraud", version="1", deployed_model="17")
    seen = [Moment(0.0, told(before)), Moment(1.0, told(now))]
    assert (pace(seen, "17").well, pace(reversed(seen), "17").well) == (2, 0)


def test_labels_are_read_whatever_is_in_them():
    metrics = Metrics()
    metrics.counter("trivet_requests_total", "", model='a"b,\\n}\n', version="1", code="OK").add()
    assert told(metrics)['a"b,\\n}\n@1'].requests == 1


def test_what_is_no_sample_of_a_model_is_left_out():
    assert read('# HELP x y\nx 1\nx{process="front"} 2\n\nx{model="a" 3') == {}


@pytest.mark.parametrize(("share", "seconds"), [(0.25, 0.001), (0.5, 0.0055), (0.75, 0.01), (0.99, math.inf)])
def test_quantiles_are_spread_evenly_within_a_bucket(share, seconds):
    counts = told(counted(0.0005, 0.005, 0.006, 3, deployed_model="1"))["1"]
    assert counts.quantile(share) == pytest.approx(seconds)


def test_without_requests_there_is_no_quantile():
    assert Counts().quantile(0.5) is None
    assert told(counted(deployed_model="1"))["1"].quantile(0.5) is None


def moments(*counts):
    return [Moment(float(second), {"1": one} if one else {}) for second, one in enumerate(counts)]


def test_a_pace_is_that_between_the_first_and_the_last_moment():
    metrics = counted(*[0.05] * 10, deployed_model="1")
    before = told(metrics)["1"]
    after = told(counted(*[0.0005] * 20, errors=2, metrics=metrics, deployed_model="1"))["1"]
    now = pace(moments(before, before, after), "1")
    assert (now.rate, now.errors) == (11, 2)
    assert now.p50 == pytest.approx(0.0005)  # the old, slow ones do not count


def test_where_nothing_came_lately_latencies_are_those_since_the_start():
    counts = told(counted(0.005, deployed_model="1"))["1"]
    now = pace(moments(counts, counts), "1")
    assert now.rate == 0
    assert now.p50 == pytest.approx(0.0055)


def test_a_model_that_came_in_between_counts_from_nothing_on():
    counts = told(counted(0.005, deployed_model="1"))["1"]
    assert pace(moments(None, counts), "1").rate == 1


def test_a_server_that_began_anew_makes_no_negative_rates():
    many = told(counted(*[0.005] * 9, deployed_model="1"))["1"]
    few = told(counted(0.005, deployed_model="1"))["1"]
    assert pace(moments(many, few), "1").rate == 1


def test_one_moment_has_no_rate():
    counts = told(counted(0.005, deployed_model="1"))["1"]
    assert pace(moments(counts), "1").rate == 0
