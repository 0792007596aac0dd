"""ML.DECODE_IMAGE, ML.RESIZE_IMAGE, ML.CONVERT_COLOR_SPACE and ML.CONVERT_IMAGE_TYPE, as functions of DuckDB.

An image is a STRUCT of its height, width and channels, and of its pixels: floats from 0 to 1, or integers
up to 255. DuckDB keeps the pixels of what these functions return as FLOAT[] and UTINYINT[], a half and an
eighth of what GoogleSQL's types would take. Which of two functions is meant by the type of an image DuckDB
itself finds out, by macros. An image that is resized as soon as it is decoded is never kept in full.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from inspect import Parameter, Signature
from typing import Any

import numpy as np
from sqlglot import exp

from trivet.core.errors import InvalidArgument, ServingError
from trivet.sql import pictures
from trivet.sql.pictures import Pixels
from trivet.sql.positions import at

FLOATS = "STRUCT(_field_1 BIGINT[], _field_2 FLOAT[])"
INTEGERS = "STRUCT(_field_1 BIGINT[], _field_2 UTINYINT[])"
DOUBLES = "STRUCT(_field_1 BIGINT[], _field_2 DOUBLE[])"
LONGS = "STRUCT(_field_1 BIGINT[], _field_2 BIGINT[])"

ARITY = {"DECODE_IMAGE": 1, "RESIZE_IMAGE": 4, "CONVERT_COLOR_SPACE": 2, "CONVERT_IMAGE_TYPE": 1}
"""How many arguments each function has."""
_MACROS = f"""
CREATE MACRO IF NOT EXISTS memory.main.__ml_resize_image
  (x {FLOATS}, h, w, p) AS __resize_floats(x, h, w, p),
  (x {DOUBLES}, h, w, p) AS __resize_floats(CAST(x AS {FLOATS}), h, w, p),
  (x {INTEGERS}, h, w, p) AS __resize_integers(x, h, w, p),
  (x {LONGS}, h, w, p) AS __resize_integers(CAST(x AS {INTEGERS}), h, w, p);
CREATE MACRO IF NOT EXISTS memory.main.__ml_convert_color_space
  (x {FLOATS}, s) AS __recolour_floats(x, s),
  (x {DOUBLES}, s) AS __recolour_floats(CAST(x AS {FLOATS}), s),
  (x {INTEGERS}, s) AS __recolour_integers(x, s),
  (x {LONGS}, s) AS __recolour_integers(CAST(x AS {INTEGERS}), s);
