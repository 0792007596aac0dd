"""Both applications keep the contract."""

import pytest

from app import main, main2
from tests.client import ask, healthy


@pytest.mark.parametrize("app", [main.app, main2.app])
def test_it_is_healthy(app):
    assert healthy(app)


def test_there_is_a_prediction_for_each_instance():
    assert ask(main.app, '{"instances": [[1, 2], {"a": 3.5}]}') == (200, {"predictions": [3, 3.5]})


def test_main2_answers_in_detail():
    expected = {"predictions": [{"prediction": 3, "count": 2}]}
    assert ask(main2.app, '{"instances": [[1, 2]]}') == (200, expected)


def test_what_is_wrong_is_named():
    status, answer = ask(main.app, '{"instances": [[1, 2], "three"]}')
    assert (status, answer["detail"]) == (400, "instances[1]: expected a list of numbers")


@pytest.mark.parametrize("body", ["", "no JSON", "[]", '{"instances": 1}'])
def test_what_is_no_request_is_refused(body):
    assert ask(main.app, body)[0] == 400
