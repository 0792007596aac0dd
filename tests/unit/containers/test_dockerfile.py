"""The text of a Dockerfile."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trivet.containers.recipes import dockerfile
from trivet.core.errors import FailedPrecondition

FILE = r"""# syntax=docker/dockerfile:1

# a comment
from python:3.11-slim AS  app
RUN apt-get update && \
    # in the middle
    apt-get install -y curl \

 && true
COPY --chown=app:app --link app/ "/my app/"
run <<END
pip install flask
pip install numpy
END
CMD ["python", "main.py"]
"""


def one(text):
    """Return the only instruction of a text."""
    (found,) = dockerfile.read(text)
    return found


def test_instructions_have_lines_flags_and_here_documents():
    found = dockerfile.read(FILE)
    assert [(i.line, i.name) for i in found] == [
        (4, "FROM"), (5, "RUN"), (10, "COPY"), (11, "RUN"), (15, "CMD"),
    ]  # fmt: skip
    assert found[0].text == "python:3.11-slim AS  app"
    assert " ".join(found[1].text.split()) == "apt-get update && apt-get install -y curl && true"
    assert found[2].flags == ("--chown=app:app", "--link")
    assert found[2].words({}) == ("app/", "/my app/")
    assert found[3].documents == ("pip install flask\npip install numpy",)
    assert found[4].list == ("python", "main.py")


def test_lines_may_be_joined_by_a_backquote():
    assert one("# escape=`\nRUN a `\n b").text == "a  b"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("A=1 B=two", ("A=1", "B=two")),
        ('A="x y" B=\'$HOME\' C=a\\ b D=""', ("A=x y", "B=$HOME", "C=a b", "D=")),
        ('A=$HOME/x B="${HOME}" C=\\$HOME', ("A=/root/x", "B=/root", "C=\\$HOME".replace("\\", ""))),
        ("A=${NONE:-a/b} B=${HOME:+yes} C=${NONE:+yes} D=$NONE.", ("A=a/b", "B=yes", "C=", "D=.")),
        ('A="say \\"it\\""', ('A=say "it"',)),
    ],
)
def test_words_lose_their_quotes_and_have_variables_replaced(text, words):
    assert one(f"ENV {text}").words({"HOME": "/root"}) == words


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("FROM a\nINSTALL b", r"Dockerfile, line 2: expected an instruction, as FROM or COPY, got 'INSTALL'"),
        ("RUN <<END\nx", r"line 1: its here-document has no end 'END'"),
    ],
)
def test_what_is_no_dockerfile_is_told_by_line(text, told):
    with pytest.raises(FailedPrecondition, match=told):
        dockerfile.read(text)


def test_an_open_quote_is_told_by_line():
    with pytest.raises(FailedPrecondition, match="line 1: ENV: a quote ' has no end"):
        one("ENV A='b").words({})


def test_other_forms_than_a_list_of_texts_are_none():
    assert one("CMD python main.py").list is None
    assert one("CMD ['python']").list is None
    assert one("CMD [1]").list is None


@settings(deadline=None)
@given(st.text(max_size=200))
def test_any_text_is_read_or_refused(text):
    try:
        for found in dockerfile.read("FROM x\n" + text):
            found.words({"A": "b"})
    except FailedPrecondition:
        pass
