"""Whatever is asked, whatever fails, and wherever the process is killed: what the catalog says holds."""

import random
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.unit.control.conftest import ALL, HERE, Clock, Server
from trivet.core.errors import AlreadyExists, FailedPrecondition, InvalidArgument, NotFound
from trivet.core.resources import Failure, Name, Operation


class Killed(BaseException):
    """The process is gone at this point."""


class Fate:
    """When the process is killed: at the n-th point from now on."""

    def __init__(self) -> None:
        self.left: int | None = None

    def point(self) -> None:
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                self.left = None
                raise Killed


class MortalCatalog:
    """A catalog during whose transactions the process may be killed: before, within or just after them."""

    def __init__(self, catalog, fate):
        self._catalog, self._fate = catalog, fate
        self.revision = catalog.revision

    @contextmanager
    def transaction(self) -> Iterator[object]:
        self._fate.point()
        with self._catalog.transaction() as tx:
            yield tx
            self._fate.point()
        self._fate.point()

    @contextmanager
    def reading(self) -> Iterator[object]:
        with self._catalog.reading() as tx:
            yield tx
        self._fate.point()


class MortalStore:
    """A store of artifacts, the same."""

    def __init__(self, store, fate):
        self._store, self._fate = store, fate
        self.path, self.has = store.path, store.has

    def add(self, *args):
        self._fate.point()
        artifact = self._store.add(*args)
        self._fate.point()
        return artifact

    def add_application(self, *args):
        self._fate.point()
        artifact = self._store.add_application(*args)
        self._fate.point()
        return artifact

    def remove(self, artifact):
        self._fate.point()
        self._store.remove(artifact)
        self._fate.point()


