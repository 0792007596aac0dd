"""Images in SQL are as TensorFlow has them, in every colour space; what is no image is refused by name."""

from io import BytesIO
from typing import Any

import duckdb
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trivet.core.errors import InvalidArgument
from trivet.sql import images, pictures
from trivet.sql.dialect import parse

Image = pytest.importorskip("PIL.Image")
RANDOM = np.random.default_rng(0)
PHOTO = RANDOM.integers(0, 256, (20, 30, 3), dtype=np.uint8)


def encoded(pixels: Any, kind: str = "PNG", mode: str | None = None) -> bytes:
    file = BytesIO()
    image = Image.fromarray(pixels)
    (image.convert(mode) if mode else image).save(file, kind)
    return file.getvalue()


@pytest.fixture(scope="module")
def con() -> Any:
    connection = duckdb.connect()
    images.ensure(connection)
    images.ensure(connection)
    yield connection
    connection.close()


def run(con: Any, text: str, *parameters: Any) -> Any:
    tree = images.rewrite(parse(text)[0])
    return con.execute(tree.sql("duckdb", identify=True), list(parameters)).fetchone()


def pixels_of(image: Any) -> Any:
    return np.array(image["_field_2"]).reshape(image["_field_1"])


@pytest.mark.parametrize("kind", ["PNG", "BMP"])
def test_it_decodes_as_rgb_from_0_to_1(con: Any, kind: str) -> None:
    (image,) = run(con, "SELECT ML.DECODE_IMAGE(?) AS x", encoded(PHOTO, kind))
    assert image["_field_1"] == [20, 30, 3]
    assert np.array_equal(pixels_of(image).astype(np.float32), PHOTO * np.float32(1 / 255))


@pytest.mark.parametrize("mode", ["L", "P", "1", "RGBA", "CMYK", "I;16"])
def test_every_kind_of_picture_becomes_rgb(mode: str) -> None:
    if mode == "I;16":
        content = encoded(PHOTO[:, :, 0].astype(np.uint16) * 257)
        expected = np.repeat(PHOTO[:, :, :1], 3, axis=2)
        assert np.array_equal(pictures.integers(pictures.decode(content)), expected)
        return
    content = encoded(PHOTO, "JPEG" if mode == "CMYK" else "PNG", mode)
    assert pictures.decode(content).shape == (20, 30, 3)


def test_what_is_null_stays_null(con: Any) -> None:
    assert run(con, "SELECT ML.DECODE_IMAGE(CAST(NULL AS BYTES)) AS x") == (None,)
    text = "SELECT ML.RESIZE_IMAGE(ML.DECODE_IMAGE(CAST(NULL AS BYTES)), 2, 2, TRUE) AS x"
    assert run(con, text) == (None,)


@pytest.mark.parametrize(
    ("size", "keep", "expected"),
    [((10, 120), True, [10, 15, 3]), ((10, 12), False, [10, 12, 3]), ((40, 60), True, [40, 60, 3])],
)
def test_it_resizes_at_once_and_later_alike(con: Any, size: Any, keep: bool, expected: Any) -> None:
    text = f"SELECT ML.RESIZE_IMAGE(ML.DECODE_IMAGE(?), {size[0]}, {size[1]}, {keep}) AS x"
    (at_once,) = run(con, text, encoded(PHOTO))
    text = (
        f"SELECT ML.RESIZE_IMAGE(i, {size[0]}, {size[1]}, {keep}) AS x FROM (SELECT ML.DECODE_IMAGE(?) AS i)"
    )
    (later,) = run(con, text, encoded(PHOTO))
    assert at_once == later
    assert at_once["_field_1"] == expected


def test_the_type_of_an_image_stays(con: Any) -> None:
    text = """
      SELECT ML.RESIZE_IMAGE(STRUCT([1, 2, 3], [10, 20, 30, 30, 40, 50]), 1, 1, FALSE) AS a,
        ML.RESIZE_IMAGE(STRUCT([1, 2, 3], [0.1e0, 0.2e0, 0.3e0, 0.3e0, 0.4e0, 0.5e0]), 1, 1, FALSE) AS b,
        ML.CONVERT_IMAGE_TYPE(STRUCT([1, 1, 3], [0.0e0, 0.5e0, 1.0e0])) AS c
    """
    tree = images.rewrite(parse(text)[0])
    a, b, c = con.execute(tree.sql("duckdb", identify=True)).fetchone()
    assert (a["_field_2"], c["_field_2"]) == ([20, 30, 40], [0, 127, 255])
    assert b["_field_2"] == pytest.approx([0.2, 0.3, 0.4])
    types = con.cursor().sql(f"DESCRIBE {tree.sql('duckdb', identify=True)}").fetchall()
    assert [one[1].split()[-1] for one in types] == ["UTINYINT[])", "FLOAT[])", "UTINYINT[])"]


