import math

import pytest
from prometheus_client.parser import text_string_to_metric_families

from trivet.telemetry import Histogram, Metrics, add_up, exposition


def samples(metrics):
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(exposition(metrics.samples()))
        for sample in family.samples
    }


def test_prometheus_own_parser_reads_what_was_counted():
    metrics = Metrics()
    metrics.counter("trivet_requests_total", "Requests.", model="a", code="OK").add(3)
    metrics.counter("trivet_requests_total", "Requests.", model='odd "\\\n name', code="OK").add()
    metrics.gauge("trivet_queue_rows", "Rows.", lambda: 7)
    seconds = metrics.histogram("trivet_seconds", "Time.", (0.1, 1.0), model="a")
    for value in (0.05, 0.1, 0.5, 3.0):
        seconds.observe(value)
    read = samples(metrics)
    assert read["trivet_requests_total", (("code", "OK"), ("model", "a"))] == 3
    assert read["trivet_requests_total", (("code", "OK"), ("model", 'odd "\\\n name'))] == 1
    assert read["trivet_queue_rows", ()] == 7
    buckets = {
        bound: read["trivet_seconds_bucket", (("le", bound), ("model", "a"))]
        for bound in ("0.1", "1", "+Inf")
    }
    assert buckets == {"0.1": 2, "1": 3, "+Inf": 4}
    assert math.isclose(read["trivet_seconds_sum", (("model", "a"),)], 3.65)
    assert read["trivet_seconds_count", (("model", "a"),)] == 4


def test_the_same_name_and_labels_are_the_same_metric():
    metrics = Metrics()
    assert metrics.counter("a", "A.", x="1") is metrics.counter("a", "A.", x="1")
    assert metrics.counter("a", "A.", x="1") is not metrics.counter("a", "A.", x="2")


@pytest.mark.parametrize(("value", "bucket"), [(0.0, 0), (1.0, 0), (1.1, 1), (9.0, 2)])
def test_a_bound_belongs_to_its_bucket(value, bucket):
    histogram = Histogram((1.0, 2.0))
    histogram.observe(value)
    assert histogram.counts.index(1) == bucket


def test_what_several_processes_measured_is_added_up():
    processes = [Metrics(), Metrics()]
    for number, metrics in enumerate(processes, 1):
        metrics.counter("requests_total", "R.", code="OK").add(number)
        metrics.counter("requests_total", "R.", code=f"ONLY_{number}").add()
        metrics.gauge("rows", "Rows.", lambda number=number: number)
        metrics.histogram("seconds", "T.", (0.1, 1)).observe(0.5 * number)
    summed = exposition(add_up([*processes[0].samples(), *processes[1].samples()])).splitlines()
    assert 'requests_total{code="OK"} 3' in summed
    assert [line for line in summed if "ONLY" in line] == [
        'requests_total{code="ONLY_1"} 1',
        'requests_total{code="ONLY_2"} 1',
    ]
    assert "rows 3" in summed
    assert summed[-5:] == [
        'seconds_bucket{le="0.1"} 0',
        'seconds_bucket{le="1"} 2',
        'seconds_bucket{le="+Inf"} 2',
        "seconds_sum 1.5",
        "seconds_count 2",
    ]
