"""SavedModels of many kinds, made by TensorFlow and Keras in a moment, and what TensorFlow itself answers.

TensorFlow is imported when something is made or asked: it takes seconds.
"""

import os
import warnings
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import numpy as np

COLOURS = ["red", "green", "blue"]
FINAL = tuple(
    sorted(
        f"{kind}_{what}"
        for kind in ("normalized", "denormalized")
        for what in ("reconstruction", "reconstruction_errors", "MAE", "MSE", "RMSE", "MSLE")
    )
)
"""Outputs of the autoencoder's last part, without `encoded`."""


@cache
def libraries():
    """Import them, quietly."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import keras
        import tensorflow as tf
    return SimpleNamespace(tf=tf, keras=keras, layers=keras.layers)


@cache
def loaded(path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return libraries().tf.saved_model.load(str(path))


def answers(path, columns, signature="serving_default"):
    """Ask TensorFlow: arrays by name in, arrays by name out, in the order of the names."""
    ask = loaded(path).signatures[signature]
    given = {name: libraries().tf.constant(column) for name, column in columns.items()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return {name: one.numpy() for name, one in sorted(ask(**given).items())}


def exported(model, folder: Path) -> Path:
    """Write a Keras model as SavedModel."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.export(str(folder), verbose=False)
    return folder


def saved(folder: Path, signatures, **objects) -> Path:
    """Write functions as SavedModel; each signature is a function and its inputs, (dtype, shape) by name.

    `objects` are what the functions use: variables, tables, files.
    """
    tf = libraries().tf
    module = tf.Module()
    for name, one in objects.items():
        setattr(module, name, one)
    found = {}
    for name, (function, inputs) in signatures.items():
        specs = {key: tf.TensorSpec(shape, dtype, name=key) for key, (dtype, shape) in inputs.items()}
        found[name] = tf.function(function).get_concrete_function(**specs)
        setattr(module, f"function_{name}", found[name])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tf.saved_model.save(module, str(folder), signatures=found)
    return folder


def seeded():
    them = libraries()
    them.keras.utils.set_random_seed(0)
    return them.keras, them.layers


def regressor(folder):
    """One tensor in, one out."""
    keras, layers = seeded()
    stack = [keras.Input((10,), name="x"), layers.Dense(16, "tanh"), layers.Dense(1)]
    return exported(keras.Sequential(stack), folder)


def named(folder):
    """Ten columns in, two outputs with names."""
    keras, layers = seeded()
    columns = [keras.Input((1,), name=f"f{index}") for index in range(10)]
    hidden = layers.Dense(16, "relu")(layers.Concatenate()(columns))
    outputs = {"score": layers.Dense(1, "sigmoid")(hidden), "kinds": layers.Dense(3, "softmax")(hidden)}
    return exported(keras.Model(columns, outputs), folder)


def lookup(folder, vocabulary=COLOURS):
    """A text is looked up, a number normalised. A vocabulary that is a file becomes an asset."""
    keras, layers = seeded()
    colour = keras.Input((1,), name="colour", dtype="string")
    size = keras.Input((1,), name="size")
    known = layers.StringLookup(vocabulary=vocabulary, output_mode="one_hot")(colour)
    normal = layers.Normalization(mean=3.0, variance=4.0)(size)
    return exported(
        keras.Model([colour, size], layers.Dense(2)(layers.Concatenate()([known, normal]))), folder
    )


def texts(folder):
    """Sentences become words become vectors."""
    keras, layers = seeded()
    words = layers.TextVectorization(max_tokens=50, output_sequence_length=6)
    words.adapt(["the cat sat", "on the mat", "a dog!"])
    text = keras.Input((), name="text", dtype="string")
    vectors = layers.GlobalAveragePooling1D()(layers.Embedding(50, 8)(words(text)))
    return exported(keras.Model(text, layers.Dense(2)(vectors)), folder)


def hashing(folder):
    """Texts are hashed, numbers put into ranges."""
    keras, layers = seeded()
    kind = keras.Input((1,), name="kind", dtype="string")
    age = keras.Input((1,), name="age")
    hashed = layers.Hashing(num_bins=16, output_mode="one_hot")(kind)
    ranges = layers.Discretization([20.0, 40.0, 60.0], output_mode="one_hot")(age)
    return exported(keras.Model([kind, age], layers.Dense(2)(layers.Concatenate()([hashed, ranges]))), folder)


def images(folder):
    """A small network of convolutions."""
    keras, layers = seeded()
    image = keras.Input((16, 16, 3), name="image")
    found = layers.Conv2D(8, 3, activation="relu")(layers.Conv2D(4, 3, strides=2, activation="relu")(image))
    return exported(
        keras.Model(image, layers.Dense(5, "softmax")(layers.GlobalAveragePooling2D()(found))), folder
    )


