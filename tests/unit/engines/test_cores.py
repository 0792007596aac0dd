"""How many cores there are."""

import os

import pytest

from trivet.engines import cores


@pytest.mark.parametrize(
    ("told", "expected"),
    [("100000 100000\n", 1), ("250000 100000\n", 2), ("50000 100000\n", 1), ("max 100000\n", 16), (None, 16)],
)
def test_a_container_has_the_cores_of_its_quota(told, expected, tmp_path, monkeypatch):
    monkeypatch.setattr(cores, "_CPU_MAX", tmp_path / "cpu.max")
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(16)))
    if told is not None:
        (tmp_path / "cpu.max").write_text(told)
    assert cores.cores() == expected
