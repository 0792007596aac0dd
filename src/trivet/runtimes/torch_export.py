"""Programs of `torch.export` (.pt2): checked, loaded, and asked for batches of the size they were made for.

An export says all there is to know: the names, dtypes and shapes of its inputs and outputs, and which
numbers of rows it takes. Outputs are called as the model's author called them in a dict, `output_0`,
`output_1`, ... in a tuple, and `output` if there is one.
"""

import logging
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from trivet.core.errors import FailedPrecondition
from trivet.core.signature import FLOATS, Signature, TensorSpec, numpy_dtype
from trivet.runtimes.base import Artifact, unreadable
from trivet.runtimes.torch_export_check import COMPILED, Doubtful, check, graph_of
from trivet.runtimes.torch_files import members, opened, require_permission
from trivet.runtimes.torch_tensors import Call, Input, Net, Sizes, TorchPredictor, agrees, chosen, dtype_of
from trivet.runtimes.torch_trees import stand_in

_HINT = "export it with that axis dynamic: dynamic_shapes={...: {0: torch.export.Dim.DYNAMIC}}"
_MAX_EXAMPLE = 4096
_LEAST_CHECKED = 2  # PyTorch takes a range that begins at 0, 1 or 2 for any number of rows


@dataclass(frozen=True, slots=True)
class _Tensor:
    """A tensor that goes in or comes out: its first axis, and the rest as a spec."""

    rows: Any
    dtype: Any
    spec: TensorSpec
    single: bool


def load_export(artifact: Artifact, torch: Any, device: Any) -> TorchPredictor:
    """Load a program for a device.

    Raises FailedPrecondition where it cannot be read or fed, and PermissionDenied where it could run code.
    """
    _judge(artifact, torch)
    program = _load(artifact.path, torch)
    if device.type != "cpu":
        from torch.export.passes import move_to_device_pass

        program = move_to_device_pass(program, device)
    values = {node.name: node.meta.get("val") for node in program.graph.nodes}
    leaves = [_input(spec.arg, values) for spec in _of_user(program.graph_signature.input_specs)]
    given = [one for one in leaves if isinstance(one, _Tensor)]
    rows = _rows(artifact.path, given)
    made = _outputs(program, values, rows)
    declared = artifact.declared or Signature(())
    agrees([one.spec for one in given], declared.inputs)
    specs = {one.spec.name: one.spec for one in made if one}
    shown = chosen(list(specs), declared.outputs)
    net = Net(
        _caller(program, leaves, made),
        [Input(one.spec.name, one.dtype, one.single) for one in given],
        device,
        _sizes(program, rows),
        thread_safe=not _writes(program),
    )
    signature = Signature(
        inputs=tuple(one.spec for one in given),
        outputs=tuple(replace(specs[name], name=new) for name, new in shown),
        example=_example(program, leaves),
    )
    return TorchPredictor(net, signature, declared.outputs)


def _judge(artifact: Artifact, torch: Any) -> None:
    """See that reading the file, and asking the program, only computes."""
    path = artifact.path
    with opened(path) as archive:
        found = members(path, archive)
        if any(name.startswith(COMPILED) for name in found):
            raise FailedPrecondition(
                f"{path.name} holds compiled code (AOTInductor); save it with torch.export.save"
            )
        try:
            graph = graph_of(archive, found)
            try:
                check(archive, found, graph, torch)
            except Doubtful as doubt:
                require_permission(artifact, str(doubt))
            stand_in(graph)
        except (KeyError, TypeError, AttributeError) as error:
            raise unreadable(path, "a torch.export", ValueError(f"something is missing: {error}")) from None


def _load(path: Path, torch: Any) -> Any:
    """Read the program; what PyTorch says of a failure goes to its log, where it is caught."""
    told = _Told()
    log = logging.getLogger("torch.export")
    log.addFilter(told)
    try:
        with path.open("rb") as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.export.load(file)
    except Exception as error:  # noqa: BLE001 - a broken program may raise anything
        raise unreadable(path, "a torch.export", told.error or error) from None
    finally:
        log.removeFilter(told)


class _Told(logging.Filter):
    """Keeps the exception of a message, and lets no message through."""

    error: Exception | None = None

    def filter(self, record: logging.LogRecord) -> bool:
        """Keep it."""
        error = record.exc_info[1] if record.exc_info else None
        self.error = error if isinstance(error, Exception) else self.error
        return False


def _of_user(specs: Iterable[Any]) -> list[Any]:
    return [spec for spec in specs if spec.kind.name in ("USER_INPUT", "USER_OUTPUT")]


def _input(argument: Any, values: Mapping[str, Any]) -> Any:
    """Describe a tensor that the program takes, or return the value that was fixed by the export."""
    match type(argument).__name__:
        case "TensorArgument":
            return _tensor(f"input {argument.name!r}", argument.name, values[argument.name])
        case "ConstantArgument":
            return argument.value
    raise FailedPrecondition(
        f"the model's input {argument.name!r} is a number; make it a tensor with one entry per instance"
    )


def _rows(path: Path, given: Sequence[_Tensor]) -> list[Any]:
    """Return the sizes of the inputs' first axes: all the same number, or symbols, which may be any.

    Each input may have a symbol of its own: PyTorch makes them one only where the model does.
    """
    if not given:
        raise FailedPrecondition(f"{path.name} takes no tensors; expected at least one of shape [N, ...]")
    fixed = [one for one in given if isinstance(one.rows, int)]
    for one in fixed:
        if one.rows != fixed[0].rows:
            raise FailedPrecondition(
                f"the model's inputs {fixed[0].spec.name!r} and {one.spec.name!r} differ in their first "
                f"axis, that of the instances ({fixed[0].rows} and {one.rows}); {_HINT}"
            )
    for one in given:
        if not isinstance(one.rows, int) and not one.rows.is_Symbol:
            raise FailedPrecondition(
                f"the model's input {one.spec.name!r} takes {one.rows} instances, which Trivet cannot "
                f"arrange for; {_HINT}"
            )
    return [one.rows for one in (*fixed, *given)]


