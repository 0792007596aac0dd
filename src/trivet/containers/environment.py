"""The environment of an application: its user's variables, and those of the contract."""

from collections.abc import Mapping

from trivet.core.containers import ContainerSpec

EMULATOR = "STORAGE_EMULATOR_HOST"
"""Where Google's client libraries look for Cloud Storage instead of Google's own."""

_GCSFS = "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT"
"""Whether gcsfs asks about each bucket first, which it does over gRPC, with Google alone."""

_OWN_STORAGE = (EMULATOR, "GOOGLE_APPLICATION_CREDENTIALS")
"""With one of them set, the user has Cloud Storage read in a way of their own."""


def own_storage(spec: ContainerSpec) -> bool:
    """Whether the user has decided how the application reads Cloud Storage."""
    return any(name in _OWN_STORAGE for name, _ in spec.env)


def variables(spec: ContainerSpec, port: int, *, storage_uri: str, emulator: str) -> Mapping[str, str]:
    """Return the whole environment, but for what an engine or an image adds.

    `storage_uri` is where the model's files are (`gs://...`), and `emulator` the URL of what serves them
    there; both may be empty. Variables of the contract go before those of the user.
    """
    own = {"PORT": str(port)}
    if emulator:
        own |= {EMULATOR: emulator, _GCSFS: "false"}
    contract = {
        "AIP_MODE": "PREDICTION",
        "AIP_MODE_VERSION": "1.0.0",
        "AIP_FRAMEWORK": "CUSTOM_CONTAINER",
        **dict(spec.about),
        "AIP_HTTP_PORT": str(port),
        "AIP_HEALTH_ROUTE": spec.health_route,
        "AIP_PREDICT_ROUTE": spec.predict_route,
        "AIP_STORAGE_URI": storage_uri,
    }
    return {**own, **dict(spec.env), **contract}
