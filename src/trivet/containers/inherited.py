"""What of the server's own environment goes on to processes that run others' code: by name, and no secret."""

import os
from collections.abc import Callable
from pathlib import Path

_ALL = frozenset({"LANG", "LANGUAGE", "TZ", "LD_LIBRARY_PATH", "SSL_CERT_FILE", "SSL_CERT_DIR"})
_APPLICATIONS = frozenset({"CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES", "NVIDIA_DRIVER_CAPABILITIES"})
_BUILDS = frozenset(
    {
        "HOME", "USER", "LOGNAME", "TMPDIR", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_CONFIG_DIRS",
        "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE",
        "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY",
        "http_proxy", "https_proxy", "all_proxy", "no_proxy",
    }
)  # fmt: skip
_NEVER = frozenset(
    {"PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PIP_PYTHON", "PIP_USER", "PIP_REQUIRE_VIRTUALENV"}
)
"""Where else to install: it is in the virtual environment."""

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def for_applications() -> dict[str, str]:
    """Return what an application gets: where programs and certificates are, language, and devices."""
    return _those(lambda name: name in _APPLICATIONS)


def for_builds() -> dict[str, str]:
    """Return what `pip` gets besides: whose it is, the way to its index and all its own settings.

    The build of a package runs that package's code, which sees them, as it would in a container's build.
    """
    found = _those(lambda name: name in _BUILDS or (name.startswith("PIP_") and name not in _NEVER))
    return {**found, "PIP_USER": "0"}


def _those(wanted: Callable[[str], bool]) -> dict[str, str]:
    own = os.environ  # noqa: TID251 - handed on, and no setting is read
    named = {name: own[name] for name in own if name in _ALL or name.startswith("LC_") or wanted(name)}
    return {**named, "PATH": _without_own(own.get("PATH") or _PATH)}


def _without_own(path: str) -> str:
    """Leave out virtual environments, this server's among them: what is installed there is for no others."""
    folders = [Path(one) for one in path.split(os.pathsep) if one]
    kept = [one for one in folders if one.is_absolute() and not (one.parent / "pyvenv.cfg").is_file()]
    return os.pathsep.join(dict.fromkeys(map(str, kept))) or _PATH
