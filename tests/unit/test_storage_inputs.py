import os
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from trivet.core.errors import FailedPrecondition, InvalidArgument, NotFound
from trivet.storage.inputs import Files, find, open_at
from trivet.storage.wildcards import Pattern

NAMES = ["a.csv", "b.csv", "b.txt", ".hidden.csv", "2024/a.csv", "2024/01/a.csv", ".git/a.csv", "ä ü.csv"]


@pytest.fixture
def folder(tmp_path):
    for name in NAMES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    return tmp_path


def content(uri, start=0, **where):
    with open_at(str(uri), start, **where) as file:
        return file.read()


def names(folder, *uris, **where):
    return [one.uri.removeprefix(f"{folder}/") for one in find([str(uri) for uri in uris], **where)]


BELOW = ["2024/01/a.csv", "2024/a.csv"]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*.csv", ["a.csv", "b.csv", "ä ü.csv"]), ("?.csv", ["a.csv", "b.csv"]), ("[!a].csv", ["b.csv"]),
        ("[b-z].*", ["b.csv", "b.txt"]), ("*/a.csv", ["2024/a.csv"]), ("**/a.csv", [*BELOW, "a.csv"]),
        ("2024/**", BELOW), ("**", [*BELOW, "a.csv", "b.csv", "b.txt", "ä ü.csv"]),
        (".*.csv", [".hidden.csv"]), ("20*/*/a.csv", ["2024/01/a.csv"]), ("b.[ct]*", ["b.csv", "b.txt"]),
        ("", [*BELOW, "a.csv", "b.csv", "b.txt", "ä ü.csv"]), ("2024", BELOW), ("2024/", BELOW),
        ("a.csv", ["a.csv"]), (".hidden.csv", [".hidden.csv"]), (".git/*", [".git/a.csv"]),
    ],
)  # fmt: skip
def test_files_are_found_in_the_order_of_their_names(folder, pattern, expected):
    assert names(folder, folder / pattern if pattern else folder) == expected
    mapped = find([f"gs://b/{pattern}"], {"gs://b": str(folder)})
    assert [one.uri.removeprefix("gs://b/") for one in mapped] == expected


@pytest.mark.parametrize("uri", ["none", "*.parquet", "none/*.csv", "empty", "a.csv/*", "a.csv/b"])
def test_nothing_found_is_said(folder, uri):
    (folder / "empty").mkdir()
    with pytest.raises(NotFound, match=re.escape(f"{folder}/{uri}: there is no such file")):
        find([f"{folder}/{uri}"])


@pytest.mark.parametrize("name", ["x" * 300, "*" + "x" * 300])
def test_a_name_that_no_file_can_have_is_said(folder, name):
    with pytest.raises(FailedPrecondition, match="cannot be read: File name too long"):
        find([f"{folder}/{name}"])


def test_the_order_of_the_uris_is_kept_and_nothing_is_taken_twice(folder):
    assert names(folder, folder / "b.*", folder / "*.csv") == ["b.csv", "b.txt", "a.csv", "ä ü.csv"]


def test_a_name_with_a_wildcard_is_itself(folder):
    (folder / "a[1]*.csv").write_text("")
    assert names(folder, folder / "a[1]*.csv") == ["a[1]*.csv"]
    assert content(folder / "a[1]*.csv") == b""


def test_notes_in_a_folder_are_no_input_unless_they_are_named(folder):
    (folder / "2024/_SUCCESS").write_text("")
    (folder / "2024/_temporary").mkdir()
    (folder / "2024/_temporary/a.csv").write_text("")
    assert names(folder, folder / "2024") == ["2024/01/a.csv", "2024/a.csv"]
    assert names(folder, folder / "2024/_*") == ["2024/_SUCCESS"]
    mapped = find(["gs://b/2024"], {"gs://b": str(folder)})
    assert [one.uri for one in mapped] == ["gs://b/2024/01/a.csv", "gs://b/2024/a.csv"]


def test_a_file_uri_is_a_path(folder):
    assert names(folder, f"file://{folder}/a.csv") == ["a.csv"]
    assert names(folder, f"file://{folder}/2024/") == ["2024/01/a.csv", "2024/a.csv"]
    assert names(folder, f"file://{folder}/%C3%A4*.csv") == ["ä ü.csv"]