def series(folder):
    """A recurrent network."""
    keras, layers = seeded()
    steps = keras.Input((20, 4), name="steps")
    return exported(keras.Model(steps, layers.Dense(1)(layers.LSTM(8)(steps))), folder)


def examples(folder):
    """Takes `tf.train.Example`, serialized."""
    tf = libraries().tf
    weights = tf.Variable([[1.0], [2.0]])

    def parse(examples):
        features = {"a": tf.io.FixedLenFeature([2], tf.float32)}
        return {"y": tf.io.parse_example(examples, features)["a"] @ weights}

    return saved(folder, {"serving_default": (parse, {"examples": (tf.string, [None])})}, weights=weights)


def two_types(folder):
    """Gives a whole number and a fraction, under the names that Keras 2 gave."""
    tf = libraries().tf
    weights = tf.Variable(np.linspace(-1, 1, 8).reshape(4, 2).astype("float32"))

    def judge(dense_input):
        scores = dense_input @ weights
        return {"dense_1": tf.nn.softmax(scores), "best": tf.argmax(scores, 1, tf.int32)}

    return saved(
        folder, {"serving_default": (judge, {"dense_input": (tf.float32, [None, 4])})}, weights=weights
    )


def several(folder, default=True):
    """Three signatures: numbers, texts, and whole numbers of 64 bits."""
    tf = libraries().tf
    weights = tf.Variable([[1.0], [2.0]])
    signatures = {
        "serving_default" if default else "weigh": (
            lambda x: {"y": x @ weights},
            {"x": (tf.float32, [None, 2])},
        ),
        "lower": (
            lambda text, pair: {"lower": tf.strings.lower(text), "both": tf.identity(pair)},
            {"text": (tf.string, [None]), "pair": (tf.string, [None, 2])},
        ),
        "count": (
            lambda n, m: {"n": n + 1, "m": m * 2},
            {"n": (tf.int64, [None]), "m": (tf.int32, [None])},
        ),
    }
    return saved(folder, signatures, weights=weights)


def autoencoder(folder):
    """An autoencoder for 30 columns of card payments, in three parts: `embedding`, `stacked` and `final`.

    Each takes `input_layer`. The first gives the code (`output_0`, 4 numbers), the second what it is decoded
    to (`output_0`, 30 numbers), the last both and how far off that is: `encoded` and the names in `FINAL`.
    """
    keras, layers = seeded()
    ops = keras.ops
    rng = np.random.default_rng(0)
    scale = np.array([50000.0, *[1.0 + index / 10 for index in range(28)], 90.0])
    mean = np.array([90000.0, *[0.0] * 28, 60.0])
    rows = (rng.normal(size=(2000, 4)) @ rng.normal(size=(4, 30)) * scale + mean).astype("float32")

    given = keras.Input((30,), name="input_layer")
    normalise = layers.Normalization(mean=rows.mean(0), variance=rows.var(0))
    restore = layers.Normalization(mean=rows.mean(0), variance=rows.var(0), invert=True)
    normal = normalise(given)
    encoded = layers.Dense(4, "relu")(layers.Dense(16, "relu")(normal))
    decoded = layers.Dense(30)(layers.Dense(16, "relu")(encoded))
    keras_model = keras.Model(given, decoded)
    keras_model.compile("adam", "mse")
    normal_rows = ops.convert_to_numpy(normalise(rows))
    keras_model.fit(rows, normal_rows, epochs=3, batch_size=64, verbose=0)

    restored = restore(decoded)
    outputs = {"encoded": encoded}
    for kind, a, b in (("normalized", normal, decoded), ("denormalized", given, restored)):
        off = layers.Subtract()([a, b])
        logs = ops.log1p(ops.maximum(a, 0.0)) - ops.log1p(ops.maximum(b, 0.0))
        outputs |= {
            f"{kind}_reconstruction": b,
            f"{kind}_reconstruction_errors": off,
            f"{kind}_MAE": ops.mean(ops.absolute(off), axis=1),
            f"{kind}_MSE": ops.mean(ops.square(off), axis=1),
            f"{kind}_RMSE": ops.sqrt(ops.mean(ops.square(off), axis=1)),
            f"{kind}_MSLE": ops.mean(ops.square(logs), axis=1),
        }
    parts = {"embedding": encoded, "stacked": restored, "final": outputs}
    for name, output in parts.items():
        exported(keras.Model(given, output), folder / name)
    return folder
