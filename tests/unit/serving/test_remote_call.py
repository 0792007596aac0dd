import pytest

from trivet.core.errors import InvalidArgument
from trivet.serving.remote_call import endpoint_url

SERVER = "http://127.0.0.1:8080"
FULL = "projects/p/locations/europe-west4/endpoints/12"


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("https://host/v1/models/m", "https://host/v1/models/m"),
        ("http://host:81/v1/models/m:predict", "http://host:81/v1/models/m"),
        (f"https://e1.example/v1/{FULL}:predict/", f"https://e1.example/v1/{FULL}"),
        (FULL, f"{SERVER}/v1/{FULL}"),
        ("fraud", f"{SERVER}/v1/projects/local/locations/us-central1/endpoints/fraud"),
        ("a b", f"{SERVER}/v1/projects/local/locations/us-central1/endpoints/a%20b"),
    ],
)
def test_an_endpoint_is_named_in_three_ways(given, url):
    assert endpoint_url(given, SERVER + "/") == url


@pytest.mark.parametrize(
    "given",
    ["", "http://host", "https:///v1/x", "ftp://host/v1/x", "http://host:99999/v1/x", "http://host/v1/ä b",
     "projects/p/locations/l/models/m", "projects/p"],
)  # fmt: skip
def test_what_is_no_endpoint_is_refused(given):
    with pytest.raises(InvalidArgument, match="expected the URL of an endpoint"):
        endpoint_url(given, SERVER)
