import asyncio
import importlib.util
import sys

import numpy as np
import pytest

from tests.zoo.python import CASES
from trivet.codecs.json_rows import RowDecoder
from trivet.core.errors import FailedPrecondition, Internal, InvalidArgument, PermissionDenied
from trivet.core.predictor import AsyncPredictor
from trivet.core.signature import Signature, TensorSpec, declare
from trivet.runtimes.base import Artifact, Permissions
from trivet.runtimes.python import RUNTIME
from trivet.runtimes.registry import detect


@pytest.fixture
def model(tmp_path):
    """Return a function that writes files into a folder and loads it."""

    def load(source, declared=None, folder="model", **files):
        path = tmp_path / folder
        path.mkdir(exist_ok=True)
        for name, content in files.items():
            (path / f"{name}.py").write_text(content)
        (path / "predictor.py").write_text(source)
        return RUNTIME.load(Artifact(path, declared))

    return load


def decoded(predictor, rows, declared=None):
    signature = declare(predictor.signature, declared) if declared else predictor.signature
    return RowDecoder(signature).decode(rows)


def ask(predictor, rows, declared=None, **parameters):
    answer = predictor.predict(decoded(predictor, rows, declared), parameters)
    return answer.columns["prediction"].tolist()


def ask_async(predictor, *requests):
    async def together():
        return await asyncio.gather(
            *(predictor.predict_async(decoded(predictor, rows), {}) for rows in requests)
        )

    return [answer.columns["prediction"].tolist() for answer in asyncio.run(together())]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_one_row_and_many_are_answered_as_the_class_itself_does(case, zoo):
    predictor = RUNTIME.load(Artifact(zoo(case)))
    for rows in (case.rows, case.rows[:1]):
        if isinstance(predictor, AsyncPredictor):
            [answer] = ask_async(predictor, rows)
        else:
            answer = ask(predictor, rows)
        assert answer == list(case.expect(zoo(case), rows, "values"))


class TestRecognition:
    def test_a_folder_with_predictor_py(self, tmp_path):
        (tmp_path / "predictor.py").write_text("not python at all")
        (tmp_path / "model.bin").write_bytes(b"weights")
        assert detect(tmp_path) == ("python", tmp_path)

    def test_a_file_alone_with_a_class_that_predicts_and_it_is_not_run(self, tmp_path):
        file = tmp_path / "mine.py"
        file.write_text("raise SystemExit\nclass Mine:\n    async def predict(self, x): return x\n")
        assert RUNTIME.recognises(file)

    @pytest.mark.parametrize(
        "content",
        [b"", b"def predict(x): ...", b"class A: ...", b"class A(", b"\0", b"(" * 5000, b"\xff\xfe"],
    )
    def test_nothing_else(self, tmp_path, content):
        file = tmp_path / "mine.py"
        file.write_bytes(content)
        assert not RUNTIME.recognises(file)
        assert not RUNTIME.recognises(tmp_path)
        assert not RUNTIME.recognises(tmp_path / "missing.py")


