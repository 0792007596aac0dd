"""Commands under a guard: whatever ends, nothing of them is left."""

import os
import select
import shlex
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest

from trivet.containers.process import ProcessApplication
from trivet.containers.processes import guard, scratch
from trivet.containers.processes.guarded import Guarded, Limits
from trivet.core.errors import FailedPrecondition

WITHIN = 20.0
ENV = {"PATH": os.environ["PATH"]}
DAEMON = """
import os, time
if between := os.fork():
    os.waitpid(between, 0)
    os._exit(0)
os.setsid()
if daemon := os.fork():
    print(daemon, flush=True)
    os._exit(0)
time.sleep(1000)
"""


def until(condition):
    """Wait for something to be true, with a bound for hangs; return it."""
    since = time.monotonic()
    while not (found := condition()):
        assert time.monotonic() - since < WITHIN, "it never came"
        select.select([], [], [], 0.01)
    return found


def runs(pid):
    """Whether a process is there, and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def pids(output, count):
    """Return the processes whose numbers were printed."""
    return [int(line) for line in until(lambda: len(output.tail(9)) >= count and output.tail(9))]


def guarded(command, **given):
    """Start a shell's command."""
    folder = given.pop("folder", Path("/"))
    return Guarded(["sh", "-c", command], env=ENV, folder=folder, says=lambda line: None, **given)


@pytest.mark.parametrize(
    ("command", "ended", "status"),
    [
        ("exit 0", "ended with 0", 0),
        ("exit 3", "ended with 3", 3),
        ("kill -SEGV $$", "ended with 139: SIGSEGV", 139),
        ("kill -KILL $$", "ended with 137: killed, perhaps for lack of memory", 137),
    ],
)
def test_how_a_command_ended_is_told(command, ended, status):
    run = guarded(command)
    assert run.wait() == status
    assert run.ended == ended
    assert run.ended == ended


def test_its_last_lines_are_there_once_it_has_ended():
    run = guarded("seq 1000; echo out; echo err >&2; exit 1")
    run.wait()
    assert run.output.tail(3) == ["1000", "out", "err"]


def test_a_command_that_there_is_not_is_told():
    with pytest.raises(FailedPrecondition, match="no-such-command: No such file"):
        Guarded(["no-such-command"], env=ENV, folder=Path("/"), says=print)
    with pytest.raises(FailedPrecondition, match="cannot be started"):
        Guarded(["true"], env=ENV, folder=Path("/no/such/folder"), says=print)


def test_what_a_command_leaves_behind_is_ended_with_it():
    run = guarded(f"sleep 1000 & echo $!; {sys.executable} -c {shlex.quote(DAEMON)}; exit 0")
    left = pids(run.output, 2)
    run.wait()
    assert not any(map(runs, left))


def test_what_a_probe_leaves_behind_is_ended_with_it(tmp_path):
    one = guarded("exec sleep 60")
    application = ProcessApplication(one, 0, dict(os.environ), tmp_path)
    assert application.run(["sh", "-c", "setsid sleep 60 & echo $! > left"], 20)
    assert not runs(int((tmp_path / "left").read_text()))
    assert not application.run(["sh", "-c", "setsid sleep 60 & echo $! > left; sleep 60"], 1)
    assert not runs(int((tmp_path / "left").read_text()))
    one.stop(0)


def test_it_is_asked_to_end_and_has_time_for_it():
    run = guarded("trap 'echo ends; exit 7' TERM; echo ready; while :; do sleep 0.01; done")
    until(lambda: run.output.tail(1))
    run.stop(WITHIN)
    assert run.ended == "ended with 7"
    assert run.output.tail(1) == ["ends"]


def test_it_is_killed_where_it_does_not_end():
    run = guarded("trap '' TERM; echo $$; sleep 1000 & echo $!; while :; do sleep 1; done")
    left = pids(run.output, 2)
    run.stop(0.1)
    assert run.status == 137
    assert not any(map(runs, left))
    run.stop(0.1)


def test_one_that_works_beside_a_shell_that_has_ended_has_its_time_too():
    run = guarded(
        "sh -c 'trap \"sleep 0.3; echo done; exit\" TERM; echo ready; while :; do sleep 0.01; done'; true"
    )
    until(lambda: run.output.tail(1))
    run.stop(WITHIN)
    assert run.output.tail(1) == ["done"]


def test_more_memory_than_it_may_use_ends_it():
    eats = "x = []\nwhile True: x.append(bytearray(1 << 20))"
    limits = Limits(memory=128 << 20)
    run = Guarded([sys.executable, "-c", eats], env=ENV, folder=Path("/"), says=print, limits=limits)
    assert run.wait() == 137
    assert "MiB of memory, and may use 128" in run.ended


