"""The body of a prediction, `{"instances": [...], "parameters": {...}}`, from and to bytes.

A typed decoder built for the signature reads ordinary rows in one pass. Whatever it does not take goes
to `json_rows`, which accepts the rarer forms and explains what is wrong with the rest; the two agree on
every body that both accept (a property test holds them together).
"""

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from trivet.codecs.json_numbers import BEGINNINGS, SHORTEST, UNREADABLE, number_reader
from trivet.codecs.json_rows import RowDecoder
from trivet.codecs.json_types import REFUSALS, typed_rows
from trivet.core.errors import Internal, InvalidArgument
from trivet.core.instances import Column, Instances, Predictions, object_column
from trivet.core.signature import Signature, unknown

KEYS = ("instances", "parameters", "signature_name", "labels")
_any = msgspec.json.Decoder()
_encode = msgspec.json.Encoder().encode
_encode_lines = msgspec.json.Encoder().encode_lines


@dataclass(frozen=True, slots=True)
class BodyLimits:
    """What one body may hold. The depth is far below where Python itself gives up, so that nothing does."""

    max_instances: int = 4096
    max_depth: int = 100


PredictBody = tuple[Instances, dict[str, Any] | None, Hashable]
"""Instances, parameters as given, and shapes: only requests of equal shapes can be predicted together."""


Decode = Callable[[bytes], PredictBody]


class BodyDecoder:
    """Decodes the bodies for one signature; safe to share between threads.

    `decode(body)` returns instances, parameters, which are not checked yet, and shapes. Raises
    InvalidArgument for a body that is not JSON, has other keys, has too many instances, is nested too
    deeply, or has an instance that does not fit the signature.

    `raw` instances are any JSON, and stay the texts that they are (`msgspec.Raw`), however deep.
    """

    def __init__(self, signature: Signature, limits: BodyLimits, *, raw: bool = False) -> None:
        self._rows = RowDecoder(signature)
        self._max_instances = limits.max_instances
        self._max_depth = limits.max_depth
        self._dynamic = tuple(spec.name for spec in signature.inputs if spec.dynamic)
        if raw:
            decode = _raw_decoder(signature, limits, self._with_care)
        else:
            decode = _fast_decoder(signature, limits, self._with_care) or self._with_care
        self.decode: Decode = self._with_shapes(decode) if self._dynamic else decode

    def _with_care(self, body: bytes) -> PredictBody:
        rows, parameters = self._parse(body)
        return self._rows.decode(rows), parameters, None

    def _with_shapes(self, decode: Decode) -> Decode:
        def decode_with_shapes(body: bytes) -> PredictBody:
            instances, parameters, _ = decode(body)
            shapes = tuple(instances.columns[name].shape[1:] for name in self._dynamic)
            return instances, parameters, shapes

        return decode_with_shapes

    def _parse(self, body: bytes) -> tuple[list[Any], dict[str, Any] | None]:
        request = parse(body)
        if not isinstance(request, dict):
            raise InvalidArgument('the body must be a JSON object: {"instances": [...]}')
        if body.count(b"[") + body.count(b"{") > self._max_depth:
            _check_depth(request, self._max_depth)
        for key in request:
            if key not in KEYS:
                raise InvalidArgument(f"{key}: {unknown(key, KEYS, 'key')}")
        rows, parameters = request.get("instances"), request.get("parameters")
        if not isinstance(rows, list):
            raise InvalidArgument("instances: expected an array, one entry per row to predict")
        self._check_count(len(rows))
        if parameters is not None and not isinstance(parameters, dict):
            raise InvalidArgument("parameters: expected an object")
        _check_labels(request.get("labels"))
        return rows, parameters

    def _check_count(self, count: int) -> None:
        if count > self._max_instances:
            raise InvalidArgument(
                f"instances: expected at most {self._max_instances} in one request; got {count} "
                "(limits.max_instances)"
            )


def _check_labels(labels: Any) -> None:
    """Check the labels that a caller gives a request, for bills of Google's; nothing is done with them."""
    if labels is None:
        return
    if not isinstance(labels, dict) or not all(isinstance(value, str) for value in labels.values()):
        raise InvalidArgument("labels: expected an object of strings")


def is_deeper(value: Any, limit: int) -> bool:
    """Whether JSON is nested more deeply than so many levels; goes down one by one, without recursion."""
    level = [value]
    for _ in range(limit):
        level = [
            inner
            for one in level
            for inner in (one.values() if type(one) is dict else one)
            if type(inner) is list or type(inner) is dict
        ]
        if not level:
            return False
    return True


