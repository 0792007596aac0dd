"""Object stores on loopback, as contexts: emulators of Google Cloud Storage and of Amazon S3.

What is in a bucket is put there by its owner's own client, as the environment connects it; Trivet finds it by
the same environment.
"""

import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import pytest

NAME = "models"


class Bucket(Protocol):
    """The only bucket of an emulator."""

    uri: str

    def put(self, name: str, content: bytes = b"content") -> None: ...
    def names(self) -> list[str]: ...
    def empty(self) -> None: ...


class GoogleBucket:
    """A bucket of Google Cloud Storage."""

    uri = f"gs://{NAME}"

    def __init__(self, client: Any) -> None:
        self._bucket = client.create_bucket(NAME)

    def put(self, name: str, content: bytes = b"content") -> None:
        self._bucket.blob(name).upload_from_string(content)

    def names(self) -> list[str]:
        return sorted(blob.name for blob in self._bucket.list_blobs())

    def empty(self) -> None:
        self._bucket.delete_blobs(list(self._bucket.list_blobs()))


class AmazonBucket:
    """A bucket of S3."""

    uri = f"s3://{NAME}"

    def __init__(self, client: Any) -> None:
        self._client = client
        client.create_bucket(Bucket=NAME)

    def put(self, name: str, content: bytes = b"content") -> None:
        self._client.put_object(Bucket=NAME, Key=name, Body=content)

    def names(self) -> list[str]:
        found = self._client.list_objects_v2(Bucket=NAME).get("Contents", [])
        return sorted(one["Key"] for one in found)

    def empty(self) -> None:
        for name in self.names():
            self._client.delete_object(Bucket=NAME, Key=name)


@contextmanager
def emulated(scheme: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    """Run the emulator for URIs of a scheme, gs or s3, with an empty bucket."""
    if scheme == "gs":
        with google_storage(monkeypatch) as client:
            yield GoogleBucket(client)
    else:
        with amazon_storage(monkeypatch) as client:
            yield AmazonBucket(client)


@contextmanager
def google_storage(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Run the emulator; give a client of Google's that is connected as the environment says."""
    from gcp_storage_emulator.server import create_server
    from google.cloud import storage

    with create_server("127.0.0.1", 0, in_memory=True) as server:
        port = server._api._httpd.server_address[1]
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{port}")
        monkeypatch.setenv("DISABLE_GCS_PYTHON_CLIENT_OTEL_BUCKET_METADATA", "true")
        client = storage.Client(project="p")
        yield client
        client.close()


@contextmanager
def amazon_storage(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Run the emulator; give a client of Amazon's that is connected as the environment says."""
    import boto3

    command = [sys.executable, "-m", "moto.server", "--host", "127.0.0.1", "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as emulator:
        try:
            monkeypatch.setenv("AWS_ENDPOINT_URL", _address(emulator))
            monkeypatch.setenv("AWS_ACCESS_KEY_ID", "anybody")
            monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
            monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
            for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN"):
                monkeypatch.delenv(name, raising=False)
            rest = threading.Thread(target=emulator.stderr.read)  # a full pipe would stop it
            rest.start()
            client = boto3.client("s3")
            yield client
            client.close()
        finally:
            emulator.terminate()
    rest.join()


def _address(emulator: subprocess.Popen[str]) -> str:
    told = []
    for line in emulator.stderr or ():
        if found := re.search(r"Running on (http://\S+)", line):
            return found[1]
        told.append(line)
    raise AssertionError("the emulator did not start:\n" + "".join(told))
