import json

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.codecs.test_json_rows import FLOWER, IMAGE, MIXED, TEXT, TWO
from trivet.codecs.json_body import BodyDecoder, BodyLimits, encode_predictions, prediction_texts
from trivet.codecs.json_rows import RowDecoder
from trivet.core.errors import Internal, InvalidArgument
from trivet.core.instances import Predictions, object_column
from trivet.core.signature import Signature, TensorSpec, matrix

ODD_NAMES = Signature((matrix(3, ['say "a"', "back\\slash", "c"], "float64", nullable=True),))
UNNAMED = Signature((matrix(3, None, "float32"),))
INTEGERS = Signature((matrix(3, ["a", "b", "c"], "int32"),))
SIGNATURES = [FLOWER, MIXED, IMAGE, TEXT, TWO, ODD_NAMES, UNNAMED, INTEGERS]

numbers = st.one_of(st.integers(-(2**70), 2**70), st.floats(allow_nan=False, allow_infinity=False))
leaves = st.one_of(st.none(), st.booleans(), numbers, st.text(max_size=3))
names = st.sampled_from(["length", "width", "age", "job", "visits", "group", "member", "a", "b", "c", "ids"])
arrays = st.lists(st.one_of(numbers, leaves, st.lists(numbers, max_size=3)), max_size=5)
rows = st.one_of(arrays, st.dictionaries(names, leaves, max_size=5), leaves)


def decode(signature, body, max_instances=100):
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return BodyDecoder(signature, BodyLimits(max_instances)).decode(content)


def outcome(decode):
    """Return what was decoded, or else why it was refused."""
    try:
        return decode(), ""
    except InvalidArgument as error:
        return None, str(error)


def fitting(signature):
    """Rows that mostly fit, so that the fast way is taken often."""
    kinds = {"string": st.text(max_size=3), "bool": st.booleans(), "category": st.text(max_size=3)}
    values = []
    for _, spec in signature.values():
        value = kinds.get(spec.dtype, numbers)
        for size in reversed(spec.shape):
            value = st.lists(value, min_size=size or 0, max_size=size or 3)
        values.append(st.one_of(value, st.none()) if spec.nullable else value)
    if len(values) == 1 and not signature.inputs[0].fields:
        return values[0]
    row = st.tuples(*values).map(list)
    return st.one_of(row, row.map(lambda values: dict(zip(signature.names, values, strict=True))))


@given(st.data())
def test_the_fast_way_and_the_careful_way_agree(data):
    signature = data.draw(st.sampled_from(SIGNATURES))
    instances = data.draw(st.lists(st.one_of(fitting(signature), fitting(signature), rows), max_size=4))
    expected, refused = outcome(lambda: RowDecoder(signature).decode(instances))
    actual, refused_too = outcome(lambda: decode(signature, {"instances": instances})[0])
    assert refused == refused_too
    if refused:
        return
    assert actual.count == expected.count
    for name, column in expected.columns.items():
        assert actual.columns[name].dtype == column.dtype
        assert actual.columns[name].shape == column.shape
        equal_nan = column.dtype.kind == "f"
        assert np.array_equal(actual.columns[name], column, equal_nan=equal_nan)


@given(st.binary(max_size=200), st.sampled_from(SIGNATURES))
def test_any_bytes_are_decoded_or_refused(body, signature):
    decoded, refused = outcome(lambda: decode(signature, body))
    assert decoded or refused


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "the body is not valid JSON"),
        (b"{", "the body is not valid JSON"),
        (b"\xff\xfe", "the body is not valid JSON"),
        (b'{"instances": [[1, 2, 3]], "parameters": {"output": "\xff"}}', "the body is not valid JSON"),
        (b'{"instances": [[NaN, 1, 2]]}', "the body is not valid JSON"),
        (b'{"instances": [[1e999, 1, 2]]}', "the body is not valid JSON"),
        (b'{"instances": ' + b"[" * 100_000, "nested too deeply"),
        (b"[]", "must be a JSON object"),
        (b"{}", "instances: expected an array"),
        (b'{"instances": 5}', "instances: expected an array"),
        (b'{"instance": [[1, 2, 3]]}', "instance: unknown key; did you mean 'instances'?"),
        (b'{"instances": [], "parameters": 5}', "parameters: expected an object"),
        (b'{"instances": [[1,2,3],[1,2,3],[1,2,3]]}', "instances: expected at most 2 in one request; got 3"),
    ],
)
def test_a_wrong_body_says_what_is_wrong(body, message):
    with pytest.raises(InvalidArgument) as caught:
        decode(FLOWER, body, max_instances=2)
    assert message in str(caught.value)


