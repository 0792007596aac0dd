"""Where the model's files are."""

import os
from pathlib import Path
from tempfile import mkdtemp


def files() -> Path:
    """Return the folder of the model's files. On Google Cloud they are fetched first."""
    if here := os.environ.get("TRIVET_MODEL_DIR"):
        return Path(here)
    from google.cloud import storage

    bucket, _, prefix = os.environ["AIP_STORAGE_URI"].removeprefix("gs://").partition("/")
    folder = Path(mkdtemp())
    for blob in storage.Client().list_blobs(bucket, prefix=prefix):
        name = blob.name.removeprefix(prefix).lstrip("/")
        if name and not name.endswith("/"):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            blob.download_to_filename(folder / name)
    return folder
