import base64
import gc
import json
import sys
import tempfile
import warnings

import numpy as np
import pytest
import torch
from torch import nn

from tests.unit.runtimes.asking import predict
from tests.zoo.torch import archived
from trivet.codecs.json_body import encode_predictions
from trivet.codecs.json_rows import RowDecoder
from trivet.core.errors import FailedPrecondition, Internal, InvalidArgument, PermissionDenied
from trivet.core.signature import Signature, TensorSpec
from trivet.runtimes.base import Artifact, Permissions
from trivet.runtimes.torch import RUNTIME

ECHO = """
def handle(data, context):
    return data and [repr(row) for row in data]
"""
PARTS = """
class Handler:
    example = [1, 2]

    def initialize(self, context):
        self.factor = 10

    def preprocess(self, data):
        return [row["body"] for row in data]

    def inference(self, values):
        return [sum(value) * self.factor for value in values]

    def postprocess(self, values):
        return [{"sum": value} for value in values]
"""


@pytest.fixture(autouse=True)
def temporary(tmp_path, monkeypatch):
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def load(folder, code=None, files=None, declared=None, **model):
    content = dict(files or {})
    if code is not None:
        content["handler.py"] = code
    path = archived(folder / "model.mar", content, **{"handler": "handler.py", **model})
    return RUNTIME.load(Artifact(path, declared))


def test_code_runs_only_with_the_operators_permission(tmp_path):
    mark = tmp_path / "mark"
    path = archived(tmp_path / "model.mar", {"h.py": f"open({str(mark)!r}, 'w')"}, handler="h.py")
    with pytest.raises(PermissionDenied, match="--allow-python"):
        RUNTIME.load(Artifact(path, None, Permissions(python=False)))
    assert not mark.exists()


def test_a_function_is_called_with_none_and_then_with_rows(tmp_path):
    calls = "calls = []\ndef handle(data, context):\n    calls.append(data)\n    return data and [len(calls)]"
    predictor = load(tmp_path, calls)
    assert predict(predictor, [0]).tolist() == [2]
    assert not predictor.traits.native


def test_a_function_may_have_any_name(tmp_path):
    code = "def answer(data, context):\n    return data and ['answered'] * len(data)"
    assert predict(load(tmp_path, code, handler="handler:answer"), [1]).tolist() == ["answered"]


def test_a_class_is_passed_through_its_steps(tmp_path):
    predictor = load(tmp_path, PARTS)
    assert predict(predictor, [[1, 2], [3, 4]]).tolist() == [{"sum": 30}, {"sum": 70}]
    assert predictor.signature.example == [1, 2]


def test_a_class_with_handle_is_asked_so(tmp_path):
    code = """
class Handler:
    ready = False
    def initialize(self, context):
        self.ready = True
    def handle(self, data, context):
        return [self.ready for _ in data]
    def inference(self, data):
        raise ValueError
"""
    assert predict(load(tmp_path, code), [1, 2]).tolist() == [True, True]


TEXT = base64.b64encode(b"\xff\x00").decode()


@pytest.mark.parametrize(
    ("instance", "row"),
    [
        (1.5, {"body": 1.5}),
        (None, {"body": None}),
        ("text", {"body": "text"}),
        ([1, 2], {"body": [1, 2]}),
        ({"data": '{"text": "hi"}'}, {"data": '{"text": "hi"}'}),
        ({"body": {"a": 1}, "other": 2}, {"body": {"a": 1}, "other": 2}),
        ({"data": {"b64": TEXT}}, {"data": b"\xff\x00"}),
        ({"b64": TEXT}, {"body": b"\xff\x00"}),
        ({"text": "hi"}, {"text": "hi", "body": {"text": "hi"}}),
    ],
)
def test_a_handler_sees_rows_as_torchserve_gives_them(tmp_path, instance, row):
    predictor = load(tmp_path, ECHO)
    assert predict(predictor, [instance, 7]).tolist() == [repr(row), repr({"body": 7})]


def test_bytes_that_are_none_blame_the_request(tmp_path):
    predictor = load(tmp_path, ECHO)
    for wrong in ({"b64": "*"}, {"b64": 7}, {"data": {"b64": None}}):
        with pytest.raises(InvalidArgument, match="b64: expected bytes as base64"):
            predict(predictor, [wrong])


