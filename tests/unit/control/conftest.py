"""A control plane over a real catalog and store in a temporary folder, with a machine that the test plays."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from trivet.catalog import Catalog
from trivet.control.artifacts import ArtifactStore
from trivet.control.plane import ControlPlane, ControlSettings
from trivet.core.resources import DeployedModel, Failure, Location, ModelVersion, Name, Operation, Query

HERE = Location("local", "us-central1")

ALL = Query()
FRAUD = HERE.child("models", "fraud")

PREDICTOR = "class Predictor:\n    def predict(self, instances):\n        return instances\n"


class Clock:
    """The time, which a test moves on; every look at it is a millisecond later."""

    def __init__(self) -> None:
        self.now = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        self.now += timedelta(milliseconds=1)
        return self.now

    def later(self, seconds: float) -> None:
        """Move on."""
        self.now += timedelta(seconds=seconds)


class Server:
    """A control plane, and what the process around it does, step by step."""

    def __init__(self, folder: Path, clock: Clock, node: str = "node", **settings: object) -> None:
        self.folder = folder
        self.clock = clock
        self.catalog = Catalog(f"sqlite:///{folder / 'catalog.db'}", self.clock)
        self.store = ArtifactStore(folder / "artifacts")
        self.settings = ControlSettings(node=node, **settings)  # type: ignore[arg-type]
        self.nudges = 0
        self.start()

    def start(self) -> None:
        """Start the control plane."""
        self.plane = ControlPlane(self.catalog, self.store, self.settings, self._nudge)
        self.plane.recover()

    def _nudge(self) -> None:
        self.nudges += 1

    def work(self) -> None:
        """Do all the work on artifacts that there is."""
        for name in self.plane.pending():
            self.plane.run(name)

    def serve(self, **failures: str) -> None:
        """Load what is wished, but for what fails, by id."""
        self.plane.applied(
            self.plane.wish().revision,
            {id_.removeprefix("d"): Failure(9, message) for id_, message in failures.items()},
        )

    def settle(self) -> None:
        """Work and load until nothing is under way."""
        for _ in range(5):
            self.work()
            self.serve()

    def kept(self) -> set[str]:
        """Return the keys of the artifacts that there are."""
        return {folder.name for folder in (self.folder / "artifacts").iterdir()}

    def artifact(self, number: int | None = None) -> Path:
        """Return a folder with a model; by default one that was not there before."""
        number = len(list(self.folder.glob("source-*"))) if number is None else number
        folder = self.folder / f"source-{number}"
        folder.mkdir(exist_ok=True)
        (folder / "predictor.py").write_text(f"{PREDICTOR}\n# {number}\n")
        return folder

    def done(self, operation: Operation) -> Mapping[str, object]:
        """Return what an operation has answered."""
        operation = self.plane.operation(operation.name)
        assert operation.done
        assert operation.failure is None
        assert operation.response is not None
        return operation.response

    def failed(self, operation: Operation) -> Failure:
        """Return why an operation has failed."""
        operation = self.plane.operation(operation.name)
        assert operation.done
        assert operation.response is None
        assert operation.failure is not None
        return operation.failure

    def upload(self, model_id: str = "", **fields: object) -> ModelVersion:
        """Upload a model, or the next version of the model of that id."""
        document = {"displayName": "fraud model", "artifactUri": str(self.artifact()), **fields}
        parent = ""
        if model_id and any(one.name.id == model_id for one in self.plane.models(HERE, ALL).items):
            parent, model_id = str(HERE.child("models", model_id)), ""
        operation = self.plane.upload_model(HERE, document, model_id=model_id, parent_model=parent)
        self.work()
        response = self.done(operation)
        return self.plane.model(Name.parse(f"{response['model']}@{response['modelVersionId']}"))

    def endpoint(self, id_: str = "", **fields: object) -> Name:
        """Create an endpoint."""
        operation = self.plane.create_endpoint(HERE, {"displayName": "scoring", **fields}, endpoint_id=id_)
        return Name.parse(str(self.done(operation)["name"]))

    def begin(self, endpoint: Name, split: Mapping[str, int] | None = None, **fields: object) -> Operation:
        """Begin to deploy a model, `fraud` by default."""
        return self.plane.deploy(endpoint, {"model": str(FRAUD), **fields}, split)

    def deploy(self, endpoint: Name, split: Mapping[str, int] | None = None, **fields: object) -> str:
        """Deploy a model, and return the id of what is deployed."""
        operation = self.begin(endpoint, split, **fields)
        self.serve()
        self.serve()
        return str(self.done(operation)["deployedModel"]["id"])  # type: ignore[index]

    def deployed(self, endpoint: Name) -> dict[str, DeployedModel]:
        """Return what callers see deployed."""
        return {one.id: one for one in self.plane.endpoint(endpoint).deployed}

    def traffic(self, endpoint: Name) -> dict[str, int]:
        """Return an endpoint's split."""
        return dict(self.plane.endpoint(endpoint).traffic)


@pytest.fixture
def make_server(tmp_path):
    """Start servers over one folder, which is as good as one after the other crashed."""
    servers = []

    def make(node="node", **settings):
        clock = servers[0].clock if servers else Clock()
        servers.append(Server(tmp_path, clock, node, **settings))
        return servers[-1]

    yield make
    for server in servers:
        server.catalog.close()


@pytest.fixture
def server(make_server):
    return make_server()


@pytest.fixture
def endpoint(server):
    """An endpoint, and a model `fraud` that may be deployed to it."""
    server.upload("fraud")
    return server.endpoint("scoring")
