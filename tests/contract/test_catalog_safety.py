"""What every database of a catalog must do when several use it at once, and when they die."""

import contextlib
import random
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from tests.contract.catalog_values import HERE, at, endpoint, model, operation
from trivet.catalog import Catalog
from trivet.core.errors import Aborted, NotFound, ServingError, Unavailable
from trivet.core.resources import Query

E = HERE.child("endpoints", "e")


@contextlib.contextmanager
def process(code, *arguments):
    """Run code in another process; `catalog` is opened from its first argument."""
    before = (
        "import sys\n"
        "from dataclasses import replace\n"
        "from tests.contract.catalog_values import HERE, endpoint, model\n"
        "from trivet.catalog import Catalog\n"
        "from trivet.core.errors import Aborted\n"
        "catalog = Catalog(sys.argv[1])\n"
    )
    run = subprocess.Popen(
        [sys.executable, "-c", before + code, *arguments],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    with run:
        try:
            yield run
        finally:
            run.kill()


def finished(run):
    """Wait for a process to end well; return what it said."""
    said, _ = run.communicate(timeout=60)
    assert run.returncode == 0
    return said


def test_what_was_written_is_there_after_reopening(url):
    catalog = Catalog(url)
    with catalog.transaction() as one:
        added = one.add_endpoint(endpoint())
        one.bump()
    catalog.close()
    again = Catalog(url)
    with again.reading() as one:
        assert (one.endpoint(E), one.revision()) == (added, 1)
    again.close()


def test_an_exception_leaves_nothing(catalog):
    def fail():
        with catalog.transaction() as one:
            one.add_endpoint(endpoint())
            one.add_version(model())
            one.bump()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    with catalog.reading() as one:
        assert one.revision() == 0
        assert one.endpoints(HERE, Query()).items == one.models(HERE, Query()).items == []


def test_a_reader_sees_one_moment_and_stops_no_writer(catalog):
    with catalog.transaction() as one:
        one.add_endpoint(endpoint())
    with catalog.reading() as reader:
        before = reader.endpoint(E)
        with catalog.transaction() as writer:
            writer.put_endpoint(replace(before, display_name="changed"))
            writer.bump()
            assert reader.endpoint(E) == before
        assert (reader.endpoint(E), reader.revision()) == (before, 0)
    with catalog.reading() as reader:
        assert (reader.endpoint(E).display_name, reader.revision()) == ("changed", 1)


def test_reading_does_not_write(catalog):
    with pytest.raises(ServingError), catalog.reading() as one:
        one.bump()
    with catalog.transaction() as one:
        assert one.bump() == 1


def test_only_one_writes_and_others_do_not_wait_for_ever(url):
    catalog, other = Catalog(url), Catalog(url, patience=0.2)
    with catalog.transaction() as one:
        one.bump()
        with pytest.raises(Unavailable, match="others have been writing for too long"), other.transaction():
            pass
        assert other.revision() == 0
    with other.transaction() as one:
        assert one.bump() == 2
        with (
            ThreadPoolExecutor(1) as thread,
            pytest.raises(Unavailable, match="others have been writing for too long"),
        ):
            thread.submit(lambda: other.transaction().__enter__()).result()
    catalog.close()
    other.close()


def test_threads_write_one_after_the_other(catalog):
    def work(_):
        with catalog.transaction() as one:
            number = one.bump()
            one.add_version(model())
            return number

    with ThreadPoolExecutor(8) as pool:
        numbers = list(pool.map(work, range(64)))
    assert sorted(numbers) == list(range(1, 65))
    with catalog.reading() as one:
        assert [version.version for version in one.versions(HERE.child("models", "5"))] == [
            str(number) for number in range(1, 65)
        ]


def test_of_two_who_saw_the_same_one_is_first(catalog):
    with catalog.transaction() as one:
        seen = one.add_endpoint(endpoint())

    def change(text):
        try:
            with catalog.transaction() as one:
                one.put_endpoint(replace(seen, display_name=text))
        except Aborted:
            return None
        return text

    with ThreadPoolExecutor(8) as pool:
        done = [text for text in pool.map(change, "abcdefgh") if text]
    with catalog.reading() as one:
        assert [one.endpoint(E).display_name] == done


def test_processes_that_repeat_what_was_aborted_lose_no_change(url):
    catalog = Catalog(url)
    with catalog.transaction() as one:
        one.add_endpoint(endpoint(traffic={"n": 0}))
    code = (
        "for _ in range(20):\n"
        "  while True:\n"
        "    with catalog.reading() as one: seen = one.endpoint(HERE.child('endpoints', 'e'))\n"
        "    try:\n"
        "      with catalog.transaction() as one:\n"
        "        one.put_endpoint(replace(seen, traffic={'n': seen.traffic['n'] + 1}))\n"
        "        print(one.bump())\n"
        "      break\n"
        "    except Aborted: pass\n"
    )
    with process(code, url) as first, process(code, url) as second:
        numbers = (finished(first) + finished(second)).split()
    assert sorted(map(int, numbers)) == list(range(1, 41))
    with catalog.reading() as one:
        assert one.endpoint(E).traffic == {"n": 40}
    catalog.close()


def test_a_writer_killed_in_the_middle_leaves_nothing_and_stops_nobody(url):
    catalog = Catalog(url)
    with catalog.transaction() as one:
        stored = one.add_endpoint(endpoint())
    code = (
        "with catalog.transaction() as one:\n"
        "  one.add_version(model())\n"
        "  one.put_endpoint(replace(one.endpoint(HERE.child('endpoints', 'e')), display_name='half'))\n"
        "  one.bump()\n"
        "  print('written', flush=True)\n"
        "  sys.stdin.read()\n"
    )
    with process(code, url) as other:
        assert other.stdout.readline() == "written\n"
        other.send_signal(signal.SIGKILL)
        with catalog.transaction() as one:
            assert (one.endpoint(E), one.revision()) == (stored, 0)
            with pytest.raises(NotFound):
                one.version(HERE.child("models", "5"))
    catalog.close()


def test_a_writer_killed_at_any_time_has_done_all_or_nothing_of_each_change(url):
    """Each change gives the model a version, the endpoint its number, and the wishes a revision."""
    code = (
        "name = HERE.child('endpoints', 'e')\n"
        "while True:\n"
        "  with catalog.transaction() as one:\n"
        "    number = one.add_version(model(aliases=('default',))).version\n"
        "    one.put_endpoint(replace(one.endpoint(name), display_name=number))\n"
        "    one.bump()\n"
        "  print(number, flush=True)\n"
    )
    catalog = Catalog(url)
    with catalog.transaction() as one:
        one.add_endpoint(endpoint())
    said = 0
    for _ in range(3):
        with process(code, url) as other:
            for _ in range(random.randint(1, 6)):
                said = int(other.stdout.readline())
            other.send_signal(signal.SIGKILL)
            said = max([said, *(int(line) for line in other.stdout if line.endswith("\n"))])
            other.wait()
        with catalog.transaction() as one:
            revision = one.revision()
            assert revision in (said, said + 1)
            versions = one.versions(HERE.child("models", "5"))
            assert [version.version for version in versions] == [str(n + 1) for n in range(revision)]
            assert versions[-1].aliases == ("default",)
            assert one.endpoint(E).display_name == str(revision)
            said = revision
    catalog.close()


def test_times_of_changes_only_go_forward(url):
    """`clock` goes backwards here."""
    times = iter([at(5), at(-5), at(-50)])
    catalog = Catalog(url, clock=lambda: next(times))
    with catalog.transaction() as one:
        seen = [one.add_operation(operation())]
        for _ in range(3):
            seen.append(one.put_operation(seen[-1]))
    assert seen[1].updated == at(5)
    assert sorted({one.updated for one in seen}) == [one.updated for one in seen]
    assert {one.created for one in seen} == {at(0)}
    catalog.close()


def test_connections_that_the_server_ended_are_replaced(postgres):
    with postgres.database() as url:
        catalog = Catalog(url)
        check_that_ended_connections_are_replaced(catalog, lambda end: postgres.execute(url, end))
        catalog.close()


def check_that_ended_connections_are_replaced(catalog, execute):
    end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'trivet'"
    end += " AND datname = current_database()"
    with catalog.transaction() as one:
        one.bump()
    execute(end)

    def interrupted():
        with catalog.transaction() as one:
            assert one.bump() == 2
            execute(end)
            one.bump()

    with pytest.raises(Unavailable, match="the catalog: "):
        interrupted()
    assert catalog.revision() == 1
    with catalog.transaction() as one:
        assert one.bump() == 2
