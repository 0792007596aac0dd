import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trivet.jobs.row_texts import texts
from trivet.sources.base import Table


def table(names, rows, *, with_text):
    cells = [[row[at] for row in rows] for at in range(len(names))]
    text = b"\n".join(b",".join(row) for row in rows) if with_text else None
    return Table(range(len(rows)), (), 0, tuple(names), cells, None, text)


cells = st.sampled_from([b"0", b"-1.5", b"1e-7", b"123456789012345678901", b"0.10"])


@given(st.data())
def test_the_text_of_a_table_makes_what_its_cells_make(data):
    width = data.draw(st.integers(1, 30))
    letters = st.one_of(st.characters(codec="ascii"), st.characters(codec="utf-8"))
    name = st.text(letters, max_size=4)
    names = data.draw(st.lists(name, min_size=width, max_size=width, unique=True))
    row = st.lists(cells, min_size=width, max_size=width)
    rows = data.draw(st.lists(row, min_size=1, max_size=4)) * data.draw(st.sampled_from([1, 512, 1025]))
    every = tuple(range(width))
    for as_object in (True, False):
        expected = texts(table(names, rows, with_text=False), every, as_object=as_object)
        assert list(texts(table(names, rows, with_text=True), every, as_object=as_object)) == list(expected)
    assert json.loads(expected[0]) == [json.loads(cell) for cell in rows[0]]


@pytest.mark.parametrize("count", [1, 1023, 1024, 1025, 2048, 3000])
def test_rows_are_the_same_wherever_pieces_end(count):
    rows = [[b"%d" % index, b"0.5"] for index in range(count)]
    made = texts(table(["id", "x"], rows, with_text=True), (0, 1), as_object=True)
    assert made == [b'{"id":%d,"x":0.5}' % index for index in range(count)]


def test_some_columns_in_another_order():
    one = table(["a", "b", "c"], [[b"1", b"2", b"3"]], with_text=True)
    assert texts(one, (2, 0), as_object=True) == [b'{"c":3,"a":1}']
    assert texts(one, (2, 0), as_object=False) == [b"[3,1]"]
    assert texts(one, (), as_object=True) == [b"{}"]