def test_paths_may_be_relative(folder, monkeypatch):
    monkeypatch.chdir(folder)
    assert [one.uri for one in find(["b.csv", "*.txt", "2024"])] == [
        "b.csv", "b.txt", "2024/01/a.csv", "2024/a.csv",
    ]  # fmt: skip
    assert content("b.csv", 1) == b".csv"


@pytest.mark.parametrize("uri", ["http://x/y", "", "gs://", "a\0b", "file://host/x"])
def test_other_places_are_refused(uri):
    with pytest.raises(InvalidArgument):
        find([uri])
    with pytest.raises(InvalidArgument):
        open_at(uri)


@pytest.mark.parametrize("pattern", ["a.csv", "*.csv", "**", ""])
def test_local_files_must_be_where_they_may_be(folder, tmp_path_factory, pattern):
    elsewhere = str(tmp_path_factory.mktemp("elsewhere"))
    with pytest.raises(InvalidArgument, match="not in a folder that inputs may be in"):
        find([f"{folder}/{pattern}"], folders=[elsewhere])
    with pytest.raises(InvalidArgument, match="not in a folder that inputs may be in"):
        open_at(f"{folder}/a.csv", folders=[elsewhere])
    assert find([f"{folder}/{pattern}"], folders=[elsewhere, str(folder)])


@pytest.mark.parametrize("target", ["file", "folder"])
def test_a_link_that_leads_elsewhere_is_refused(folder, tmp_path_factory, target):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "x.csv").write_text("")
    (folder / "link.csv").symlink_to(elsewhere / "x.csv" if target == "file" else elsewhere)
    for uri in (f"{folder}/**/*.csv", str(folder), f"{folder}/link.csv"):
        with pytest.raises(InvalidArgument, match="not in a folder that inputs may be in"):
            find([uri], folders=[folder])
    with pytest.raises(InvalidArgument, match="leads out of"):
        find(["gs://b"], {"gs://b": str(folder)})
    assert find([f"{folder}/link.csv"])  # where nobody limits it


def test_folders_that_contain_themselves_end(folder):
    (folder / "2024/loop").symlink_to(folder)
    (folder / "2024/again").symlink_to(folder / "2024")
    assert names(folder, folder / "**/b.txt") == ["b.txt"]


def test_what_is_no_file_is_left_out_or_refused(folder):
    os.mkfifo(folder / "pipe.csv")
    (folder / "broken.csv").symlink_to("nowhere")
    assert names(folder, folder / "*.csv") == ["a.csv", "b.csv", "ä ü.csv"]
    with pytest.raises(FailedPrecondition, match="neither a file nor a folder"):
        open_at(str(folder / "pipe.csv"))
    with pytest.raises(FailedPrecondition, match="is a folder"):
        open_at(str(folder))


def test_names_that_no_text_can_have_are_refused(tmp_path):
    (tmp_path / os.fsdecode(b"a\xff.csv")).write_text("")
    with pytest.raises(InvalidArgument, match="not UTF-8"):
        find([f"{tmp_path}/*.csv"])


def test_an_empty_range_is_refused(folder):
    with pytest.raises(InvalidArgument, match="range"):
        find([f"{folder}/[z-a]"])


def test_a_file_that_is_another_is_refused(folder):
    (one,) = find([str(folder / "a.csv")])
    assert one.size == 5
    assert content(one.uri, version=one.version) == b"a.csv"
    (folder / "a.csv").write_text("other")
    with pytest.raises(FailedPrecondition, match="has changed since the job was planned"):
        open_at(one.uri, version=one.version)
    with pytest.raises(FailedPrecondition, match="has changed"):
        Files().verify(one.uri, one.version)


PARTS = st.text(st.sampled_from("ab.*?[]!-"), min_size=1, max_size=5).filter(lambda part: "." not in part[:1])


@given(PARTS, st.text(st.sampled_from("ab[]-!"), min_size=1, max_size=5))
@example("[!]?", "a")
@example("[!]?", "[!]a")
@example("[]", "[]")
@example("[]]", "]")
@example("[a--]", "a")
@example("[!-a]", "b")
@example("[a-b-!]", "!")
def test_wildcards_of_one_name_are_those_of_the_standard_library(part, name):
    import fnmatch

    try:
        pattern = Pattern.of(f"x/{part}")
    except InvalidArgument:
        assert re.search(r"\[.+-.+\]", part)  # a range that is empty
        return
    if pattern is not None and "**" not in part:
        assert pattern.matches(name) == fnmatch.fnmatchcase(name, part)
