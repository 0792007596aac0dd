"""Answers with the probabilities of each row."""

import os

from catboost import CatBoostClassifier
from fastapi import FastAPI, Request
from google.cloud import storage

app = FastAPI()

bucket, _, prefix = os.environ["AIP_STORAGE_URI"].removeprefix("gs://").partition("/")
storage.Client().bucket(bucket).blob(f"{prefix}/model.cbm").download_to_filename("model.cbm")
model = CatBoostClassifier().load_model("model.cbm")


@app.get(os.environ["AIP_HEALTH_ROUTE"], status_code=200)
def health():
    return {}


@app.post(os.environ["AIP_PREDICT_ROUTE"])
async def predict(request: Request):
    body = await request.json()
    return {"predictions": model.predict_proba(body["instances"]).tolist()}
