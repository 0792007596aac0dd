import pytest

from trivet.storage.ignored import Ignored
from trivet.storage.local import LocalFiles


@pytest.mark.parametrize(
    ("patterns", "ignored", "kept"),
    [
        ("data", ["data", "data/a/b"], ["data2", "a/data"]),
        ("/data/", ["data/a"], ["a/data"]),
        ("*.csv", ["a.csv"], ["a/b.csv", "a.csv2"]),
        ("**/*.csv", ["a.csv", "a/b/c.csv"], ["a.csvx", "csv"]),
        ("*/temp*", ["a/temp", "a/temporary/b"], ["temp", "a/b/temp"]),
        ("a?c", ["abc", "abc/d"], ["a/c", "abbc"]),
        ("a[0-9].txt", ["a1.txt"], ["ab.txt", "a12.txt"]),
        ("logs\n!logs/keep", ["logs/a"], ["logs/keep", "logs/keep/b"]),
        ("!logs\nlogs", ["logs"], []),
        ("# data\n\n  \n.", [], ["data", "# data"]),
        ("**", ["a", "a/b"], ["Dockerfile", "Procfile"]),
        ("a(b", ["a(b"], ["ab"]),
        ("[z-a]", [], ["a"]),
        ("a/**/b", ["a/b", "a/x/y/b/c"], ["a/x", "b"]),
        ("**/a/**/b/*.c", ["x/a/a/y/b/b/1.c"], ["x/a/b/1.d"]),
        (r"a\*[^b]", ["a*c"], ["abc", "a*b"]),
    ],
)
def test_patterns_are_read_as_docker_does(patterns, ignored, kept):
    told = Ignored(patterns)
    assert [name for name in ignored if not told(name)] == []
    assert [name for name in kept if told(name)] == []


def test_no_pattern_takes_long():
    assert not Ignored("*a" * 60 + "b\n" + "**/a/" * 60 + "b")("a" * 250 + "/a" * 60)


def test_what_no_application_is_made_of_is_left_out_unless_asked_for():
    told = Ignored("")
    assert told(".git/HEAD")
    assert told("lib/.venv/bin/python")
    assert not told(".gitignore")
    assert not Ignored("!.git")(".git/HEAD")


def test_a_folder_is_passed_over_whole_where_nothing_in_it_is_excepted():
    assert Ignored("data").is_whole("data")
    assert not Ignored("data\n!data/keep").is_whole("data")


def test_ignored_files_are_neither_listed_nor_looked_at(tmp_path):
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv/python").symlink_to("/usr/bin/env")  # which a copy would refuse, as it leads out
    (tmp_path / "data").mkdir()
    for name in ("Dockerfile", "main.py", "data/a.csv", "data/b.txt"):
        (tmp_path / name).write_text(name)
    (tmp_path / ".dockerignore").write_text("**/*.csv\n")
    files = LocalFiles(tmp_path, ignores=".dockerignore").files()
    assert [one.name for one in files] == [".dockerignore", "Dockerfile", "data/b.txt", "main.py"]
    (tmp_path / ".dockerignore").unlink()
    files = LocalFiles(tmp_path, ignores=".dockerignore").files()
    assert [one.name for one in files] == ["Dockerfile", "data/a.csv", "data/b.txt", "main.py"]
