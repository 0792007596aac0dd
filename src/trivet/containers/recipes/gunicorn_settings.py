"""Gunicorn's settings by the variables of the images `tiangolo/uvicorn-gunicorn`: Gunicorn itself reads this.

It runs among an application's own packages, and imports the standard library alone.
https://github.com/tiangolo/uvicorn-gunicorn-docker#environment-variables
"""

import os

_env = os.environ.get  # noqa: TID251 - it is read by Gunicorn, in the application
_cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _workers() -> int:
    """Return how many processes there are: as many as said, else by the cores, at least two."""
    if given := _env("WEB_CONCURRENCY"):
        if int(given) < 1:
            raise ValueError(f"WEB_CONCURRENCY: expected a number from 1, got {given}")
        return int(given)
    workers = max(2, int(float(_env("WORKERS_PER_CORE") or 1) * _cores))
    return min(workers, int(_env("MAX_WORKERS") or workers))


bind = _env("BIND") or f"{_env('HOST') or '127.0.0.1'}:{_env('PORT') or 80}"
workers = _workers()
timeout = int(_env("TIMEOUT") or 120)
graceful_timeout = int(_env("GRACEFUL_TIMEOUT") or 120)
keepalive = int(_env("KEEP_ALIVE") or 5)
loglevel = _env("LOG_LEVEL") or "info"
accesslog = _env("ACCESS_LOG", "-") or None
errorlog = _env("ERROR_LOG") or "-"
worker_tmp_dir = "/dev/shm" if os.path.isdir("/dev/shm") else None
