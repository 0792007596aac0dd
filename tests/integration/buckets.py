"""Object stores on loopback: an emulator of Google Cloud Storage, as a context."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest


@contextmanager
def google_storage(monkeypatch: pytest.MonkeyPatch) -> Iterator[object]:
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
