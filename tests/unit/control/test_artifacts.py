import os
import signal
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trivet.control import artifact_files, artifacts
from trivet.control.artifacts import ArtifactStore
from trivet.core.errors import Cancelled, FailedPrecondition, InvalidArgument, NotFound
from trivet.core.resources import Artifact


@pytest.fixture
def model(tmp_path):
    folder = tmp_path / "model"
    (folder / "assets").mkdir(parents=True)
    (folder / "model.bst").write_bytes(b"trees" * 1000)
    (folder / "assets/vocabulary.txt").write_text("words")
    return folder


@pytest.fixture
def store(tmp_path):
    return ArtifactStore(tmp_path / "store")


def content(folder):
    return {
        file.relative_to(folder).as_posix(): file.read_bytes() for file in folder.rglob("*") if file.is_file()
    }


def test_a_folder_is_copied_and_does_not_change_with_its_source(store, model, tmp_path):
    before = content(model)
    artifact = store.add(str(model))
    (model / "model.bst").write_bytes(b"other trees")
    assert content(store.path(artifact)) == before
    assert artifact == Artifact(artifact.digest, str(model), artifact.digest, 5005)
    assert store.path(artifact).is_relative_to(tmp_path / "store")
    store.verify(artifact)


def test_a_file_is_copied_alone_but_for_its_signature(store, model):
    (model / "signature.json").write_text("{}")
    artifact = store.add(f"file://{model}/model.bst")
    assert sorted(content(store.path(artifact))) == ["model.bst", "signature.json"]


def test_equal_content_is_stored_once_wherever_it_comes_from(store, model, tmp_path):
    model.rename(tmp_path / "moved")
    first = store.add(str(tmp_path / "moved"))
    os.utime(tmp_path / "moved/model.bst", (0, 0))
    again = store.add(str(tmp_path / "moved"))
    assert (again.key, again.digest) == (first.key, first.digest)
    assert len(list((tmp_path / "store").iterdir())) == 1
    (tmp_path / "moved/model.bst").rename(tmp_path / "moved/model.ubj")
    assert store.add(str(tmp_path / "moved")).key != first.key


@given(st.dictionaries(st.sampled_from(["a", "b", "ab", "a/b", "ba"]), st.binary(max_size=3), min_size=1))
def test_the_digest_tells_names_and_contents_apart(files):
    """No two sets of files have the same, however their bytes would run together."""
    if {"a", "a/b"} <= files.keys():
        return
    with TemporaryDirectory() as scratch:
        for name, data in files.items():
            file = Path(scratch, "m", name)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(data)
        digest = ArtifactStore(Path(scratch, "store")).add(f"{scratch}/m").digest
    key = frozenset(files.items())
    assert SEEN.setdefault(digest, key) == key


SEEN: dict[str, frozenset[tuple[str, bytes]]] = {}


def test_a_copy_is_read_only(store, model):
    folder = store.path(store.add(str(model)))
    modes = {path.stat().st_mode & 0o777 for path in [folder, *folder.rglob("*")]}
    assert modes == {0o444, 0o555}


def test_links_that_lead_out_leave_nothing_behind(store, model, tmp_path):
    (model / "link").symlink_to("/etc/passwd")
    with pytest.raises(FailedPrecondition, match="link is a link that leads out of the folder"):
        store.add(str(model))
    assert list((tmp_path / "store").iterdir()) == []


def test_what_fits_on_no_disk_is_refused_before_it_is_copied(store, model, tmp_path):
    with (model / "huge").open("wb") as file:
        file.truncate(1 << 42)
    with pytest.raises(FailedPrecondition, match=r"has 4194304 MiB, but only \d+ MiB are free"):
        store.add(str(model))
    assert list((tmp_path / "store").iterdir()) == []


def test_whoever_is_told_of_progress_may_end_it(store, model, tmp_path):
    told = []

    def enough(done, size):
        told.append((done, size))
        if done == size:
            raise Cancelled("enough")

    with pytest.raises(Cancelled):
        store.add(str(model), enough)
    assert told == [(5, 5005), (5005, 5005)]
    assert list((tmp_path / "store").iterdir()) == []


