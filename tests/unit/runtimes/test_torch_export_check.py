"""Programs of `torch.export` that run code where PyTorch itself reads them, and none here."""

import io
import json
import logging
import os
import pickle
import zipfile
from contextlib import suppress
from importlib import import_module

import pytest
import torch

from tests.unit.runtimes.asking import predict
from tests.unit.runtimes.test_torch import Linear, changed, save
from trivet.core.errors import FailedPrecondition, PermissionDenied
from trivet.runtimes.base import Artifact, Permissions
from trivet.runtimes.torch import RUNTIME
from trivet.runtimes.torch_export_check import _formula, _tree

GRAPH = "models/model.json"
SAMPLES = "data/sample_inputs/model.pt"
WEIGHTS = "data/weights/model_weights_config.json"
CONSTANTS = "data/constants/model_constants_config.json"


class Marks:
    """Makes a folder where it is unpickled."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return os.mkdir, (str(self.mark),)


def saved(value):
    file = io.BytesIO()
    torch.save(value, file)
    return file.getvalue()


def edited(name, edit):
    """Return a change of one JSON member."""

    def change(member, content, mark):
        if member != name:
            return content
        value = json.loads(content)
        edit(value, f"__import__('os').mkdir({str(mark)!r})")
        return json.dumps(value).encode()

    return change


def size(graph, code):
    sizes = graph["graph_module"]["graph"]["tensor_values"]["x"]["sizes"]
    sizes[0]["as_expr"]["expr_str"] = f"{code} or {sizes[0]['as_expr']['expr_str']}"


def guard(graph, code):
    graph["guards_code"] = [f"{code} is None"]


def samples(member, content, mark):
    return saved(((torch.zeros(4, 3),), {"x": Marks(mark)})) if member == SAMPLES else content


def weight(member, content, mark):
    if member == "data/weights/weight_1":
        return saved(Marks(mark))
    return edited(WEIGHTS, lambda value, _: value["config"]["layer.bias"].update(use_pickle=True))(
        member, content, mark
    )


def opaque(member, content, mark):
    payload = {"path_name": "opaque_obj_0", "is_param": False, "use_pickle": True, "tensor_meta": None}
    return edited(CONSTANTS, lambda value, _: value["config"].update(evil=payload))(member, content, mark)


RUNS_CODE = [size, guard]
PICKLES = [samples, weight]


def made(folder, change):
    """Return a path whose file was changed, and the mark that its code would make."""
    mark = folder / "mark"
    if change in RUNS_CODE:
        change = edited(GRAPH, change)
    path = save(folder, Linear(), torch.zeros(4, 3))
    return changed(path, lambda name, content: change(name, content, mark)), mark


@pytest.fixture
def quiet():
    """PyTorch logs what it could not read."""
    logging.disable()
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize("change", [*RUNS_CODE, *PICKLES], ids=lambda change: change.__name__)
def test_what_runs_code_elsewhere_is_refused_here(tmp_path, change, quiet):
    path, mark = made(tmp_path, change)
    with pytest.raises(PermissionDenied, match="if you trust where it comes from, allow it with"):
        RUNTIME.load(Artifact(path))
    assert not mark.exists()
    with suppress(Exception):
        torch.export.load(path).module()(torch.zeros(2, 3))
    assert mark.exists(), "the test is in vain"


def test_the_operator_may_trust_a_file(tmp_path):
    path, mark = made(tmp_path, samples)
    predictor = None
    with suppress(FailedPrecondition):
        predictor = RUNTIME.load(Artifact(path, None, Permissions(pickle=True)))
    assert mark.exists()
    assert predictor is None or predict(predictor, [[1, 2, 3]]).shape == (1, 2)


def test_pickles_of_tensors_need_no_permission(tmp_path):
    def tensors(member, content, mark):
        if member == "data/weights/weight_1":
            return saved(torch.nn.Parameter(torch.tensor([1.0, 2.0])))
        return weight(member, content, mark)

    path, _ = made(tmp_path, tensors)
    predictor = RUNTIME.load(Artifact(path))
    assert predict(predictor, [[0, 0, 0]]).tolist() == [[1.0, 2.0]]


def node(edit):
    return edited(GRAPH, lambda graph, code: edit(graph["graph_module"]["graph"]["nodes"][0], code))


def signature(edit):
    return edited(
        GRAPH,
        lambda graph, code: edit(graph["graph_module"]["module_call_graph"][0]["signature"], code),
    )


def named(text):
    return node(lambda one, code: one.update(name=text))


def calls(target):
    return node(lambda one, code: one.update(target=target))


REFUSED = [
    ("a name that is code", named("x; import os; y"), "name 'x; import os; y', which no export writes"),
    ("a line of code", named("x\nimport os"), "which no export writes"),
    ("a call of Python", calls("torch.os.system"), "calls 'torch.os.system'"),
    ("a call of the loader", calls("torch.load"), "calls 'torch.load'"),
    ("a call of operator", calls("_operator.call"), "calls '_operator.call'"),
    ("a file", calls("torch.ops.aten.from_file.default"), "calls 'torch.ops.aten.from_file.default'"),
    ("a debugging tool", calls("torch.ops.debugprims.load_tensor.default"), "calls 'torch.ops.debugprims"),
    ("another library", calls("torch.ops.mine.add.default"), "calls 'torch.ops.mine.add.default'"),
    ("a compiled part", calls("torch.ops.higher_order.triton_kernel_wrapper_mutation"), "its graph calls"),
    (
        "an argument",
        signature(lambda one, code: one.update(forward_arg_names=[f"x={code}"])),
        "has forward_arg_names",
    ),
    (
        "an enumeration",
        signature(lambda one, code: one.update(out_spec='[1, {"__enum__": true, "fqn": "this:x"}]')),
        "has out_spec",
    ),
    (
        "a key",
        signature(lambda one, code: one.update(in_spec=json.dumps([1, {"context": f"[\"x'] or {code}\"]"}]))),
        "has in_spec",
    ),
    (
        "a text in quotes",
        node(lambda one, code: one["inputs"].append({"name": "a", "arg": {"as_string": "' + x"}, "kind": 1})),
        "has as_string",
    ),
    ("another member", opaque, "refers to 'data/constants/opaque_obj_0'"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "text"), [one[1:] for one in REFUSED], ids=[one[0] for one in REFUSED])
def test_what_no_export_writes_is_not_trusted(tmp_path, change, text):
    path, mark = made(tmp_path, change)
    with pytest.raises(PermissionDenied, match=r"model.pt2: (its graph|it) ") as refused:
        RUNTIME.load(Artifact(path))
    assert text in str(refused.value)
    assert not mark.exists()


@pytest.mark.parametrize("target", ["aten.no_such.default", "aten.add.no_such", "aten.add.__class__"])
def test_an_operator_that_is_not_there_is_named(tmp_path, target):
    path, _ = made(tmp_path, calls(f"torch.ops.{target}"))
    with pytest.raises(FailedPrecondition, match=f"its graph calls 'torch.ops.{target}', which is not to be"):
        RUNTIME.load(Artifact(path))


def test_operators_of_quantised_models_are_found(tmp_path):
    import_module("torch.ao.quantization.fx._decomposed")  # as who exports it does
    library = torch.ops.quantized_decomposed

    class Rounded(torch.nn.Module):
        def forward(self, x):
            given = 0.5, 0, -128, 127, torch.int8
            return library.dequantize_per_tensor(library.quantize_per_tensor(x, *given), *given)

    predictor = RUNTIME.load(Artifact(save(tmp_path, Rounded(), torch.zeros(4, 3))))
    assert predict(predictor, [[0.6, 0.1, -1.2]]).tolist() == [[0.5, 0.0, -1.0]]


def test_a_pickle_beside_the_graph_is_not_trusted(tmp_path):
    path, mark = made(tmp_path, lambda name, content, mark: content)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("model/data/constants/opaque_obj_0", pickle.dumps(Marks(mark)))
    with pytest.raises(PermissionDenied, match="it holds 'data/constants/opaque_obj_0'"):
        RUNTIME.load(Artifact(path))
    assert not mark.exists()


@pytest.mark.parametrize(
    "change",
    [
        lambda name, content, mark: b"{" if name == GRAPH else content,
        lambda name, content, mark: b"[" * 100_000 if name == GRAPH else content,
        lambda name, content, mark: b"[]" if name == WEIGHTS else content,
        lambda name, content, mark: b'{"config": {"w": {}}}' if name == WEIGHTS else content,
        lambda name, content, mark: b"7" if name == "archive_version" else content,
        edited(GRAPH, lambda graph, code: graph.pop("graph_module")),
        edited(GRAPH, lambda graph, code: graph["graph_module"]["graph"]["nodes"].clear()),
    ],
)
def test_a_broken_program_is_refused_by_name(tmp_path, change, quiet):
    path, _ = made(tmp_path, change)
    with pytest.raises(FailedPrecondition, match=r"^model.pt2 cannot be read as a "):
        RUNTIME.load(Artifact(path))


@pytest.mark.parametrize(
    "text",
    [
        "Symbol('s77', positive=True, integer=True)",
        "Add(Mul(Integer(2), Symbol('s0', integer=True)), Integer(-1))",
        "FloorDiv(Symbol('s0'), Integer(2))",
        "L['x'].size()[0] == L['more']['a-b'].size()[1]",
        "(8*(L['ids'].size()[1] // 2)) != 0 and math.floor(2.5) > 1",
        "torch.sym_max(L['x'].size()[0], 3) <= 7",
        "L['x'].size()[1] + max(0, 8 + ((-1)*L['x'].size()[1])) >= 4",
        "oo",
    ],
)
def test_arithmetic_is_let_through(text):
    assert _formula(text)


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os')", "open('x')", "Symbol('s0').__class__", "s0.__init__", "math.__loader__",
        "torch.load", "torch.os.system('x')", "(lambda: 1)()", "[x for x in s0]", "f'{s0}'", "Add('os')",
        "Symbol(\"'\")", "L['x'](1)", "s0 if s1 else s2", "(s0 := 1)", "s0 # s1", "s0\n+1", "s0; s1",
        "exec", "Integer(b'1')", "eval('1')", "Mod(*s0)", "L[\"x'] or '\"]",
        "(" * 500 + "s0" + ")" * 500, "",
    ],
)  # fmt: skip
def test_anything_else_is_not(text):
    assert not _formula(text)


def test_how_arguments_are_nested_is_judged_in_depth():
    leaf = {"type": None, "context": None, "children_spec": []}
    spec = {"type": "builtins.dict", "context": '["logits", "b c"]', "children_spec": [leaf, leaf]}
    assert _tree(json.dumps([1, spec]))
    for context in ('["a\\"b"]', '["a\'b"]', '{"__enum__": true}', '"\'"', "['", '["a\\nb"]'):
        assert not _tree(json.dumps([1, spec | {"context": context}])), context