def test_declared_inputs_are_checked_and_come_by_name(tmp_path):
    declared = Signature((TensorSpec("age", "int64"), TensorSpec("name", "string")))
    path = archived(tmp_path / "model.mar", {"handler.py": ECHO}, handler="handler.py")
    predictor = RUNTIME.load(Artifact(path, declared))
    instances = RowDecoder(declared).decode([[41, "Ann"]])
    row = {"age": 41, "name": "Ann"}
    assert predictor.predict(instances, {}).columns["prediction"].tolist() == [repr({**row, "body": row})]


CONTEXT = """
def handle(data, context):
    if data is None:
        return None
    properties = context.system_properties
    return [
        {
            "properties": {name: properties[name] for name in ("gpu_id", "server_name", "batch_size")},
            "handler": context.manifest["model"]["handler"],
            "name": context.model_name,
            "headers": context.get_all_request_header(index),
            "explain": context.get_request_header(index, "explain"),
            "id": context.get_request_id(index),
            "config": context.model_yaml_config,
            "measured": context.metrics.add_time("x", 1, None, "ms") is not None,
            "type": context.set_response_content_type(index, "text/plain")
            or context.get_response_content_type(index),
            "status": context.get_response_status(index),
        }
        for index in range(len(data))
    ]
"""


def test_the_context_has_what_handlers_ask_for(tmp_path):
    answers = predict(load(tmp_path, CONTEXT), [1, 2, 3]).tolist()
    assert len({answer.pop("id") for answer in answers}) == 3
    gpu = 0 if torch.cuda.is_available() else None
    assert (
        answers
        == [
            {
                "properties": {"gpu_id": gpu, "server_name": "Trivet", "batch_size": 3},
                "handler": "handler.py",
                "name": "model",
                "headers": {},
                "explain": None,
                "config": {},
                "measured": True,
                "type": "text/plain",
                "status": [200, ""],
            }
        ]
        * 3
    )


def test_its_configuration_is_read(tmp_path):
    pytest.importorskip("yaml")
    files = {"model-config.yaml": "handler:\n  top: 3\n"}
    predictor = load(tmp_path, CONTEXT, files, configFile="model-config.yaml")
    assert predict(predictor, [1])[0]["config"] == {"handler": {"top": 3}}


def test_another_number_of_answers_is_the_handlers_fault(tmp_path):
    predictor = load(tmp_path, "def handle(data, context):\n    return [1]")
    with pytest.raises(Internal, match=r"handler.handle gave 1 predictions for 2 instances"):
        predict(predictor, [1, 2])


@pytest.mark.parametrize(
    ("answer", "prediction"),
    [
        ("['text']", "text"),
        ("[b'bytes']", "bytes"),
        ("torch.tensor([[1.5, 2.5]])", [1.5, 2.5]),
        ("[{'scores': torch.tensor([1.5])}]", {"scores": [1.5]}),
        ("[numpy.float32(0.5)]", 0.5),
        ("(None,)", None),
    ],
)
def test_answers_become_json(tmp_path, answer, prediction):
    code = f"import numpy, torch\ndef handle(data, context):\n    return data and {answer}"
    predictor = load(tmp_path, code)
    predictions = predictor.predict(RowDecoder(predictor.signature).decode([1]), {})
    assert json.loads(encode_predictions(predictions)) == [prediction]


def test_bytes_that_are_no_text_are_the_handlers_fault(tmp_path):
    predictor = load(tmp_path, "def handle(data, context):\n    return [b'\\xff']")
    with pytest.raises(Internal, match="bytes that are no UTF-8"):
        predict(predictor, [1])


@pytest.mark.parametrize(("code", "kind"), [(404, InvalidArgument), (500, Internal)])
def test_a_handler_may_answer_with_an_error(tmp_path, code, kind):
    raises = f"""
from ts.utils.util import PredictionException
def handle(data, context):
    if data:
        raise PredictionException("no such thing", {code})
"""
    reports = f"""
def handle(data, context):
    if data:
        context.set_response_status(code={code}, phrase="no such thing", idx=1)
        return [1, 2]
"""
    for source in (raises, reports):
        with pytest.raises(kind, match=f"the handler answered {code}: no such thing"):
            predict(load(tmp_path, source), [1, 2])


