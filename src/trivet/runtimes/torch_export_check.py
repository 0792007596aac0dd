"""Judges whether a program of `torch.export` can do no more than compute with tensors.

Such a file looks like data: a graph in JSON, and tensors. But PyTorch makes Python code of the graph's
names and guards, evaluates its sizes, looks its operators up by name, and unpickles what lies beside it. So
every string in the graph must be one of the few forms that an export writes, every operator one that
computes, and every pickle one that PyTorch reads as weights only. What is not known is not trusted.
"""

import ast
import json
import re
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from importlib import import_module
from io import BytesIO
from typing import Any

from trivet.runtimes.torch_files import text

GRAPH = "models/model.json"
COMPILED = "data/aotinductor/"
_MEMBERS = re.compile(
    r"archive_format|archive_version|byteorder|version|\.data/\w+|\.format_version|\.storage_alignment"
    r"|extra/.*|models/model\.json|data/sample_inputs/model\.pt"
    r"|data/weights/(weight_\d+|model_weights_config\.json|model\.pt)"
    r"|data/constants/(tensor_\d+|model_constants_config\.json|model\.pt)"
)
_CONFIGS = ("data/weights/model_weights_config.json", "data/constants/model_constants_config.json")

_IDENTIFIER = re.compile(r"([A-Za-z_]\w*)?")
_PLAIN = re.compile(r"[\w.+\-:/<> ]*")
_QUOTED = re.compile(r"[^'\"\\\n\r]*")  # stays within the quotes that it is put into
_ONE_LINE = re.compile(r"[^\"#\\\n\r]*")
_OPERATOR = re.compile(r"torch\.ops\.(\w+)\.(\w+)(?:\.(\w+))?")
_SIMPLE = re.compile(
    r"_operator\.(add|sub|mul|truediv|floordiv|mod|pow|neg|pos|eq|ne|lt|le|gt|ge|and_|or_|not_|lshift|rshift"
    r"|getitem)|math\.[a-z0-9]+|torch\.(_sym_\w+|sym_\w+)|torch\._functorch\.predispatch\."
    r"(_add_batch_dim|_remove_batch_dim|_vmap_increment_nesting|_vmap_decrement_nesting"
    r"|lazy_load_decompositions)"
)
_UNPICKLED = re.compile(r"GLOBAL (\S+)")
_LIBRARIES = frozenset(("aten", "prims", "quantized", "quantized_decomposed", "torchvision"))
_REGISTERED_BY = {
    "quantized_decomposed": "torch.ao.quantization.fx._decomposed",
    "torchvision": "torchvision",
}
_FILES = frozenset(("aten.from_file", "aten.save"))
_CONTROL_FLOW = frozenset(
    (
        "cond", "map_impl", "while_loop", "scan", "associative_scan", "wrap_with_set_grad_enabled",
        "wrap_with_autocast", "strict_mode", "invoke_subgraph", "flex_attention", "out_dtype",
    )
)  # fmt: skip
_FUNCTIONS = frozenset(
    (
        "Symbol", "Integer", "Float", "Rational", "Add", "Mul", "Pow", "Min", "Max", "Mod", "Abs", "floor",
        "ceiling", "Tuple", "Piecewise", "ExprCondPair", "And", "Or", "Not", "Equality", "Unequality",
        "StrictLessThan", "StrictGreaterThan", "LessThan", "GreaterThan", "Eq", "Ne", "Lt", "Gt", "Le", "Ge",
        "FloorDiv", "ModularIndexing", "Where", "PythonMod", "CleanDiv", "CeilToInt", "FloorToInt", "CeilDiv",
        "LShift", "RShift", "PowByNatural", "FloatPow", "FloatTrueDiv", "IntTrueDiv", "TruncToFloat",
        "TruncToInt", "RoundToInt", "RoundDecimal", "ToFloat", "Identity", "cast_symbool_to_symint_guardless",
        "IsNonOverlappingAndDenseIndicator", "max", "min", "abs", "int", "float", "bool", "round",
    )
)  # fmt: skip
_CONSTANTS = frozenset(("true", "false", "oo", "int_oo", "inf", "L", "math", "torch"))
_SIZES = frozenset(("size", "stride", "storage_offset", "dim"))
_SYMBOL = re.compile(r"[a-z_]{1,5}\d+")  # nothing that can be called
_ARITHMETIC = (
    ast.Expression, ast.BoolOp, ast.boolop, ast.UnaryOp, ast.Not, ast.USub, ast.BinOp, ast.operator,
    ast.Compare, ast.cmpop, ast.Subscript, ast.Load, ast.keyword, ast.Tuple,
)  # fmt: skip


