"""Answers with predictions alone."""

from app.model import Model
from app.web import application

app = application(Model().predict)