class TestLoading:
    def test_the_operator_may_forbid_it_and_then_nothing_runs(self, tmp_path):
        (tmp_path / "predictor.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
        with pytest.raises(PermissionDenied, match="--allow-python"):
            RUNTIME.load(Artifact(tmp_path, permissions=Permissions(python=False)))
        assert not (tmp_path / "ran").exists()

    @pytest.mark.parametrize(
        ("source", "message"),
        [
            ("\nimport no_such_module", r"predictor.py, line 2: ModuleNotFoundError: No module named"),
            ("x = 1\nx +", r"predictor.py, line 2: SyntaxError: "),
            ("class P:\n  def __init__(self):\n    1 / 0\n  predict = 1", "line 3: ZeroDivisionError"),
            ("class P:\n  def load(self, a):\n    {}[a]\n  def predict(self, x): ...", "line 3: KeyError"),
            ("raise SystemExit('no')", "line 1: SystemExit: no"),
            ("x = 1", "expected a class named Predictor, or one class that has predict; it has none"),
            ("class A:\n  predict = 1\nclass B(A): ...", "it has A, B"),
            ("class P:\n  def predict(self): ...", r"P.predict has the arguments \(\); expected"),
            ("class P:\n  def predict(self, a, b, c): ...", r"P.predict has the arguments \(a, b, c\)"),
            ("class P:\n  predict = 3", "predictor.py: TypeError: 3 is not a callable object"),
            (
                "class P:\n  predict = print\n  @property\n  def preprocess(self): 1 / 0",
                "line 4: ZeroDivision",
            ),
            ("import helper", "helper.py, line 3: ValueError: bad"),
        ],
    )
    def test_code_that_cannot_be_loaded_is_told_with_its_line(self, model, source, message):
        with pytest.raises(FailedPrecondition, match=message):
            model(source, helper="\n\nraise ValueError('bad')")

    def test_predictor_wins_over_other_classes(self, model):
        source = "class A:\n  predict = None\nclass Predictor:\n  def predict(self, x): return x"
        assert ask(model(source), [1]) == [1]

    def test_load_is_given_the_folder_as_text(self, model):
        source = (
            "class P:\n  def load(self, artifact): self.a = artifact\n  def predict(self, x): return [self.a]"
        )
        [folder] = ask(model(source), [1])
        assert folder.endswith("model")

    def test_no_bytecode_is_left_beside_the_artifact(self, model, tmp_path):
        model("import helper\nclass P:\n  def predict(self, x): return x", helper="")
        assert sorted(file.name for file in (tmp_path / "model").iterdir()) == ["helper.py", "predictor.py"]


class TestCalls:
    @pytest.mark.parametrize(
        ("arguments", "answer"),
        [
            ("x", "no"),
            ("x, threshold=3", "no"),
            ("x, parameters", "yes"),
            ("x, *, parameters", "yes"),
            ("x, threshold=3, parameters=None", "yes"),
            ("x, options", "yes"),
        ],
    )
    def test_parameters_are_given_to_a_predict_that_asks_for_them(self, model, arguments, answer):
        source = f"""
class P:
    def predict(self, {arguments}):
        given = locals().get("parameters", locals().get("options"))
        return ["yes" if given == {{"k": 5}} else "no" for _ in x]
"""
        assert ask(model(source), [1, 2], k=5) == [answer, answer]

    def test_instances_are_plain_json_values(self, model):
        rows = [None, 1, "two", [3, [4]], {"five": None}]
        source = "class P:\n  def predict(self, x): return [[type(v).__name__, v] for v in x]"
        assert ask(model(source), rows) == [[type(v).__name__, v] for v in rows]

    def test_declared_inputs_come_as_objects_by_name(self, model):
        declared = Signature(
            (
                TensorSpec("age", "float64", nullable=True),
                TensorSpec("city", "string", nullable=True),
                TensorSpec("xy", "int64", (2,), ("x", "y")),
            )
        )
        predictor = model("class P:\n  def predict(self, x): return x", declared)
        rows = [{"age": None, "city": "Ghent", "x": 1, "y": 2}, {"age": 3.5, "city": None, "x": 3, "y": 4}]
        assert ask(predictor, rows, declared) == rows

    @pytest.mark.parametrize(
        ("answer", "message"),
        [
            ("x[1:]", "P gave 2 predictions for 3 instances"),
            ("[[1, 2, 3]]", "gave 1 predictions"),
            ("None", "gave a NoneType; expected a list with one entry per instance"),
            ("'abc'", "gave a str"),
            ("{1: 2, 3: 4, 5: 6}", "gave a dict"),
            ("(v for v in x)", "gave a generator"),
            ("np.float64(1)", "gave a float64"),
        ],
    )
    def test_anything_but_one_prediction_per_instance_is_the_models_fault(self, model, answer, message):
        predictor = model(f"import numpy as np\nclass P:\n  def predict(self, x): return {answer}")
        with pytest.raises(Internal, match=message):
            ask(predictor, [1, 2, 3])

    @pytest.mark.parametrize(
        ("answer", "expected"),
        [
            ("np.array(x)", [1, 2]),
            ("tuple(x)", [1, 2]),
            ("[np.float32(0.5), np.arange(2)]", [0.5, [0, 1]]),
            ("[{'a': np.int64(1)}, [(np.bool_(True),)]]", [{"a": 1}, [[True]]]),
            ("np.ones((2, 1))", [[1.0], [1.0]]),
        ],
    )
    def test_what_numpy_made_becomes_plain(self, model, answer, expected):
        predictor = model(f"import numpy as np\nclass P:\n  def predict(self, x): return {answer}")
        values = ask(predictor, [1, 2])
        assert values == expected
        assert not any(isinstance(one, np.generic | np.ndarray) for one in values)

    def test_exceptions_go_through_as_they_are(self, model):
        predictor = model(
            "import trivet\nclass P:\n  def predict(self, x):\n"
            "    if x[0]: raise trivet.InvalidArgument('your fault')\n    raise KeyError('mine')"
        )
        with pytest.raises(InvalidArgument, match="your fault"):
            ask(predictor, [1])
        with pytest.raises(KeyError, match="mine"):
            ask(predictor, [0])

    def test_the_example_is_the_declared_one_or_that_of_the_class(self, model):
        source = "class P:\n  example = 1\n  def predict(self, x): return x"
        assert model(source).signature.example == 1
        assert model(source, Signature((), example=2)).signature.example == 2


class TestImports:
    def test_two_models_with_a_helper_of_the_same_name_do_not_share_it(self, model):
        source = "import helper\nclass P:\n  def predict(self, x): return [helper.NAME for _ in x]"
        one = model(source, folder="one", helper="NAME = 'one'")
        two = model(source, folder="two", helper="NAME = 'two'")
        assert (ask(one, [0]), ask(two, [0])) == (["one"], ["two"])
        assert "helper" not in sys.modules

    def test_imports_made_only_when_predicting_find_the_model_they_belong_to(self, model):
        source = """
class P:
    def predict(self, x):
        import helper
        from helper import deeper
        return [helper.NAME + deeper() for _ in x]
"""
        helper = "NAME = {0!r}\ndef deeper():\n    from other import NAME\n    return NAME"
        models = [
            model(source, folder=name, helper=helper.format(name), other=f"NAME = {name.upper()!r}")
            for name in ("one", "two")
        ]
        assert [ask(each, [0]) for each in models] == [["oneONE"], ["twoTWO"]]

    def test_packages_beside_the_file(self, model, tmp_path):
        for folder, init in (("tools", True), ("bare", False)):
            inner = tmp_path / "model" / folder
            inner.mkdir(parents=True)
            if init:
                (inner / "__init__.py").write_text("from . import part\nfrom .part import VALUE")
            (inner / "part.py").write_text("import helper\nVALUE = helper.VALUE")
        source = """
import tools.part, bare.part, json
from tools import VALUE as first
class P:
    def predict(self, x): return [[first, tools.part.VALUE, bare.part.VALUE, json.dumps(1)] for _ in x]
"""
        assert ask(model(source, helper="VALUE = 7"), [0]) == [[7, 7, 7, "1"]]

    def test_a_folder_of_data_does_not_hide_a_module(self, model, tmp_path):
        data = tmp_path / "model" / "json"
        data.mkdir(parents=True)
        (data / "one.json").write_text("1")
        source = "import json\nclass P:\n  def predict(self, x): return [json.dumps(1) for _ in x]"
        assert ask(model(source), [0]) == ["1"]

    def test_unpickling_finds_a_class_of_the_model_while_it_loads(self, model, tmp_path):
        source = """
import pickle
from pathlib import Path
class P:
    def load(self, artifact): self.inner = pickle.loads((Path(artifact) / "inner.pkl").read_bytes())
    def predict(self, x): return [self.inner.value for _ in x]
"""
        (tmp_path / "model").mkdir()
        state = b"\x80\x04\x8c\x06helper\x8c\x05Inner\x93)\x81}\x8c\x05value\x8c\x03yessb."
        (tmp_path / "model" / "inner.pkl").write_bytes(state)
        assert ask(model(source, helper="class Inner: ..."), [0]) == ["yes"]
        assert importlib.util.find_spec("helper") is None

    def test_sys_path_is_left_alone(self, model):
        before = list(sys.path)
        model("import helper\nclass P:\n  def predict(self, x): return x", helper="")
        assert sys.path == before


class TestAsync:
    SOURCE = """
import asyncio
class P:
    loads = 0
    async def load(self, artifact):
        await asyncio.sleep(0.001)
        self.loads += 1
        if self.loads == FAILS: raise ValueError("not yet")
    async def preprocess(self, x): return [v + 1 for v in x]
    def predict(self, x): return [v * 2 for v in x]
    async def postprocess(self, y): return [[v, self.loads] for v in y]
"""

    def test_whichever_method_is_async_is_awaited_and_load_once(self, model):
        predictor = model(self.SOURCE.replace("FAILS", "0"))
        assert isinstance(predictor, AsyncPredictor)
        assert not hasattr(predictor, "predict")
        assert ask_async(predictor, [1], [2, 3]) == [[[4, 1]], [[6, 1], [8, 1]]]

    def test_it_can_be_started_before_it_is_asked(self, model):
        predictor = model(self.SOURCE.replace("FAILS", "0"))
        asyncio.run(predictor.start())
        assert ask_async(predictor, [1]) == [[[4, 1]]]

    def test_a_load_that_fails_is_told_with_its_line_and_tried_again(self, model):
        predictor = model(self.SOURCE.replace("FAILS", "1"))
        with pytest.raises(FailedPrecondition, match=r"predictor.py, line 8: ValueError: not yet"):
            ask_async(predictor, [1])
        assert ask_async(predictor, [1]) == [[[4, 2]]]