def test_a_damaged_copy_is_noticed_and_replaced_by_adding_it_again(store, model):
    artifact = store.add(str(model))
    folder = store.path(artifact)
    (folder / "model.bst").chmod(0o600)
    (folder / "model.bst").write_bytes(b"trees")
    with pytest.raises(FailedPrecondition, match="its files are not what they were"):
        store.verify(artifact)
    assert store.add(str(model)) == artifact
    store.verify(artifact)


def damage(folder, name="model.bst", **changes):
    """Change a stored file, by default without changing its size."""
    (folder / name).chmod(0o600)
    (folder / name).write_bytes(changes.get("to", b"seert" * 1000))


def test_adding_again_repairs_what_has_its_size_still(store, model):
    artifact = store.add(str(model))
    damage(store.path(artifact))
    ArtifactStore(store.path(artifact).parent).add(str(model))
    store.verify(artifact)


def test_what_is_damaged_is_not_given_out(store, model, tmp_path):
    """A process looks once, since what it gives out is loaded and reloaded."""
    artifact = store.add(str(model))
    folder = store.path(artifact)
    damage(folder)
    again = ArtifactStore(tmp_path / "store")
    for _ in range(2):
        with pytest.raises(FailedPrecondition, match=r"not what they were; upload it again"):
            again.path(artifact)
    store.add(str(model))
    assert content(again.path(artifact)) == content(model)
    damage(folder)
    assert again.path(artifact) == folder


def test_of_what_is_large_the_size_is_looked_at(store, model, tmp_path, monkeypatch):
    monkeypatch.setattr(artifacts, "_SMALL", 5004)
    artifact = store.add(str(model))
    damage(store.path(artifact))
    assert ArtifactStore(tmp_path / "store").path(artifact) == store.path(artifact)
    damage(store.path(artifact), to=b"")
    with pytest.raises(FailedPrecondition, match=r"not what they were; upload it again"):
        ArtifactStore(tmp_path / "store").path(artifact)


def test_what_python_leaves_beside_code_is_no_damage(store, model):
    artifact = store.add(str(model))
    store.path(artifact).chmod(0o700)
    (store.path(artifact) / "__pycache__").mkdir()
    (store.path(artifact) / "__pycache__/x.pyc").write_bytes(b"")
    store.verify(artifact)


def test_what_is_gone_is_said(store, model, tmp_path):
    artifact = store.add(str(model))
    store.remove(artifact)
    store.remove(artifact)
    assert list((tmp_path / "store").iterdir()) == []
    for ask in (store.path, store.verify):
        with pytest.raises(FailedPrecondition, match=r"its copy is gone from .*; upload it again"):
            ask(artifact)


@pytest.mark.parametrize("key", ["", ".", "..", "../store", "/etc", "a" * 63, "A" * 64, "a" * 64 + "\n"])
def test_a_key_that_is_none_never_becomes_a_path(store, key):
    for ask in (store.path, store.verify, store.remove):
        with pytest.raises(InvalidArgument, match="is not the key of an artifact"):
            ask(Artifact(key, "m", "d", 1))


def test_a_link_is_the_files_themselves(store, model, tmp_path):
    artifact = store.link(model)
    assert artifact.linked
    assert artifact.size == 5005
    assert store.path(artifact) == model
    assert store.link(model) == artifact
    store.verify(artifact)
    os.utime(model / "model.bst", (1, 1))
    with pytest.raises(FailedPrecondition, match="not what they were"):
        store.verify(artifact)
    store.remove(artifact)
    assert (model / "model.bst").exists()
    assert list((tmp_path / "store").iterdir()) == []
    with pytest.raises(NotFound):
        store.link(tmp_path / "no")


