import json
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trivet.protocols.vertex.grpc_elements import Elements

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


def elements(*pieces):
    found = Elements()
    complete = [element for piece in pieces for element in found.feed(piece)]
    last = found.close()
    return [*complete, *([last] if last else [])], found.is_whole


@settings(deadline=None, max_examples=50)
@given(st.lists(JSON), st.lists(st.integers(0, 500)), st.booleans(), st.sampled_from([None, 1]))
def test_cut_anywhere_the_elements_are_those_of_the_array(array, cuts, ascii_, indent):
    text = json.dumps(array, ensure_ascii=ascii_, indent=indent).encode("utf-8", "surrogatepass")
    at = sorted({0, len(text), *(cut % (len(text) + 1) for cut in cuts)})
    found, whole = elements(*(text[a:b] for a, b in pairwise(at)))
    assert [json.loads(one.decode("utf-8", "surrogatepass")) for one in found] == array
    assert whole


@settings(deadline=None, max_examples=50)
@given(st.dictionaries(st.text(), JSON))
def test_an_object_is_one_element(content):
    text = json.dumps(content).encode()
    assert elements(b" ", text) == ([text], True)


def test_an_element_is_given_before_the_comma_that_follows_it():
    found = Elements()
    assert list(found.feed(b'[{"a": "}"}')) == [b'{"a": "}"}']
    assert list(found.feed(b'\n,\n{"b"')) == []
    assert list(found.feed(b":[1,2]}]")) == [b'{"b":[1,2]}']
    assert found.is_whole


@pytest.mark.parametrize("text", [b"", b"  ", b"[", b'[{"a":1}', b'[{"a":"]', b'{"a":1', b'[{"a":"\\'])
def test_what_breaks_off_is_not_whole(text):
    assert elements(text)[1] is False
