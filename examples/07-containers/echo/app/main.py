"""An application that answers with what it is asked."""

import os

from fastapi import FastAPI, Request

app = FastAPI()


@app.get(os.environ["AIP_HEALTH_ROUTE"], status_code=200)
def health():
    return {}


@app.post(os.environ["AIP_PREDICT_ROUTE"])
async def predict(request: Request):
    body = await request.json()
    return {"predictions": body["instances"]}