def test_a_link_to_a_file_is_that_file_and_is_missed_when_it_is_gone(store, model):
    artifact = store.link(model / "model.bst")
    assert store.path(artifact) == model / "model.bst"
    (model / "model.bst").unlink()
    with pytest.raises(FailedPrecondition, match="files are gone"):
        store.path(artifact)


def test_many_may_add_the_same_at_once(tmp_path, model):
    stores = [ArtifactStore(tmp_path / "store") for _ in range(8)]

    def add(store):
        artifact = store.add(str(model))
        store.clean()  # of another process that starts just now
        return content(store.path(artifact)), artifact

    with ThreadPoolExecutor(8) as threads:
        added = list(threads.map(add, stores * 4))
    assert all(one == added[0] for one in added)
    assert added[0][0] == content(model)
    assert len(list((tmp_path / "store").iterdir())) == 1


def test_cleaning_lets_copies_that_go_on_be(tmp_path):
    artifact_files.make(tmp_path / "store")
    (tmp_path / "store/.incoming-left").mkdir()
    with artifact_files.incoming(tmp_path / "store") as folder:
        artifact_files.clean(tmp_path / "store")
        assert list((tmp_path / "store").iterdir()) == [folder]
    assert list((tmp_path / "store").iterdir()) == []


def test_a_store_where_there_can_be_none_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(FailedPrecondition, match=r"artifact store .*: Not a directory"):
        ArtifactStore(tmp_path / "file/store")


DIES = """
    import os, signal, sys
    from trivet.control.artifacts import ArtifactStore

    model, root, step, last = sys.argv[1], sys.argv[2], 0, int(sys.argv[3])

    def at(event, arguments):
        global step
        if event in EVENTS and any(str(root) in str(one) for one in arguments):
            if step == last:
                os.kill(os.getpid(), signal.SIGKILL)
            step += 1

    EVENTS = {"open", "os.mkdir", "os.chmod", "os.rename", "os.rmdir", "os.remove", "os.scandir"}
    sys.addaudithook(at)
    print(ArtifactStore(root).add(model).key)
"""


def test_killed_at_any_step_it_leaves_only_temporaries(tmp_path, model):
    """A child adds a model and kills itself at its first, second, third, ... touch of the store."""
    key = ArtifactStore(tmp_path / "other").add(str(model)).key
    outcomes, left = [], set()
    for step in range(1000):
        root = tmp_path / f"store {step}"
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(DIES), model, root, str(step)],
            capture_output=True,
            text=True,
            check=False,
        )
        outcomes.append(done.returncode)
        found = set(os.listdir(root)) if root.exists() else set()
        kept = {name for name in found if not name.startswith(".incoming-")}
        assert kept <= {key}
        left.add(bool(kept))
        store = ArtifactStore(root)
        store.clean()
        assert set(os.listdir(root)) == kept
        artifact = store.add(str(model))
        store.verify(artifact)
        assert os.listdir(root) == [key]
        if done.returncode == 0:
            assert kept == {key}
            break
    assert set(outcomes[:-1]) == {-signal.SIGKILL}
    assert left == {False, True}
    assert len(outcomes) > 10


def test_killed_while_it_copies_it_leaves_only_temporaries(tmp_path):
    """As above, but from outside, while bytes are being copied."""
    (tmp_path / "big").write_bytes(bytes(4 << 20))
    child = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(WAITS), tmp_path / "big", tmp_path / "store"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"copying\n"
        store = ArtifactStore(tmp_path / "store")
        store.clean()
        (left,) = (tmp_path / "store").iterdir()  # it is still being filled
        assert left.name.startswith(".incoming-")
        child.kill()
        child.wait()
    assert [left] == list((tmp_path / "store").iterdir())
    store.clean()
    assert list((tmp_path / "store").iterdir()) == []
    assert Path(store.path(store.add(str(tmp_path / "big")))).is_dir()


WAITS = """
    import sys
    from trivet.control.artifacts import ArtifactStore

    def wait(done, size):
        print("copying", flush=True)
        sys.stdin.read()

    ArtifactStore(sys.argv[2]).add(sys.argv[1], wait)
"""
