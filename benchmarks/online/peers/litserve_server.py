"""LitServe: one API process and one worker process, with a queue between them."""

import common
import litserve


class Single(litserve.LitAPI):
    def setup(self, device):
        self.model = common.load()

    def decode_request(self, request):
        return request["instances"]

    def predict(self, x):
        return self.model(x)

    def encode_response(self, output):
        return {"predictions": output}


class Batched(Single):
    def batch(self, inputs):
        return [row for rows in inputs for row in rows], [len(rows) for rows in inputs]

    def predict(self, x):
        rows, sizes = x
        return common.split(self.model(rows), sizes)

    def unbatch(self, output):
        return output


if __name__ == "__main__":
    api = Batched(max_batch_size=64, batch_timeout=0.002) if common.BATCHES else Single()
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=1, fast_queue=False)
    server.run(
        host="127.0.0.1",
        port=common.PORT,
        num_api_servers=1,
        generate_client_file=False,
        log_level="error",
        access_log=False,
    )
