import pytest

from trivet.core.errors import InvalidArgument
from trivet.protocols.vertex import shapes
from trivet.protocols.vertex.schema import (
    anything,
    by_key,
    duration,
    each,
    enum,
    flag,
    int32,
    int64,
    message,
    number,
    text,
    timestamp,
)

COLOUR = enum(COLOUR_UNSPECIFIED=0, RED=1, GREEN=2)


@pytest.mark.parametrize(
    ("reader", "value", "read"),
    [
        (text, "x", "x"),
        (flag, False, False),
        (number, 1, 1.0),
        (number, 0.5, 0.5),
        (int32, 7, 7),
        (int32, 7.0, 7),
        (int32, "-7", -7),
        (int64, 128, "128"),
        (int64, "9223372036854775807", "9223372036854775807"),
        (duration, "600s", "600s"),
        (duration, "0.5s", "0.5s"),
        (timestamp, "2026-01-31T12:00:00Z", "2026-01-31T12:00:00Z"),
        (timestamp, "2026-01-31T12:00:00.123456789+01:00", "2026-01-31T12:00:00.123456789+01:00"),
        (anything, [1, None], [1, None]),
        (COLOUR, "RED", "RED"),
        (COLOUR, 2, "GREEN"),
        (COLOUR, "2", "GREEN"),
        (COLOUR, 77, 77),
        (each(int32), ["1", 2], [1, 2]),
        (by_key(int32), {"0": "20", "my_Key": 80}, {"0": 20, "my_Key": 80}),
        (message({"aB": int32}), {"aB": "1"}, {"aB": 1}),
        (message({"aB": int32}), {"a_b": 1, "newer_field": {"x_y": 1}}, {"aB": 1, "newer_field": {"x_y": 1}}),
        (message({"aB": int32}), {"aB": None, "c": None}, {}),
    ],
)
def test_what_fits_is_made_uniform(reader, value, read):
    assert reader(value, "x") == read
    assert type(reader(value, "x")) is type(read)


@pytest.mark.parametrize(
    ("reader", "value", "said"),
    [
        (text, 1, "x: expected a string; got 1"),
        (flag, "true", 'x: expected true or false; got "true"'),
        (number, True, "x: expected a number; got true"),
        (int32, "x", 'x: expected an integer; got "x"'),
        (int32, 1.5, "x: expected an integer; got 1.5"),
        (int32, True, "x: expected an integer; got true"),
        (int32, 2**31, "x: expected an integer of 32 bits; got 2147483648"),
        (int64, "9223372036854775808", "x: expected an integer of 64 bits"),
        (duration, "600", 'x: expected a duration in seconds, such as "600s"; got "600"'),
        (duration, 600, "x: expected a duration"),
        (timestamp, "2026-01-31T12:00:00", "x: expected a time with its zone"),
        (timestamp, 7, "x: expected a time with its zone"),
        (COLOUR, "GREN", "x: unknown value; did you mean 'GREEN'?"),
        (COLOUR, 1.5, "x: expected a name or a number of the enum; got 1.5"),
        (each(int32), {}, "x: expected a list; got {}"),
        (each(int32), [1, "x"], 'x[1]: expected an integer; got "x"'),
        (by_key(int32), [], "x: expected an object; got []"),
        (by_key(int32), {"0": "a"}, "x['0']: expected an integer"),
        (message({"aB": int32}), 1, "x: expected an object; got 1"),
        (message({"aB": int32}), {"a_b": "y"}, "x.aB: expected an integer"),
        (message({"aB": int32}), {"a_b": 1, "aB": 2}, "x.aB: given twice"),
    ],
)
def test_what_does_not_fit_is_named(reader, value, said):
    with pytest.raises(InvalidArgument) as raised:
        reader(value, "x")
    assert said in str(raised.value)


def test_the_path_of_a_field_is_told_from_the_body_on():
    body = {"model": {"containerSpec": {"imageUri": "i", "ports": [{"containerPort": "x"}]}}}
    with pytest.raises(InvalidArgument) as raised:
        shapes.upload_model(body, "")
    assert str(raised.value) == 'model.containerSpec.ports[0].containerPort: expected an integer; got "x"'


def test_accelerators_come_as_numbers():
    deployed = {"dedicatedResources": {"machineSpec": {"acceleratorType": 5, "acceleratorCount": 1}}}
    read = shapes.deployed_model(deployed, "deployedModel")
    assert read["dedicatedResources"]["machineSpec"]["acceleratorType"] == "NVIDIA_TESLA_T4"
