"""The simple one of two applications in an image, in the layout of Google's samples."""

import os

from fastapi import FastAPI, Request

app = FastAPI()


@app.get(os.environ["AIP_HEALTH_ROUTE"])
def health():
    return {}


@app.post(os.environ["AIP_PREDICT_ROUTE"])
async def predict(request: Request):
    return {"predictions": (await request.json())["instances"]}


@app.get("/environment")
def environment():
    return dict(os.environ)
