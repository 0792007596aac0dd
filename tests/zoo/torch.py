"""PyTorch: models exported, scripted, and in archives of TorchServe; the oracle is PyTorch itself."""

import json
import runpy
import warnings
import zipfile
from functools import cache
from pathlib import Path

import torch
from sklearn.datasets import load_diabetes, load_iris
from torch import nn

from tests.zoo.base import Case


class Regressor(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(10, 16), nn.Tanh(), nn.Linear(16, 1))

    def forward(self, x):
        return self.layers(x)


class Flowers(nn.Module):
    """Several inputs of several types, several outputs."""

    def __init__(self):
        super().__init__()
        self.kinds = nn.Embedding(3, 4)
        self.out = nn.Linear(8, 3)

    def forward(self, kind: torch.Tensor, sizes: torch.Tensor) -> dict[str, torch.Tensor]:
        logits = self.out(torch.cat([self.kinds(kind), sizes], dim=1))
        return {"logits": logits, "best": logits.argmax(1)}


def made(kind):
    torch.manual_seed(0)
    return kind().eval()


def saved(model, inputs, file: Path, rows=torch.export.Dim.DYNAMIC) -> Path:
    shapes = tuple({0: rows} if rows else None for _ in inputs)
    torch.export.save(torch.export.export(model, inputs, dynamic_shapes=shapes), file)
    return file


def scripted(model, file: Path, inputs) -> Path:
    """Save TorchScript, with the signature that it needs."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.script(model).save(str(file))
    (file.parent / "signature.json").write_text(json.dumps({"inputs": inputs}))
    return file


HANDLER = '''
import json
import os

import torch

from helper import WIDTH
from ts.torch_handler.base_handler import BaseHandler
from ts.utils.util import PredictionException


class Handler(BaseHandler):
    """Takes rows as JSON or as text of it, and answers objects."""

    def initialize(self, context):
        super().initialize(context)
        folder = context.system_properties["model_dir"]
        with open(os.path.join(folder, "scale.json")) as file:
            self.scale = json.load(file)["scale"]

    def preprocess(self, data):
        rows = []
        for row in data:
            values = row.get("data") or row.get("body")
            if isinstance(values, str):
                values = json.loads(values)
            numbers = isinstance(values, list) and all(type(one) in (int, float) for one in values)
            if not numbers or len(values) != WIDTH:
                raise PredictionException(f"expected {WIDTH} numbers", 400)
            rows.append([float(one) for one in values])
        return super().preprocess(rows).to(torch.float32)

    def postprocess(self, data):
        rounded = [round(value * self.scale, 4) for value in data[:, 0].tolist()]
        return [{"value": value, "large": value > 0} for value in rounded]
'''
MODEL = """
import torch


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = torch.nn.Sequential(
            torch.nn.Linear(10, 16), torch.nn.Tanh(), torch.nn.Linear(16, 1)
        )

    def forward(self, x):
        return self.layers(x)
"""


def archived(file: Path, files, **model) -> Path:
    """Write an archive as torch-model-archiver does."""
    manifest = {"runtime": "python", "model": {"modelName": "model", **model}, "archiverVersion": "0.12.0"}
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
        archive.writestr("MAR-INF/MANIFEST.json", json.dumps(manifest))
    return file


def archive(folder):
    torch.save(made(Regressor).state_dict(), folder / "weights.pt")
    files = {
        "handler.py": HANDLER,
        "helper.py": "WIDTH = 10\n",
        "model.py": MODEL,
        "scale.json": '{"scale": 2.0}',
        "weights.pt": (folder / "weights.pt").read_bytes(),
    }
    (folder / "weights.pt").unlink()
    inputs = [{"name": "data", "dtype": "float64", "shape": [10]}]
    (folder / "signature.json").write_text(json.dumps({"inputs": inputs}))
    return archived(
        folder / "model.mar",
        files,
        handler="handler.py",
        modelFile="model.py",
        serializedFile="weights.pt",
    )


@cache
def exported(path):
    return torch.export.load(path).module()


@cache
def script(path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.jit.load(str(path)).eval()


def regressed(model, rows):
    with torch.inference_mode():
        return model(torch.tensor(rows, dtype=torch.float32))[:, 0].numpy()


def judged(model, rows):
    kinds = torch.tensor([row[0] for row in rows])
    sizes = torch.tensor([row[1] for row in rows], dtype=torch.float32)
    with torch.inference_mode():
        return {name: one.numpy() for name, one in model(kinds, sizes).items()}


def asked_by_hand(path, rows):
    """Ask the archive's model as its handler does, without Trivet."""
    with zipfile.ZipFile(path) as archive:
        source = path.parent / "oracle.py"
        source.write_bytes(archive.read("model.py"))
        model = runpy.run_path(str(source))["Net"]()
        with archive.open("weights.pt") as weights:
            model.load_state_dict(torch.load(weights))
        source.unlink()
    values = [round(value * 2.0, 4) for value in regressed(model.eval(), rows).tolist()]
    return [{"value": value, "large": value > 0} for value in values]


DIABETES = load_diabetes().data[:40].tolist()
IRIS = load_iris()
FLOWERS = [[int(kind), x.tolist()] for kind, x in zip(IRIS.target[::4], IRIS.data[::4], strict=True)]
FLOWER_INPUTS = [
    {"name": "kind", "dtype": "int64"},
    {"name": "sizes", "dtype": "float32", "shape": [4]},
]
EXAMPLE = (torch.zeros(3, 10),)
FLOWER_EXAMPLE = (torch.zeros(3, dtype=torch.int64), torch.zeros(3, 4))
NAMES = ("kind", "sizes")

CASES = [
    Case(
        "torch-regressor",
        "torch",
        lambda folder: saved(made(Regressor), EXAMPLE, folder / "model.pt2"),
        DIABETES,
        (),
        lambda path, rows, output: regressed(exported(path), rows),
    ),
    Case(
        "torch-flowers",
        "torch",
        lambda folder: saved(made(Flowers), FLOWER_EXAMPLE, folder / "model.pt2"),
        FLOWERS,
        NAMES,
        lambda path, rows, output: judged(exported(path), rows),
    ),
    Case(
        "torch-script",
        "torch",
        lambda folder: scripted(made(Flowers), folder / "model.pt", FLOWER_INPUTS),
        FLOWERS,
        (),
        lambda path, rows, output: judged(script(path), rows),
    ),
    Case(
        "torch-archive", "torch", archive, DIABETES, (), lambda path, rows, output: asked_by_hand(path, rows)
    ),
]
