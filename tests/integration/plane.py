"""A plain client of the control plane, for tests that are not about a Google SDK."""

from dataclasses import dataclass
from typing import Any

import httpx

PARENT = "/v1/projects/p/locations/us-central1"


@dataclass
class Plane:
    """Calls that wait for their operations, and raise what those failed with."""

    client: httpx.Client

    def get(self, path: str) -> Any:
        return self._checked(self.client.get(f"{PARENT}/{path}"))

    def post(self, path: str, body: Any) -> Any:
        return self._checked(self.client.post(f"{PARENT}/{path}", json=body))

    def patch(self, path: str, body: Any) -> Any:
        return self._checked(self.client.patch(f"{PARENT}/{path}", json=body))

    def delete(self, path: str) -> Any:
        return self.done(self._checked(self.client.delete(f"{PARENT}/{path}")))

    def done(self, operation: Any) -> Any:
        """Wait for an operation, and return its response."""
        while not operation.get("done"):
            operation = self._checked(self.client.get(f"/ui/{operation['name']}"))
        if "error" in operation:
            raise Failed(operation["error"])
        return operation["response"]

    def upload(self, path: Any, name: str = "", **more: Any) -> str:
        """Upload a model, or another version of the one of this name; returns `MODEL@VERSION`."""
        document = {"displayName": name or "model", "artifactUri": str(path), **more}
        known = name and self.client.get(f"{PARENT}/models/{name}").status_code == 200
        where = {"parentModel": f"{PARENT[4:]}/models/{name}"} if known else {"modelId": name}
        done = self.done(self.post("models:upload", {"model": document, **where}))
        return f"{done['model']}@{done['modelVersionId']}"

    def endpoint(self, name: str) -> str:
        return self.done(self.post(f"endpoints?endpointId={name}", {"displayName": name}))["name"]

    def deploy(self, endpoint: str, model: str, split: Any = None, **more: Any) -> str:
        """Deploy a model and wait until it is; returns the deployed model's id."""
        body = {"deployedModel": {"model": model, "displayName": "d", **more}}
        body |= {"trafficSplit": split} if split else {}
        done = self.done(self.post(f"endpoints/{endpoint}:deployModel", body))
        return done["deployedModel"]["id"]

    def undeploy(self, endpoint: str, id_: str, **more: Any) -> None:
        self.done(self.post(f"endpoints/{endpoint}:undeployModel", {"deployedModelId": id_, **more}))

    def split(self, endpoint: str, split: dict[str, int]) -> None:
        self.patch(f"endpoints/{endpoint}?updateMask=trafficSplit", {"trafficSplit": split})

    def predict(self, endpoint: str, instances: Any) -> Any:
        return self.post(f"endpoints/{endpoint}:predict", {"instances": instances})

    def _checked(self, answer: httpx.Response) -> Any:
        if answer.status_code != 200:
            raise Failed(answer.json()["error"])
        return answer.json()


class Failed(Exception):
    """What a call or an operation failed with: code and message are its arguments."""

    def __init__(self, error: dict[str, Any]) -> None:
        super().__init__(error["code"], error["message"])