def test_old_clients_may_send_null_parameters_and_a_signature_name():
    body = {"instances": [[1, 2, 3]], "parameters": None, "signature_name": "serving_default"}
    assert decode(FLOWER, body)[1] is None


@pytest.mark.parametrize("signature", [FLOWER, MIXED, TEXT])
def test_labels_are_taken_and_ignored(signature):
    for labels in ({"team": "fraud"}, {}, None):
        assert decode(signature, {"instances": [], "labels": labels})[0].count == 0
    for labels in ({"team": 1}, {"team": None}, "x", []):
        with pytest.raises(InvalidArgument, match="labels: expected an object of strings"):
            decode(signature, {"instances": [], "labels": labels})


def test_parameters_are_passed_on():
    assert decode(FLOWER, {"instances": [], "parameters": {"output": "detailed"}})[1] == {
        "output": "detailed"
    }


def test_requests_of_other_shapes_are_kept_apart():
    one, other = (decode(IMAGE, {"instances": [[[1, 2]] * n]})[2] for n in (1, 2))
    assert one != other
    assert decode(FLOWER, {"instances": [[1, 2, 3]]})[2] is None


@given(st.lists(st.floats(width=64), min_size=1))
def test_floats_read_back_as_the_same_number_and_what_json_lacks_is_null(values):
    written = json.loads(encode_predictions(Predictions.of({"y": np.array(values)})))
    for before, after in zip(values, written, strict=True):
        assert after == before if np.isfinite(before) else after is None


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1))
def test_float32_reads_back_exactly(values):
    column = np.array(values, np.float32)
    written = json.loads(encode_predictions(Predictions.of({"y": column})))
    assert np.array_equal(np.array(written, np.float32), column)


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({"y": np.array([1, 2])}, [1, 2]),
        ({"y": np.array([[0.5, 1.0]], np.float32)}, [[0.5, 1.0]]),
        ({"y": np.array([True])}, [True]),
        ({"y": object_column(["a", None, {"b": [1]}])}, ["a", None, {"b": [1]}]),
        ({"y": object_column([b"hi"])}, [{"b64": "aGk="}]),
        ({"y": np.array([2**63], np.uint64)}, [2**63]),
        ({"a": np.array([1]), "b": np.array([[2.5]])}, [{"a": 1, "b": [2.5]}]),
        ({"y": np.zeros((0, 3))}, []),
    ],
)
def test_one_column_is_a_bare_value_and_several_are_an_object(columns, expected):
    assert json.loads(encode_predictions(Predictions.of(columns))) == expected


@pytest.mark.parametrize("value", [object(), {(1, 2): 3}, 1j])
def test_what_json_cannot_carry_is_a_fault_of_the_model(value):
    with pytest.raises(Internal, match="cannot be written as JSON"):
        encode_predictions(Predictions.of({"y": object_column([value])}))


