"""`signature.json`: a signature as its user writes it beside an artifact, and as the server shows it."""

from pathlib import Path
from typing import Any

import msgspec

from trivet.codecs.json_body import parse
from trivet.core.errors import FailedPrecondition, InvalidArgument
from trivet.core.signature import DType, Signature, TensorSpec

FILE = "signature.json"


class _Tensor(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    dtype: DType
    shape: tuple[int | None, ...] = ()
    fields: tuple[str, ...] = ()
    nullable: bool = False


class _File(msgspec.Struct, forbid_unknown_fields=True):
    inputs: tuple[_Tensor, ...] = ()
    outputs: tuple[_Tensor, ...] = ()
    classes: tuple[str | int | float | bool, ...] = ()
    example: Any = None
    signature_name: str = ""


def read(folder: Path) -> Signature | None:
    """Read `signature.json` in a folder; None where there is none.

    The file has `inputs` and `outputs` (each with name, dtype, shape, fields, nullable), a classifier's
    `classes`, one `example` instance, and the `signature_name` of a model that has several signatures; all
    may be left out. Raises FailedPrecondition that names the key that is wrong.
    """
    file = folder / FILE
    if not file.is_file():
        return None
    try:
        content = msgspec.convert(parse(file.read_bytes()), _File)
        return Signature(
            inputs=_specs(content.inputs),
            outputs=_specs(content.outputs),
            classes=content.classes,
            example=content.example,
            name=content.signature_name,
        )
    except (msgspec.ValidationError, InvalidArgument, ValueError) as error:
        raise FailedPrecondition(f"{FILE}: {error}") from None


def _specs(tensors: tuple[_Tensor, ...]) -> tuple[TensorSpec, ...]:
    return tuple(TensorSpec(t.name, t.dtype, t.shape, t.fields, t.nullable) for t in tensors)


def shown(signature: Signature) -> dict[str, Any]:
    """Return a signature as plain JSON, in the form of the file, with its parameters."""
    named = {"signature_name": signature.name} if signature.name else {}
    return {
        **named,
        "inputs": [_shown(spec) for spec in signature.inputs],
        "outputs": [_shown(spec) for spec in signature.outputs],
        "classes": list(signature.classes),
        "parameters": None
        if signature.parameters is None
        else {spec.name: list(spec.choices) for spec in signature.parameters},
    }


def _shown(spec: TensorSpec) -> dict[str, Any]:
    plain = {"name": spec.name, "dtype": spec.dtype, "shape": list(spec.shape)}
    if spec.fields:
        plain["fields"] = list(spec.fields)
    return {**plain, "nullable": True} if spec.nullable else plain
