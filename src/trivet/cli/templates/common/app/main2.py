"""Answers in detail. It is started in place of `main` where MODULE_NAME is `main2`."""

from app.model import Model
from app.web import application

app = application(Model().detail)