@pytest.mark.parametrize(("space", "channels"), [("HSV", 3), ("grayscale", 1), ("YIQ", 3), ("YUV", 3)])
def test_colours_convert(con: Any, space: str, channels: int) -> None:
    text = f"SELECT ML.CONVERT_COLOR_SPACE(ML.DECODE_IMAGE(?), '{space}') AS x"
    (image,) = run(con, text, encoded(PHOTO))
    assert image["_field_1"] == [20, 30, channels]
    integers = f"SELECT ML.CONVERT_COLOR_SPACE(ML.CONVERT_IMAGE_TYPE(ML.DECODE_IMAGE(?)), '{space}') AS x"
    assert run(con, integers, encoded(PHOTO)) == (image,)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ML.DECODE_IMAGE(b'no image')", "ML.DECODE_IMAGE: the image cannot be decoded: it is neither JPEG"),
        ("ML.RESIZE_IMAGE(STRUCT([1, 2, 3], [1]), 2, 2, TRUE)", r"of sizes \[1, 2, 3\] has 1 values"),
        ("ML.RESIZE_IMAGE(STRUCT([1, 1, 1], [1]), 0, 2, TRUE)", "a height of 0 and a width of 2"),
        ("ML.CONVERT_COLOR_SPACE(STRUCT([1, 1, 3], [1, 2, 3]), 'RGBX')", "colour space 'RGBX': expected"),
        ("ML.CONVERT_COLOR_SPACE(STRUCT([1, 1, 1], [1]), 'HSV')", "1 channels; expected 3"),
    ],
)
def test_what_is_wrong_is_told(con: Any, text: str, expected: str) -> None:
    with pytest.raises(duckdb.Error, match=expected):
        run(con, f"SELECT {text} AS x")


def test_too_many_arguments_are_told_with_their_place() -> None:
    with pytest.raises(InvalidArgument, match=r"ML.DECODE_IMAGE: 2 arguments; expected 1 at \[1:"):
        images.rewrite(parse("SELECT ML.DECODE_IMAGE(a, b) FROM t")[0])


def test_large_files_and_large_pictures() -> None:
    with pytest.raises(InvalidArgument, match="10,000,001 bytes; expected 10,000,000 at most"):
        pictures.decode(b"x" * 10_000_001)
    large = pictures.decode(encoded(np.zeros((2000, 3000, 3), np.uint8)))
    assert large.size <= pictures.MAX_VALUES
    assert large.shape[1] / large.shape[0] == pytest.approx(1.5, rel=0.01)


@given(st.integers(1, 40), st.integers(1, 40))
@settings(max_examples=40, deadline=None)
def test_bounds_and_constants_survive_resizing(height: int, width: int) -> None:
    made = pictures.scaled(PHOTO, height, width)
    assert made.shape == (height, width, 3)
    assert PHOTO.min() <= made.min() <= made.max() <= PHOTO.max()
    flat = np.full((7, 5, 3), np.float32(0.25))
    assert (pictures.scaled(flat, height, width) == np.float32(0.25)).all()


def test_it_is_what_tensorflow_does() -> None:
    tf = pytest.importorskip("tensorflow")
    pixels = PHOTO * np.float32(1 / 255)
    for size in ((7, 11), (55, 13), (20, 30)):
        expected = tf.image.resize(pixels, size).numpy()
        assert np.allclose(pictures.scaled(pixels, *size), expected, atol=1e-6)
    for space, function in {
        "HSV": tf.image.rgb_to_hsv,
        "GRAYSCALE": tf.image.rgb_to_grayscale,
        "YIQ": tf.image.rgb_to_yiq,
        "YUV": tf.image.rgb_to_yuv,
    }.items():
        assert np.allclose(pictures.convert(pixels, space), function(pixels).numpy(), atol=1e-6), space
    assert np.array_equal(pictures.integers(pixels), tf.image.convert_image_dtype(pixels, tf.uint8).numpy())
    content = encoded(PHOTO, "PNG")
    decoded = tf.image.convert_image_dtype(tf.image.decode_image(content), tf.float32).numpy()
    assert np.array_equal(pictures.decode(content), decoded)
