"""XGBoost's prediction of a dense matrix, called as its own `Booster.inplace_predict` calls it.

That method spends as long in Python as the library needs for sixty rows, on questions that are answered
already: what kind of matrix it is, and what the call asks for. Where it is given no proxy, the library makes
one for each call, and asks the system how many processors there are: as long as for another thirty rows.
https://xgboost.readthedocs.io/en/stable/c.html#c.XGBoosterPredictFromDense
"""

import ctypes
import json
from collections.abc import Callable
from typing import Any

import numpy as np

from trivet.core.instances import Column

_MATRIX = b'{"data":[%d,true],"strides":null,"typestr":"<f4","shape":[%d,%d],"version":3}'
_CALLED = ("XGBoosterPredictFromDense", "XGProxyDMatrixCreate", "XGDMatrixFree")
_KINDS = {"value": 0, "margin": 1}

_Sizes = ctypes.POINTER(ctypes.c_uint64)
_Floats = ctypes.POINTER(ctypes.c_float)


def dense(library: Any, booster: Any, kind: str, trees: tuple[int, int]) -> Callable[[Column], Column] | None:
    """Return what predicts a contiguous float32 matrix with these trees: the "value", or the "margin".

    None where this XGBoost does not show the function of C that its own method calls. Raises XGBoostError.
    """
    functions: Any = getattr(library.core, "_LIB", None)
    check = getattr(library.core, "_check_call", None)
    if check is None or not all(hasattr(functions, name) for name in _CALLED):
        return None
    call = functions.XGBoosterPredictFromDense
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
    free: list[_Proxy] = []  # each of which a list gives to one thread alone

    def predict(rows: Column) -> Column:
        matrix = _MATRIX % (rows.__array_interface__["data"][0], *rows.shape)
        try:
            proxy = free.pop()
        except IndexError:
            proxy = _Proxy(library.core)
        try:
            check(call(booster.handle, matrix, config, proxy.handle, *proxy.given))
            return proxy.answer()
        finally:
            free.append(proxy)

    return predict


class _Proxy:
    """A matrix of the library's that stands for one of ours, for one thread at a time."""

    def __init__(self, core: Any) -> None:
        self.handle = ctypes.c_void_p()
        self._free = core._LIB.XGDMatrixFree
        core._check_call(core._LIB.XGProxyDMatrixCreate(ctypes.byref(self.handle)))
        self._sizes, self._rank, self._found = _Sizes(), ctypes.c_uint64(), _Floats()
        self.given = ctypes.byref(self._sizes), ctypes.byref(self._rank), ctypes.byref(self._found)

    def answer(self) -> Column:
        """Return what was found last; the memory is the library's, and this thread's next call's, too."""
        answer = np.empty(self._sizes[: self._rank.value], np.float32)
        if self._found:
            ctypes.memmove(answer.__array_interface__["data"][0], self._found, answer.nbytes)
        return answer

    def __del__(self) -> None:
        if self.handle:
            self._free(self.handle)
