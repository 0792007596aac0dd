"""The shards of a job: prepared, and run, wherever an engine has them done.

What a shard writes depends on nothing but the job and the shard: done twice, it is the same, byte for byte.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from trivet.codecs.json_body import prediction_texts
from trivet.codecs.json_lines import LineDecoder
from trivet.core.batch import Counts, Kind, RowFailure, Shard, ShardResult
from trivet.core.errors import FailedPrecondition, InvalidArgument, ServingError
from trivet.core.instances import Instances, Predictions
from trivet.core.predictor import Closing, Predictor, Traits
from trivet.core.signature import Parameters, Signature
from trivet.jobs.blobs import BlobShape
from trivet.jobs.engine import Reading
from trivet.jobs.rows import RowShape
from trivet.jobs.shape import Batch, Shape, Ways, refused
from trivet.jobs.values import ValueShape
from trivet.jobs.work import Prepared, Work
from trivet.serving import lifecycle
from trivet.serving.lifecycle import ModelSpec
from trivet.serving.replica import FAULTS
from trivet.serving.scoring import Scoring, score
from trivet.sinks import registry as sinks
from trivet.sinks.base import Failed, Results, Writer
from trivet.sources import registry as sources
from trivet.sources.base import Records

NATIVE_ROWS, OTHER_ROWS = 8192, 64
"""Instances that a model is asked about at once: a native library's, and one of Python code, as the managed
service does."""

_KEPT_FAILURES = 20
_MESSAGE = 1000  # characters of the message of one that are kept; the output has all of it
_FIRST = 2000  # bytes of the first instance that are kept

Report = Callable[[Reading], None]

_SHAPES: Mapping[Kind, Callable[[Ways], Shape]] = {
    "values": ValueShape,
    "rows": RowShape,
    "blobs": BlobShape,
}


@dataclass(frozen=True, slots=True)
class Scorer:
    """A model that is loaded for a job, and how its instances are made."""

    predictor: Predictor
    signature: Signature
    parameters: Parameters
    rows: int
    shape: Shape
    decoder: LineDecoder
    framework: str = ""

    def close(self) -> None:
        """Give the model up."""
        if isinstance(self.predictor, Closing):
            self.predictor.close()


class _Written:
    """A predictor that answers with what can be written; a value that cannot be costs its row alone."""

    def __init__(self, predictor: Predictor) -> None:
        self._predictor = predictor
        self.signature = predictor.signature
        self.traits = predictor.traits

    def predict(self, instances: Instances, parameters: Parameters) -> Predictions:
        """Predict, and write, for what that is good for."""
        predictions = self._predictor.predict(instances, parameters)
        if predictions.count == instances.count:
            prediction_texts(predictions)
        return predictions

    def close(self) -> None:
        """Give the model up."""
        if isinstance(self._predictor, Closing):
            self._predictor.close()


def load(work: Work) -> Scorer:
    """Load the model of a job, or make what asks its endpoint.

    Raises what `lifecycle.load` raises, and InvalidArgument for parameters that the model does not take.
    """
    source, sink = sources.get_source(work.source), sinks.get_sink(work.sink)
    predictor, signature, defaults, framework = _model(work)
    arrays_only = work.source == "csv" and not work.native
    ways = Ways(work.instances, signature, work.native, sink.tabular, arrays_only)
    return Scorer(
        predictor,
        signature,
        signature.resolve(work.parameters, defaults),
        work.batch_size or _rows(predictor.traits),
        _SHAPES[source.kind](ways),
        LineDecoder(signature),
        framework,
    )


def _model(work: Work) -> tuple[Predictor, Signature, Parameters, str]:
    if work.endpoint is not None:
        from trivet.serving.remote import EndpointPredictor

        asked = EndpointPredictor(work.endpoint, work.batch_size or OTHER_ROWS)
        return asked, asked.signature, {}, ""
    if work.model is None:
        raise FailedPrecondition(f"{work.job}: it has neither a model nor an endpoint")
    loaded = lifecycle.load(_with_rows(work.model, work.batch_size), work.permissions)
    predictor = loaded.predictor
    if not predictor.traits.native and not isinstance(predictor, Scoring):
        predictor = _Written(predictor)
    return predictor, loaded.info.signature, loaded.info.defaults, loaded.info.framework


def _with_rows(model: ModelSpec, rows: int) -> ModelSpec:
    """Return a model whose container, if it is one, gets so many instances in each request."""
    if model.container is None or not rows:
        return model
    return replace(model, container=replace(model.container, rows=rows))


def _rows(traits: Traits) -> int:
    return NATIVE_ROWS if traits.native else OTHER_ROWS


def prepare(work: Work, scorer: Scorer) -> tuple[Prepared, Sequence[Shard]]:
    """Plan the shards of a job, and look at its first records; nothing is written yet.

    Raises InvalidArgument or FailedPrecondition for what cannot come to any good.
    """
    source, sink = sources.get_source(work.source), sinks.get_sink(work.sink)
    work.instances.check(work.source, source.kind, native=work.native)
    sink.check(work.outputs)
    shards = tuple(source.plan(work.inputs))
    _check_apart(work, shards)
    columns: tuple[str, ...] = ()
    warnings: list[str] = []
    first = b""
    for shard in shards:
        records = next(iter(source.read(shard, work.inputs)), None)
        if records is None or not len(records.offsets):
            continue
        columns = getattr(records, "names", ())
        warnings += scorer.shape.check(shard.uri, records, shards)
        batch = scorer.shape.batch(shard.uri, records)
        if len(batch.sent):
            first = batch.sent[0]
            break
    details = shards[0].details if shards else {}
    return Prepared(
        warnings=tuple(warnings),
        first=first[:_FIRST].decode("utf-8", "backslashreplace"),
        columns=columns,
        schema=tuple(details.get("schema", ())),
        framework=scorer.framework,
    ), shards


def _check_apart(work: Work, shards: Sequence[Shard]) -> None:
    """Refuse to read the results of earlier jobs, as a folder has them that output goes to, too."""
    out = work.outputs.uri.rstrip("/")
    made = re.compile(re.escape(out) + r"/+prediction-[^/]+/prediction\.(results|errors_stats)-")
    if any(uri.startswith(f"{out}/") and "prediction" in uri[len(out) :] for uri in work.inputs.uris):
        return  # they are what is wanted
    for shard in shards:
        if made.match(shard.uri):
            raise FailedPrecondition(
                f"{shard.uri}: was written by an earlier job, since the output is within the input; put it "
                "elsewhere, or name the input's files by a wildcard that does not find it"
            )


def prepared(work: Work, found: Prepared) -> Work:
    """Return a job's work with what was found out before."""
    return replace(work, outputs=replace(work.outputs, columns=found.columns, schema=found.schema))


