import io
import subprocess
import sys
import zipfile
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import nn
from torch.export import Dim
from torch.utils import _pytree as pytree

from tests.unit.runtimes.asking import predict, same
from trivet.codecs.json_rows import RowDecoder
from trivet.core.errors import FailedPrecondition, Internal, InvalidArgument
from trivet.core.names import ModelRef
from trivet.core.signature import Signature, TensorSpec, declare
from trivet.runtimes.base import Artifact, OwnProcess, Permissions
from trivet.runtimes.torch import RUNTIME
from trivet.serving import lifecycle
from trivet.serving.lifecycle import ModelSpec

ROWS = np.random.default_rng(0).normal(size=(10, 3)).astype(np.float32)


class Linear(nn.Module):
    """One input, and what else `forward` is given to make of `x` and `layer(x)`."""

    def __init__(self, then=lambda x, y: y, width=2):
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.Linear(3, width)
        self.then = then

    def forward(self, x):
        return self.then(x, self.layer(x))


class Function(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.forward = function


def save(folder, model, *inputs, rows=Dim.DYNAMIC, shapes=None, **named):
    if shapes is None:
        shapes = tuple({0: rows} if rows else None for _ in inputs)
    program = torch.export.export(model.eval(), inputs, named, dynamic_shapes=shapes)
    torch.export.save(program, folder / "model.pt2")
    return folder / "model.pt2"


def load(folder, model, *inputs, declared=None, **options):
    inputs = inputs or (torch.zeros(4, 3),)
    return RUNTIME.load(Artifact(save(folder, model, *inputs, **options), declared))


def asked(predictor, rows):
    instances = RowDecoder(predictor.signature).decode(rows)
    return predictor.predict(instances, {}).columns


def directly(model, *inputs):
    with torch.inference_mode():
        return model.eval()(*(torch.tensor(one) for one in inputs))


def test_a_program_says_what_it_takes_and_gives(tmp_path):
    predictor = load(tmp_path, Linear())
    assert predictor.signature.inputs == (TensorSpec("x", "float32", (3,)),)
    assert predictor.signature.outputs == (TensorSpec("output", "float32", (2,)),)
    assert predictor.traits.native
    assert predictor.traits.thread_safe
    assert same(predict(predictor, ROWS.tolist()), directly(Linear(), ROWS).numpy())


def test_it_is_loaded_where_nothing_is_forked(tmp_path):
    assert isinstance(RUNTIME, OwnProcess)
    path = save(tmp_path, Linear(), torch.zeros(4, 3))
    for asked_for, where in (("auto", "process"), ("inline", "inline")):
        spec = ModelSpec(ModelRef("m"), path, placement=asked_for)
        assert lifecycle.load(spec, Permissions()).info.placement.where == where


def test_outputs_are_called_as_the_author_called_them(tmp_path):
    def several(x, y):
        return {"logits": y, "deep": (y.softmax(1), {"total": y.sum(1, keepdim=True)}), "none": None}

    columns = asked(load(tmp_path, Linear(several)), ROWS.tolist())
    y = directly(Linear(), ROWS)
    assert list(columns) == ["logits", "deep_0", "deep_1_total"]
    assert same(columns["deep_0"], y.softmax(1).numpy())
    assert same(columns["deep_1_total"], y.sum(1).numpy())


def test_the_outputs_of_a_tuple_are_numbered(tmp_path):
    signature = load(tmp_path, Linear(lambda x, y: (y, y.argmax(1)))).signature
    assert signature.outputs == (
        TensorSpec("output_0", "float32", (2,)),
        TensorSpec("output_1", "int64"),
    )


def test_one_value_per_instance_is_a_bare_one(tmp_path):
    class Sum(nn.Module):
        def forward(self, a, b):
            return a + b

    predictor = load(tmp_path, Sum(), torch.zeros(4, 1), torch.zeros(4, 1))
    assert predictor.signature.inputs == (TensorSpec("a", "float32"), TensorSpec("b", "float32"))
    assert predict(predictor, [[1, 2], {"b": 4, "a": 3}]).tolist() == [3, 7]


class Detailed(dict):
    """As the outputs of `transformers` are: a class that PyTorch must be told of."""


@dataclass
class Scored:
    scores: torch.Tensor
    hint: torch.Tensor | None = None


class Answers(nn.Module):
    def __init__(self, kind):
        super().__init__()
        self.kind = kind

    def forward(self, x):
        return self.kind(scores=x.sum(1))


@pytest.mark.parametrize("kind", [Detailed, Scored])
def test_outputs_in_a_class_that_is_not_there_have_its_fields(tmp_path, kind):
    """The library that has the class need not be installed."""
    if kind is Scored:
        pytree.register_dataclass(kind, serialized_type_name="some.library.Scored")
    else:
        pytree.register_pytree_node(
            kind,
            lambda one: (list(one.values()), list(one)),
            lambda values, context: kind(zip(context, values, strict=True)),
            serialized_type_name="some.library.Detailed",
        )
    path = save(tmp_path, Answers(kind), torch.zeros(4, 3))
    pytree._deregister_pytree_node(kind)
    predictor = RUNTIME.load(Artifact(path))
    assert [one.name for one in predictor.signature.outputs] == ["scores"]
    assert predict(predictor, [[1, 2, 3]]).tolist() == [6]
    assert same(predict(RUNTIME.load(Artifact(path)), ROWS.tolist()), torch.tensor(ROWS).sum(1).numpy())


def declared_outputs(*names):
    return Signature((), tuple(TensorSpec(name, "float32", (2,)) for name in names))


def test_outputs_may_be_given_other_names(tmp_path):
    predictor = load(tmp_path, Linear(lambda x, y: (y, -y)), declared=declared_outputs("up", "down"))
    columns = asked(predictor, ROWS.tolist())
    assert list(columns) == ["up", "down"] == [one.name for one in predictor.signature.outputs]
    assert same(columns["down"], -directly(Linear(), ROWS).numpy())


def test_some_outputs_may_be_chosen(tmp_path):
    predictor = load(tmp_path, Linear(lambda x, y: {"up": y, "down": -y}), declared=declared_outputs("down"))
    assert list(asked(predictor, ROWS.tolist())) == ["down"]
    with pytest.raises(FailedPrecondition, match=r"outputs: the model gives \['up', 'down'\], \['x'\] are"):
        load(tmp_path, Linear(lambda x, y: {"up": y, "down": -y}), declared=declared_outputs("x"))


def test_columns_may_be_named(tmp_path):
    declared = Signature(tuple(TensorSpec(name, "float32") for name in "abc"))
    path = save(tmp_path, Linear(), torch.zeros(4, 3))
    signature = declare(RUNTIME.load(Artifact(path)).signature, declared)
    assert signature.inputs == (TensorSpec("x", "float32", (3,), ("a", "b", "c")),)


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        (TensorSpec("x", "float64", (3,)), r"x is declared float64\[3\], but the model takes float32\[3\]"),
        (TensorSpec("x", "string", (3,)), r"x is declared string\[3\]"),
    ],
    ids=str,
)
def test_an_input_declared_as_something_else_is_refused(tmp_path, spec, text):
    with pytest.raises(FailedPrecondition, match=text):
        load(tmp_path, Linear(), declared=Signature((spec,)))


