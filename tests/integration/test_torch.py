"""PyTorch models in a real server: in processes of their own, which leave nothing behind."""

import pytest

from tests.integration.server import serve
from tests.zoo.torch import CASES

PLAIN, ARCHIVE = (
    next(case for case in CASES if case.name == name) for name in ("torch-regressor", "torch-archive")
)


@pytest.fixture
def temporary(tmp_path):
    folder = tmp_path / "temporary"
    folder.mkdir()
    return folder


def unpacked(temporary):
    return list(temporary.glob("trivet-mar-*"))


def test_models_run_in_processes_of_their_own_and_leave_nothing_behind(zoo, temporary):
    models = [f"archive={zoo(ARCHIVE)}", f"plain={zoo(PLAIN)}"]
    with serve(*models, TMPDIR=str(temporary)) as server:
        assert len(unpacked(temporary)) == 1
        rows = ARCHIVE.rows[:2]
        assert server.predict("archive", rows).json()["predictions"] == ARCHIVE.expect(zoo(ARCHIVE), rows, "")
        assert server.predict("archive", [{"data": [1] * 10}]).status_code == 200
        for name in ("archive", "plain"):
            refused = server.predict(name, [[1, 2]])
            assert refused.status_code == 400, refused.text
            assert server.client.get(f"/v1/models/{name}").json()["placement"]["where"] == "process"
        assert server.stop() == 0
    assert unpacked(temporary) == []


def test_an_archive_may_be_forbidden(zoo, temporary):
    with pytest.raises(AssertionError, match="running such code is not allowed here"):
        serve(f"m={zoo(ARCHIVE)}", TMPDIR=str(temporary), TRIVET_ARTIFACTS_ALLOW_PYTHON="false")
    assert unpacked(temporary) == []