class Doubtful(Exception):
    """Something in a file that an export does not write, or that could do more than compute."""


def graph_of(archive: zipfile.ZipFile, members: Mapping[str, zipfile.ZipInfo]) -> Any:
    """Return the graph as JSON; raises ValueError where there is none."""
    return _json(archive, members, GRAPH)


def check(archive: zipfile.ZipFile, members: Mapping[str, zipfile.ZipInfo], graph: Any, torch: Any) -> None:
    """Judge a whole archive; raises Doubtful, which says what is wrong.

    A file that cannot be read at all raises whatever reading it raises, most often ValueError.
    """
    for name in members:
        if not _MEMBERS.fullmatch(name):
            raise Doubtful(f"it holds {name[:80]!r}, which is no part of an exported program")
    _strings(graph, "")
    for target in set(_operators(graph)):
        _operator(target, torch)
    for name in _pickled(archive, members):
        _weights_only(archive.read(members[name]), name, torch)


def _json(archive: zipfile.ZipFile, members: Mapping[str, zipfile.ZipInfo], name: str) -> Any:
    if name not in members:
        raise ValueError(f"there is no {name} in it")
    try:
        return json.loads(text(archive, members[name]).decode())
    except RecursionError:
        raise ValueError(f"{name} is nested too deeply") from None


def _strings(value: Any, key: str) -> None:
    """Judge every string by the key under which it, or the list that it is in, is found."""
    if isinstance(value, dict):
        for name, one in value.items():
            if not _QUOTED.fullmatch(name):
                raise Doubtful(f"its graph has the key {name[:80]!r}")
            _strings(one, name)
    elif isinstance(value, list):
        for one in value:
            _strings(one, key)
    elif isinstance(value, str) and not _RULES.get(key, _plain)(value):
        raise Doubtful(f"its graph has {key or 'a string'} {value[:80]!r}, which no export writes")


def _plain(value: str) -> bool:
    return _PLAIN.fullmatch(value) is not None


def _identifier(value: str) -> bool:
    return _IDENTIFIER.fullmatch(value) is not None


def _quoted(value: str) -> bool:
    return _QUOTED.fullmatch(value) is not None


def _free(value: str) -> bool:
    """Allow what PyTorch keeps as a text for people."""
    return True