def test_what_else_a_handler_raises_goes_through(tmp_path):
    predictor = load(tmp_path, "def handle(data, context):\n    return data and data[0]['missing']")
    with pytest.raises(KeyError):
        predict(predictor, [1])


NET = """
import torch


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(2, 1, bias=False)

    def forward(self, x):
        return self.layer(x)
"""


class Net(nn.Module):
    def __init__(self, weights):
        super().__init__()
        self.layer = nn.Linear(2, 1, bias=False)
        self.layer.weight = nn.Parameter(torch.tensor([weights]))

    def forward(self, x):
        return self.layer(x)


def saved(folder, weights=(2.0, 3.0), *, script):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        net = Net(weights)
        torch.jit.script(net).save(str(folder / "w")) if script else torch.save(
            net.state_dict(), folder / "w"
        )
    return (folder / "w").read_bytes()


@pytest.mark.parametrize("script", [True, False], ids=["script", "state dict"])
def test_the_base_handler_loads_both_kinds_of_weights(tmp_path, script):
    files = {"weights.pt": saved(tmp_path, script=script)} | ({} if script else {"net.py": NET})
    model = {"serializedFile": "weights.pt"} | ({} if script else {"modelFile": "net.py"})
    predictor = load(tmp_path, None, files, handler="base_handler", **model)
    assert predict(predictor, [[1.0, 1.0], {"data": [0.0, 1.0]}]).tolist() == [[5.0], [3.0]]


def test_a_pickle_of_more_than_weights_is_not_run(tmp_path):
    torch.save(Net((1.0, 1.0)), tmp_path / "w")
    files = {"weights.pt": (tmp_path / "w").read_bytes(), "net.py": NET}
    with pytest.raises(FailedPrecondition, match=r"model.mar: UnpicklingError: Weights only load failed"):
        load(tmp_path, None, files, handler="base_handler", serializedFile="weights.pt", modelFile="net.py")


def test_an_archive_without_weights_is_refused_by_the_base_handler(tmp_path):
    with pytest.raises(FailedPrecondition, match="neither a modelFile nor a serializedFile"):
        load(tmp_path, None, {}, handler="base_handler")


def test_two_archives_keep_their_modules_apart(tmp_path):
    def one(factor):
        handler = (
            "from helper import FACTOR\nfrom ts.torch_handler.base_handler import BaseHandler\n"
            "class Handler(BaseHandler):\n"
            "    def postprocess(self, data):\n        return [FACTOR * one for one in data[:, 0].tolist()]"
        )
        folder = tmp_path / str(factor)
        folder.mkdir()
        files = {
            "helper.py": f"FACTOR = {factor}",
            "net.py": NET.replace("forward(self, x):", f"forward(self, x):\n        x = x + {factor}"),
            "weights.pt": saved(folder, script=False),
        }
        return load(folder, handler, files, serializedFile="weights.pt", modelFile="net.py")

    first, second = one(1), one(100)
    assert predict(first, [[0.0, 0.0]]).tolist() == [5.0]
    assert predict(second, [[0.0, 0.0]]).tolist() == [50_000.0]


def test_files_are_found_beside_the_handler_while_it_loads(tmp_path):
    code = """
import importlib
class Handler:
    def initialize(self, context):
        with open("index_to_name.json") as file:
            self.names = file.read()
        self.names += importlib.import_module("helper").MORE
    def handle(self, data, context):
        return [self.names] * len(data)
"""
    predictor = load(tmp_path, code, {"index_to_name.json": "{}", "helper.py": "MORE = '!'"})
    assert predict(predictor, [1]).tolist() == ["{}!"]


@pytest.mark.parametrize(
    "name", ["image_classifier", "text_classifier", "object_detector", "../x", "missing.py"]
)
def test_handlers_of_torchserve_itself_are_refused(tmp_path, name):
    with pytest.raises(FailedPrecondition, match=r"asks for the handler '\S+', which is not in it"):
        load(tmp_path, None, {}, handler=name)