def test_null_is_nan_where_that_is_declared(tmp_path):
    spec = TensorSpec("x", "float32", (3,), nullable=True)
    path = save(tmp_path, Linear(lambda x, y: x.isnan().any(1)), torch.zeros(4, 3))
    predictor = RUNTIME.load(Artifact(path, Signature((spec,))))
    signature = declare(predictor.signature, Signature((spec,)))
    instances = RowDecoder(signature).decode([[None, 1, 2], [0, 1, 2]])
    assert predictor.predict(instances, {}).columns["output"].tolist() == [True, False]


def test_inputs_may_be_nested_named_and_fixed(tmp_path):
    class Many(nn.Module):
        def forward(self, x, factor, mode, *, more, none=None):
            y = x * factor if mode == "times" else x + factor
            return y + more["a"] + more["b"][0]

    rows = [torch.zeros(4, 3) for _ in range(3)]
    dynamic = {0: Dim.DYNAMIC}
    predictor = load(
        tmp_path,
        Many(),
        rows[0],
        2.0,
        "times",
        more={"a": rows[1], "b": [rows[2]]},
        shapes={"x": dynamic, "factor": None, "mode": None, "more": {"a": dynamic, "b": [dynamic]}},
    )
    assert predictor.signature.names == ("x", "more_a", "more_b_0")
    assert predict(predictor, [[[1, 2, 3], [10, 10, 10], [100, 100, 100]]]).tolist() == [[112, 114, 116]]


