"""XGBoost's prediction of a dense matrix, called as its own `Booster.inplace_predict` calls it.

That method spends as long in Python as the library needs for sixty rows, on questions that are answered
already: what kind of matrix it is, and what the call asks for.
https://xgboost.readthedocs.io/en/stable/c.html#c.XGBoosterPredictFromDense
"""

import ctypes
import json
from collections.abc import Callable
from typing import Any

import numpy as np

from trivet.core.instances import Column

_MATRIX = b'{"data":[%d,true],"strides":null,"typestr":"<f4","shape":[%d,%d],"version":3}'
_KINDS = {"value": 0, "margin": 1}

_Sizes = ctypes.POINTER(ctypes.c_uint64)
_Floats = ctypes.POINTER(ctypes.c_float)


def dense(library: Any, booster: Any, kind: str, trees: tuple[int, int]) -> Callable[[Column], Column] | None:
    """Return what predicts a contiguous float32 matrix with these trees: the "value", or the "margin".

    None where this XGBoost does not show the function of C that its own method calls. Raises XGBoostError.
    """
    call = getattr(getattr(library.core, "_LIB", None), "XGBoosterPredictFromDense", None)
    check = getattr(library.core, "_check_call", None)
    if call is None or check is None:
        return None
    asked = {
        "type": _KINDS[kind],
        "training": False,
        "iteration_begin": trees[0],
        "iteration_end": trees[1],
        "strict_shape": False,
        "missing": float("nan"),
        "cache_id": 0,
    }
    config = json.dumps(asked).encode()

    def predict(rows: Column) -> Column:
        matrix = _MATRIX % (rows.ctypes.data, *rows.shape)
        sizes, rank, found = _Sizes(), ctypes.c_uint64(), _Floats()
        given = ctypes.byref(sizes), ctypes.byref(rank), ctypes.byref(found)
        check(call(booster.handle, matrix, config, None, *given))
        shape = tuple(sizes[axis] for axis in range(rank.value))
        # the memory is the library's, and the next call of this thread writes over it
        return np.ctypeslib.as_array(found, shape).copy() if found else np.empty(shape, np.float32)

    return predict
