import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trivet.codecs.json_lines import LineDecoder
from trivet.core.batch import InstanceConfig
from trivet.core.errors import FailedPrecondition, InvalidArgument
from trivet.core.signature import Signature, TensorSpec, matrix
from trivet.jobs.rows import RowShape, from_numbers
from trivet.jobs.shape import Ways
from trivet.sources.base import Table, Unreadable

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


def shape(signature, native=True, tabular=False, **config):
    return RowShape(Ways(InstanceConfig(**config), signature, native, tabular))


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
