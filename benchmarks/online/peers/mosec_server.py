"""mosec: a server in Rust that hands requests to one Python process, one by one or in batches."""

import os

import common
from mosec import Server, Worker

os.environ |= {"MOSEC_ADDRESS": "127.0.0.1", "MOSEC_PORT": str(common.PORT), "MOSEC_LOG_LEVEL": "error"}


class Single(Worker):
    def __init__(self):
        self.predict = common.load()

    def forward(self, data):
        return {"predictions": self.predict(data["instances"])}


class Batched(Single):
    def forward(self, data):
        rows = [row for body in data for row in body["instances"]]
        sizes = [len(body["instances"]) for body in data]
        return [{"predictions": part} for part in common.split(self.predict(rows), sizes)]


if __name__ == "__main__":
    server = Server()
    if common.BATCHES:
        server.append_worker(Batched, num=1, max_batch_size=64, max_wait_time=1)
    else:
        server.append_worker(Single, num=1)
    server.run()
