import os

import pytest

from trivet.control import machines
from trivet.core.containers import Resources


@pytest.mark.parametrize(
    ("type_", "cpus", "gib"),
    [
        ("n1-standard-4", 4, 15),
        ("n1-highmem-8", 8, 52),
        ("n1-highcpu-16", 16, 14.4),
        ("n2-standard-2", 2, 8),
        ("e2-highcpu-2", 2, 2),
        ("c2-standard-4", 4, 16),
        ("n2-highmem-4", 4, 32),
        ("g2-standard-12", 12, 48),
        ("a2-highgpu-1g", 12, 85),
        ("custom-4", 0, 0),
        ("", 0, 0),
    ],
)
def test_a_type_has_cpus_and_memory(type_, cpus, gib):
    assert machines.size(type_) == (cpus, pytest.approx(gib * 2**30, rel=0.01))


def test_nothing_is_limited_unless_the_operator_wants_it(monkeypatch):
    monkeypatch.setattr(machines, "_gpus_here", lambda: 0)
    assert machines.resources({"machineType": "n1-standard-4"}, limited=False) == Resources()


def test_a_container_gets_no_more_than_this_machine_has(monkeypatch):
    monkeypatch.setattr(machines, "_gpus_here", lambda: 1)
    monkeypatch.setattr(machines, "_memory_here", lambda: 1 << 30)
    large = machines.resources({"machineType": "g2-standard-96", "acceleratorCount": 8}, limited=True)
    assert large == Resources(cpus=len(os.sched_getaffinity(0)), memory=1 << 30, gpus=1)
    small = machines.resources({"machineType": "e2-highcpu-2"}, limited=True)
    assert small.memory == 1 << 30


def test_this_machine_has_memory():
    assert machines._memory_here() > 1 << 27
