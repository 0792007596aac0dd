"""What is left of memory, as the system says it."""

import pytest

from trivet.app import memory
from trivet.core.errors import ResourceExhausted
from trivet.core.names import ModelRef
from trivet.serving.lifecycle import ModelSpec

MIB = 2**20


@pytest.fixture
def system(tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "_MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(memory, "_CGROUP", tmp_path)
    (tmp_path / "meminfo").write_text("MemTotal:  8192 kB\nMemAvailable:  4096 kB\n")
    return tmp_path


def test_without_a_container_the_machine_counts(system):
    assert memory.available() == 4 * MIB
    (system / "memory.max").write_text("max\n")
    assert memory.available() == 4 * MIB


def test_a_container_has_what_its_limit_leaves_and_files_it_has_read(system):
    (system / "memory.max").write_text(f"{3 * MIB}\n")
    (system / "memory.current").write_text(f"{2 * MIB}\n")
    (system / "memory.stat").write_text(f"anon 1\ninactive_file {MIB // 2}\n")
    assert memory.available() == MIB + MIB // 2


def test_where_nothing_is_known_nothing_is_refused(system, tmp_path):
    (system / "meminfo").unlink()
    assert memory.available() is None
    memory.check(ModelSpec(ModelRef("m"), tmp_path), copies=10**9)


def test_a_model_that_cannot_fit_is_refused_before_it_is_loaded(system):
    folder = system / "model"
    folder.mkdir()
    (folder / "weights").write_bytes(bytes(3 * MIB))
    spec = ModelSpec(ModelRef("m", "2"), folder)
    memory.check(spec)
    with pytest.raises(ResourceExhausted) as refused:
        memory.check(spec, copies=2)
    assert str(refused.value) == (
        "m@2 cannot be loaded: its files are 6 MiB in 2 processes, and 4 MiB are left"
    )
