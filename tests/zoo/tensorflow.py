"""TensorFlow: SavedModels of Keras, one of them with a file; the oracle is TensorFlow itself."""

import numpy as np
from sklearn.datasets import load_diabetes, load_iris

from tests import saved_models
from tests.zoo.base import Case


def expect(path, rows, output):
    """Ask TensorFlow for rows, whose values are in the order of the inputs' names."""
    _, specs = saved_models.loaded(path).signatures["serving_default"].structured_input_signature
    columns = [rows] if len(specs) == 1 else list(zip(*rows, strict=True))
    given = {}
    for name, column in zip(sorted(specs), columns, strict=True):
        dtype = specs[name].dtype.as_numpy_dtype
        given[name] = np.array(column, dtype).reshape(len(rows), *specs[name].shape[1:])
    answers = saved_models.answers(path, given)
    return answers if len(answers) > 1 else next(iter(answers.values()))


def with_vocabulary(folder):
    (folder / "colours.txt").write_text("\n".join(saved_models.COLOURS))
    path = saved_models.lookup(folder / "model", str(folder / "colours.txt"))
    (folder / "colours.txt").unlink()
    return path


WORDS = ["the cat SAT, on!", "ünïcödé dog", "a", "a dog!", "the the mat"]
SIZES = load_iris().data[::4, 0].tolist()
COLOURED = [[["red", "blue", "pink", "grün"][i % 4], size] for i, size in enumerate(SIZES)]

CASES = [
    Case(
        "tensorflow-regressor",
        "tensorflow",
        lambda folder: saved_models.regressor(folder / "model"),
        load_diabetes().data[:40].tolist(),
        (),
        expect,
        tolerance=1e-6,
    ),
    Case(
        "tensorflow-columns",
        "tensorflow",
        lambda folder: saved_models.named(folder / "model"),
        load_diabetes().data[:40].tolist(),
        [f"f{index}" for index in range(10)],
        expect,
        tolerance=1e-6,
    ),
    Case(
        "tensorflow-hashed",
        "tensorflow",
        lambda folder: saved_models.hashing(folder / "model"),
        [[size * 8, text] for size, text in zip(SIZES, WORDS * 8, strict=False)],
        ("age", "kind"),
        expect,
        tolerance=1e-6,
    ),
    Case(
        "tensorflow-vocabulary",
        "tensorflow",
        with_vocabulary,
        COLOURED,
        ("colour", "size"),
        expect,
        tolerance=1e-6,
    ),
]
