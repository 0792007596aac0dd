"""Records that are rows of named columns, as those of CSV files and tables: sent as objects or as arrays."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from trivet.core.batch import Shard
from trivet.core.errors import FailedPrecondition
from trivet.core.instances import Instances
from trivet.core.signature import FLOATS, NUMBERS, Signature, numpy_dtype, unknown
from trivet.jobs.row_texts import texts
from trivet.jobs.shape import Batch, Ways, refused, unread
from trivet.jobs.written import Fit, fit_of, fitted
from trivet.sources.base import Records, Table

Names = tuple[str, ...]

_NATIVELY = "ask for a native job, whose rows are objects: trivet.native, or no --vertex"


@dataclass(frozen=True, slots=True)
class Plan:
    """What becomes of rows with certain columns, by their positions. `wrong` says why nothing can."""

    as_object: bool = True
    sent: tuple[int, ...] = ()
    shown: tuple[int, ...] = ()
    key: int | None = None
    order: tuple[int, ...] | None = None
    """The columns in the order of the model's inputs, where numbers can be given to it directly."""

    fits: Mapping[int, Fit] = field(default_factory=dict)
    """What makes the cells of a column those of the model's input, where a file has no types."""

    wrong: str = ""
    warnings: tuple[str, ...] = ()


class RowShape:
    """Chooses between objects and arrays as `instanceConfig` says.

    Where it says nothing, the managed service sends arrays. Natively, rows are objects, unless the model's
    inputs have no names, or none that the columns have; columns that it does not know are not sent.
    """

    def __init__(self, ways: Ways) -> None:
        self._ways = ways
        self._plans: dict[Names, Plan] = {}

    def check(self, uri: str, records: Records, shards: Sequence[Shard] = ()) -> list[str]:
        """Judge the columns of the first source, and the order of those of all, where it matters."""
        assert isinstance(records, Table)
        plan = self._plan(records.names)
        if plan.wrong:
            raise FailedPrecondition(f"{uri}: {plan.wrong}")
        if not plan.as_object:
            first = [records.names[index] for index in plan.sent]
            for shard in shards:
                self._check_order(shard, uri, first)
        return list(plan.warnings)

    def _check_order(self, shard: Shard, uri: str, first: Sequence[str]) -> None:
        names = tuple(shard.details.get("header", ()))
        plan = self._plan(names) if names else Plan(wrong="it has none")
        sent = [names[index] for index in plan.sent]
        if not plan.wrong and sent != first:
            raise FailedPrecondition(
                f"{shard.uri}: its columns are {_listed(sent)}, and those of {uri} are {_listed(first)}; as "
                "rows are sent as arrays, which would mix them up, give them to jobs of their own, or name "
                "them in instanceConfig.includedFields"
            )

    def batch(self, uri: str, records: Records) -> Batch:
        """Make an instance of each row; rows of other columns than the first may not be any."""
        assert isinstance(records, Table)
        failed, plan = unread(uri, records), self._plan(records.names)
        if plan.wrong:
            every = tuple(range(len(records.names)))
            for offset, text in zip(records.offsets, texts(records, every, as_object=True), strict=True):
                failed.append(refused(uri, offset, plan.wrong, text))
            return Batch(uri, (), (), (), failed=failed)
        shown = texts(records, plan.shown, as_object=plan.as_object or self._ways.tabular)
        instances = None
        if plan.order is not None and records.numbers is not None:
            instances = from_numbers(self._ways.signature, records.numbers, plan.order)
        fit = _fit(records, plan.fits)
        same = plan.sent == plan.shown and not self._ways.tabular and fit is records
        sent: Sequence[bytes] = shown
        if instances is None and not same:
            sent = texts(fit, plan.sent, as_object=plan.as_object)
        keys = records.cells[plan.key] if plan.key is not None else None
        return Batch(uri, records.offsets, sent, shown, keys, instances, failed)

    def _plan(self, names: Names) -> Plan:
        plan = self._plans.get(names)
        if plan is None:
            plan = self._plans[names] = _planned(names, self._ways)
        return plan


def _planned(names: Names, ways: Ways) -> Plan:
    config, signature = ways.config, ways.signature
    for where, asked in (
        ("keyField", (config.key,) if config.key else ()),
        ("includedFields", config.included),
        ("excludedFields", config.excluded),
    ):
        for name in asked:
            if name not in names:
                return Plan(wrong=f"instanceConfig.{where}: {name!r}: {unknown(name, names, 'column')}")
    usable = [name for name in names if name != config.key and name not in config.excluded]
    chosen = list(config.included) or usable
    as_object = config.type == "object" or (not config.type and ways.native and _by_name(chosen, ways))
    warnings: list[str] = []
    if as_object and not signature.takes_json:
        known = [name for name in chosen if name in signature.names]
        if missing := [name for name in signature.names if name not in chosen]:
            return Plan(
                wrong=f"the model's {_listed(missing)} {'are' if len(missing) > 1 else 'is'} not among the "
                f"columns that are sent: {_listed(chosen)}"
            )
        if ways.native and not config.included and len(known) < len(chosen):
            rest = [name for name in chosen if name not in known]
            warnings.append(f"not sent, since the model has no such input: {_listed(rest)}")
            chosen = known
    elif not as_object:
        if wrong := _wrong_array(chosen, signature):
            return Plan(wrong=wrong)
        if not config.type:
            warnings += _trap(chosen, ways)
    at = {name: index for index, name in enumerate(names)}
    return Plan(
        as_object=as_object,
        sent=tuple(at[name] for name in chosen),
        shown=tuple(range(len(names))) if ways.tabular or not config.included else tuple(map(at.get, chosen)),  # type: ignore[arg-type]
        key=at[config.key] if config.key else None,
        order=_order(chosen, at, signature, as_object=as_object),
        fits=_fits(chosen, at, signature, as_object=as_object),
        warnings=tuple(warnings),
    )


