"""Remote models: rows are sent to an endpoint as JSON, and a column says why one has no answer.

The requests of one call go out together, as many as the server takes. Rows that it had no time for get NULL
and `remote_model_status`; what is wrong with a row, or with all of them, fails the statement.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import Any
from urllib.parse import urlsplit

import msgspec
import numpy as np

from trivet.codecs.arrow_predictions import ArrowEncoder
from trivet.codecs.arrow_tensors import row_texts
from trivet.core.errors import DeadlineExceeded, FailedPrecondition, ServingError
from trivet.core.instances import Instances, Predictions, object_column
from trivet.serving.remote import PATIENCE, EndpointPredictor
from trivet.sql.columns import takes_arrays
from trivet.sql.model import STATUS, SqlModel
from trivet.sql.scored import output_of, told

_GOOGLE = ".googleapis.com"
_SCOPE = "https://www.googleapis.com/auth/cloud-platform"
_TOKEN_LASTS = 1800.0  # seconds; half of what it does


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where, and how, to ask."""

    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    timeout: float = 60.0
    concurrency: int = 16


class RemoteScored:
    """Predicts by asking an endpoint; may be called by several threads."""

    def __init__(self, model: SqlModel, *, safe: bool) -> None:
        assert model.remote is not None
        self._model = model
        self._remote = model.remote
        self._safe = safe
        self._outputs = [one for one in model.outputs if one.name != STATUS]
        self._encoder = ArrowEncoder([output_of(one) for one in self._outputs])
        self._json = [one.name for one in model.inputs if one.type.kind == "JSON"]
        self._as_array = takes_arrays(model.options)
        self._predictor: EndpointPredictor | None = None
        self._since = 0.0

    def __call__(self, arrays: Sequence[Any]) -> Any:
        """Return a struct of the outputs and the status for each row."""
        names = [one.name for one in self._model.inputs]
        texts = row_texts(names, arrays, self._json, as_array=self._as_array)
        instances = Instances({"instance": object_column([msgspec.Raw(one) for one in texts])}, len(texts))
        order = np.full(len(texts), -1)
        answers: list[Any] = []
        status: list[str | None] = [None] * len(texts)
        try:
            scored = self._asked().score(instances, self._model.parameters, partly=True)
            for start, stop, answer in scored:
                if isinstance(answer, ServingError):
                    status[start] = self._status(answer)
                    continue
                order[start:stop] = np.arange(len(answers), len(answers) + stop - start)
                answers += answer.columns["prediction"].tolist()
            return self._made(order, answers, status)
        except ServingError as error:
            raise told(self._model, error) from error.__cause__

    def interrupt(self) -> None:
        """Break off what is asked; what is asked later goes to the endpoint again."""
        predictor, self._predictor = self._predictor, None
        if predictor is not None:
            predictor.close()

    def close(self) -> None:
        """Ask nothing more."""
        self.interrupt()

    def _status(self, error: ServingError) -> str:
        """Return what the row says of an error; raises it where another time it would be the same."""
        if error.code.retriable or isinstance(error, DeadlineExceeded):
            name = error.code.name
            return f"A retryable error occurred: {name} error from remote service/endpoint. {error}"
        if not self._safe:
            raise error
        return f"{error.code.name}: {error}"

    def _made(self, order: Any, answers: Sequence[Any], status: Sequence[str | None]) -> Any:
        import pyarrow as pa

        predictions = Predictions({"prediction": object_column(answers)}, len(answers))
        structs = self._encoder.encode(predictions) if answers else self._encoder.empty(0)
        placed = structs.take(pa.array(order, mask=order < 0))
        columns = [*placed.flatten(), pa.array(status, pa.string())]
        return pa.StructArray.from_arrays(columns, [*(one.name for one in self._outputs), STATUS])

    def _asked(self) -> EndpointPredictor:
        """Return who asks; another one, with another token, where the token is old."""
        predictor, url = self._predictor, self._remote.endpoint
        google = (urlsplit(url).hostname or "").endswith(_GOOGLE)
        if predictor is None or (google and monotonic() - self._since > _TOKEN_LASTS):
            patience = PATIENCE if self._remote.retries else 0.0
            endpoint = Endpoint(url, _token() if google else {})
            self._since = monotonic()
            predictor = self._predictor = EndpointPredictor(endpoint, self._remote.rows, patience=patience)
        return predictor


def _token() -> Mapping[str, str]:
    """Return who asks Google's services: the application default credentials."""
    try:
        import google.auth
        from google.auth.exceptions import GoogleAuthError
        from google.auth.transport.requests import Request
    except ImportError:
        raise FailedPrecondition(
            "an endpoint of Google's needs their libraries to be asked: pip install 'trivet[google]'"
        ) from None
    try:
        credentials, _ = google.auth.default(scopes=[_SCOPE])
        credentials.refresh(Request())
    except GoogleAuthError as error:
        raise FailedPrecondition(f"an endpoint of Google's needs credentials: {error}") from None
    return {"Authorization": f"Bearer {credentials.token}"}
