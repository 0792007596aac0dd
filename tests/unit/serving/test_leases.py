"""Models that are lent: one copy each, any number of threads, given up when nobody has them."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from trivet.core.errors import Cancelled, FailedPrecondition, Internal, InvalidArgument, PermissionDenied
from trivet.core.instances import Instances, object_column
from trivet.core.names import ModelRef
from trivet.core.predictor import Weighing
from trivet.runtimes.base import Permissions
from trivet.serving import leases as module
from trivet.serving.isolated import Crashed, IsolatedPredictor
from trivet.serving.leases import Leases
from trivet.serving.lifecycle import ModelSpec

CODE = """
import os, signal, threading, time

class Predictor:
    idempotent = True
    example = {"x": 1}

    def __init__(self):
        self.calls = 0

    def predict(self, instances):
        self.calls += 1
        for one in instances:
            if one == "die":
                os.kill(os.getpid(), signal.SIGSEGV)
            if one == "leave":
                os._exit(3)
            if one == "hang":
                print("hangs", flush=True)
                threading.Event().wait(60)
            if one == "raise":
                raise ValueError("no such thing")
        return [{"pid": os.getpid(), "calls": self.calls, "got": one} for one in instances]
"""


def python(folder: Path, code=CODE, name="m") -> ModelSpec:
    folder = folder / name
    folder.mkdir()
    (folder / "predictor.py").write_text(code)
    return ModelSpec(ModelRef(name), folder)


def echo(name="echo"):
    return ModelSpec(ModelRef(name), Path(), "echo")


def ask(predictor, *values):
    return predictor.predict(Instances({"instance": object_column(values)}, len(values)), {}).columns[
        "prediction"
    ]


@pytest.fixture
def lent():
    made = []

    def of(**options):
        made.append(Leases(Permissions(), **options))
        return made[-1]

    yield of
    for one in made:
        one.close()


class TestIsolated:
    def test_its_answers_come_from_another_process(self, lent, tmp_path):
        import os

        with lent().lease(python(tmp_path)) as model:
            assert isinstance(model.predictor, IsolatedPredictor)
            assert model.info.framework == "python"
            assert model.predictor.signature.takes_json
            (answer,) = ask(model.predictor, 2**70)
            assert answer["got"] == 2**70
            assert answer["pid"] != os.getpid()
            assert ask(model.predictor, None, [1])[1]["calls"] > answer["calls"]

    @pytest.mark.parametrize(
        ("value", "how"), [("die", "was ended by SIGSEGV"), ("leave", "ended with status 3")]
    )
    def test_its_end_is_an_error_and_the_next_question_another_process(self, lent, tmp_path, value, how):
        with lent().lease(python(tmp_path)) as model:
            (before,) = ask(model.predictor, 1)
            with pytest.raises(Crashed, match=f"model m@1: its process {how} before it had answered"):
                ask(model.predictor, value)
            (after,) = ask(model.predictor, 1)
            assert after["pid"] != before["pid"]

    def test_what_it_raises_is_raised_here_with_its_traceback(self, lent, tmp_path):
        with lent().lease(python(tmp_path)) as model:
            with pytest.raises(Internal, match="the model failed: ValueError: no such thing") as raised:
                ask(model.predictor, "raise")
            assert "line 22, in predict" in str(raised.value.__cause__)

    def test_one_that_hangs_is_broken_off(self, lent, tmp_path):
        spec, leases = python(tmp_path), lent()
        with leases.lease(spec) as model, ThreadPoolExecutor(2) as pool:
            (before,) = ask(model.predictor, 1)
            asked = [pool.submit(ask, model.predictor, "hang") for _ in range(2)]
            while not any(one.running() for one in asked):
                pass
            # whoever waits for it, and whoever waits for them
            for one in asked:
                while not one.done():
                    leases.interrupt(spec)
                with pytest.raises(Cancelled, match="model m@1 was broken off"):
                    one.result(10)
            (after,) = ask(model.predictor, 1)
            assert after["pid"] != before["pid"]

    def test_one_that_cannot_be_loaded_says_why_and_may_be_tried_again(self, lent, tmp_path):
        leases = lent()
        spec = python(tmp_path, "class Predictor:\n    def load(self, path): raise OSError('no disk')\n"
                                "    def predict(self, i): return i\n")  # fmt: skip
        for _ in range(2):
            with (
                pytest.raises(FailedPrecondition, match=r"predictor\.py, line 2: OSError: no disk"),
                leases.lease(spec),
            ):
                pass
        assert repr(leases) == "<Leases 0 models, 0 in use>"

    def test_the_operator_decides(self, tmp_path):
        leases = Leases(Permissions(python=False))
        with pytest.raises(PermissionDenied), leases.lease(python(tmp_path)):
            pass
        leases.close()

    def test_instances_that_cannot_be_sent_are_refused(self, lent, tmp_path):
        with lent().lease(python(tmp_path)) as model:
            with pytest.raises(InvalidArgument, match="cannot be sent to the model's process"):
                ask(model.predictor, "\ud800")
            assert ask(model.predictor, "x")[0]["got"] == "x"

    def test_native_models_stay_here_unless_the_operator_says_so(self, lent):
        with lent().lease(echo()) as model:
            assert not isinstance(model.predictor, IsolatedPredictor)
        with lent(isolate="always").lease(echo()) as model:
            assert isinstance(model.predictor, IsolatedPredictor)
            assert ask(model.predictor, 5) == [5]

    def test_code_runs_here_where_the_operator_says_so(self, lent, tmp_path):
        import os

        with lent(isolate="never").lease(python(tmp_path)) as model:
            assert ask(model.predictor, 1)[0]["pid"] == os.getpid()

    def test_pickles_are_taken_apart_from_this_process(self, tmp_path):
        joblib = pytest.importorskip("joblib")
        from sklearn.ensemble import RandomForestRegressor

        x = np.random.default_rng(0).random((50, 3))
        forest = RandomForestRegressor(5, random_state=0).fit(x, x[:, 0])
        joblib.dump(forest, tmp_path / "model.joblib")
        leases = Leases(Permissions(pickle=True))
        with leases.lease(ModelSpec(ModelRef("forest"), tmp_path / "model.joblib")) as model:
            assert isinstance(model.predictor, IsolatedPredictor)
            answer = model.predictor.predict(Instances({"features": x}, 50), model.info.defaults)
            assert np.array_equal(answer.columns["prediction"], forest.predict(x))
            assert isinstance(model.predictor, Weighing)
            importances = model.predictor.importances()
            assert np.array_equal(importances["importance"], forest.feature_importances_)
        leases.close()


class TestShared:
    def test_a_model_is_loaded_once_however_many_ask(self, lent, monkeypatch):
        loads, leases = [], lent()
        load = module.load
        monkeypatch.setattr(module, "load", lambda *given: loads.append(1) or load(*given))

        def one(index):
            with leases.lease(echo()) as model:
                return ask(model.predictor, index)[0]

        with ThreadPoolExecutor(8) as pool:
            assert list(pool.map(one, range(50))) == list(range(50))
        assert loads == [1]
        assert repr(leases) == "<Leases 1 models, 0 in use>"

    def test_those_used_last_are_kept(self, lent, tmp_path):
        leases = lent(keep=2)
        specs = [echo(f"echo{index}") for index in range(4)]
        with leases.lease(specs[0]) as first:
            for spec in specs[1:]:
                with leases.lease(spec):
                    pass
            assert repr(leases) == "<Leases 3 models, 1 in use>"  # who is in use stays
            with leases.lease(specs[0]) as again:
                assert again is first
        assert repr(leases) == "<Leases 2 models, 0 in use>"

    def test_one_that_is_not_thread_safe_is_asked_by_one_at_a_time(self, lent, tmp_path):
        spec = python(
            tmp_path,
            """