class MortalServer(Server):
    """A server that may be killed."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        self.fate = Fate()
        super().__init__(folder, clock)

    def start(self) -> None:
        self.whole = self.catalog, self.store
        self.catalog, self.store = MortalCatalog(self.catalog, self.fate), MortalStore(self.store, self.fate)
        super().start()


class Control(RuleBasedStateMachine):
    """Random calls to one control plane, whose process is killed now and then and started again."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.server = MortalServer(self.folder, Clock())
        self.begun: dict[Name, Operation] = {}
        self.ended: dict[Name, Operation] = {}

    def teardown(self) -> None:
        self._kill()
        self.server.settle()
        self.server.settle()
        with self.server.whole[0].reading() as tx:
            assert tx.unfinished() == []
            assert all(one.state == "READY" for endpoint in tx.all_endpoints() for one in endpoint.deployed)
        assert self.server.kept() == {version.artifact.key for version in self._versions()}
        self.holds()
        self.server.whole[0].close()
        shutil.rmtree(self.folder)

    @contextmanager
    def _may_be_killed(self) -> Iterator[None]:
        """Whatever is done within may be refused, and may end with the process."""
        try:
            yield
        except (AlreadyExists, FailedPrecondition, InvalidArgument, NotFound):
            pass
        except Killed:
            self._kill()

    def _kill(self) -> None:
        clock = self.server.clock
        self.server.whole[0].close()
        self.server = MortalServer(self.folder, clock)

    def _note(self, operation: Operation) -> None:
        self.begun[operation.name] = operation

    @initialize()
    def something(self) -> None:
        self.server.upload("m0")
        self.server.endpoint("e0")

    @rule(points=st.integers(0, 12))
    def is_doomed(self, points: int) -> None:
        self.server.fate.left = points

    @rule(model=st.sampled_from(["m0", "m1"]), new=st.booleans(), files=st.integers(0, 2))
    def uploads(self, model: str, new: bool, files: int) -> None:
        document = {"displayName": "m", "artifactUri": str(self.server.artifact(files))}
        with self._may_be_killed():
            if new:
                self._note(self.server.plane.upload_model(HERE, document, model_id=model))
            else:
                parent = str(HERE.child("models", model))
                self._note(self.server.plane.upload_model(HERE, document, parent_model=parent))

    @rule(source=st.sampled_from(["m0", "m1"]), copied=st.sampled_from(["m1", "m2"]))
    def copies(self, source: str, copied: str) -> None:
        with self._may_be_killed():
            self._note(self.server.plane.copy_model(HERE, HERE.child("models", source), model_id=copied))

    @rule()
    def works(self) -> None:
        with self._may_be_killed():
            self.server.work()

    @rule(id_=st.sampled_from(["e0", "e1"]), private=st.booleans())
    def creates_an_endpoint(self, id_: str, private: bool) -> None:
        network = {"network": "projects/1/global/networks/n"} if private else {}
        with self._may_be_killed():
            self.server.plane.create_endpoint(HERE, {"displayName": id_, **network}, endpoint_id=id_)

    @rule(
        model=st.sampled_from(["m0", "m1", "m2"]),
        endpoint=st.sampled_from(["e0", "e1"]),
        share=st.none() | st.integers(0, 100),
    )
    def deploys(self, model: str, endpoint: str, share: int | None) -> None:
        name = HERE.child("endpoints", endpoint)
        with self._may_be_killed():
            split = None if share is None else self._split(name, "0", share)
            document = {"model": str(HERE.child("models", model))}
            self._note(self.server.plane.deploy(name, document, split))

    def _split(self, name: Name, first: str, share: int) -> dict[str, int]:
        ids = [id_ for id_ in self.server.deployed(name) if id_ != first]
        if not ids:
            return {first: 100}
        return {first: share, ids[share % len(ids)]: 100 - share}

    @rule(endpoint=st.sampled_from(["e0", "e1"]), share=st.integers(0, 100), given=st.booleans())
    def undeploys(self, endpoint: str, share: int, given: bool) -> None:
        name = HERE.child("endpoints", endpoint)
        with self._may_be_killed():
            ids = list(self.server.deployed(name))
            if ids:
                gone = ids[share % len(ids)]
                split = self._split(name, gone, 0) if given and len(ids) > 1 else None
                self._note(self.server.plane.undeploy(name, gone, split))

    @rule(endpoint=st.sampled_from(["e0", "e1"]), share=st.integers(0, 100))
    def moves_traffic(self, endpoint: str, share: int) -> None:
        name = HERE.child("endpoints", endpoint)
        with self._may_be_killed():
            ids = list(self.server.deployed(name))
            split = self._split(name, ids[share % len(ids)], share) if ids and share else {}
            self.server.plane.update_endpoint(name, {"trafficSplit": split}, ["trafficSplit"])

    @rule(endpoint=st.sampled_from(["e0", "e1"]), count=st.integers(1, 3))
    def changes_replicas(self, endpoint: str, count: int) -> None:
        name = HERE.child("endpoints", endpoint)
        with self._may_be_killed():
            for id_ in list(self.server.deployed(name))[:1]:
                changes = {"id": id_, "dedicatedResources": {"minReplicaCount": count}}
                self._note(self.server.plane.mutate_deployed(name, changes, []))

    @rule(model=st.sampled_from(["m0", "m1", "m2"]), version=st.booleans())
    def deletes_a_model(self, model: str, version: bool) -> None:
        name = HERE.child("models", model)
        with self._may_be_killed():
            if version:
                self._note(self.server.plane.delete_version(name.at("1")))
            else:
                self._note(self.server.plane.delete_model(name))

    @rule(endpoint=st.sampled_from(["e0", "e1"]), force=st.booleans())
    def deletes_an_endpoint(self, endpoint: str, force: bool) -> None:
        with self._may_be_killed():
            self._note(self.server.plane.delete_endpoint(HERE.child("endpoints", endpoint), force=force))

    @rule(seed=st.randoms(use_true_random=False))
    def cancels(self, seed: random.Random) -> None:
        with self._may_be_killed():
            if self.begun:
                self.server.plane.cancel_operation(seed.choice(list(self.begun)))

    @rule()
    def serves(self) -> None:
        with self._may_be_killed():
            self.server.serve()

    @rule(seed=st.randoms(use_true_random=False))
    def serves_but_for_some(self, seed: random.Random) -> None:
        with self._may_be_killed():
            wish = self.server.plane.wish()
            failed = [spec.id for spec in wish.models if seed.random() < 0.5]
            self.server.plane.applied(wish.revision, {id_: Failure(9, "bad artifact") for id_ in failed})

    @precondition(lambda self: self.server.fate.left is not None)
    @rule()
    def is_spared(self) -> None:
        self.server.fate.left = None

    def _versions(self):
        plane = self.server.plane
        for model in plane.models(HERE, ALL).items:
            yield from plane.versions(model.name, ALL).items

    @invariant()
    def holds(self) -> None:
        left, self.server.fate.left = self.server.fate.left, None
        self._splits_hold()
        self._operations_hold()
        self._wishes_hold()
        self.server.fate.left = left

    def _splits_hold(self) -> None:
        with self.server.whole[0].reading() as tx:
            endpoints = list(tx.all_endpoints())
            loading = {one.request["deployedModelId"] for one in tx.unfinished() if one.kind == "deployModel"}
        for endpoint in endpoints:
            ready = {one.id for one in endpoint.deployed if one.state == "READY"}
            pending = {one.id for one in endpoint.deployed} - ready
            assert sum(endpoint.traffic.values()) in ((0, 100) if endpoint.traffic else (0,))
            assert set(endpoint.traffic) <= ready
            assert pending <= loading, "nobody would go on with it"
        for endpoint in self.server.plane.endpoints(HERE, ALL).items:
            assert endpoint.deployed or not endpoint.traffic

    def _operations_hold(self) -> None:
        for name in self.begun:
            operation = self.server.plane.operation(name)
            if name in self.ended:
                assert operation == self.ended[name]
            elif operation.done:
                assert (operation.response is None) != (operation.failure is None)
                self.ended[name] = operation

    def _wishes_hold(self) -> None:
        wish = self.server.plane.wish()
        ids = [spec.id for spec in wish.models]
        assert len(set(ids)) == len(ids)
        for spec in wish.models:
            assert (spec.path / "predictor.py").exists()
        for address in wish.addresses:
            assert set(address.split) <= set(ids)
            assert set(address.versions.values()) <= set(ids)
        for version in self._versions():
            assert (self.server.store.path(version.artifact) / "predictor.py").exists()


Control.TestCase.settings = settings(
    max_examples=10,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
TestControl = Control.TestCase