values = st.recursive(
    st.one_of(leaves, st.floats(), st.text(max_size=5), st.binary(max_size=3)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)


@st.composite
def predicted(draw):
    count = draw(st.integers(0, 5))
    dtypes = st.sampled_from(["float32", "float64", "int8", "int64", "uint64", "bool", "object"])
    columns = {}
    for name in draw(st.lists(st.text(max_size=3), min_size=1, max_size=3, unique=True)):
        dtype = draw(dtypes)
        if dtype == "object":
            columns[name] = object_column(draw(st.lists(values, min_size=count, max_size=count)))
            continue
        shape = (count, *draw(st.lists(st.integers(0, 2), max_size=2)))
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        content = draw(st.binary(min_size=size, max_size=size))
        ones = np.frombuffer(content, "uint8") & 1 if dtype == "bool" else content
        columns[name] = np.frombuffer(ones, dtype).reshape(shape)
    return Predictions(columns, count)


@given(predicted(), st.data())
def test_online_and_batch_write_the_same_predictions(predictions, data):
    def same(part):
        texts = prediction_texts(part)
        assert b"[" + b",".join(texts) + b"]" == encode_predictions(part)
        assert len(texts) == part.count
        assert not any(b"\n" in text for text in texts)

    same(predictions)
    cut = data.draw(st.integers(0, predictions.count))
    for part in predictions.split([cut, predictions.count - cut]):
        same(part)


def test_a_predictors_own_json_in_several_lines_is_one_line_of_a_batch():
    own = object_column([msgspec.Raw(b'{\n"a": 1}'), msgspec.Raw(b"2")])
    assert prediction_texts(Predictions.of({"y": own})) == [b'{ "a": 1}', b"2"]


@pytest.mark.parametrize("value", [object(), {(1, 2): 3}, 1j])
def test_a_batch_refuses_what_json_cannot_carry(value):
    with pytest.raises(Internal, match="cannot be written as JSON"):
        prediction_texts(Predictions.of({"y": object_column([1, value])}))


def test_an_unknown_key_beside_good_rows_is_refused():
    with pytest.raises(InvalidArgument, match="parameter: unknown key; did you mean 'parameters'"):
        decode(FLOWER, {"instances": [[1, 2, 3]], "parameter": {}})


def test_a_signature_of_one_json_value_takes_everything():
    signature = Signature((TensorSpec("instance", "json", nullable=True),))
    body = decode(signature, {"instances": [1, None, {"a": 2**70}]})
    assert body[0].columns["instance"].tolist() == [1, None, {"a": 2**70}]


ANYTHING = Signature(inputs=(TensorSpec("instance", "json", nullable=True),), parameters=None)


@pytest.mark.parametrize(
    ("body", "texts", "parameters"),
    [
        (b'{"instances": [1.50, {"b": [1], "a" : null}]}', [b"1.50", b'{"b": [1], "a" : null}'], None),
        (
            b'{"parameters":{"k":[1]},"instances":["\xc3\xa4"],"labels":{"a":"b"}}',
            [b'"\xc3\xa4"'],
            {"k": [1]},
        ),
        (b'{"instances": []}', [], None),
        (b'{"instances":[' + b"[" * 300 + b"]" * 300 + b"]}", [b"[" * 300 + b"]" * 300], None),
    ],
)
def test_raw_instances_stay_the_texts_that_they_are(body, texts, parameters):
    instances, given, _ = BodyDecoder(ANYTHING, BodyLimits(), raw=True).decode(body)
    assert [bytes(one) for one in instances.columns["instance"]] == texts
    assert given == parameters
    assert instances.count == len(texts)


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b'{"instances": [1, 2, 3]}', "at most 2"),
        (b'{"instances": [1,]}', "not valid JSON"),
        (b'{"instances": [NaN]}', "not valid JSON"),
        (b'{"instances": ["\xff"]}', "not valid JSON"),
        (b'{"instances": 1}', "expected an array"),
        (b'{"instance": [1]}', "did you mean 'instances'"),
        (b'{"instances": [1], "parameters": {"a": ' + b"[" * 300 + b"]" * 300 + b"}}", "nested too deeply"),
    ],
)
def test_raw_bodies_are_refused_as_others_are(body, told):
    with pytest.raises(InvalidArgument, match=told):
        BodyDecoder(ANYTHING, BodyLimits(max_instances=2), raw=True).decode(body)
