"""A server whose SQL is asked by Google's client of BigQuery, which is not changed in any way."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

BUCKET = "files"


@dataclass(frozen=True)
class Tables:
    """Where it is; `folder` is the bucket `files`, and the only place of local files for SQL."""

    http: str
    tls: str
    proxy: str
    bundle: str
    folder: Path
    data: Path

    def client(self, project: str, **options):
        """Return a client that keeps names in this project."""
        from google.auth.credentials import AnonymousCredentials
        from google.cloud import bigquery

        return bigquery.Client(
            project=project,
            client_options={"api_endpoint": self.http},
            credentials=AnonymousCredentials(),
            **options,
        )


@contextmanager
def serving(folder: Path, **environment: str) -> Iterator[Tables]:
    """Start a server."""
    from tests.integration.server import up
    from trivet.gateway.authority import prepare

    data, files = folder / "data", folder / "files"
    files.mkdir(parents=True)
    asked = {
        "TRIVET_SERVER_WORKERS": "1",
        "TRIVET_GATEWAY_TLS_PORT": "0",
        "TRIVET_GATEWAY_PROXY_PORT": "0",
        "TRIVET_STORAGE_BUCKETS": f"gs://{BUCKET}={files}",
        "TRIVET_SQL_FOLDERS": str(files),
    }
    with up(data, **{**asked, **environment}) as server:
        said = json.loads((data / "server.json").read_text())
        yield Tables(
            http=said["http"],
            tls=said["tls"],
            proxy=said["proxy"],
            bundle=str(prepare(data, said["http"]).bundle),
            folder=files,
            data=data,
        )
        assert server.stop() == 0
