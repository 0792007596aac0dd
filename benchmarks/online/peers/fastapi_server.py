"""FastAPI as its tutorial teaches: a pydantic model for the body, `def` or `async def` for the route."""

import common
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel

model = common.load()
app = FastAPI()


class Body(BaseModel):
    instances: list[list[float]]


if common.VARIANT == "async":

    @app.post("/predict")
    async def predict(body: Body):
        return {"predictions": model(body.instances)}

else:

    @app.post("/predict")
    def predict(body: Body):
        return {"predictions": model(body.instances)}


if __name__ == "__main__":
    uvicorn.run(
        app,
        host="127.0.0.1",
        port=common.PORT,
        loop="uvloop",
        http="httptools",
        log_level="error",
        access_log=False,
    )
