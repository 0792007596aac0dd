"""Images as models take them, in numpy: decoded, resized and converted as TensorFlow does.

Pixels are arrays [height, width, channels], float32 from 0 to 1 or uint8. The results are those of
`tf.image`: `decode_image` as RGB, `resize` (bilinear, half-pixel centres, no antialiasing), `rgb_to_hsv`,
`rgb_to_grayscale`, `rgb_to_yiq`, `rgb_to_yuv` and `convert_image_dtype`.
"""

import warnings
from collections.abc import Callable, Mapping
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trivet.core.errors import InvalidArgument
from trivet.storage.libraries import need

Pixels = NDArray[Any]

MAX_BYTES = 10_000_000
"""Bytes of a file at most, as BigQuery has it."""

MAX_VALUES = 60_000_000 // 8
"""Values of an image at most, which are 60 MB in BigQuery; a larger one is scaled down."""

_MAX_PIXELS = 100_000_000
_SCALE = np.float32(1 / 255)


def decode(content: bytes) -> Pixels:
    """Return a JPEG, PNG or BMP image as RGB, from 0 to 1; raises InvalidArgument for anything else."""
    if len(content) > MAX_BYTES:
        raise InvalidArgument(f"the image has {len(content):,} bytes; expected {MAX_BYTES:,} at most")
    library = need("PIL.Image", "images")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of large images, which are judged here
            image = library.open(BytesIO(content), formats=("JPEG", "PNG", "BMP"))
            width, height = image.size
            if width * height > _MAX_PIXELS:
                raise InvalidArgument(
                    f"the image has {width} x {height} pixels; expected {_MAX_PIXELS:,} at most"
                )
            image.load()
    except InvalidArgument:
        raise
    except Exception as error:  # noqa: BLE001 - Pillow raises many, for what is broken
        reason = str(error) if "cannot identify" not in str(error) else "it is neither JPEG, PNG nor BMP"
        raise InvalidArgument(f"the image cannot be decoded: {reason}") from None
    if image.mode.startswith("I"):  # 16 bits for each pixel
        deep = np.asarray(image, np.int64) >> 8
        pixels = np.repeat(deep.clip(0, 255).astype(np.uint8)[:, :, None], 3, axis=2)
    else:
        pixels = np.asarray(image.convert("RGB"))
    return _smaller(pixels * _SCALE)


def _smaller(pixels: Pixels) -> Pixels:
    """Return an image that is not too large, of the same shape."""
    height, width, channels = pixels.shape
    if pixels.size <= MAX_VALUES:
        return pixels
    ratio = (MAX_VALUES / (height * width * channels)) ** 0.5
    return scaled(pixels, max(1, int(height * ratio)), max(1, int(width * ratio)))


def resize(pixels: Pixels, height: int, width: int, *, keep_shape: bool) -> Pixels:
    """Return an image of this size, or the largest within it of the same shape; raises InvalidArgument."""
    if height < 1 or width < 1 or height * width * pixels.shape[2] > MAX_VALUES:
        raise InvalidArgument(
            f"a height of {height} and a width of {width}: expected at least 1, and no more than "
            f"{MAX_VALUES // pixels.shape[2]:,} pixels"
        )
    if keep_shape:
        ratio = min(height / pixels.shape[0], width / pixels.shape[1])
        height = max(1, round(pixels.shape[0] * ratio))
        width = max(1, round(pixels.shape[1] * ratio))
    return scaled(pixels, height, width)


def scaled(pixels: Pixels, height: int, width: int) -> Pixels:
    """Return an image scaled bilinearly; integers are rounded."""
    if pixels.shape[:2] == (height, width):
        return pixels
    rows, columns = _weights(pixels.shape[0], height), _weights(pixels.shape[1], width)
    values = pixels.astype(np.float32)
    values = _between(values[rows[0]], values[rows[1]], rows[2][:, None, None])
    values = _between(values[:, columns[0]], values[:, columns[1]], columns[2][None, :, None])
    return values if pixels.dtype.kind == "f" else np.rint(values).astype(pixels.dtype)


def _weights(size: int, target: int) -> tuple[Pixels, Pixels, Pixels]:
    """Return of each target position the two positions that it lies between, and how far from the first."""
    at = ((np.arange(target, dtype=np.float32) + np.float32(0.5)) * np.float32(size / target)) - np.float32(
        0.5
    )
    lower = np.floor(at)
    first = np.clip(lower, 0, size - 1).astype(np.int64)
    second = np.clip(lower + 1, 0, size - 1).astype(np.int64)
    return first, second, (at - lower).astype(np.float32)


def _between(first: Pixels, second: Pixels, part: Pixels) -> Pixels:
    mixed: Pixels = first + (second - first) * part
    return mixed


def floats(pixels: Pixels) -> Pixels:
    """Return pixels from 0 to 1."""
    return pixels if pixels.dtype.kind == "f" else pixels * _SCALE


def integers(pixels: Pixels) -> Pixels:
    """Return pixels from 0 to 255."""
    return np.clip(np.floor(pixels * np.float32(255.5)), 0, 255).astype(np.uint8)


def convert(pixels: Pixels, space: str) -> Pixels:
    """Return an RGB image in another colour space, as floats; raises InvalidArgument."""
    made = _SPACES.get(space.upper())
    if made is None:
        raise InvalidArgument(f"colour space {space!r}: expected one of {', '.join(_SPACES)}")
    if pixels.shape[2] != 3:
        raise InvalidArgument(f"the image has {pixels.shape[2]} channels; expected 3, of RGB")
    return made(floats(pixels)).astype(np.float32)


def _hsv(rgb: Pixels) -> Pixels:
    red, green, blue = rgb[..., 0], rgb[..., 1], rgb[..., 2]
    value = rgb.max(axis=-1)
    spread = value - rgb.min(axis=-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        saturation = np.where(value > 0, spread / value, 0)
        unit = 1 / (6 * spread)
        hue = np.where(
            red == value,
            unit * (green - blue),
            np.where(green == value, unit * (blue - red) + 2 / 6, unit * (red - green) + 4 / 6),
        )
    hue = np.where(spread > 0, hue, 0)
    return np.stack((np.where(hue < 0, hue + 1, hue), saturation, value), axis=-1)


def _mixed(*rows: tuple[float, float, float]) -> Callable[[Pixels], Pixels]:
    weights = np.array(rows, np.float32).T

    def mix(rgb: Pixels) -> Pixels:
        mixed: Pixels = rgb @ weights
        return mixed

    return mix


_SPACES: Mapping[str, Callable[[Pixels], Pixels]] = {
    "HSV": _hsv,
    "GRAYSCALE": _mixed((0.2989, 0.5870, 0.1140)),
    "YIQ": _mixed(
        (0.299, 0.587, 0.114), (0.59590059, -0.27455667, -0.32134392), (0.2115, -0.52273617, 0.31119955)
    ),
    "YUV": _mixed(
        (0.299, 0.587, 0.114), (-0.14714119, -0.28886916, 0.43601035), (0.61497538, -0.51496512, -0.10001026)
    ),
}
