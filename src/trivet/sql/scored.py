"""What the function of a model does with rows that DuckDB gives it: from Arrow arrays to Arrow structs."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from trivet.codecs.arrow_predictions import ArrowEncoder, Output
from trivet.codecs.arrow_tensors import ArrowDecoder
from trivet.core.errors import Cancelled, Internal, InvalidArgument, ServingError, model_error
from trivet.core.instances import Instances, Predictions
from trivet.serving.isolated import Crashed
from trivet.serving.leases import Leases
from trivet.serving.lifecycle import LoadedModel, ModelSpec
from trivet.serving.replica import FAULTS
from trivet.serving.scoring import isolate
from trivet.sql.bind import INVALID
from trivet.sql.columns import check_instances, takes_arrays
from trivet.sql.model import SqlModel
from trivet.sql.types import Field, Type

ENDS = (Crashed, Cancelled)
"""What no row is to blame for: it ends the statement, whatever it says of rows that fail."""


class Scored:
    """Predicts with a model of this process' leases; may be called by several threads."""

    def __init__(self, leases: Leases, model: SqlModel, spec: Callable[[], ModelSpec], *, safe: bool) -> None:
        self._leases = leases
        self._model = model
        self._spec_of = spec
        self._spec: ModelSpec | None = None
        self._safe = safe
        self._decoder: ArrowDecoder | None = None
        self._encoder = ArrowEncoder([output_of(one) for one in model.outputs])

    def __call__(self, arrays: Sequence[Any]) -> Any:
        """Return a struct of the outputs for each row; NULL for one that fails, where that is asked for.

        Raises what the model raises otherwise, with its name.
        """
        spec = self._spec = self._spec or self._spec_of()
        with self._leases.lease(spec) as loaded:
            decoder = self._decoder = self._decoder or self._decoder_of(loaded)
            decoded = decoder.decode(arrays)
            if decoded.refused and not self._safe:
                raise self._told(decoded.refused[min(decoded.refused)])
            if len(decoded.parts) == 1 and decoded.parts[0][0] is None:
                whole = self._whole(loaded, decoded.parts[0][1])
                if whole is not None:
                    return whole
            found = [(rows, *self._scored(loaded, instances)) for rows, instances in decoded.parts]
        return self._placed(found, decoded.count)

    def interrupt(self) -> None:
        """Break off what runs in another process."""
        if self._spec is not None:
            self._leases.interrupt(self._spec)

    def close(self) -> None:
        """The leases have the model."""

    def _decoder_of(self, loaded: LoadedModel) -> ArrowDecoder:
        inputs = self._model.inputs
        try:
            check_instances(loaded.info.signature, self._model.options)
        except InvalidArgument as error:
            raise self._told(error) from None
        json = [one.name for one in inputs if one.type.kind == "JSON"]
        names, as_array = [one.name for one in inputs], takes_arrays(self._model.options)
        return ArrowDecoder(loaded.info.signature, names, json, as_array=as_array)

    def _whole(self, loaded: LoadedModel, instances: Instances) -> Any:
        """Return the structs of all rows; None where some have to be found that fail."""
        try:
            return self._encoder.encode(self._predicted(loaded, instances))
        except ENDS as error:
            raise self._told(error) from error.__cause__
        except ServingError as error:
            if instances.count == 1 and not self._safe:
                raise self._told(error) from error.__cause__
            return None

    def _scored(self, loaded: LoadedModel, instances: Instances) -> tuple[np.ndarray[Any, Any], Any]:
        """Return which rows are predicted, and their structs; the first that fails is raised, unless safe."""
        ended: list[ServingError] = []

        def attempt(start: int, stop: int) -> Any:
            if ended:
                raise ended[0]
            whole = start == 0 and stop == instances.count
            try:
                part = instances if whole else instances.slice(start, stop)
                return self._encoder.encode(self._predicted(loaded, part))
            except ENDS as error:
                ended.append(error)
                raise

        kept, structs = [], []
        for start, stop, answer in isolate(attempt, 0, instances.count):
            if isinstance(answer, ServingError):
                if ended or not self._safe:
                    raise self._told(ended[0] if ended else answer)
                continue
            kept.append(np.arange(start, stop))
            structs.append(answer)
        return np.concatenate([np.zeros(0, np.intp), *kept]), structs

    def _predicted(self, loaded: LoadedModel, instances: Instances) -> Predictions:
        try:
            predictions = loaded.predictor.predict(instances, self._model.parameters)
        except FAULTS as error:
            known = model_error(error)
            raise known from (known.__cause__ if known is error else error)
        if predictions.count != instances.count:
            raise Internal(f"the model gave {predictions.count} predictions for {instances.count} instances")
        return predictions

    def _placed(self, found: Sequence[tuple[Any, Any, Any]], count: int) -> Any:
        """Put structs where their rows are; NULL where there is none."""
        import pyarrow as pa

        order = np.full(count, -1)
        structs: list[Any] = []
        at = 0
        for rows, kept, made in found:
            order[kept if rows is None else rows[kept]] = np.arange(at, at + len(kept))
            at += len(kept)
            structs += made
        if not structs:
            return self._encoder.empty(count)
        together = structs[0] if len(structs) == 1 else pa.concat_arrays(structs)
        return together.take(pa.array(order, mask=order < 0))

    def _told(self, error: ServingError) -> ServingError:
        return told(self._model, error)


def told(model: SqlModel, error: ServingError) -> ServingError:
    """Return an error with the name of the model whose row it is about."""
    named = type(error)(f"{INVALID}\nModel {model.name}: {error}")
    named.__cause__ = error.__cause__
    return named


def output_of(field: Field) -> Output:
    """Return how the column of an output is made."""
    return Output(field.name, arrow_type(field.type), field.type.kind == "JSON")


def arrow_type(type_: Type) -> Any:
    """Return the type that Arrow has for one of GoogleSQL."""
    import pyarrow as pa

    if type_.item is not None:
        return pa.list_(arrow_type(type_.item))
    if type_.kind == "STRUCT":
        return pa.struct([pa.field(one.name, arrow_type(one.type)) for one in type_.fields])
    kinds: Mapping[str, Any] = {
        "INT64": pa.int64(),
        "FLOAT64": pa.float64(),
        "NUMERIC": pa.decimal128(38, 9),
        "BIGNUMERIC": pa.decimal128(38, 18),
        "BOOL": pa.bool_(),
        "BYTES": pa.binary(),
        "DATE": pa.date32(),
        "TIME": pa.time64("us"),
        "DATETIME": pa.timestamp("us"),
        "TIMESTAMP": pa.timestamp("us", "UTC"),
    }
    return kinds.get(type_.kind, pa.string())