def _formula(value: str) -> bool:
    """Allow arithmetic on sizes, as SymPy prints it and as guards have it: no call of anything else."""
    if not _ONE_LINE.fullmatch(value):
        return False
    try:
        tree = ast.parse(value, mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return all(_is_arithmetic(node) for node in ast.walk(tree))


def _is_arithmetic(node: ast.AST) -> bool:
    match node:
        case ast.Constant(value=value):
            return _plain(value) if isinstance(value, str) else not isinstance(value, bytes)
        case ast.Name(id=name):
            return name in _FUNCTIONS or name in _CONSTANTS or _SYMBOL.fullmatch(name) is not None
        case ast.Call(func=called, args=given):
            if not isinstance(called, ast.Name):
                return isinstance(called, ast.Attribute)
            texts = any(isinstance(one, ast.Constant) and isinstance(one.value, str) for one in given)
            return called.id == "Symbol" or not texts  # SymPy would evaluate texts
        case ast.Attribute():
            return _is_size(node)
    return isinstance(node, _ARITHMETIC)


def _is_size(node: ast.Attribute) -> bool:
    match node.value:
        case ast.Name(id="math"):
            return not node.attr.startswith("_")
        case ast.Name(id="torch"):
            return node.attr.startswith("sym_")
    return node.attr in _SIZES


def _tree(value: str) -> bool:
    """Allow how arguments are nested: JSON, with JSON in its strings, and names in that."""
    try:
        return _is_tree(json.loads(value))
    except (ValueError, RecursionError):
        return False


def _is_tree(value: Any) -> bool:
    match value:
        case dict():
            return "__enum__" not in value and all(map(_quoted, value)) and all(map(_is_tree, value.values()))
        case list():
            return all(map(_is_tree, value))
        case str():
            return _quoted(value) or _tree(value)
    return True


def _operators(graph: Any) -> Iterator[str]:
    if isinstance(graph, dict):
        for key, value in graph.items():
            if key in ("target", "as_operator") and isinstance(value, str):
                yield value
            yield from _operators(value)
    elif isinstance(graph, list):
        for value in graph:
            yield from _operators(value)


def _operator(target: str, torch: Any) -> None:
    """Allow PyTorch's own operators that compute, wherever they are called."""
    if _SIMPLE.fullmatch(target):
        return
    found = _OPERATOR.fullmatch(target)
    library, name, overload = found.groups() if found else ("", "", None)
    if library == "higher_order" and overload is None and name in _CONTROL_FLOW:
        return
    if library not in _LIBRARIES or overload is None or f"{library}.{name}" in _FILES:
        raise Doubtful(f"its graph calls {target[:80]!r}")
    if library in _REGISTERED_BY:
        with suppress(ImportError):
            import_module(_REGISTERED_BY[library])
    known = getattr(getattr(getattr(torch.ops, library), name, None), overload, None)
    if not isinstance(known, torch._ops.OpOverload):
        raise ValueError(f"its graph calls {target[:80]!r}, which is not to be found in what is installed")


def _pickled(archive: zipfile.ZipFile, members: Mapping[str, zipfile.ZipInfo]) -> Iterator[str]:
    """Yield which members PyTorch will unpickle."""
    yield from (name for name in members if name.startswith("data/") and name.endswith(".pt"))
    for config in _CONFIGS:
        if config not in members:
            continue
        content = _json(archive, members, config)
        _strings(content, "")
        for one in content["config"].values():
            name = f"{config.rpartition('/')[0]}/{one['path_name']}"
            if not _MEMBERS.fullmatch(name) or name not in members:
                raise Doubtful(f"it refers to {name[:80]!r}")
            if one.get("use_pickle"):
                yield name


def _weights_only(content: bytes, name: str, torch: Any) -> None:
    if not content:
        return
    try:
        if not content.startswith(b"PK\x03\x04"):
            raise ValueError("it is in an old format")
        torch.load(BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is not weights only
        found = _UNPICKLED.search(str(error))
        reason = f": {found[1]}" if found else ""
        raise Doubtful(f"its {name} is a pickle of more than tensors{reason}") from None


_RULES: Mapping[str, Callable[[str], bool]] = {
    "target": _quoted,  # judged with the others, once each
    "as_operator": _quoted,
    "name": _identifier,
    "as_name": _identifier,
    "forward_arg_names": _identifier,
    "expr_str": _formula,
    "guards_code": _formula,
    "in_spec": _tree,
    "out_spec": _tree,
    "as_string": _quoted,
    "as_strings": _quoted,
    "stack_trace": _free,
    "nn_module_stack": _free,
    "source_fn_stack": _free,
    "torch_fn": _free,
    "from_node": _free,
    "custom": _free,
}
