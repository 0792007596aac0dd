"""BentoML: one service with one worker, and one API that takes and gives an array; run by `bentoml serve`."""

import bentoml
import common
import numpy as np

# Batching waits as long as needed: with a short `max_latency_ms` BentoML sheds load with 503.
BATCHING = {"batchable": True, "max_batch_size": 64, "max_latency_ms": 5000} if common.BATCHES else {}


@bentoml.service(
    workers=1,
    traffic={"timeout": 30, "max_concurrency": 256},
    metrics={"enabled": False},
    logging={"access": {"enabled": False}},
)
class Predictor:
    def __init__(self):
        self.model = common.load()

    @bentoml.api(**BATCHING)
    def predict(self, instances: np.ndarray) -> np.ndarray:
        return np.array(self.model(instances))
