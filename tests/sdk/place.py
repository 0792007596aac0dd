"""What the tests of the SDK run against: a server, a bucket that is a folder, and an object store."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pytest

VARIABLE = "SDK_TESTS_AT"
"""Names a file that describes a server which runs already; so a second SDK is tested against the same one."""

BUCKET = "models"
STAGING = "staging"
"""A bucket of the emulator. Where none is named the SDK makes one, and from then on asks Google's resource
manager whose that is (`gcs_utils._verify_bucket_ownership`), which takes a minute to fail."""

XGBOOST = "us-docker.pkg.dev/vertex-ai/prediction/xgboost-cpu.2-1:latest"
SKLEARN = "us-docker.pkg.dev/vertex-ai/prediction/sklearn-cpu.1-6:latest"

ROWS = [[0.0], [1.0], [2.0]]
"""Instances of the models that answer with a constant."""

ECHO = """
class Predictor:
    def predict(self, instances):
        return instances
"""


@dataclass(frozen=True)
class Place:
    """Addresses and folders; `storage` and `bigquery` are the URLs of emulators of Google's."""

    http: str
    tls: str
    proxy: str
    data: str
    bundle: str
    models: str
    storage: str
    bigquery: str

    def endpoint(self, transport: str) -> str:
        """Return what `aiplatform.init` is to be given for a transport."""
        return self.http if transport == "rest" else self.tls

    @property
    def environment(self) -> dict[str, str]:
        """What a process must have set to reach it by TLS, and to stage local files."""
        return {
            "REQUESTS_CA_BUNDLE": self.bundle,
            "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH": self.bundle,
            "STORAGE_EMULATOR_HOST": self.storage,
            "BIGQUERY_EMULATOR_HOST": self.bigquery,
            "DISABLE_GCS_PYTHON_CLIENT_OTEL_BUCKET_METADATA": "true",
        }

    def write(self, file: Path) -> Path:
        """Describe it in a file, for `VARIABLE`."""
        file.write_text(json.dumps(asdict(self)))
        return file


@contextmanager
def started(folder: Path, models: Path, **environment: str) -> Iterator[Place]:
    """Start a server with all its ports; the bucket `models` is a folder, others are in an emulator."""
    from tests.integration.bigquery import emulated
    from tests.integration.buckets import google_storage
    from tests.integration.server import up
    from trivet.gateway.authority import prepare

    data = folder / "data"
    with pytest.MonkeyPatch.context() as patch, google_storage(patch) as storage, emulated(patch) as tables:
        storage.create_bucket(STAGING)
        emulator = os.environ["STORAGE_EMULATOR_HOST"]
        asked = {
            "TRIVET_SERVER_WORKERS": "1",
            "TRIVET_GATEWAY_TLS_PORT": "0",
            "TRIVET_GATEWAY_PROXY_PORT": "0",
            "TRIVET_STORAGE_BUCKETS": f"gs://{BUCKET}={models}",
            "TRIVET_ARTIFACTS_ALLOW_PICKLE": "true",
            "TRIVET_CONTAINERS_ENGINE": "process",
            "TRIVET_CONTAINERS_CACHE": str(folder / "containers"),
        }
        with up(data, **{**asked, **environment}) as server:
            said = json.loads((data / "server.json").read_text())
            yield Place(
                http=said["http"],
                tls=said["tls"],
                proxy=said["proxy"],
                data=str(data),
                bundle=str(prepare(data, said["http"]).bundle),
                models=str(models),
                storage=emulator,
                bigquery=tables.url,
            )
            assert server.stop() == 0


def train(folder: Path) -> None:
    """Write artifacts as users of prebuilt containers have them; each answers with what its name says."""
    import joblib
    import numpy as np
    import xgboost
    from sklearn.linear_model import LinearRegression

    rows = np.arange(4, dtype=np.float32).reshape(-1, 1)
    for constant in (1, 2, 3):
        (folder / f"constant-{constant}").mkdir()
        labelled = xgboost.DMatrix(rows, np.full(4, constant))
        booster = xgboost.train({"base_score": float(constant), "max_depth": 1}, labelled, 1)
        content = booster.save_raw("ubj")
        (folder / f"constant-{constant}" / "model.bst").write_bytes(content)
    (folder / "twice-plus-1").mkdir()
    line = LinearRegression().fit(rows, 2 * rows[:, 0] + 1)
    joblib.dump(line, folder / "twice-plus-1" / "model.joblib")
    (folder / "python").mkdir()
    (folder / "python" / "predictor.py").write_text(ECHO)
    (folder / "nothing").mkdir()
    (folder / "nothing" / "readme.txt").write_text("no model")
    (folder / "broken").mkdir()
    (folder / "broken" / "model.bst").write_bytes(b"no model")


def lines(text: str) -> list[Any]:
    """Read lines of JSON."""
    return [json.loads(line) for line in text.splitlines()]