import threading
inside = 0

class Predictor:
    def predict(self, instances):
        global inside
        inside += 1
        most = inside
        threading.Event().wait(0.005)
        inside -= 1
        return [most for _ in instances]
""",
        )
        with lent(isolate="never").lease(spec) as model, ThreadPoolExecutor(4) as pool:
            found = pool.map(lambda index: ask(model.predictor, index)[0], range(12))
            assert set(found) == {1}

    def test_nothing_is_lent_after_the_end(self):
        leases = Leases(Permissions())
        with leases.lease(echo()):
            leases.close()
            assert repr(leases) == "<Leases 1 models, 1 in use>"
        assert repr(leases) == "<Leases 0 models, 0 in use>"
        with pytest.raises(Cancelled), leases.lease(echo()):
            pass


def test_a_model_ends_with_the_process_that_asks(tmp_path):
    import subprocess
    import sys

    spec = python(tmp_path)
    script = f"""
from pathlib import Path
from trivet.core.instances import Instances, object_column
from trivet.core.names import ModelRef
from trivet.runtimes.base import Permissions
from trivet.serving.leases import Leases
from trivet.serving.lifecycle import ModelSpec
with Leases(Permissions()).lease(ModelSpec(ModelRef("m"), Path({str(spec.path)!r}))) as model:
    answer = model.predictor.predict(Instances({{"instance": object_column([1])}}, 1), {{}})
    print(answer.columns["prediction"][0]["pid"], flush=True)
    model.predictor.predict(Instances({{"instance": object_column(["hang"])}}, 1), {{}})
"""
    # the model's own output goes to stderr, so that what it says there ends with it
    with subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as asking:
        int(asking.stdout.readline())
        while b"hangs" not in asking.stderr.readline():
            pass
        asking.kill()
        assert asking.stderr.read() is not None  # which ends when the last process that has it has ended