def test_memory_counts_for_all_that_it_starts():
    child = f"{sys.executable} -c 'x = bytearray(90 << 20); print(1, flush=True); input()' <&3 & "
    run = guarded(
        f"mkfifo here; exec 3<>here; {child * 2} wait", limits=Limits(memory=150 << 20), folder=Path.cwd()
    )
    try:
        assert run.wait() == 137
    finally:
        Path("here").unlink(missing_ok=True)


def test_it_has_only_the_cpus_that_it_may_use():
    one = min(os.sched_getaffinity(0))
    code = "import os; print(os.sched_getaffinity(0))"
    run = Guarded(
        [sys.executable, "-c", code], env=ENV, folder=Path("/"), says=print, limits=Limits(cpus=[one])
    )
    run.wait()
    assert run.output.tail(1) == [str({one})]


def test_it_has_no_environment_signals_or_files_of_its_parents(monkeypatch):
    monkeypatch.setenv("SECRET", "s")
    kept = os.open("/dev/null", os.O_RDONLY)
    os.set_inheritable(kept, True)
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
    before = signal.signal(signal.SIGUSR2, signal.SIG_IGN)
    try:
        run = guarded("env; ls /proc/self/fd; grep -E 'Sig(Blk|Ign)' /proc/self/status")
        run.wait()
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGUSR1])
        signal.signal(signal.SIGUSR2, before)
        os.close(kept)
    said = run.output.tail(99)
    assert not [line for line in said if "SECRET" in line]
    assert [line for line in said if line.isdigit()] == ["0", "1", "2", "3"]  # the last is what ls reads
    masks = [int(line.split()[1], 16) for line in said if line.startswith("Sig")]
    assert len(masks) == 2
    # The C library keeps two signals to itself; whoever started pytest may have had them ignored.
    assert not [number for mask in masks for number in signal.valid_signals() if mask >> number - 1 & 1]


def test_children_are_found_where_the_kernel_does_not_list_them():
    run = guarded("sleep 1000 & sleep 1000 & echo ready; wait")
    until(lambda: run.output.tail(1))
    assert sorted(guard._searched(run.pid)) == sorted(guard.children(run.pid))
    assert len(guard.children(run.pid)) == 2
    assert guard.children(2**22 + 1) == []
    run.stop(0)


PARENT = textwrap.dedent(
    """
    import sys, threading
    from pathlib import Path
    from trivet.containers.processes import scratch
    from trivet.containers.processes.guarded import Guarded
    held = scratch.make(Path(sys.argv[1]))
    run = Guarded(["sh", "-c", sys.argv[2]], env={"PATH": sys.argv[3]}, folder=held.folder,
                  says=lambda line: print(line, flush=True), scratch=held)
    held.let_go()
    print(run._process.pid, flush=True)
    threading.Event().wait()
    """
)


@pytest.mark.parametrize("command", ["trap '' TERM; sleep 1000", "sleep 1000"])
def test_nothing_is_left_when_its_parent_is_killed(tmp_path, command):
    whole = f"echo $$; {sys.executable} -c {shlex.quote(DAEMON)}; {command} & echo $!; wait"
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tmp_path), whole, os.environ["PATH"]],
        stdout=subprocess.PIPE,
        text=True,
    )
    with parent:
        there = [int(parent.stdout.readline()) for _ in range(4)]
        assert all(map(runs, there))
        parent.kill()
    until(lambda: not any(map(runs, there)))
    until(lambda: not list(tmp_path.iterdir()))


def test_an_application_ends_with_its_guard(tmp_path):
    run = guarded("echo $$; sleep 1000 & echo $!; wait")
    left = pids(run.output, 2)
    run._process.kill()
    assert until(lambda: run.ended) == "ended with 137: its guard was killed"
    until(lambda: not any(map(runs, left)))


def test_its_folder_is_there_until_it_has_ended(tmp_path):
    held = scratch.make(tmp_path)
    run = guarded("echo ready; sleep 1000", scratch=held, folder=held.folder)
    held.let_go()
    until(lambda: run.output.tail(1))
    scratch.make(tmp_path).let_go()  # which removes what nobody uses
    assert held.folder.exists()
    run.stop(WITHIN)
    assert not held.folder.exists()


def test_the_end_of_the_thread_that_started_it_ends_nothing():
    started = []
    thread = threading.Thread(target=lambda: started.append(guarded("sleep 0.3; echo on")))
    thread.start()
    thread.join()
    assert started[0].wait() == 0
    assert started[0].output.tail(1) == ["on"]
