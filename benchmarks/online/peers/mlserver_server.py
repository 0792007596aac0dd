"""MLServer: its own runtime for scikit-learn, a custom one for the rest; V2 JSON; no worker processes.

Custom runtimes are what MLServer's documentation tells to write where it has none, as for ONNX.
"""

import asyncio

import common
import numpy as np
from mlserver import MLModel, MLServer, ModelSettings, Settings
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceResponse


class Custom(MLModel):
    async def load(self):
        self.model = common.load()
        return True

    async def predict(self, payload):
        rows = NumpyCodec.decode_input(payload.inputs[0])
        answers = np.array(self.model(rows))
        output = NumpyCodec.encode_output("predict", answers)
        return InferenceResponse(model_name=self.name, outputs=[output])


async def main():
    settings = Settings(
        host="127.0.0.1",
        http_port=common.PORT,
        grpc_port=common.PORT + 1,
        metrics_endpoint=None,
        parallel_workers=0,
        debug=False,
        use_structured_logging=False,
        gzip_enabled=False,
    )
    if common.MODEL == "sklearn":
        from mlserver_sklearn import SKLearnModel as Implementation
    else:
        Implementation = Custom
    # A time of 0 and a size of 0 mean no batching.
    batching = {"max_batch_size": 64, "max_batch_time": 0.002} if common.BATCHES else {}
    model = ModelSettings(
        name="model", implementation=Implementation, parameters={"uri": common.FILE}, **batching
    )
    await MLServer(settings).start([model])


if __name__ == "__main__":
    asyncio.run(main())
