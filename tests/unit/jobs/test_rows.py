import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trivet.codecs.json_lines import LineDecoder
from trivet.core.batch import InstanceConfig, Shard
from trivet.core.errors import FailedPrecondition, InvalidArgument
from trivet.core.signature import Signature, TensorSpec, matrix
from trivet.jobs.rows import RowShape, from_numbers
from trivet.jobs.shape import Ways
from trivet.sources.base import Table, Unreadable
from trivet.sources.csv_table import Layout
from trivet.sources.csv_table import table as csv_table
from trivet.sources.lines import Block

FLOWER = Signature((matrix(2, ["length", "width"], "float32"),))
UNNAMED = Signature((matrix(2, None, "float64"),))
MIXED = Signature((TensorSpec("age", "int64"), TensorSpec("job", "string"), TensorSpec("pay", "float64")))
ANYTHING = Signature((TensorSpec("instance", "json"),))


def table(names, *rows, numbers=False):
    cells = [
        [json.dumps(row[at], separators=(",", ":")).encode() for row in rows] for at in range(len(names))
    ]
    matrix_ = np.array(rows, np.float64) if numbers else None
    return Table(range(len(rows)), (), 0, tuple(names), cells, matrix_)


def shape(signature, native=True, tabular=False, arrays_only=False, **config):
    return RowShape(Ways(InstanceConfig(**config), signature, native, tabular, arrays_only))


def texts(values):
    return [json.loads(value) for value in values]


def test_natively_rows_are_objects_and_columns_the_model_does_not_know_are_not_sent():
    rows = table(["id", "width", "length"], [7, 1.5, 2.5])
    flower = shape(FLOWER)
    assert flower.check("f", rows) == ["not sent, since the model has no such input: id"]
    batch = flower.batch("f", rows)
    assert texts(batch.sent) == [{"width": 1.5, "length": 2.5}]
    assert texts(batch.shown) == [{"id": 7, "width": 1.5, "length": 2.5}]


def test_in_the_managed_services_terms_rows_are_arrays_with_a_warning_where_names_would_differ():
    flower = shape(FLOWER, native=False)
    assert flower.check("f", table(["length", "width"], [1, 2])) == []
    (warning,) = flower.check("f", table(["width", "length"], [1, 2]))
    assert warning.startswith("rows are sent as arrays, in the order of their columns (width, length)")
    assert "instanceType: object" in warning
    batch = flower.batch("f", table(["width", "length"], [1, 2]))
    assert texts(batch.sent) == texts(batch.shown) == [[1, 2]]


def test_arrays_to_a_model_that_takes_anything_are_warned_of():
    (warning,) = shape(ANYTHING, native=False).check("f", table(["id", "text"], [1, "a"]))
    assert "instanceType: object" in warning
    assert shape(ANYTHING, native=False, type="array").check("f", table(["id", "text"], [1, "a"])) == []


@pytest.mark.parametrize(("signature", "advised"), [(FLOWER, "includedFields"), (ANYTHING, "")])
def test_what_is_refused_of_csv_files_is_not_advised(signature, advised):
    rows = shape(signature, native=False, arrays_only=True)
    (warning,) = rows.check("f", table(["width", "length"], [1, 2]))
    assert "instanceType" not in warning
    assert "trivet.native" in warning
    assert advised in warning


def test_columns_are_taken_by_place_where_the_model_has_no_names():
    unnamed = shape(UNNAMED)
    (warning,) = unnamed.check("f", table(["a", "b"], [1, 2])) or [""]
    assert warning == ""
    assert texts(unnamed.batch("f", table(["a", "b"], [1, 2])).sent) == [[1, 2]]
    (warning,) = shape(FLOWER).check("f", table(["a", "b"], [1, 2]))
    assert "taken by place" in warning


@pytest.mark.parametrize(
    ("signature", "names", "config", "message"),
    [
        (
            FLOWER,
            ["length", "id"],
            {},
            "the model's width is not among the columns that are sent: length, id",
        ),
        (UNNAMED, ["a", "b", "c"], {}, "the model takes 2 values"),
        (FLOWER, ["length", "width"], {"key": "idd"}, "instanceConfig.keyField: 'idd': unknown column"),
        (FLOWER, ["length", "width"], {"included": ("lenght",)}, "did you mean 'length'?"),
        (FLOWER, ["length", "width"], {"excluded": ("x",)}, "instanceConfig.excludedFields: 'x'"),
    ],
)
def test_columns_that_cannot_be_instances_are_refused_before_any_work(signature, names, config, message):
    with pytest.raises(FailedPrecondition) as refused:
        shape(signature, **config).check("some.csv", table(names, list(range(len(names)))))
    assert str(refused.value).startswith("some.csv: ")
    assert message in str(refused.value)


def test_a_later_file_with_other_columns_fails_row_by_row():
    flower = shape(FLOWER)
    flower.check("a.csv", table(["length", "width"], [1, 2]))
    batch = flower.batch("b.csv", table(["length"], [1], [2]))
    assert [one.failure.offset for one in batch.failed] == [0, 1]
    assert texts([one.shown for one in batch.failed]) == [{"length": 1}, {"length": 2}]
    assert len(batch.offsets) == 0


def test_arrays_of_files_whose_columns_are_in_another_order_are_refused():
    shards = [Shard(0, "a.csv", details={"header": ["id", "width", "length"]})]
    shards.append(Shard(1, "b.csv", details={"header": ["id", "length", "width"]}))
    first = table(["id", "width", "length"], [7, 1, 2])
    with pytest.raises(FailedPrecondition, match=r"b\.csv: its columns are length, width, and those of a"):
        shape(FLOWER, type="array", excluded=("id",)).check("a.csv", first, shards)
    shape(FLOWER, type="array", included=("length", "width")).check("a.csv", first, shards)
    shape(FLOWER).check("a.csv", first, shards)
    elsewhere = [Shard(0, "c.csv", details={"header": ["width", "length", "id"]}), Shard(1, "d.csv")]
    shape(FLOWER, type="array", key="id").check("a.csv", first, elsewhere)


