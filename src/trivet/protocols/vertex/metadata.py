"""The metadata server of Google's machines, and their token service: so that clients find credentials.

With GCE_METADATA_HOST and GCE_METADATA_IP set to this server's address, Google's libraries need neither a
project nor credentials in code. Tokens mean nothing here.
"""

from trivet.core.errors import NotFound, PermissionDenied
from trivet.protocols.base import Call, Reply, encode_json

PREFIX = "/computeMetadata/v1/"

_HEADERS = {"metadata-flavor": "Google"}
_TOKEN = {"access_token": "anonymous", "expires_in": 3599, "token_type": "Bearer"}
_SCOPE = "https://www.googleapis.com/auth/cloud-platform"
_ACCOUNT = "instance/service-accounts/default/"


def metadata(call: Call, project: str) -> Reply:
    """Answer what Google's libraries ask of the metadata server.

    Raises PermissionDenied for a request without the header that no web page can have sent, as the
    original does, and NotFound for what it does not know.
    """
    if call.headers.get("metadata-flavor") != "Google":
        raise PermissionDenied("expected the header Metadata-Flavor: Google")
    path = call.path.removeprefix(PREFIX)
    email = f"trivet@{project}.iam.gserviceaccount.com"
    texts = {
        "project/project-id": project,
        "universe/universe-domain": "googleapis.com",
        "universe/universe_domain": "googleapis.com",
        f"{_ACCOUNT}email": email,
        f"{_ACCOUNT}scopes": _SCOPE,
    }
    objects = {
        _ACCOUNT: {"aliases": ["default"], "email": email, "scopes": [_SCOPE]},
        f"{_ACCOUNT}token": _TOKEN,
    }
    path = path.replace(f"service-accounts/{email}/", "service-accounts/default/")
    if path in texts:
        return Reply(200, texts[path].encode(), "application/text", _HEADERS)
    if path in objects:
        return Reply(200, encode_json(objects[path]), headers=_HEADERS)
    raise NotFound(f"the metadata server has nothing at {call.path[:200]}")


def token() -> Reply:
    """Answer a service account that asks for an access token."""
    return Reply(200, encode_json(_TOKEN))
