"""Ray Serve: one proxy and one replica, each a process, and the processes of a Ray cluster around them."""

import signal

import common
import ray
from ray import serve


class Single:
    def __init__(self):
        self.model = common.load()

    async def __call__(self, request):
        body = await request.json()
        return {"predictions": self.model(body["instances"])}


class Batched:
    def __init__(self):
        self.model = common.load()

    @serve.batch(max_batch_size=64, batch_wait_timeout_s=0)
    async def predict(self, many):
        answers = self.model([row for rows in many for row in rows])
        return common.split(answers, [len(rows) for rows in many])

    async def __call__(self, request):
        body = await request.json()
        return {"predictions": await self.predict(body["instances"])}


if __name__ == "__main__":
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, _node_ip_address="127.0.0.1")
    quiet = {"enable_access_log": False, "log_level": "ERROR"}
    serve.start(http_options={"host": "127.0.0.1", "port": common.PORT}, logging_config=quiet)
    deployment = serve.deployment(
        Batched if common.BATCHES else Single,
        num_replicas=1,
        max_ongoing_requests=200,
        ray_actor_options={"num_cpus": 1},
        logging_config=quiet,
    )
    serve.run(deployment.bind(), route_prefix="/predict")
    signal.pause()
