import csv
import io
import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.sources.reading import cells_of, read, records_of
from trivet.core.errors import FailedPrecondition
from trivet.sources import csv_cells
from trivet.sources.base import Inputs
from trivet.sources.csv_table import Layout, row_by_row, table
from trivet.sources.lines import Block
from trivet.sources.registry import get_source

CELLS = [
    b"1", b"-2.5", b"0.25", b"1e5", b"", b"abc", b'"q"', b'"a,b"', b'"a""b"', b'"l\nm"', b" 7 ", b"+1", b".5",
    b"5.", b"007", b"NaN", b"9007199254740993", b"18446744073709551616", b"1e999", b'5" pipe', b'"x"y',
    b"\xff", "ü".encode(), b"-", b"\x01", b'"\x02"', b"\r", b'"', b"true", b"[1]", b"\x00", b'"\\"', b"-0",
    b"1" * 400,
]  # fmt: skip
NUMBERS = [b"1", b"-2.5", b"0.25", b"1e5", b"2.0E-3", b"-0", b"9007199254740993", b"123456789012.5"]


def rows(cells, width):
    row = st.lists(st.sampled_from(cells), min_size=width, max_size=width).map(b",".join)
    any_row = st.lists(st.sampled_from(cells), max_size=width + 1).map(b",".join)
    return st.one_of(st.lists(row, max_size=5), st.lists(row | any_row, max_size=5)).flatmap(
        lambda lines: st.sampled_from([b"\n", b"\r\n"]).map(lambda end: end.join([*lines, b""]))
    )


def content(table):
    cells = list(zip(*table.cells, strict=True)) if table.offsets else []
    return list(table.offsets), cells, list(table.unreadable)


@settings(max_examples=300, deadline=None)
@given(st.integers(1, 3), st.data(), st.booleans())
def test_the_fast_ways_and_the_careful_one_come_to_the_same(width, data, strict):
    text = data.draw(rows(CELLS, width) | rows(NUMBERS, width))
    layout = Layout(tuple("abc"[:width]), strict=strict)
    fast, after = table(Block(text, 0, len(text)), 7, layout)
    careful, end = row_by_row(text, 7, len(text), layout)
    assert content(fast) == content(careful)
    assert after == end
    assert (fast.numbers is None) == (careful.numbers is None)
    if fast.numbers is not None:
        assert fast.numbers.tolist() == careful.numbers.tolist()
        assert fast.numbers.tolist() == [[float(cell) for cell in row] for row in content(fast)[1]]
    if fast.text is not None:
        written = fast.text
        assert [tuple(line.split(b",")) for line in written.split(b"\n")] == content(fast)[1]
        assert fast.between.tolist() == [at for at, byte in enumerate(written) if byte in b",\n"]


@pytest.mark.parametrize("row", [b"1 ,2", b"1,\t2", b"[1,2]", b"1,[2]", b'"1",2'])
def test_what_json_has_besides_numbers_is_none_of_a_csv_file(row):
    found, _ = table(Block(row + b"\n3,4\n", 0, 0), 0, Layout(("a", "b"), strict=False))
    assert found.text is None
    assert b",".join(cells[0] for cells in found.written) == row


@settings(max_examples=300, deadline=None)
@given(st.integers(1, 3), st.data())
def test_every_row_of_any_text_is_a_record_an_error_or_blank(width, data):
    text = data.draw(rows(CELLS, width))
    found, after = table(Block(text, 0, len(text)), 0, Layout(tuple("abc"[:width]), strict=False))
    records = records_of(text)
    assert after == len(records)
    bad = {one.offset: one for one in found.unreadable}
    good = set(found.offsets)
    lines = [record.removesuffix(b"\n").removesuffix(b"\r") for record in records]
    for offset, record in enumerate(lines):
        cells = cells_of(record)
        if not record:
            assert offset not in good | set(bad)
        elif cells is None or len(cells) != width or b"\xff" in record:
            shown = bad[offset].text  # of a quote that is never closed, the line end is part
            assert record in (shown, shown.removesuffix(b"\r"))
        else:
            assert offset in good
    assert len(good) + len(bad) == sum(map(bool, lines))


# no carriage return: csv.writer leaves one unquoted, where csv.reader takes it for the end of a row
TEXTS = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\r") | st.sampled_from('",\n 01.eE+-'),
    max_size=8,
)
VALUES = TEXTS | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.none()


@settings(max_examples=150, deadline=None)
@given(
    st.integers(1, 4).flatmap(lambda n: st.lists(st.lists(VALUES, min_size=n, max_size=n), max_size=8)),
    st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_NONNUMERIC, csv.QUOTE_ALL]),
    st.sampled_from(["\n", "\r\n"]),
    st.sampled_from([1, 10, 1 << 20]),
)
def test_what_the_standard_library_writes_is_read_as_it_reads_it(
    tmp_path_factory, values, quoting, end, shard_bytes
):
    width = len(values[0]) if values else 1
    written = io.StringIO()
    writer = csv.writer(written, quoting=quoting, lineterminator=end)
    writer.writerows([[f"c{index}" for index in range(width)], *values])
    path = tmp_path_factory.mktemp("csv") / "a.csv"
    path.write_bytes(written.getvalue().encode())
    written.seek(0)
    expected = [row for row in csv.reader(io.StringIO(written.getvalue(), newline="")) if row][1:]
    found = read("csv", path, shard_bytes=shard_bytes)
    assert len(found) == len(expected)
    for row, cells in zip(expected, found.values(), strict=True):
        for text, cell in zip(row, cells, strict=True):
            value = json.loads(cell, parse_int=str, parse_float=str)
            if value is None:
                assert text.strip(" \t").lower() in ("", "nan")
            elif cell[:1] == b'"':
                assert value == text
            else:
                assert float(value) == float(text)
                assert "." in text or "e" in text.lower() or int(value) == int(text)