def run_shard(work: Work, shard: Shard, scorer: Scorer, report: Report) -> ShardResult:
    """Read, score and write a shard, and commit its parts.

    `report` is told how far it is after each batch. Raises FailedPrecondition where the source or the sink
    fails; then nothing of the shard is left.
    """
    source, sink = sources.get_source(work.source), sinks.get_sink(work.sink)
    writer = sink.open(work.outputs, shard.index)
    done = _Done(writer)
    try:
        size = 0
        for records in source.read(shard, work.inputs):
            for part in _answered(scorer, shard.uri, records):
                done.add(part)
            size += records.size
            report(Reading(shard.index, done.counts, size))
        parts = writer.commit()
    except BaseException:
        writer.abort()
        raise
    return ShardResult(shard.index, done.counts, tuple(done.failures), parts)


class _Done:
    """Writes what comes, and counts it."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self.counts = Counts()
        self.failures: list[RowFailure] = []

    def add(self, part: Results | list[Failed]) -> None:
        if isinstance(part, list):
            if part:
                self._writer.fail(part)
                self.counts += Counts(len(part), 0, len(part))
                wanted = _KEPT_FAILURES - len(self.failures)
                self.failures += [_short(one.failure) for one in part[:wanted]]
            return
        self._writer.write(part)
        count = part.predictions.count
        self.counts += Counts(count, count, 0)


def _short(failure: RowFailure) -> RowFailure:
    if len(failure.message) <= _MESSAGE:
        return failure
    return replace(failure, message=f"{failure.message[:_MESSAGE]}...")


def _answered(scorer: Scorer, uri: str, records: Records) -> Iterator[Results | list[Failed]]:
    """Yield, in order, what was answered of records, and then those that could not be, in order, too."""
    batch = scorer.shape.batch(uri, records)
    failed = list(batch.failed)
    if batch.instances is None:
        batch, refused = _fitting(scorer.decoder, batch)
        failed += refused
    for start, instances in _decoded(scorer.decoder, batch):
        for begin, end, answer in score(scorer.predictor, instances, scorer.parameters, scorer.rows):
            if isinstance(answer, Predictions):
                yield _results(batch, start + begin, start + end, answer)
            else:
                failed.append(_failed(batch, start + begin, answer))
    yield sorted(failed, key=lambda one: one.failure.offset)


def _fitting(decoder: LineDecoder, batch: Batch) -> tuple[Batch, list[Failed]]:
    """Return a batch of those that fit the signature, and why the others do not.

    Each is looked at once: halving would read the good ones again for each bad one among them.
    """
    try:
        return replace(batch, instances=decoder.decode(batch.sent)), []
    except FAULTS:
        refused = decoder.refused(batch.sent)
    good = [index for index in range(len(batch.offsets)) if index not in refused]
    kept = replace(
        batch,
        offsets=[batch.offsets[index] for index in good],
        sent=[batch.sent[index] for index in good],
        shown=None if batch.shown is None else [batch.shown[index] for index in good],
        keys=None if batch.keys is None else [batch.keys[index] for index in good],
    )
    return kept, [_failed(batch, index, InvalidArgument(why)) for index, why in refused.items()]


def _decoded(decoder: LineDecoder, batch: Batch) -> Iterator[tuple[int, Instances]]:
    """Yield, in order, from which row on there are instances that can be predicted together."""
    if batch.instances is not None:
        yield 0, batch.instances
        return
    if not batch.sent:
        return
    start = 0
    for instances in decoder.runs(batch.sent) if decoder.dynamic else (decoder.decode(batch.sent),):
        yield start, instances
        start += instances.count


def _results(batch: Batch, start: int, stop: int, predictions: Predictions) -> Results:
    if stop - start == len(batch.offsets):
        return Results(batch.uri, batch.offsets, batch.shown, batch.keys, predictions)
    return Results(
        batch.uri,
        batch.offsets[start:stop],
        None if batch.shown is None else batch.shown[start:stop],
        None if batch.keys is None else batch.keys[start:stop],
        predictions,
    )


def _failed(batch: Batch, index: int, error: ServingError) -> Failed:
    """Return a record that could not be answered; the text may not even be JSON."""
    shown = batch.sent if batch.shown is None else batch.shown
    failed = refused(batch.uri, batch.offsets[index], str(error), shown[index])
    failed.failure = replace(failed.failure, code=error.code.value)
    failed.key = None if batch.keys is None else batch.keys[index]
    return failed
