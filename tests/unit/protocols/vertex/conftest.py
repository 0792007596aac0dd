"""What is served at endpoints, asked without a listener; and the real messages to read the answers with."""

import asyncio
import json
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic

import pytest

from tests.unit.control import conftest as control
from tests.unit.protocols.vertex.calls import Calls
from tests.unit.serving.models import Doubler
from trivet.codecs.json_body import BodyLimits
from trivet.core.names import ModelRef
from trivet.protocols.base import ContainerRoutes, RequestHead, Services
from trivet.protocols.vertex.online import VertexProtocol
from trivet.runtimes.base import Permissions
from trivet.serving.lifecycle import LoadedModel, ModelInfo, ModelSpec, load
from trivet.serving.placement import Placement
from trivet.serving.plane import DataPlane, DeployedModel, Route, local_replica
from trivet.telemetry import Metrics

PARENT = "projects/p/locations/us-central1"
GAPIC = b"%24alt=json%3Benum-encoding%3Dint"


@dataclass
class Caller:
    """Keeps the one answer it gets."""

    answers: list = field(default_factory=list)

    def reply(self, status, headers, body):
        self.answers.append((status, headers.decode(), body))

    def request_id(self):
        return "id"


def as_it_is(predictor, spec):
    """Return a model that has no runtime."""
    return LoadedModel(
        ModelInfo(
            spec=spec,
            framework="test",
            traits=predictor.traits,
            signature=predictor.signature,
            defaults=predictor.signature.defaults(),
            placement=Placement("inline", ""),
            warm_up=None,
            size=0,
            load_seconds=0,
        ),
        predictor,
    )


@dataclass
class Online:
    """A protocol over a data plane, in this event loop."""

    plane: DataPlane
    protocol: VertexProtocol

    def serve(self, name, split, *predictors, anywhere=True, **spec):
        """Deploy predictors at an address, as `d1`, `d2`, ...; "echo" is the runtime of that name."""
        deployed = {}
        for index, predictor in enumerate(predictors, 1):
            asked = ModelSpec(ModelRef("m", str(index)), Path(), framework="echo", id=f"d{index}", **spec)
            model = load(asked, Permissions()) if predictor == "echo" else as_it_is(predictor, asked)
            deployed[f"d{index}"] = DeployedModel(model.info, [local_replica(model)], Metrics())
        versions = {one.ref.version: id_ for id_, one in deployed.items()}
        self.plane.routes = {**self.plane.routes, name: Route(name, split, deployed, versions, anywhere)}
        self.plane.ready = True
        return list(deployed.values())

    async def ask(self, path, body, query=b""):
        """Return the status, the headers as text and the body, read if it is JSON."""
        caller = Caller()
        if not isinstance(body, bytes):
            body = json.dumps(body).encode()
        head = RequestHead("POST", path, path.encode(), query, ())
        self.protocol.hot(path).answer(caller, head, body, monotonic())
        async with asyncio.timeout(10):
            while not caller.answers:  # noqa: ASYNC110 - a hot route has nothing that could be awaited
                await asyncio.sleep(0)
        [(status, headers, answer)] = caller.answers
        return status, headers, json.loads(answer)


@pytest.fixture
async def online():
    plane = DataPlane(Metrics())
    one = Online(plane, VertexProtocol(Services(plane, BodyLimits(), ContainerRoutes(), None)))
    yield one
    for route in plane.routes.values():
        for deployed in route.deployed.values():
            deployed.close()


@pytest.fixture
async def echo(online):
    """An endpoint of the catalog with a model that answers what it is asked."""
    online.serve(
        "p/us-central1/e",
        {"d1": 100},
        "echo",
        model=f"{PARENT}/models/m",
        display_name="My model",
    )
    return online


@pytest.fixture
async def doubler(online):
    online.serve("p/us-central1/e", {"d1": 100}, Doubler())
    return online


make_server = control.make_server


@pytest.fixture
def calls(make_server, monkeypatch):
    monkeypatch.setattr(
        "trivet.protocols.vertex.waiting._PAUSES", (60.0, 60.0)
    )  # so that changes must be told
    return Calls(make_server())