def _by_name(chosen: Sequence[str], ways: Ways) -> bool:
    """Whether rows are sent as objects where nobody says: not to a model whose inputs have no names here."""
    signature = ways.signature
    if signature.takes_json:
        return True
    return bool(set(signature.names) & set(chosen))


def _wrong_array(chosen: Sequence[str], signature: Signature) -> str:
    """Return why an array of these columns cannot be an instance, as far as their number tells."""
    if signature.takes_json:
        return ""
    values = list(signature.values())
    only = values[0][1] if len(values) == 1 else None
    expected = only.shape[0] if only is not None and len(only.shape) == 1 else len(values)
    if expected is None or expected == len(chosen) or (only is not None and len(only.shape) > 1):
        return ""
    return (
        f"the model takes {expected} values ({_listed(signature.names)}), and {len(chosen)} columns are sent "
        f"({_listed(chosen)}). Name what is to be sent in instanceConfig.includedFields, or what is not in "
        "excludedFields"
    )


def _trap(chosen: Sequence[str], ways: Ways) -> list[str]:
    """Warn of arrays where the model, or whoever wrote it, may think of names."""
    names = ways.signature.names
    sent = f"rows are sent as arrays, in the order of their columns ({_listed(chosen)})"
    if ways.signature.takes_json and ways.arrays_only:
        return [f"{sent}, as the managed service does. If the model expects names, {_NATIVELY}"]
    if ways.signature.takes_json:
        return [
            f"{sent}, as the managed service does where instanceConfig.instanceType is not given. If the "
            "model expects names, give instanceType: object"
        ]
    if len(names) < 2 or (not ways.native and tuple(chosen) == names):
        return []
    if ways.native:
        return [
            f"{sent}: none of them is an input of the model ({_listed(names)}), so they are taken by place"
        ]
    mixed = f"{sent}, while the model's inputs are {_listed(names)}: every value may be taken for another"
    if ways.arrays_only:
        return [f"{mixed}. Give instanceConfig.includedFields in the model's order, or {_NATIVELY}"]
    return [f"{mixed}. Give instanceConfig.instanceType: object, or includedFields in the model's order"]


def _order(
    chosen: Sequence[str], at: dict[str, int], signature: Signature, *, as_object: bool
) -> tuple[int, ...] | None:
    specs = signature.inputs
    if not specs or any(spec.dtype not in NUMBERS for spec in specs):
        return None
    if len(specs) == 1 and specs[0].shape:
        if len(specs[0].shape) > 1 or (as_object and not specs[0].fields):
            return None
    elif any(spec.shape for spec in specs):
        return None
    return tuple(at[name] for name in (signature.names if as_object else chosen))


def _fits(
    chosen: Sequence[str], at: Mapping[str, int], signature: Signature, *, as_object: bool
) -> dict[int, Fit]:
    values = list(signature.values())
    if signature.takes_json or (not as_object and len(values) != len(chosen)):
        return {}
    specs = dict(values) if as_object else dict(zip(chosen, (spec for _, spec in values), strict=True))
    fits = ((name, fit_of(specs[name])) for name in chosen if name in specs)
    return {at[name]: fit for name, fit in fits if fit is not None}


def _fit(table: Table, fits: Mapping[int, Fit]) -> Table:
    """Return a table whose cells are as the model's inputs are; it has no other texts of its rows."""
    if not fits or table.written is None:
        return table
    written = table.written
    cells = [
        fitted(fits[index], table.cells[index], written[index]) if index in fits else table.cells[index]
        for index in range(len(table.names))
    ]
    return replace(table, cells=cells, text=None)


def from_numbers(
    signature: Signature, numbers: NDArray[np.float64], order: Sequence[int]
) -> Instances | None:
    """Make instances of columns of numbers; None where one of them is not what the model takes."""
    count, size = numbers.shape
    if tuple(order) != tuple(range(size)):
        numbers = numbers[:, order]
    if len(signature.inputs) == 1 and signature.inputs[0].shape:
        spec = signature.inputs[0]
        values = _cast(numbers, spec.dtype)
        return None if values is None else Instances({spec.name: values}, count)
    columns = {}
    for index, spec in enumerate(signature.inputs):
        values = _cast(numbers[:, index], spec.dtype)
        if values is None:
            return None
        columns[spec.name] = values
    return Instances(columns, count)


def _cast(numbers: NDArray[np.float64], dtype: str) -> "NDArray[np.generic] | None":
    kind = numpy_dtype(dtype)  # type: ignore[arg-type]
    if dtype in FLOATS:
        try:
            with np.errstate(over="raise"):
                return numbers.astype(kind)
        except FloatingPointError:
            return None
    with np.errstate(invalid="ignore"):
        cast = numbers.astype(kind)
    # past 2**53 a float64 is several integers: those are told apart by their texts
    if np.abs(numbers).max(initial=0) >= 2.0**53 or not np.array_equal(cast, numbers):
        return None
    return cast


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:8]) + (f", ... ({len(names)} in all)" if len(names) > 8 else "")
