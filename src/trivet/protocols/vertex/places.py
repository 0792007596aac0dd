"""Locations and permissions: what clients ask of every Google API."""

from trivet.control.plane import ControlPlane
from trivet.protocols.vertex.wire import Asked, Json


def list_(control: ControlPlane, asked: Asked) -> Json:
    """`GET projects/P/locations`: the one that is this server's own; others are taken as well."""
    location = asked.home.location
    name = f"projects/{asked.parts['project']}/locations/{location}"
    return {"locations": [{"name": name, "locationId": location}]}


def get(control: ControlPlane, asked: Asked) -> Json:
    """`GET projects/P/locations/L`."""
    return {"name": str(asked.parent), "locationId": asked.parent.location}


def allowed(control: ControlPlane, asked: Asked) -> Json:
    """`GET serviceAccounts/A/allowedLocations`, which credentials ask in the background."""
    return {"locations": [asked.home.location], "encodedLocations": "0x0"}


def test_permissions(control: ControlPlane, asked: Asked) -> Json:
    """`POST ...:testIamPermissions`: whoever may call may do everything."""
    given = asked.body.get("permissions")
    return {"permissions": given if isinstance(given, list) else list(asked.query.get("permissions", []))}


def policy(control: ControlPlane, asked: Asked) -> Json:
    """`...:getIamPolicy`: there is none."""
    return {"version": 1, "etag": "ACAB"}
