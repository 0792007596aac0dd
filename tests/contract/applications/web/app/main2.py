"""The detailed one, chosen by MODULE_NAME."""

import os

from fastapi import FastAPI, Request

app = FastAPI()


@app.get(os.environ["AIP_HEALTH_ROUTE"])
def health():
    return {}


@app.post(os.environ["AIP_PREDICT_ROUTE"])
async def predict(request: Request):
    instances = (await request.json())["instances"]
    return {"predictions": [{"given": one, "kind": type(one).__name__} for one in instances]}
