import pytest

from trivet.gateway import hosts


@pytest.mark.parametrize(
    "host",
    [
        "us-central1-aiplatform.googleapis.com",
        "storage.googleapis.com",
        "aiplatform.us.rep.googleapis.com",
        "123.us-central1-456.prediction.vertexai.goog",
        "BigQuery.GoogleAPIs.com",
        "storage.googleapis.com.",
    ],
)
def test_what_is_googles(host):
    assert hosts.is_googles(host)


@pytest.mark.parametrize(
    "host",
    [
        "googleapis.com",
        "evilgoogleapis.com",
        "googleapis.com.example.org",
        "prediction.vertexai.goog",
        "accounts.google.com",
        "127.0.0.1",
        "a..googleapis.com",
        "-a.googleapis.com",
        "a\r\nb.googleapis.com",
        f"{'a' * 250}.googleapis.com",
        "",
    ],
)
def test_what_is_not(host):
    assert not hosts.is_googles(host)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("example.org:443", ("example.org", 443)),
        ("a_b.local:8443", ("a_b.local", 8443)),
        ("127.0.0.1:1", ("127.0.0.1", 1)),
        ("[::1]:65535", ("::1", 65535)),
    ],
)
def test_an_authority_has_host_and_port(text, address):
    assert hosts.parse(text) == address


@pytest.mark.parametrize(
    "text",
    [
        "",
        "example.org",
        "example.org:",
        ":443",
        "example.org:0",
        "example.org:65536",
        "example.org:443443443443",
        "example.org:٤٤٣",
        "example.org:-1",
        "::1:443",
        "[nonsense]:443",
        "user@example.org:443",
        "example.org/x:443",
        "http://example.org:443",
        "-e.org:443",
    ],
)
def test_other_texts_are_no_authority(text):
    assert hosts.parse(text) is None
