"""The contract of a prediction container, in Flask: a health route, a predict route, JSON in and out."""

import os
from collections.abc import Callable
from typing import Any

from flask import Flask, request
from werkzeug.exceptions import HTTPException

Predict = Callable[[list[Any], dict[str, Any]], list[Any]]
Answer = tuple[dict[str, Any], int]


def application(predict: Predict) -> Flask:
    """Return what answers by `predict(instances, parameters)`.

    `predict` is called in threads, several at once. It is healthy as soon as it listens, so load the model
    before.
    """
    app = Flask(__name__)

    @app.get(os.environ.get("AIP_HEALTH_ROUTE") or "/health")
    def health() -> dict[str, Any]:
        return {}

    @app.post(os.environ.get("AIP_PREDICT_ROUTE") or "/predict")
    def predictions() -> Answer:
        body = request.get_json(force=True)  # whatever its Content-Type says
        if not isinstance(body, dict) or not isinstance(body.get("instances"), list):
            return refusal('expected {"instances": [...]}')
        try:
            return {"predictions": predict(body["instances"], body.get("parameters") or {})}, 200
        except ValueError as error:
            return refusal(str(error))

    @app.errorhandler(HTTPException)
    def refused(error: HTTPException) -> Answer:
        return {"detail": error.description}, error.code or 500

    return app


def refusal(detail: str) -> Answer:
    """Tell the caller what to mend."""
    return {"detail": detail}, 400