@pytest.mark.parametrize(
    ("cell", "native", "strict"),
    [
        ("2", "2", "2.0"), ("-0", "-0", "-0.0"), ("2.50", "2.50", "2.50"), ("1e5", "1e5", "1e5"),
        ("9007199254740992", "9007199254740992", "9007199254740992.0"),
        ("9007199254740993", "9007199254740993", "9007199254740993"),
        ("9" * 400, "9" * 400, "9" * 400), ("1" * 5000, "1" * 5000, "1" * 5000),
        ("+1", "1", "1.0"), (".5", "0.5", "0.5"), ("5.", "5.0", "5.0"), ("-.5e3", "-0.5e3", "-0.5e3"),
        (" 7\t", "7", "7.0"), ("007", '"007"', "7.0"), ("00.5", '"00.5"', "0.5"),
        ("", "null", None), ("NaN", "null", None), (" nan ", "null", None), ("-nan", '"-nan"', None),
        ("inf", '"inf"', None), ("1e999", "1e999", None), ("1_000", '"1_000"', None), ("0x1", '"0x1"', None),
        ("true", '"true"', None), ("null", '"null"', None), ("[1]", '"[1]"', None), (".", '"."', None),
        ("-", '"-"', None), ("1 2", '"1 2"', None), ("\u0661", '"\u0661"', None), (" a ", '" a "', None),
        ('"2"', '"2"', '"2"'), ('""', '""', '""'), ('"NaN"', '"NaN"', '"NaN"'),
        ('"a""b"', r'"a\"b"', r'"a\"b"'), ('"a,b\r\nc"', r'"a,b\r\nc"', r'"a,b\r\nc"'),
        ('"\\"', r'"\\"', r'"\\"'), ("a\\b", r'"a\\b"', None), ("\x00", r'"\u0000"', None),
        ('5" pipe', r'"5\" pipe"', None),
    ],
)  # fmt: skip
def test_a_cell_is_what_it_is(tmp_path, cell, native, strict):
    (tmp_path / "a.csv").write_bytes(f"a,b\n{cell},1\n".encode())
    assert read("csv", tmp_path / "a.csv")[0][0].decode() == native
    found = read("csv", tmp_path / "a.csv", strict=True)[0]
    if strict is None:
        assert re.search(r"column a: .*number.*: ", str(found))
    else:
        assert found[0].decode() == strict


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a,,c\n1,2,3\n", "column 2 of the header has no name"),
        (b"a, ,c\n", "column 2 of the header has no name"),
        (b"a,b,a,b\n", "names a column twice: a, b"),
        (b'"a,b\n1,2\n', "quotes of the header do not fit"),
        (b'"a"x,b\n1,2\n', "quotes of the header do not fit"),
        (b"\xff\xfea\x00,\x00", "the header is not UTF-8"),
        (b"0.5,1.5\n2,3\n", "has no header: its first row is numbers"),
        (b"\x1f\x8bgarbage", "no header can be read: the gzip file is damaged"),
    ],
)
def test_a_header_that_cannot_be_one_is_refused(tmp_path, content, message):
    (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(FailedPrecondition, match=message):
        read("csv", tmp_path / "a.csv")


@pytest.mark.parametrize(
    "content", [b"", b"\xef\xbb\xbf", b"\n\n", b"\r\n", b"\xef\xbb\xbf\n", b"a,b", b"a,b\n", b"a,b\r\n\r\n"]
)
def test_a_file_without_rows_has_no_records(tmp_path, content):
    (tmp_path / "a.csv").write_bytes(content)
    assert read("csv", tmp_path / "a.csv") == {}
    assert read("csv", tmp_path / "a.csv", shard_bytes=1) == {}


def test_names_are_taken_as_they_are(tmp_path):
    (tmp_path / "a.csv").write_bytes('\ufeff\n\n"a, b","c""d\ne",ü,2020\r\n1,2,3,4'.encode())
    (shard,) = get_source("csv").plan(Inputs((str(tmp_path / "a.csv"),)))
    assert shard.details["header"] == ["a, b", 'c"d\ne', "ü", "2020"]
    assert read("csv", tmp_path / "a.csv") == {0: (b"1", b"2", b"3", b"4")}


def test_a_byte_order_mark_before_a_quoted_name_is_dropped(tmp_path):
    (tmp_path / "a.csv").write_bytes(b'\xef\xbb\xbf"a\n1","b"\n1,2\n')
    (shard,) = get_source("csv").plan(Inputs((str(tmp_path / "a.csv"),)))
    assert shard.details["header"] == ["a\n1", "b"]


def test_rows_as_arrays_want_the_same_columns_in_all_files(tmp_path):
    (tmp_path / "1.csv").write_bytes(b"a,b\n1,2\n")
    (tmp_path / "2.csv").write_bytes(b"")
    (tmp_path / "3.csv").write_bytes(b"b,a\n1,2\n")
    with pytest.raises(
        FailedPrecondition, match=r"3\.csv: its columns are b, a, and those of .*1\.csv are a, b"
    ):
        get_source("csv").plan(Inputs((str(tmp_path),), strict=True))
    assert len(list(get_source("csv").plan(Inputs((str(tmp_path),))))) == 3


def test_without_the_simd_parser_it_is_the_same(tmp_path, monkeypatch):
    (tmp_path / "a.csv").write_bytes(b"a,b\n1,2.5\n-3e2,4\n18446744073709551616,1\n")
    with_it = read("csv", tmp_path / "a.csv")
    monkeypatch.setattr(csv_cells, "simd_parser", lambda use: None)
    assert read("csv", tmp_path / "a.csv") == with_it
