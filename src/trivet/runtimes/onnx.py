"""ONNX models, answered by ONNX Runtime on one thread of the CPU.

The answer is what `InferenceSession.run` gives; a classifier's (two outputs, a label and a score per
class) is given in the forms all classifiers share. A model exported for exactly one instance is asked
row by row.
"""

import json
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from stat import S_ISREG
from typing import Any

import numpy as np

from trivet.core.errors import FailedPrecondition, Internal, InvalidArgument
from trivet.core.instances import Column, Instances, Predictions, object_column
from trivet.core.predictor import Predictor, Traits
from trivet.core.signature import NUMBERS, DType, Parameters, ParameterSpec, Signature, TensorSpec
from trivet.runtimes import classifier, onnx_file
from trivet.runtimes.base import Artifact, need, unreadable
from trivet.runtimes.onnx_file import OnnxFile

_DTYPES: dict[str, DType] = {
    f"tensor({name})": name  # type: ignore[misc]  # each is a DType
    for name in ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
    + ("float16", "bool", "string")
} | {"tensor(float)": "float32", "tensor(double)": "float64"}
_MAPS = ("seq(map(int64,tensor(float)))", "seq(map(string,tensor(float)))")
_UNNAMED = ParameterSpec("output", ("labels", "probabilities"))
