"""Asks an application without starting a server."""

from typing import Any

from fastapi import FastAPI
from fastapi.testclient import TestClient


def healthy(app: FastAPI) -> bool:
    """Say whether the health route answers."""
    return TestClient(app).get("/health").status_code == 200


def ask(app: FastAPI, body: str) -> tuple[int, Any]:
    """Post a body to the predict route, and return status and answer."""
    answer = TestClient(app).post("/predict", content=body)
    return answer.status_code, answer.json()
