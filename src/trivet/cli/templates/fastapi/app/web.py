"""The contract of a prediction container, in FastAPI: a health route, a predict route, JSON in and out."""

import json
import os
from collections.abc import Callable
from typing import Annotated, Any

from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.responses import JSONResponse

Predict = Callable[[list[Any], dict[str, Any]], list[Any]]


def application(predict: Predict) -> FastAPI:
    """Return what answers by `predict(instances, parameters)`.

    `predict` is called in threads, several at once. It is healthy as soon as it listens, so load the model
    before.
    """
    app = FastAPI()

    @app.get(os.environ.get("AIP_HEALTH_ROUTE") or "/health")
    async def health() -> JSONResponse:
        return JSONResponse({})

    @app.post(os.environ.get("AIP_PREDICT_ROUTE") or "/predict")
    def predictions(body: Annotated[Any, Depends(asked)]) -> JSONResponse:
        try:
            found = predict(body["instances"], body.get("parameters") or {})
        except ValueError as error:
            raise HTTPException(400, str(error)) from None
        return JSONResponse({"predictions": found})

    return app


async def asked(request: Request) -> Any:
    """Return the body of a request, which is JSON whatever its Content-Type says."""
    try:
        body = json.loads(await request.body())
    except ValueError:
        raise HTTPException(400, "the body is not JSON") from None
    if not isinstance(body, dict) or not isinstance(body.get("instances"), list):
        raise HTTPException(400, 'expected {"instances": [...]}')
    return body
