import pytest
from click.shell_completion import CompletionItem, get_completion_class

from trivet.cli import main
from trivet.cli.bash import joined


@pytest.mark.parametrize(
    ("words", "whole"),
    [
        ("deploy fraud @ ch", "deploy fraud@ch"),
        ("deploy fraud @", "deploy fraud@"),
        ("traffic scoring fraud @ 1 = 50 fraud @ 2 =", "traffic scoring fraud@1=50 fraud@2="),
        ("deploy fraud --to = scoring", "deploy fraud --to = scoring"),
        ("endpoint create a --label k = v", "endpoint create a --label k = v"),
        ("", ""),
    ],
)
def test_names_that_bash_has_split_are_put_together(words, whole):
    assert joined(words.split(" ")) == whole.split(" ")


@pytest.mark.parametrize(
    ("words", "at", "offer", "follows"),
    [
        ("trivet deploy fraud @ ch", 4, "fraud@champion", "champion"),
        ("trivet deploy fraud @", 3, "fraud@1", "1"),
        ("trivet traffic s fraud @ 1 = 50 fraud @ 2", 10, "fraud@2=", "2="),
        ("trivet deploy fr", 2, "fraud", "fraud"),
        ("trivet deploy fraud --to = sc", 5, "scoring", "scoring"),
    ],
)
def test_bash_is_offered_what_replaces_the_part_that_it_completes(monkeypatch, words, at, offer, follows):
    monkeypatch.setenv("COMP_WORDS", words)
    monkeypatch.setenv("COMP_CWORD", str(at))
    completion = get_completion_class("bash")(main, {}, "trivet", "_TRIVET_COMPLETE")
    completion.get_completion_args()
    assert completion.format_completion(CompletionItem(offer)) == f"plain,{follows}"


def test_the_script_leaves_the_cursor_behind_an_equals_sign():
    script = get_completion_class("bash")(main, {}, "trivet", "_TRIVET_COMPLETE").source()
    assert "[[ $value == *= ]] && compopt -o nospace" in script
