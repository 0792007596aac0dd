"""The variables that a version is run with elsewhere: those of the container contract, and its own.

Vertex AI sets the former itself; all others have to be told.
"""

from trivet.platforms.base import Version, Wanted, port_of

FILES = "/model"
"""Where the files of a model are in the image of an application that brings its own server."""


def variables(version: Version, wanted: Wanted, window: int = 0) -> dict[str, str]:
    """Return the whole environment, in the order in which people read it; what the user says comes last.

    `window` are seconds for which Trivet goes on accepting requests while balancers take a replica out.
    """
    contract = version.contract
    told = {
        "AIP_HTTP_PORT": str(port_of(version)),
        "AIP_HEALTH_ROUTE": contract.health_route or "/health",
        "AIP_PREDICT_ROUTE": contract.predict_route,
        "AIP_STORAGE_URI": storage_uri(version, wanted),
        "AIP_MODE": "PREDICTION",
        "AIP_MODE_VERSION": "1.0.0",
        "AIP_FRAMEWORK": "CUSTOM_CONTAINER",
    }
    if version.container is None and wanted.storage:
        told["AIP_MODEL_NAME"] = f"{version.name}@{version.version}"
    if version.container is None and window:
        told["TRIVET_SERVER_DRAIN_WINDOW"] = str(window)
    if version.container is not None and version.files and not wanted.storage:
        told["TRIVET_MODEL_DIR"] = FILES
    if version.container is not None:
        told["PORT"] = str(port_of(version))
    return {name: value for name, value in told.items() if value} | own(version, wanted)


def own(version: Version, wanted: Wanted) -> dict[str, str]:
    """Return the variables that no platform sets."""
    if version.container is not None:
        return dict([*version.container.env, *wanted.env])
    ours = {"TRIVET_ARTIFACTS_ALLOW_PICKLE": "true"} if wanted.allow_pickle else {}
    return ours | dict(wanted.env)


def storage_uri(version: Version, wanted: Wanted) -> str:
    """Return where a version finds its files; empty for Trivet's image that has them in it."""
    if version.files is None:
        return ""
    if wanted.storage:
        return f"{wanted.storage}/{version.label}"
    return FILES if version.container is not None else ""
