"""A model's files, read by Google's own client libraries as if they were in Cloud Storage."""

import http.client
from urllib.parse import urlsplit

import gcsfs.core
import pytest
from google.api_core.exceptions import Forbidden, NotFound
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage
from google.cloud.storage import transfer_manager

from trivet.containers.base import Near
from trivet.containers.files_server import FilesServer

FILES = {
    "model.cbm": b"model",
    "deep/weights.bin": bytes(range(256)) * 9000,
    "deep/er/config ü&?.json": b"{}",
    "empty": b"",
}


@pytest.fixture
def server(tmp_path, monkeypatch):
    for name, content in FILES.items():
        file = tmp_path / "model" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    server = FilesServer("gs://bucket/models/v1", tmp_path / "model", Near())
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", server.url)
    yield server
    server.close()


@pytest.fixture
def client(server):
    with storage.Client() as client:
        yield client


def test_the_recorded_application_finds_its_files(client, tmp_path):
    # as the text application of the reference has it
    uri = "gs://bucket/models/v1"
    bucket, _, prefix = uri.removeprefix("gs://").partition("/")
    found = {}
    for blob in client.bucket(bucket).list_blobs(prefix=prefix):
        target = tmp_path / "copy"
        blob.download_to_filename(target)
        found[blob.name.removeprefix(f"{prefix}/")] = target.read_bytes()
    assert found == FILES


def test_blobs_are_found_by_name(client):
    bucket = client.get_bucket("bucket")
    blob = bucket.blob("models/v1/deep/weights.bin")
    assert blob.exists()
    assert not bucket.blob("models/v1/other").exists()
    assert bucket.get_blob("models/v1/other") is None
    blob.reload()
    assert (blob.size, blob.content_type) == (9000 * 256, "application/octet-stream")
    assert blob.download_as_bytes() == FILES["deep/weights.bin"]
    assert blob.download_as_bytes(start=10, end=19) == FILES["deep/weights.bin"][10:20]
    with blob.open("rb") as file:
        file.seek(-4, 2)
        assert file.read() == FILES["deep/weights.bin"][-4:]
    assert storage.Blob.from_uri("gs://bucket/models/v1/model.cbm", client).download_as_text() == "model"


def test_large_files_are_read_in_several_pieces_at_once(client, tmp_path):
    blob = client.bucket("bucket").blob("models/v1/deep/weights.bin")
    transfer_manager.download_chunks_concurrently(
        blob, str(tmp_path / "copy"), chunk_size=1 << 20, worker_type="thread"
    )
    assert (tmp_path / "copy").read_bytes() == FILES["deep/weights.bin"]


def test_folders_are_listed(client):
    blobs = client.list_blobs("bucket", prefix="models/v1/", delimiter="/", page_size=1)
    assert [blob.name for blob in blobs] == ["models/v1/empty", "models/v1/model.cbm"]
    assert blobs.prefixes == {"models/v1/deep/"}


def test_nothing_can_be_written_and_nothing_else_be_read(client):
    bucket = client.bucket("bucket")
    with pytest.raises(Forbidden, match="can only be read"):
        bucket.blob("models/v1/model.cbm").upload_from_string("other", retry=None)
    with pytest.raises(Forbidden):
        bucket.blob("models/v1/model.cbm").delete()
    with pytest.raises(NotFound, match="No such object"):
        bucket.blob("models/v1/../../etc/passwd").download_as_bytes()
    with pytest.raises(NotFound, match="bucket does not exist"):
        list(client.list_blobs("other"))


def test_gcsfs_reads_them_too(server):
    files = gcsfs.core.GCSFileSystem(token="anon", endpoint_url=server.url, skip_instance_cache=True)
    assert sorted(files.find("bucket/models/v1")) == sorted(f"bucket/models/v1/{name}" for name in FILES)
    assert sorted(files.ls("bucket/models/v1", detail=False)) == [
        "bucket/models/v1/deep", "bucket/models/v1/empty", "bucket/models/v1/model.cbm",
    ]  # fmt: skip
    assert files.cat_file("bucket/models/v1/deep/weights.bin", start=5, end=9) == bytes([5, 6, 7, 8])


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/bucket/models/v1/model.cbm", 200), ("/bucket/models/v1/..%2f..%2fsecret", 404),
        ("/storage/v1/b/bucket/o/models%2Fv1%2Fmodel.cbm?alt=media", 200), ("//etc/passwd", 404),
        ("/storage/v1/b/bucket/iam", 404), ("/storage/v1/b/bucket/o?maxResults=x", 400), ("/", 404),
    ],
)  # fmt: skip
def test_urls_of_all_kinds_are_answered(server, path, status):
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=10)
    for method in ("GET", "HEAD"):
        connection.request(method, path)
        response = connection.getresponse()
        content = response.read()
        assert response.status == status
        assert (content == b"") == (method == "HEAD")
    connection.close()


def test_ranges_outside_of_a_file_are_refused(server):
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=10)
    connection.request("GET", "/bucket/models/v1/model.cbm", headers={"Range": "bytes=9-"})
    response = connection.getresponse()
    assert (response.status, response.headers["Content-Range"], response.read()) == (416, "bytes */5", b"")
    connection.close()


def test_anonymous_clients_are_enough(server):
    client = storage.Client(project="p", credentials=AnonymousCredentials())
    assert client.bucket("bucket").blob("models/v1/empty").download_as_bytes() == b""
    client.close()
