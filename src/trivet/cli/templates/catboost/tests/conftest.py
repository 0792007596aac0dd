"""Applications load their model where they are imported, so it is trained before."""

import os
from pathlib import Path
from tempfile import mkdtemp

from train import train

os.environ["TRIVET_MODEL_DIR"] = mkdtemp()
train(Path(os.environ["TRIVET_MODEL_DIR"]))
