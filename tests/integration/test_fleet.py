"""Two machines, as far as they know: servers with a data folder each that share a catalog and a store."""

import threading
import time
from collections import Counter

import pytest

from tests.contract.conftest import postgres  # noqa: F401 - a fixture
from tests.integration.plane import Failed, Plane
from tests.integration.server import up
from tests.integration.test_deploy import PREDICTOR, constant


@pytest.fixture
def shared(postgres, tmp_path):  # noqa: F811 - that fixture
    with postgres.database() as url:
        yield {"TRIVET_CATALOG_URL": url, "TRIVET_CATALOG_STORE": str(tmp_path / "store")}


@pytest.fixture
def artifact(tmp_path):
    path = tmp_path / "model"
    path.mkdir()
    (path / "model.onnx").write_bytes(constant(7))
    return path


def test_what_is_done_on_one_machine_is_served_by_all(shared, artifact, tmp_path):
    with up(tmp_path / "one", **shared) as first, up(tmp_path / "two", **shared) as second:
        one, two = Plane(first.client), Plane(second.client)
        one.endpoint("e")
        deployed = one.deploy("e", two.upload(artifact, "m"))
        for plane in (one, two):  # at once: the operation was done
            assert plane.predict("e", [[0.0]])["deployedModelId"] == deployed
        other = two.deploy("e", f"{one.get('models/m')['name']}@1")
        one.split("e", {deployed: 0, other: 100})
        for plane in (one, two):
            answered = Counter(plane.predict("e", [[0.0]])["deployedModelId"] for _ in range(20))
            assert set(answered) == {other}
        assert (first.stop(), second.stop()) == (0, 0)


def test_a_machine_that_joins_serves_what_there_is(shared, artifact, tmp_path):
    with up(tmp_path / "one", **shared) as first:
        one = Plane(first.client)
        one.endpoint("e")
        deployed = one.deploy("e", one.upload(artifact, "m"))
        with up(tmp_path / "two", **shared) as second:
            assert Plane(second.client).predict("e", [[0.0]])["deployedModelId"] == deployed
            assert second.stop() == 0
        assert first.stop() == 0


def test_what_one_machine_cannot_load_is_deployed_on_none(shared, tmp_path):
    path = tmp_path / "model"
    path.mkdir()
    only = "import os\nif os.environ.get('NODE') == 'two':\n    raise OSError('not here')\n"
    (path / "predictor.py").write_text(only + PREDICTOR.format(answer=1))
    with up(tmp_path / "one", **shared) as first, up(tmp_path / "two", NODE="two", **shared) as second:
        one = Plane(first.client)
        one.endpoint("e")
        with pytest.raises(Failed, match="not here"):
            one.deploy("e", one.upload(path, "m"))
        assert "deployedModels" not in one.get("endpoints/e") or not one.get("endpoints/e")["deployedModels"]
        assert (first.stop(), second.stop()) == (0, 0)


def test_a_machine_that_is_gone_is_not_waited_for(shared, artifact, tmp_path):
    with up(tmp_path / "one", **shared) as first, up(tmp_path / "two", **shared) as second:
        one = Plane(first.client)
        one.endpoint("e")
        model = one.upload(artifact, "m")
        second.process.kill()
        second.process.wait()
        began = time.monotonic()
        done: list[str] = []
        deploying = threading.Thread(target=lambda: done.append(one.deploy("e", model)))
        deploying.start()
        deploying.join(60)
        assert done, "the operation waits for a machine that has ended"
        assert time.monotonic() - began < 60
        assert one.predict("e", [[0.0]])["deployedModelId"] == done[0]
        assert first.stop() == 0
