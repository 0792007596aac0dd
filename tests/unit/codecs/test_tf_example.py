import base64
import json
import math

import numpy as np
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from hypothesis import given, settings
from hypothesis import strategies as st

from trivet.codecs.tf_example import fields, without

# what Vertex recorded: Example{value: bytes_list["3"]}
RECORDED = base64.b64decode("ChAKDgoFdmFsdWUSBQoDCgEz")


def definition():
    """Return tf.train.Example, as protobuf's own library has it."""
    file = descriptor_pb2.FileDescriptorProto(name="example.proto", package="t", syntax="proto3")
    kind = descriptor_pb2.FieldDescriptorProto
    for name, type_ in (
        ("BytesList", kind.TYPE_BYTES), ("FloatList", kind.TYPE_FLOAT), ("Int64List", kind.TYPE_INT64),
    ):  # fmt: skip
        file.message_type.add(name=name).field.add(name="value", number=1, label=3, type=type_)
    feature = file.message_type.add(name="Feature")
    feature.oneof_decl.add(name="kind")
    for number, name in enumerate(("BytesList", "FloatList", "Int64List"), 1):
        feature.field.add(name=name, number=number, label=1, type=11, type_name=f".t.{name}", oneof_index=0)
    features = file.message_type.add(name="Features")
    entry = features.nested_type.add(name="FeatureEntry")
    entry.options.map_entry = True
    entry.field.add(name="key", number=1, label=1, type=9)
    entry.field.add(name="value", number=2, label=1, type=11, type_name=".t.Feature")
    features.field.add(name="feature", number=1, label=3, type=11, type_name=".t.Features.FeatureEntry")
    file.message_type.add(name="Example").field.add(
        name="features", number=1, label=1, type=11, type_name=".t.Features"
    )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("t.Example"))


Example = definition()
LISTS = st.one_of(
    st.tuples(st.just("BytesList"), st.lists(st.binary(max_size=5) | st.text(max_size=3).map(str.encode))),
    st.tuples(st.just("FloatList"), st.lists(st.floats(width=32))),
    st.tuples(st.just("Int64List"), st.lists(st.integers(-(2**63), 2**63 - 1))),
)
EXAMPLES = st.dictionaries(st.text(max_size=5), LISTS, max_size=4)


def made(values):
    example = Example()
    for name, (kind, items) in values.items():
        example.features.feature[name].SetInParent()
        getattr(example.features.feature[name], kind).SetInParent()
        getattr(example.features.feature[name], kind).value.extend(items)
    return example.SerializeToString()


def expected(kind, items):
    if kind == "FloatList":
        shown = [np.float32(item) if math.isfinite(item) else None for item in items]
    elif kind == "BytesList":
        shown = [as_text(item) for item in items]
    else:
        shown = items
    return shown[0] if len(shown) == 1 else shown


def as_text(item):
    try:
        return item.decode()
    except UnicodeDecodeError:
        return {"b64": base64.b64encode(item).decode()}


@settings(max_examples=200, deadline=None)
@given(EXAMPLES)
def test_fields_are_those_that_protobuf_wrote(values):
    found = {name: json.loads(text) for name, text in fields(made(values)).items()}
    for name, (kind, items) in values.items():
        if kind == "FloatList":
            assert np.array_equal(np.array(found[name], "f4"), np.array(expected(kind, items), "f4"), True)
        else:
            assert found[name] == expected(kind, items)
    assert set(found) == set(values)


@settings(max_examples=200, deadline=None)
@given(EXAMPLES, st.data())
def test_fields_are_left_out_and_the_rest_stays(values, data):
    names = data.draw(st.sets(st.sampled_from([*values, "none"])))
    left = {name: value for name, value in values.items() if name not in names}
    found = without(made(values), names)
    assert fields(found) == fields(made(left))
    Example.FromString(found)


@settings(max_examples=300, deadline=None)
@given(EXAMPLES, st.data())
def test_whatever_the_bytes_are_it_is_an_example_or_a_value_error(values, data):
    content = bytearray(made(values))
    for _ in range(data.draw(st.integers(0, 3))):
        at = data.draw(st.integers(0, max(0, len(content) - 1)))
        content[at : at + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=3))
    for call in (fields, lambda blob: without(blob, ["a"])):
        try:
            call(bytes(content))
        except ValueError:
            continue


def test_the_recorded_one_is_read():
    assert fields(RECORDED) == {"value": b'"3"'}
    assert without(RECORDED, ["other"]) == RECORDED
    assert fields(without(RECORDED, ["value"])) == {}
    assert fields(b"") == {}


def test_floats_are_the_shortest_that_are_the_same():
    assert fields(made({"x": ("FloatList", [0.1]), "y": ("FloatList", [1e20, math.inf, 2])})) == {
        "x": b"0.1", "y": b"[1e20,null,2.0]",
    }  # fmt: skip


def test_numbers_that_are_not_packed_are_read_too():
    floats = b"\x0a\x13\x0a\x11\x0a\x01x\x12\x0c\x12\x0a\x0d" + np.array([1.5], "<f4").tobytes()
    floats += b"\x0d" + np.array([-2], "<f4").tobytes()
    assert fields(floats) == {"x": b"[1.5,-2.0]"}
    assert fields(b"\x0a\x0d\x0a\x0b\x0a\x01x\x12\x06\x1a\x04\x08\x07\x08\x05") == {"x": b"[7,5]"}


@pytest.mark.parametrize(
    "blob", [b"\x0a\x05ab", b"not an example", b"\x0a", b"\x00\x01", b"\x08\x01", b"\x0b", b"\xff" * 12]
)
def test_what_is_no_example_says_so(blob):
    with pytest.raises(ValueError, match=r"no tf\.train\.Example"):
        fields(blob)
