"""The container: FastAPI as its tutorial teaches, over uvicorn with uvloop and httptools."""

import sys

import uvicorn
from common import Model
from fastapi import FastAPI
from pydantic import BaseModel

model = Model(sys.argv[2])
app = FastAPI()


class Body(BaseModel):
    instances: list[list[float]]


@app.get("/health")
def health() -> dict[str, str]:
    return {}


@app.post("/predict")
def predict(body: Body) -> dict[str, list[float]]:
    return {"predictions": model(body.instances).tolist()}


if __name__ == "__main__":
    uvicorn.run(
        app,
        host="127.0.0.1",
        port=int(sys.argv[1]),
        loop="uvloop",
        http="httptools",
        log_level="error",
        access_log=False,
    )
