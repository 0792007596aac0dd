import pytest

from trivet.containers.oci.tool import Tool, last_line, passed


def test_values_go_by_the_environment_but_for_those_that_change_what_the_tool_does():
    given = {"TOKEN": "secret", "PATH": "/bin", "DOCKER_HOST": "theirs", "A.B": "dotted", "GOOGLE_X": "x"}
    words, variables = passed(given)
    assert words == [
        *("--env", "TOKEN"),
        *("--env", "PATH=/bin"),
        *("--env", "DOCKER_HOST=theirs"),
        *("--env", "A.B=dotted"),
        *("--env", "GOOGLE_X"),
    ]
    assert variables == {"TOKEN": "secret", "GOOGLE_X": "x"}


@pytest.mark.parametrize(
    ("text", "line"),
    [("warning\nError: no such image\n\n", "no such image"), ("", "it says nothing"), (" one \n", "one")],
)
def test_the_last_line_says_what_is_wrong(text, line):
    assert last_line(text) == line


def test_a_tool_that_cannot_be_run_says_so():
    told = Tool(("/no/such/tool",)).run("info")
    assert told.returncode == 125
    assert "/no/such/tool" in told.stderr


def test_a_command_that_takes_too_long_is_ended():
    told = Tool(("sleep",)).run("60", timeout=0.05)
    assert told.returncode == 125
    assert "took longer than 0.05 s" in told.stderr


def test_lines_are_told_as_they_come_and_the_last_are_kept():
    said = []
    status, last = Tool(("sh", "-c")).follow(("seq 1 30; echo wrong >&2; exit 3",), said.append)
    assert status == 3
    assert said == [*map(str, range(1, 31)), "wrong"]
    assert last == said[-20:]
