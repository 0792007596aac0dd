"""What base images bring, as far as their names tell: a version of Python, and perhaps a way to start."""

import re
from dataclasses import dataclass, field
from pathlib import Path

_PYTHON = re.compile(r"python[:-]?(3\.\d+)")
_PLAIN = re.compile(
    r"scratch|(.*/)?(python|debian|ubuntu|alpine|fedora|busybox|debian-slim|uv|base-debian\d+|python3(-debian\d+)?)"
)
_WEB = re.compile(r"(.*/)?tiangolo/uvicorn-gunicorn(-fastapi|-starlette)?")

_START_WEB = """
if [ -f app/main.py ]; then module=app.main; else module=main; fi
export APP_MODULE="${APP_MODULE:-${MODULE_NAME:-$module}:${VARIABLE_NAME:-app}}"
for settings in gunicorn_conf.py app/gunicorn_conf.py; do
  if [ -z "$GUNICORN_CONF" ] && [ -f "$settings" ]; then GUNICORN_CONF=$settings; fi
done
prestart="${PRE_START_PATH:-$PWD/prestart.sh}"
if [ -f "$prestart" ]; then echo "Running $prestart"; . "$prestart"; fi
exec gunicorn --worker-class "${WORKER_CLASS:-uvicorn_worker.UvicornWorker}" \\
  --config "${GUNICORN_CONF:-%s}" "$APP_MODULE"
"""


@dataclass(frozen=True, slots=True)
class Base:
    """What there is before a Dockerfile adds to it.

    `python` is a version as `3.11`, empty where any will do. `packages` are what it has installed, `plain` is
    whether it has no more than an operating system and Python, as far as is known.
    """

    python: str = ""
    plain: bool = False
    folder: str = "/"
    packages: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    env: dict[str, str] = field(default_factory=dict)


def of(image: str) -> Base:
    """Return what is known of an image by its name."""
    found = _PYTHON.search(image)
    python = found[1] if found else ""
    name = re.sub(r"(:[^:/]*)?(@.*)?$", "", image)
    if web := _WEB.fullmatch(name):
        framework = {"-fastapi": ("fastapi",), "-starlette": ("starlette",)}.get(web[2] or "", ())
        settings = Path(__file__).with_name("gunicorn_settings.py")
        return Base(
            python,
            plain=True,
            folder="/app",
            packages=(*framework, "uvicorn[standard]", "uvicorn-worker", "gunicorn"),
            command=("/bin/sh", "-e", "-c", _START_WEB % settings),
            env={"PYTHONPATH": "/app"},
        )
    return Base(python, plain=bool(_PLAIN.fullmatch(name)))