@pytest.mark.parametrize("rows", [1, 4])
def test_a_program_for_so_many_rows_is_asked_for_so_many(tmp_path, rows):
    asked_for = []

    def call(tensors):
        asked_for.append(len(tensors[0]))
        return was(tensors)

    predictor = load(tmp_path, Linear(), torch.zeros(rows, 3), rows=None)
    was = predictor._net.call
    object.__setattr__(predictor._net, "call", call)
    answers = predict(predictor, ROWS.tolist())
    assert asked_for == [rows] * -(-10 // rows)
    filled = np.concatenate([ROWS, ROWS[-1:], ROWS[-1:]])
    expected = [directly(Linear(), filled[i : i + rows]).numpy() for i in range(0, 10, rows)]
    assert same(answers, np.concatenate(expected)[:10])


def test_a_range_of_rows_is_kept(tmp_path):
    predictor = load(tmp_path, Linear(), rows=Dim("rows", min=3, max=8))
    assert (predictor._net.sizes.least, predictor._net.sizes.most) == (3, 8)
    assert predictor._net.sizes.parts(20) == [8, 8, 4]
    for count in (1, 2, 3, 8, 9, 10):
        expected = directly(Linear(), ROWS).numpy()[:count]
        assert np.allclose(predict(predictor, ROWS[:count].tolist()), expected, atol=1e-6)


def test_inputs_that_the_model_does_not_compare_get_equally_many_rows(tmp_path):
    class Factors(nn.Module):
        def forward(self, x, k):
            return x * k, k.sum(1)

    rows = torch.zeros(4, 3), torch.zeros(4, 3)
    shapes = ({0: Dim("a", min=1, max=6)}, {0: Dim.DYNAMIC})
    predictor = load(tmp_path, Function(lambda x, k: (x * 2, k.sum(1))), *rows, shapes=shapes)
    assert predictor._net.sizes.parts(10) == [6, 4]
    instances = [{"x": [index] * 3, "k": [index, 0, 0]} for index in range(10)]
    columns = asked(predictor, instances)
    assert columns["output_0"][:, 0].tolist() == [2 * index for index in range(10)]
    assert columns["output_1"].tolist() == list(range(10))
    predictor = load(tmp_path, Factors(), rows[0], rows[1][:1], shapes=({0: Dim.DYNAMIC}, {}))
    assert predictor._net.sizes.parts(3) == [1, 1, 1]
    assert asked(predictor, instances)["output_0"][:, 0].tolist() == [index**2 for index in range(10)]


def test_rows_of_any_number_may_be_one(tmp_path):
    assert load(tmp_path, Linear())._net.sizes.parts(1000) == [1000]
    predictor = load(tmp_path, Linear(), rows=Dim("rows", min=2))
    assert same(predict(predictor, ROWS[:1].tolist()), directly(Linear(), ROWS[:1]).numpy())


@pytest.mark.parametrize(
    ("dtype", "column", "values"),
    [
        (torch.bool, "bool", [True, False]),
        (torch.uint8, "uint8", [0, 255]),
        (torch.int8, "int8", [-128, 127]),
        (torch.int16, "int16", [-5, 5]),
        (torch.int32, "int32", [-5, 5]),
        (torch.int64, "int64", [-(2**62), 2**62]),
        (torch.float16, "float16", [0.5, -2.0]),
        (torch.bfloat16, "float32", [0.5, -2.0]),
        (torch.float64, "float64", [0.1, 1e300]),
    ],
    ids=str,
)
def test_tensors_of_every_dtype_come_and_go(tmp_path, dtype, column, values):
    predictor = load(tmp_path, Function(lambda x: x.clone()), torch.zeros(4, 2, dtype=dtype))
    (given,), (made,) = predictor.signature.inputs, predictor.signature.outputs
    assert given.dtype == made.dtype == column
    answer = predict(predictor, [values])
    assert answer.dtype == column
    assert answer.tolist() == [values]


def refusals():
    rows, other = torch.zeros(4, 3), torch.zeros(5, 3)
    count = ({0: Dim.DYNAMIC}, Dim.DYNAMIC)
    return [
        ("complex", Function(lambda x: x.abs()), (rows.to(torch.complex64),), None, "dtype torch.complex64"),
        ("total", Linear(lambda x, y: y.sum()), (rows,), None, "'output' has no axis of instances"),
        ("columns", Linear(lambda x, y: y.T), (rows,), None, r"'output' has 2 entries for s\d+ instances"),
        ("differs", Function(lambda x, y: x + y.sum()), (rows, other), ({}, {}), "'x' and 'y' differ"),
        ("scalar", Function(lambda x, y: x * y), (rows, torch.tensor(1.0)), ({}, {}), "'y' has no axis"),
        ("number", Function(lambda x, k: x * k), (rows, 7), count, "'k' is a number"),
        ("size", Linear(lambda x, y: (y, x.shape[0])), (rows,), None, "'output_1' is no tensor"),
        ("twice", Linear(lambda x, y: {"a_b": y, "a": {"b": y}}), (rows,), None, "would be called 'a_b'"),
        ("nothing", Function(lambda: torch.zeros(2, 2)), (), (), "takes no tensors"),
    ]


@pytest.mark.parametrize(
    ("model", "inputs", "shapes", "text"), [one[1:] for one in refusals()], ids=[r[0] for r in refusals()]
)
def test_what_cannot_be_served_is_refused(tmp_path, model, inputs, shapes, text):
    path = save(tmp_path, model, *inputs, shapes=shapes)
    with pytest.raises(FailedPrecondition, match=text):
        RUNTIME.load(Artifact(path))


def test_values_that_the_model_refuses_blame_the_request(tmp_path):
    predictor = load(tmp_path, nn.Embedding(5, 2), torch.zeros(4, dtype=torch.int64))
    with pytest.raises(InvalidArgument, match="the model refuses these values: index out of range"):
        predict(predictor, [7])
    assert predict(predictor, [4]).shape == (1, 2)


def test_shapes_that_the_export_excludes_blame_the_request(tmp_path):
    class Pairs(nn.Module):
        def forward(self, x):
            return x.reshape(x.shape[0], x.shape[1] // 2, 2).sum(2)

    shapes = ({0: Dim("rows"), 1: 2 * Dim("half", min=1, max=4)},)
    predictor = load(tmp_path, Pairs(), torch.zeros(4, 6), shapes=shapes)
    assert predict(predictor, [[1, 2, 3, 4]]).tolist() == [[3, 7]]
    for wrong in ([1, 2, 3], [0] * 10):
        with pytest.raises(InvalidArgument, match="the model refuses these values: Guard failed"):
            predict(predictor, [wrong])


def test_an_example_has_the_sizes_of_the_export_and_made_up_values(tmp_path):
    class Pairs(nn.Module):
        def forward(self, x, k):
            return x.reshape(x.shape[0], -1, 2).sum(2) + k

    shapes = ({0: Dim("rows"), 1: 2 * Dim("half")}, {0: Dim("rows")})
    secret = torch.full((4, 6), 123.0)
    predictor = load(tmp_path, Pairs(), secret, torch.zeros(4, 1, dtype=torch.int32), shapes=shapes)
    assert predictor.signature.example == {"x": [0.5] * 6, "k": 1}
    assert load(tmp_path, Linear()).signature.example is None


def test_a_model_that_writes_to_its_input_changes_no_request(tmp_path):
    predictor = load(tmp_path, Function(lambda x: x.mul_(2)))
    instances = RowDecoder(predictor.signature).decode([[1, 2, 3]])
    for _ in range(2):
        assert predictor.predict(instances, {}).columns["output"].tolist() == [[2, 4, 6]]
    assert instances.columns["x"].tolist() == [[1, 2, 3]]


def test_a_model_with_a_state_is_asked_by_one_thread_at_a_time(tmp_path):
    class Counting(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("seen", torch.zeros(1))

        def forward(self, x):
            self.seen.add_(1)
            return x + self.seen

    assert not load(tmp_path, Counting()).traits.thread_safe


def test_control_flow_and_blocks_without_gradients_are_served(tmp_path):
    class Branches(nn.Module):
        def forward(self, x):
            with torch.no_grad():
                y = x * 2
            return torch.cond(y.sum() > 0, lambda one: one + 1, lambda one: one - 1, (y,))

    predictor = load(tmp_path, Branches())
    assert predict(predictor, [[1, 1, 1]]).tolist() == [[3, 3, 3]]
    assert predict(predictor, [[-1, -1, -1]]).tolist() == [[-3, -3, -3]]


def test_models_of_many_operators_are_served(tmp_path):
    class Many(nn.Module):
        def __init__(self):
            super().__init__()
            self.parts = nn.ModuleDict({"a-b c/d": nn.Linear(3, 3)})
            self.mix = nn.TransformerEncoderLayer(3, 1, 8, batch_first=True)

        def forward(self, x):
            y = torch.einsum("bi,bj->bij", x, self.parts["a-b c/d"](x))
            with torch.autocast("cpu", dtype=torch.bfloat16):
                z = self.parts["a-b c/d"](x)
            padded = nn.functional.pad(x, (0, max(0, 8 - x.shape[1])))[:, :4].sum(1)
            times = torch.vmap(lambda row: row @ torch.ones(3))(x)
            return self.mix(y).where(y > 0, torch.tensor(float("-inf"))).amax((1, 2)), z, padded, times

    model, rows = Many(), torch.tensor(ROWS)
    predictor = load(tmp_path, model)
    with torch.inference_mode():
        expected = model(rows)
    for column, one in zip(asked(predictor, ROWS.tolist()).values(), expected, strict=True):
        assert np.array_equal(column, one.float().numpy())


def test_an_answer_of_another_length_is_the_models_fault(tmp_path):
    predictor = load(tmp_path, Linear())
    object.__setattr__(predictor._net, "call", lambda tensors: {"output": tensors[0][:1]})
    with pytest.raises(Internal, match=r"'output' is of shape \[1, 3\] for 2 instances"):
        predict(predictor, [[1, 2, 3], [4, 5, 6]])


def test_weights_alone_are_refused_with_how_to_export_the_model(tmp_path):
    paths = [tmp_path / name for name in ("state.pth", "model.pth", "old.pth")]
    torch.save(Linear().layer.state_dict(), paths[0])
    torch.save(nn.Linear(3, 2), paths[1])
    torch.save(Linear().layer.state_dict(), paths[2], _use_new_zipfile_serialization=False)
    assert [RUNTIME.recognises(path) for path in paths] == [True, True, False]
    for path in paths:
        with pytest.raises(FailedPrecondition, match=rf"{path.name} is what torch.save wrote.*torch.export"):
            RUNTIME.load(Artifact(path))


def changed(path, change):
    """Rewrite the members of an archive: `change` is given each name and content."""
    with zipfile.ZipFile(path) as archive:
        found = [(info, archive.read(info)) for info in archive.infolist()]
    with zipfile.ZipFile(path, "w") as archive:
        for info, content in found:
            archive.writestr(info.filename, change(info.filename.partition("/")[2], content))
    return path


def test_what_pytorch_says_of_a_program_that_it_cannot_read_is_told(tmp_path, caplog):
    path = changed(
        save(tmp_path, Linear(), torch.zeros(4, 3)),
        lambda name, content: content.replace(b'"major": ', b'"major": 9') if "json" in name else content,
    )
    with pytest.raises(FailedPrecondition, match=r"model.pt2 cannot be read as a torch.export .*version"):
        RUNTIME.load(Artifact(path))
    assert not [record for record in caplog.records if record.levelname != "DEBUG"]


def test_compiled_code_is_refused(tmp_path):
    path = save(tmp_path, Linear(), torch.zeros(4, 3))
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("model/data/aotinductor/model/wrapper.so", b"\x7fELF")
    with pytest.raises(FailedPrecondition, match="holds compiled code"):
        RUNTIME.load(Artifact(path))


def test_a_program_of_an_old_version_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "model.pt2", "w") as archive:
        archive.writestr("serialized_exported_program.json", "{}")
        archive.writestr("version", "5.1")
    assert RUNTIME.recognises(tmp_path / "model.pt2")
    with pytest.raises(FailedPrecondition, match="exported by an old version of PyTorch; export it again"):
        RUNTIME.load(Artifact(tmp_path / "model.pt2"))


def ambiguous(path):
    """Archives that another reader could understand differently."""
    content = path.read_bytes()
    yield "behind its end", content + b"more"
    for text, name in [
        ("not in one folder", "other/file"),
        ("models/model.json is in it twice", "model/models/MODEL.json"),
    ]:
        made = io.BytesIO(content)
        with zipfile.ZipFile(made, "a") as archive:
            archive.writestr(name, b"{}")
        yield text, made.getvalue()


def test_an_archive_that_two_readers_could_understand_differently_is_refused(tmp_path):
    path = save(tmp_path, Linear(), torch.zeros(4, 3))
    for text, content in list(ambiguous(path)):
        path.write_bytes(content)
        with pytest.raises(FailedPrecondition, match=text):
            RUNTIME.load(Artifact(path))


@pytest.mark.parametrize(("asked_for", "used"), [("", 1), ("2", 2)])
def test_one_thread_computes_unless_the_user_asks_for_more(tmp_path, asked_for, used):
    path = save(tmp_path, Linear(), torch.zeros(4, 3))
    code = (
        "import sys; from pathlib import Path; from trivet.runtimes.base import Artifact;"
        "from trivet.runtimes.torch import RUNTIME; RUNTIME.load(Artifact(Path(sys.argv[1])));"
        "import torch; print(torch.get_num_threads(), torch.get_num_interop_threads())"
    )
    environment = {"OMP_NUM_THREADS": asked_for} if asked_for else {}
    told = subprocess.run(
        [sys.executable, "-c", code, path], env=environment, capture_output=True, text=True, check=True
    )
    assert told.stdout == f"{used} 1\n"
