"""What goes over the wire, as Google's clients were seen to send it, and the exact answers.

Each file is a conversation: calls in order, each with its answer. In an answer, `<time>` stands for a time
in UTC, `<etag>` for any text, and another word in angle brackets for an id, the same one wherever the word
comes again, in requests too. Between calls the server does what there is to do.
"""

import json
import re
from pathlib import Path

import pytest

from tests.unit.control import conftest as control
from tests.unit.protocols.vertex.calls import Calls, check

make_server = control.make_server

HERE = Path(__file__).parent / "vertex"
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
WORD = re.compile(r"<(\w+)>")


@pytest.mark.parametrize("file", sorted(HERE.glob("*.json")), ids=lambda file: file.stem)
async def test_a_conversation_is_word_for_word(make_server, file):
    server = make_server(project="proj-1", dedicated_dns="localhost:8443")
    words = {"artifact": str(server.artifact())}
    calls = Calls(server)
    for number, step in enumerate(json.loads(file.read_text()), 1):
        method, _, target = filled(step["call"], words).partition(" ")
        path, _, query = target.partition("?")
        body = json.dumps(filled(step["body"], words)).encode() if "body" in step else b""
        reply = await calls.reply(method, path, body, query)
        answer = json.loads(reply.body)
        assert reply.status == step.get("status", 200), answer
        match(answer, step["answer"], words, f"{file.name}: answer {number}")
        api, below = re.fullmatch(r"/(\w+)/projects/proj-1/locations/us-central1/(.*)", path).groups()
        if reply.status == 200:
            check(method, below, answer, api)
        server.settle()


def filled(value, words):
    """Return a request with the words that earlier answers, or the test, gave a meaning."""
    if isinstance(value, str):
        return WORD.sub(lambda word: words[word[1]], value)
    if isinstance(value, dict):
        return {filled(key, words): filled(inner, words) for key, inner in value.items()}
    return [filled(inner, words) for inner in value] if isinstance(value, list) else value


def match(value, expected, words, where):
    """Compare an answer, and learn the words in it."""
    assert type(value) is type(expected), f"{where}: {value!r}"
    if isinstance(expected, str):
        pattern = WORD.sub(lambda word: _of(word[1], words), re.escape(expected))
        found = re.fullmatch(pattern, value)
        assert found, f"{where}: {value!r} is not {expected!r}"
        words.update(found.groupdict())
    elif isinstance(expected, dict):
        named = {WORD.sub(lambda word: words[word[1]], key): one for key, one in expected.items()}
        assert value.keys() == named.keys(), where
        for key, inner in named.items():
            match(value[key], inner, words, f"{where}.{key}")
    elif isinstance(expected, list):
        assert len(value) == len(expected), f"{where}: {value}"
        for index, inner in enumerate(expected):
            match(value[index], inner, words, f"{where}[{index}]")
    else:
        assert value == expected, where


def _of(word, words):
    if word == "time":
        return TIME.pattern
    if word == "etag":
        return ".+"
    return re.escape(words[word]) if word in words else rf"(?P<{word}>\d+)"