def test_missing_modules_are_named_with_what_the_archive_requires(tmp_path):
    requirements = "# comment\nnumpy>=1\nno-such-thing==1.0  # pinned\n-r other.txt\nno_such_other"
    code = "import no_such_thing"
    files = {"requirements.txt": requirements}
    with pytest.raises(FailedPrecondition) as refused:
        load(tmp_path, code, files, requirementsFile="requirements.txt")
    assert str(refused.value) == (
        "model.mar: its handler needs the Python module no_such_thing, which is not installed (of its "
        "requirements, these are not: no-such-thing==1.0  # pinned, no_such_other). Trivet installs nothing "
        "that an archive requires: install it beside Trivet"
    )


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("x = 1", r"model.mar: handler.py: expected a function handle.*it has none"),
        (PARTS + PARTS.replace("Handler", "Other"), "it has Handler, Other"),
        ("1 / 0", r"model.mar: handler.py, line 1: ZeroDivisionError"),
        ("import sys\nsys.exit(3)", "line 2: SystemExit: 3"),
        ("def handle(data, context):\n    raise ValueError('no')", "line 2: ValueError: no"),
        ("def f(:", "SyntaxError"),
    ],
)
def test_what_fails_while_it_loads_is_told(tmp_path, temporary, code, text):
    with pytest.raises(FailedPrecondition, match=text):
        load(tmp_path, code)
    gc.collect()
    assert not list(temporary.iterdir())


def test_harm_that_predicting_twice_would_do_is_declared(tmp_path):
    assert load(tmp_path, PARTS).traits.idempotent
    code = PARTS.replace("example = [1, 2]", "idempotent = False")
    assert not load(tmp_path, code).traits.idempotent


def test_its_folder_goes_with_it(tmp_path, temporary):
    predictor = load(tmp_path, ECHO)
    assert len(list(temporary.iterdir())) == 1
    predictor.close()
    assert not list(temporary.iterdir())
    predictor.close()
    predictor = load(tmp_path, ECHO)
    assert len(list(temporary.iterdir())) == 1
    del predictor
    gc.collect()
    assert not list(temporary.iterdir())


def test_torchserve_itself_is_used_where_it_is_installed(tmp_path, monkeypatch):
    for name in [name for name in sys.modules if name == "ts" or name.startswith("ts.")]:
        monkeypatch.delitem(sys.modules, name)
    (tmp_path / "site/ts/torch_handler").mkdir(parents=True)
    for name in ("ts/__init__.py", "ts/torch_handler/__init__.py"):
        (tmp_path / "site" / name).touch()
    (tmp_path / "site/ts/torch_handler/image_classifier.py").write_text(PARTS)
    monkeypatch.syspath_prepend(tmp_path / "site")
    predictor = load(tmp_path, None, {}, handler="image_classifier")
    assert predict(predictor, [[1, 2]]).tolist() == [{"sum": 30}]
    for name in [name for name in sys.modules if name == "ts" or name.startswith("ts.")]:
        monkeypatch.delitem(sys.modules, name)


def test_the_helpers_of_torchserve_are_there(tmp_path):
    code = """
from ts.utils.util import load_label_mapping, map_class_to_label
from ts.handler_utils.timer import timed
class Handler:
    def initialize(self, context):
        self.mapping = load_label_mapping(context.system_properties["model_dir"] + "/index_to_name.json")
    @timed
    def handle(self, data, context):
        return map_class_to_label([[0.25, 0.75]] * len(data), self.mapping, [[1, 0]] * len(data))
"""
    names = {"0": ["n01", "cat"], "1": "dog"}
    predictor = load(tmp_path, code, {"index_to_name.json": json.dumps(names)})
    assert predict(predictor, [1]).tolist() == [{"dog": 0.25, "cat": 0.75}]


def test_one_value_of_numpy_per_row_is_plain(tmp_path):
    predictor = load(
        tmp_path, "import numpy\ndef handle(data, context):\n    return numpy.arange(len(data or []))"
    )
    assert predict(predictor, [1, 2]).tolist() == np.arange(2).tolist()
