import json
import warnings
import zipfile
from typing import NamedTuple, Optional

import numpy as np
import pytest
import torch
from torch import nn

from tests.unit.runtimes.asking import predict, same
from tests.unit.runtimes.test_torch import ROWS, Linear, asked, changed, directly
from trivet.codecs import signature_json
from trivet.core.errors import FailedPrecondition, InvalidArgument, PermissionDenied
from trivet.core.signature import Signature, TensorSpec, declare
from trivet.runtimes.base import Artifact, Permissions
from trivet.runtimes.torch import RUNTIME

X = TensorSpec("x", "float32", (3,))


class Scaled(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.parts = nn.ModuleDict({"a-b": nn.Sequential(nn.Linear(3, 2), nn.ReLU())})

    def forward(self, x, scale: Optional[torch.Tensor] = None, times: int = 2):  # noqa: UP045 - TorchScript's
        y = self.parts["a-b"](x) * times
        return y if scale is None else y * scale.unsqueeze(1)


class Both(NamedTuple):
    up: torch.Tensor
    down: torch.Tensor


class Named(nn.Module):
    def forward(self, x) -> Both:
        return Both(x, -x)


class Nested(nn.Module):
    def forward(self, x) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
        return {"a": (x, x.sum(1, keepdim=True))}


def save(folder, model, example=None):
    path = folder / "model.pt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = torch.jit.script(model.eval()) if example is None else torch.jit.trace(model.eval(), example)
        made.save(str(path))
    return path


def load(folder, model, *inputs, outputs=(), **options):
    return RUNTIME.load(Artifact(save(folder, model, **options), Signature(inputs, outputs)))


@pytest.mark.parametrize("example", [None, (torch.zeros(4, 3),)], ids=["scripted", "traced"])
def test_a_script_answers_as_its_model_does(tmp_path, example):
    predictor = load(tmp_path, Scaled(), X, example=example)
    assert predictor.signature.inputs == (X,)
    assert same(predict(predictor, ROWS.tolist()), directly(Scaled(), ROWS).numpy())


def test_arguments_with_defaults_may_be_declared_or_left_out(tmp_path):
    scale = TensorSpec("scale", "float32")
    predictor = load(tmp_path, Scaled(), scale, X)
    assert predictor.signature.names == ("x", "scale"), "in the order of forward"
    row = ROWS[0].tolist()
    expected = directly(Scaled(), ROWS[:1], np.array([3], np.float32)).numpy()
    assert same(predict(predictor, [{"scale": 3, "x": row}]), expected)


def test_without_a_signature_the_error_says_what_to_write(tmp_path):
    path = save(tmp_path, Scaled())
    with pytest.raises(FailedPrecondition, match="TorchScript does not say which dtypes and shapes") as told:
        RUNTIME.load(Artifact(path))
    example = str(told.value).partition("such as ")[2].rpartition(", with a size")[0]
    assert json.loads(example) == {"inputs": [{"name": "x", "dtype": "float32", "shape": [None]}]}
    (tmp_path / "signature.json").write_text(example)
    predictor = RUNTIME.load(Artifact(path, signature_json.read(tmp_path)))
    assert same(predict(predictor, ROWS.tolist()), directly(Scaled(), ROWS).numpy())


def test_columns_declared_one_by_one_are_one_matrix(tmp_path):
    declared = Signature(tuple(TensorSpec(name, "float64") for name in "abc"))
    predictor = RUNTIME.load(Artifact(save(tmp_path, Scaled()), declared))
    signature = declare(predictor.signature, declared)
    assert signature.inputs == (TensorSpec("x", "float32", (3,), ("a", "b", "c")),)
    assert declare(signature, declared) == signature
    whole = Signature(tuple(TensorSpec(name, "int32") for name in "abc"))
    assert RUNTIME.load(Artifact(tmp_path / "model.pt", whole)).signature.inputs[0].dtype == "int64"


@pytest.mark.parametrize(
    ("inputs", "text"),
    [
        (
            (TensorSpec("y", "float32", (3,)),),
            r"takes \['x', 'scale'\] \(\['x'\] at least\), \['y'\]",
        ),
        ((TensorSpec("scale", "float32", (3,)),), "at least"),
        ((TensorSpec("x", "string", (3,)),), r"x is declared string\[3\], of which no tensor can be made"),
        ((TensorSpec("x", "int64", (3,), nullable=True),), "of which no tensor can be made"),
    ],
)
def test_a_signature_that_forward_does_not_take_is_refused(tmp_path, inputs, text):
    with pytest.raises(FailedPrecondition, match=text):
        load(tmp_path, Scaled(), *inputs)


def test_a_script_that_needs_more_than_tensors_is_refused(tmp_path):
    class Times(nn.Module):
        def forward(self, x, times: int):
            return x * times

    with pytest.raises(FailedPrecondition, match="forward takes 'times', a int; expected tensors"):
        load(tmp_path, Times(), X)


@pytest.mark.parametrize(
    ("model", "names"),
    [
        (Named(), ["up", "down"]),
        (Nested(), ["a_0", "a_1"]),
        (Linear(lambda x, y: (x, y)), ["output_0", "output_1"]),
    ],
    ids=["named tuple", "dict", "tuple"],
)
def test_outputs_are_named_as_those_of_an_export(tmp_path, model, names):
    example = (torch.zeros(4, 3),) if isinstance(model, Linear) else None
    predictor = load(tmp_path, model, X, example=example)
    assert list(asked(predictor, ROWS.tolist())) == names
    renamed = [TensorSpec("one", "float32"), TensorSpec("two", "float32")]
    predictor = load(tmp_path, model, X, outputs=tuple(renamed), example=example)
    assert list(asked(predictor, ROWS.tolist())) == ["one", "two"]


def test_what_a_script_raises_blames_the_request(tmp_path):
    predictor = load(tmp_path, Scaled(), TensorSpec("x", "float32", (None,)))
    with pytest.raises(
        InvalidArgument, match=r"^the model refuses these values: mat1 and mat2 shapes cannot be multiplied"
    ):
        predict(predictor, [[1, 2]])


class Floor(nn.Module):
    def forward(self, x):
        return torch.floor(x)


ATTACKS = {
    "called": 'torch.save(x, "{}")',
    "called by its library": 'ops.aten.save(x, "{}")',
    "with a space": 'torch . save(x, "{}")',
    "on two lines": 'torch.\\\n    save(x, "{}")',
    "with a comment": '(torch. # harmless\n    save)(x, "{}")',
    "in parentheses": '(torch).save(x, "{}")',
    "looked up": 'getattr(torch, "save")(x, "{}")',
    "looked up in two halves": 'getattr(torch, "sa" "ve")(x, "{}")',
    "mapped": 'torch.from_file("{}", True, 4)',
}


@pytest.mark.parametrize("suffix", [".py", ".PY"])
@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)
def test_code_that_reaches_files_is_refused(tmp_path, attack, suffix):
    mark = tmp_path / "mark"
    if "from_file" in attack:
        mark.write_bytes(b"\0" * 16)
    path, last = save(tmp_path, Floor()), b"    return torch.floor"
    changed(path, lambda _, code: code.replace(last, f"    _ = {attack.format(mark)}\n".encode() + last))
    with zipfile.ZipFile(path) as archive:
        found = {
            info.filename.replace(".py", suffix): archive.read(info)
            for info in archive.infolist()
            if not info.filename.endswith("debug_pkl")
        }
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in found.items():
            archive.writestr(name, content)
    with pytest.raises(PermissionDenied, match=r"model.pt: its code calls \w+, which reaches files"):
        RUNTIME.load(Artifact(path, Signature((X,))))
    predictor = RUNTIME.load(Artifact(path, Signature((X,)), Permissions(pickle=True)))
    assert predict(predictor, [[1.5, 2.5, 3.5]]).tolist() == [[1, 2, 3]]
    assert mark.exists(), "the test is in vain"
