"""The metadata server of Google's machines, and their token service: so that clients find credentials.

With GCE_METADATA_HOST and GCE_METADATA_IP set to this server's address, Google's libraries need neither a
project nor credentials in code. Tokens mean nothing here.
"""

from urllib.parse import parse_qs

from trivet.core.errors import NotFound, PermissionDenied
from trivet.core.resources import Location
from trivet.protocols.base import Call, Reply, encode_json

PREFIX = "/computeMetadata/"
HEADERS = {"metadata-flavor": "Google"}
_TOKEN = {"access_token": "anonymous", "expires_in": 3599, "token_type": "Bearer"}
_SCOPE = "https://www.googleapis.com/auth/cloud-platform"
_ACCOUNTS = "instance/service-accounts/"
_ACCOUNT = f"{_ACCOUNTS}default/"
_NUMBER = "1"
"""The number of every project: only names of Google's own are made with it."""


def metadata(call: Call, home: Location) -> Reply:
    """Answer what Google's libraries ask of the metadata server.

    Raises PermissionDenied for a request without the header that no web page can have sent, as the
    original does, and NotFound for what it does not know.
    """
    if call.headers.get("metadata-flavor") != "Google":
        raise PermissionDenied("expected the header Metadata-Flavor: Google")
    path = call.path.removeprefix(f"{PREFIX}v1/")
    email = f"trivet@{home.project}.iam.gserviceaccount.com"
    account = {"aliases": ["default"], "email": email, "scopes": [_SCOPE]}
    texts = {
        "project/project-id": home.project,
        "project/numeric-project-id": _NUMBER,
        "instance/zone": f"projects/{_NUMBER}/zones/{home.location}-a",
        "universe/universe-domain": "googleapis.com",
        "universe/universe_domain": "googleapis.com",
        f"{_ACCOUNT}email": email,
        f"{_ACCOUNT}scopes": _SCOPE,
        _ACCOUNTS: f"default/\n{email}/\n",
    }
    objects = {
        _ACCOUNT: account,
        _ACCOUNT.rstrip("/"): account,
        f"{_ACCOUNT}token": _TOKEN,
    }
    if parse_qs(call.query).get("recursive", [""])[-1].lower() == "true":
        objects[_ACCOUNTS] = {"default": account, email: account}
    path = path.replace(f"{_ACCOUNTS}{email}", _ACCOUNT.rstrip("/"))
    if path in objects:
        return Reply(200, encode_json(objects[path]), headers=HEADERS)
    if path in texts:
        return Reply(200, texts[path].encode(), "application/text", HEADERS)
    raise NotFound(f"the metadata server has nothing at {call.path[:200]}")


def token() -> Reply:
    """Answer a service account that asks for an access token."""
    return Reply(200, encode_json(_TOKEN))