OPEN = Signature(
    (
        TensorSpec("ok", "bool"),
        TensorSpec("code", "string", nullable=True),
        TensorSpec("sizes", "float32", (2,)),
    )
)


def written(names, *rows):
    made = csv_table(
        Block(b"".join(row + b"\n" for row in rows), 0, 0), 0, Layout(tuple(names), strict=False)
    )
    return made[0]


def test_what_a_cell_of_a_csv_file_is_the_models_input_says_where_the_file_does_not():
    rows = written(["code", "ok", "sizes"], b'+49,True,"[1, 2.5]"', b'"x",false,"[]"', b",TRUE,[1]", b"7,1,8")
    batch = shape(OPEN).batch("f", rows)
    assert texts(batch.sent) == [
        {"code": "+49", "ok": True, "sizes": [1, 2.5]},
        {"code": "x", "ok": False, "sizes": []},
        {"code": None, "ok": True, "sizes": [1]},
        {"code": "7", "ok": 1, "sizes": 8},
    ]
    assert texts(batch.shown)[0] == {"code": 49, "ok": "True", "sizes": "[1, 2.5]"}
    quoted = written(["code", "ok", "sizes"], b'"1","true","[1"')
    assert texts(shape(OPEN).batch("f", quoted).sent) == [{"code": "1", "ok": "true", "sizes": "[1"}]
    assert texts(shape(OPEN, type="array", included=("ok", "code", "sizes")).batch("f", rows).sent)[0] == [
        True,
        "+49",
        [1, 2.5],
    ]
    assert texts(shape(ANYTHING).batch("f", rows).sent) == texts(batch.shown)


def test_texts_of_nothing_but_digits_are_texts():
    codes = Signature((TensorSpec("a", "string"), TensorSpec("b", "string")))
    batch = shape(codes).batch("f", written(["a", "b"], b"1,2.50", b"3,1e5"))
    assert texts(batch.sent) == [{"a": "1", "b": "2.50"}, {"a": "3", "b": "1e5"}]
    typed = table(["a", "b"], [1, 2])
    assert texts(shape(codes).batch("f", typed).sent) == [{"a": 1, "b": 2}]


def test_the_key_is_not_sent_and_stands_beside():
    batch = shape(FLOWER, key="id").batch("f", table(["id", "length", "width"], ["a", 1, 2]))
    assert (texts(batch.keys), texts(batch.sent)) == (["a"], [{"length": 1, "width": 2}])


def test_included_fields_fix_the_order():
    rows = table(["id", "width", "length"], [7, 1, 2])
    batch = shape(FLOWER, native=False, included=("length", "width")).batch("f", rows)
    assert texts(batch.sent) == texts(batch.shown) == [[2, 1]]
    tabular = shape(FLOWER, native=False, tabular=True, included=("length", "width")).batch("f", rows)
    assert texts(tabular.sent) == [[2, 1]]
    assert texts(tabular.shown) == [{"id": 7, "width": 1, "length": 2}]


def test_what_could_not_be_read_is_a_failure_in_its_place():
    rows = table(["length", "width"], [1, 2])
    rows.unreadable = [Unreadable(5, b'1,"2', "the quote is not closed")]
    (failed,) = shape(FLOWER).batch("f", rows).failed
    assert (failed.failure.offset, failed.failure.message) == (5, "the quote is not closed")
    assert json.loads(failed.shown) == '1,"2'


def test_names_with_percent_signs_and_quotes_survive():
    odd = Signature((matrix(2, ['100% "a"', "b%b"], "float64"),))
    batch = shape(odd).batch("f", table(['100% "a"', "b%b"], [1, 2]))
    assert texts(batch.sent) == [{'100% "a"': 1, "b%b": 2}]


SIGNATURES = [
    FLOWER,
    UNNAMED,
    Signature((matrix(2, ["length", "width"], "int64"),)),
    Signature((matrix(2, ["length", "width"], "uint8"),)),
    Signature((TensorSpec("length", "float32"), TensorSpec("width", "int32"))),
]
values = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False),
    st.integers(-300, 300).map(float),
    st.sampled_from([1e39, 2.0**60]),
)


@given(
    st.sampled_from(SIGNATURES), st.lists(st.tuples(values, values), min_size=1, max_size=4), st.booleans()
)
def test_numbers_become_what_their_texts_become(signature, rows, turned):
    names = ["width", "length"] if turned else ["length", "width"]
    batch = shape(signature).batch("f", table(names, *rows, numbers=True))
    plain = shape(signature).batch("f", table(names, *rows))
    assert plain.instances is None
    try:
        expected = LineDecoder(signature).decode(plain.sent)
    except InvalidArgument:
        assert batch.instances is None
        return
    if batch.instances is None:  # left to the texts: numbers that a float64 does not hold exactly
        assert any(abs(value) >= 2**53 for row in rows for value in row)
        return
    for name, column in expected.columns.items():
        assert batch.instances.columns[name].dtype == column.dtype
        np.testing.assert_array_equal(batch.instances.columns[name], column)


def test_text_is_left_to_the_texts():
    assert shape(MIXED).batch("f", table(["age", "job", "pay"], [1, "a", 2])).instances is None
    assert from_numbers(FLOWER, np.array([[1.0, 1e300]]), (0, 1)) is None
