"""Asks an application without starting a server."""

from typing import Any

from flask import Flask


def healthy(app: Flask) -> bool:
    """Say whether the health route answers."""
    return app.test_client().get("/health").status_code == 200


def ask(app: Flask, body: str) -> tuple[int, Any]:
    """Post a body to the predict route, and return status and answer."""
    answer = app.test_client().post("/predict", data=body)
    return answer.status_code, answer.get_json()