def _check_depth(value: Any, limit: int) -> None:
    if is_deeper(value, limit):
        raise InvalidArgument(
            f"the body is nested too deeply: expected at most {limit} levels (limits.max_depth)"
        )


def parse(body: bytes) -> Any:
    """Read JSON; raises InvalidArgument that says where it stops being JSON."""
    try:
        return _any.decode(body)
    except RecursionError:
        raise InvalidArgument("the body is nested too deeply") from None
    except (msgspec.MsgspecError, UnicodeDecodeError, ValueError) as error:
        raise InvalidArgument(f"the body is not valid JSON: {error}") from None


def encode_predictions(predictions: Predictions, *, encode: Callable[[list[Any]], bytes] = _encode) -> bytes:
    """Write predictions as a JSON array: a bare value per row for one column, else an object by name.

    Floats are written so that they read back as the same number, NaN and infinities as null, bytes as
    `{"b64": ...}`. Raises Internal for a value that JSON does not have. `encode` writes the rows.
    """
    whole, start = predictions.whole or predictions, predictions.start
    rows = whole.rows
    if rows is None:  # what is made of a batch is made once for all its parts
        rows = whole.rows = _rows(whole)
    try:
        return encode(rows[start : start + predictions.count])
    except (TypeError, ValueError, RecursionError, OverflowError) as error:
        raise Internal(f"the prediction cannot be written as JSON: {error}") from None


def prediction_texts(predictions: Predictions) -> list[bytes]:
    """Write predictions as `encode_predictions` does, each as a text of its own.

    No text has a line break. Raises Internal where one of them cannot be written.
    """
    lines = encode_predictions(predictions, encode=_encode_lines)
    texts = lines.split(b"\n")
    if len(texts) == predictions.count + 1:
        del texts[-1]  # what follows the last line
        return texts
    # a predictor's own JSON (msgspec.Raw), which is in several lines; in JSON, those are but space
    alone = predictions.split([1] * predictions.count)
    return [encode_predictions(one)[1:-1].replace(b"\n", b" ") for one in alone]


def _rows(predictions: Predictions) -> list[Any]:
    columns = [_plain(column) for column in predictions.columns.values()]
    if len(columns) == 1:
        return columns[0]
    names = tuple(predictions.columns)
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]


def _plain(column: Column) -> list[Any]:
    values: list[Any] = column.tolist()
    if column.dtype.kind == "O" and any(type(value) is bytes for value in values):
        return [{"b64": value} if type(value) is bytes else value for value in values]
    return values


def _fast_decoder(signature: Signature, limits: BodyLimits, with_care: Decode) -> Decode | None:
    """Build the typed decoder for a signature; None where it has values that need a closer look.

    Whatever it cannot take, it gives to `with_care`.
    """
    typed = typed_rows(signature)
    if typed is None:
        return None
    read, pack = _body_decoder(typed.kind, limits), typed.pack
    many = number_reader(typed.layout, limits.max_instances) if typed.layout else None

    def decode(body: bytes) -> PredictBody:
        if many is not None and len(body) >= SHORTEST and body.startswith(BEGINNINGS):
            try:
                return many(body), None, None
            except UNREADABLE:
                pass
        try:
            request = read(body)
            instances = pack(request.instances)
        except REFUSALS:
            return with_care(body)
        if request.parameters:
            _check_depth(request.parameters, limits.max_depth)
        return instances, request.parameters, None

    return decode


def _raw_decoder(signature: Signature, limits: BodyLimits, with_care: Decode) -> Decode:
    """Build the decoder that only looks where each instance begins and ends.

    Whatever it cannot take, it gives to `with_care`.
    """
    read, name = _body_decoder(msgspec.Raw, limits), signature.inputs[0].name

    def decode(body: bytes) -> PredictBody:
        try:
            if not body.isascii():
                body.decode()  # nobody else looks at what instances are made of
            request = read(body)
        except REFUSALS:
            return with_care(body)
        if request.parameters:
            _check_depth(request.parameters, limits.max_depth)
        rows = request.instances
        return Instances({name: object_column(rows)}, len(rows)), request.parameters, None

    return decode


def _body_decoder(instance: Any, limits: BodyLimits) -> Callable[[bytes], Any]:
    body = msgspec.defstruct(
        "Body",
        [
            ("instances", Annotated[list[instance], Meta(max_length=limits.max_instances)]),
            ("parameters", dict[str, Any] | None, None),
            ("labels", dict[str, str] | None, None),
        ],
        forbid_unknown_fields=True,
        gc=False,
    )
    return msgspec.json.Decoder(body).decode
