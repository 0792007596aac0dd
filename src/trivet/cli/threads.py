"""One math thread per process: BLAS and OpenMP read these once, when NumPy or a framework is imported.

A server gets its parallelism from requests; libraries that each start a thread per core fight for the
cores, and a different number of threads changes the last bits of a sum.
"""

import os

VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")


def keep_to_one() -> None:
    """Set what the user has not set; call before NumPy is imported."""
    for name in VARIABLES:
        os.environ.setdefault(name, "1")