def _outputs(program: Any, values: Mapping[str, Any], rows: Sequence[Any]) -> list[_Tensor | None]:
    """Describe what the program gives, in order; an output that is always None is left out.

    Every other must have as many rows as the inputs, when those have all the same.
    """
    same = {one: rows[0] for one in rows[1:] if not isinstance(one, int)}
    from torch.utils import _pytree as pytree

    specs = _of_user(program.graph_signature.output_specs)
    numbered = pytree.tree_unflatten(list(range(len(specs))), program.call_spec.out_spec)
    found: list[_Tensor | None] = []
    for keys, index in pytree.tree_flatten_with_path(numbered)[0]:
        name, argument = _output_name(keys), specs[index].arg
        if any(one and one.spec.name == name for one in found):
            raise FailedPrecondition(f"two of the model's outputs would be called {name!r}; rename one")
        if type(argument).__name__ == "ConstantArgument" and argument.value is None:
            found.append(None)
            continue
        if type(argument).__name__ != "TensorArgument":
            raise FailedPrecondition(f"the model's output {name!r} is no tensor; leave it out")
        one = _tensor(f"output {name!r}", name, values[argument.name])
        if (one.rows if isinstance(one.rows, int) else one.rows.subs(same)) != rows[0]:
            raise FailedPrecondition(
                f"the model's output {name!r} has {one.rows} entries for {rows[0]} instances; expected one "
                "for each, along its first axis"
            )
        found.append(one)
    return found


def _output_name(keys: Sequence[Any]) -> str:
    """Join the keys and numbers under which an output is found."""
    parts = [str(getattr(one, "key", getattr(one, "idx", getattr(one, "name", "")))) for one in keys]
    return "_".join(parts if parts and not parts[0].isdigit() else ["output", *parts])


def _tensor(what: str, name: str, value: Any) -> _Tensor:
    if not value.shape:
        raise FailedPrecondition(f"the model's {what} has no axis of instances; expected shape [N, ...]")
    rows, *rest = (one if isinstance(one, int) else one.node.expr for one in value.shape)
    shape = tuple(one if isinstance(one, int) else None for one in rest)
    single = shape == (1,)
    return _Tensor(
        rows, value.dtype, TensorSpec(name, dtype_of(value.dtype, what), () if single else shape), single
    )


def _example(program: Any, leaves: Sequence[Any]) -> Any:
    """Return an instance of the sizes that the program was exported with, where it takes several.

    Its values are made up: those of the export may be somebody's.
    """
    from torch.utils import _pytree as pytree

    given = [one for one in leaves if isinstance(one, _Tensor)]
    sample = [one for one in pytree.tree_leaves(program.example_inputs) if hasattr(one, "dtype")]
    if not any(one.spec.dynamic for one in given) or len(sample) != len(given):
        return None
    if sum(one.numel() // max(1, len(one)) for one in sample) > _MAX_EXAMPLE:
        return None
    values = {
        one.spec.name: np.full(
            () if one.single else tuple(tensor.shape[1:]),
            0.5 if one.spec.dtype in FLOATS else 1,
            numpy_dtype(one.spec.dtype),
        ).tolist()
        for one, tensor in zip(given, sample, strict=True)
    }
    return next(iter(values.values())) if len(values) == 1 else values


def _sizes(program: Any, rows: Sequence[Any]) -> Sizes:
    """Return how many rows the program takes at once."""
    if isinstance(rows[0], int):
        return Sizes(rows[0], rows[0])
    ranges = [program.range_constraints[one] for one in rows if one in program.range_constraints]
    least = max((int(one.lower) for one in ranges if one.lower > _LEAST_CHECKED), default=1)
    return Sizes(least, min((int(one.upper) for one in ranges if one.upper.is_Integer), default=None))


def _writes(program: Any) -> bool:
    """Whether any of its operators writes to a tensor, which may be one that is kept between calls."""
    graphs = [module.graph for module in program.graph_module.modules() if hasattr(module, "graph")]
    schemas = [getattr(node.target, "_schema", None) for graph in graphs for node in graph.nodes]
    kept = bool(program.graph_signature.buffers_to_mutate)
    return kept or any(schema.is_mutable for schema in schemas if schema is not None)


def _caller(program: Any, leaves: Sequence[Any], made: Sequence[_Tensor | None]) -> Call:
    """Return what asks the program, with its tensors where the export had them."""
    from torch.utils import _pytree as pytree

    module, in_spec = program.module(), program.call_spec.in_spec
    fixed = [None if isinstance(one, _Tensor) else one for one in leaves]
    places = [index for index, one in enumerate(leaves) if isinstance(one, _Tensor)]
    names = [one.spec.name if one else None for one in made]

    def call(tensors: Sequence[Any]) -> Mapping[str, Any]:
        flat = list(fixed)
        for place, tensor in zip(places, tensors, strict=True):
            flat[place] = tensor
        args, kwargs = pytree.tree_unflatten(flat, in_spec)
        returned = pytree.tree_leaves(module(*args, **kwargs))
        return {name: one for name, one in zip(names, returned, strict=True) if name is not None}

    return call