CREATE MACRO IF NOT EXISTS memory.main.__ml_convert_image_type(x) AS __integers(CAST(x AS {FLOATS}));
CREATE MACRO IF NOT EXISTS memory.main.__ml_decode_image(x) AS __decode(x);
CREATE MACRO IF NOT EXISTS memory.main.__ml_decode_resized(x, h, w, p) AS __decode_resized(x, h, w, p);
"""


def concerned(tree: exp.Expression) -> bool:
    """Whether a statement has functions of images."""
    return next(_calls(tree), None) is not None


def rewrite(tree: exp.Expression) -> exp.Expression:
    """Put the functions of `ensure` in the place of those of images; raises InvalidArgument."""
    for call in list(_calls(tree)):
        name, arguments = call.expression.name.upper(), call.expression.expressions
        if len(arguments) != ARITY[name]:
            raise InvalidArgument(f"ML.{name}: {len(arguments)} arguments; expected {ARITY[name]}{at(call)}")
        made = f"__ml_{name.lower()}"
        if name == "RESIZE_IMAGE" and _is_call(arguments[0], "DECODE_IMAGE"):
            made, arguments = "__ml_decode_resized", [*arguments[0].expression.expressions, *arguments[1:]]
        arguments = [_named(arguments[0].copy()), *(one.copy() for one in arguments[1:])]
        function = exp.Anonymous(this=made, expressions=arguments)
        home = exp.Dot(this=exp.to_identifier("memory"), expression=exp.to_identifier("main"))
        whole = exp.Dot(this=home, expression=function)
        if call is tree:
            return whole
        call.replace(whole)
        rewrite(whole)
    return tree


def _named(image: exp.Expression) -> exp.Expression:
    """Give the parts of `STRUCT([1, 1, 3], [..])` the names that they have in results."""
    if isinstance(image, exp.Struct) and len(image.expressions) == 2:
        values = [one.expression if isinstance(one, exp.PropertyEQ) else one for one in image.expressions]
        parts = (
            exp.PropertyEQ(this=exp.to_identifier(f"_field_{number}"), expression=one.copy())
            for number, one in enumerate(values, 1)
        )
        return exp.Struct(expressions=list(parts))
    return image


def _calls(tree: exp.Expression) -> Any:
    """Yield the outermost calls first."""
    return (one for one in tree.find_all(exp.Dot) if any(_is_call(one, name) for name in ARITY))


def _is_call(node: exp.Expression, name: str) -> bool:
    return (
        isinstance(node, exp.Dot)
        and node.this.name.upper() == "ML"
        and isinstance(node.expression, exp.Anonymous)
        and node.expression.name.upper() == name
    )


def ensure(connection: Any) -> None:
    """Have the functions be there, for all connections of a DuckDB instance."""
    import duckdb

    size = ["BIGINT", "BIGINT", "BOOLEAN"]
    functions: Sequence[tuple[str, Callable[..., Any], list[str], str]] = [
        ("__decode", _decode, ["BLOB"], FLOATS),
        ("__decode_resized", _decode_resized, ["BLOB", *size], FLOATS),
        ("__resize_floats", partial(_resize, np.float32), [FLOATS, *size], FLOATS),
        ("__resize_integers", partial(_resize, np.uint8), [INTEGERS, *size], INTEGERS),
        ("__recolour_floats", partial(_recolour, np.float32), [FLOATS, "VARCHAR"], FLOATS),
        ("__recolour_integers", partial(_recolour, np.uint8), [INTEGERS, "VARCHAR"], FLOATS),
        ("__integers", _integers, [FLOATS], INTEGERS),
    ]
    for name, function, takes, gives in functions:
        try:
            connection.create_function(
                name, _counted(function, len(takes)), takes, gives, type="arrow", null_handling="special"
            )
        except duckdb.NotImplementedException:  # it is there
            continue
    connection.execute(_MACROS)


def _counted(function: Callable[..., Any], count: int) -> Callable[..., Any]:
    """Return a function that says how many arguments it takes, as DuckDB asks."""

    def call(*columns: Any) -> Any:
        return function(*columns)

    names = [Parameter(f"a{index}", Parameter.POSITIONAL_OR_KEYWORD) for index in range(count)]
    call.__signature__ = Signature(names)  # type: ignore[attr-defined]
    return call


def _decode(contents: Any) -> Any:
    return _each("DECODE_IMAGE", pictures.decode, np.float32, contents.to_pylist())


def _decode_resized(contents: Any, *size: Any) -> Any:
    def made(content: bytes, height: int, width: int, keep_shape: bool) -> Pixels:
        return pictures.resize(pictures.decode(content), height, width, keep_shape=keep_shape)

    return _each("DECODE_IMAGE", made, np.float32, contents.to_pylist(), *_listed(size))


def _resize(dtype: type, images: Any, *size: Any) -> Any:
    def made(pixels: Pixels, height: int, width: int, keep_shape: bool) -> Pixels:
        return pictures.resize(pixels, height, width, keep_shape=keep_shape)

    return _each("RESIZE_IMAGE", made, dtype, _pixels("RESIZE_IMAGE", images, dtype), *_listed(size))


def _recolour(dtype: type, images: Any, spaces: Any) -> Any:
    name = "CONVERT_COLOR_SPACE"
    return _each(name, pictures.convert, np.float32, _pixels(name, images, dtype), spaces.to_pylist())


def _integers(images: Any) -> Any:
    name = "CONVERT_IMAGE_TYPE"
    return _each(name, pictures.integers, np.uint8, _pixels(name, images, np.float32))


def _listed(columns: Sequence[Any]) -> list[list[Any]]:
    return [column.to_pylist() for column in columns]


def _each(name: str, make: Callable[..., Pixels], dtype: type, *columns: Sequence[Any]) -> Any:
    """Make an image of each row, NULL where an argument is."""
    made: list[Pixels | None] = []
    for arguments in zip(*columns, strict=True):
        if any(one is None for one in arguments):
            made.append(None)
            continue
        try:
            made.append(make(*arguments))
        except ServingError as error:
            raise type(error)(f"ML.{name}: {error}") from None
    return _packed(made, dtype)


def _pixels(name: str, images: Any, dtype: type) -> list[Pixels | None]:
    """Return the images of a column; raises InvalidArgument for one whose sizes are wrong."""
    import pyarrow

    if isinstance(images, pyarrow.ChunkedArray):
        images = images.combine_chunks()
    shapes, values = images.field(0).to_pylist(), images.field(1)
    missing = images.is_null().to_pylist()
    found: list[Pixels | None] = []
    for row, shape in enumerate(shapes):
        data = None if missing[row] or shape is None else values[row].values
        if data is None:
            found.append(None)
            continue
        pixels = data.to_numpy(zero_copy_only=False)
        if len(shape) != 3 or min(shape) < 1 or np.prod(shape) != len(pixels):
            raise InvalidArgument(
                f"ML.{name}: an image of sizes {shape} has {len(pixels)} values; expected height, width and "
                "channels, and a value for each channel of each pixel"
            )
        found.append(pixels.astype(dtype, copy=False).reshape(shape))
    return found


def _packed(images: Sequence[Pixels | None], dtype: type) -> Any:
    import pyarrow

    there = [one for one in images if one is not None]
    sizes = np.array([0, *(0 if one is None else one.size for one in images)]).cumsum()
    shapes = np.array([0, *(0 if one is None else 3 for one in images)]).cumsum()
    empty: Mapping[Any, Any] = {np.float32: pyarrow.float32(), np.uint8: pyarrow.uint8()}
    flat = np.concatenate([one.reshape(-1) for one in there]) if there else np.zeros(0, dtype)
    lists = [
        pyarrow.ListArray.from_arrays(
            pyarrow.array(shapes, pyarrow.int32()),
            pyarrow.array([size for one in there for size in one.shape], pyarrow.int64()),
        ),
        pyarrow.LargeListArray.from_arrays(
            pyarrow.array(sizes, pyarrow.int64()), pyarrow.array(flat, empty[dtype])
        ),
    ]
    missing = pyarrow.array([one is None for one in images], pyarrow.bool_())
    return pyarrow.StructArray.from_arrays(lists, ["_field_1", "_field_2"], mask=missing)
