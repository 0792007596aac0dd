"""Both applications keep the contract."""

import pytest

from app import main, main2
from tests.client import ask, healthy


@pytest.mark.parametrize("app", [main.app, main2.app])
def test_it_is_healthy(app):
    assert healthy(app)


def test_there_is_a_prediction_for_each_instance():
    status, answer = ask(main.app, '{"instances": [[2, 0, 0], {"a": 0, "b": 0, "c": 2}]}')
    assert status == 200
    assert [round(scores[1]) for scores in answer["predictions"]] == [1, 0]


def test_main2_answers_in_detail():
    status, answer = ask(main2.app, '{"instances": [[2, 0, 0]]}')
    assert status == 200
    (prediction,) = answer["predictions"]
    assert prediction["classes"] == ["False", "True"]
    assert prediction["predicted_class"] == "True"
    assert sum(prediction["scores"]) == pytest.approx(1)


def test_what_is_wrong_is_named():
    status, answer = ask(main.app, '{"instances": [[2, 0, 0], [2, 0]]}')
    assert (status, answer["detail"]) == (400, "instances[1]: expected a list or an object of a, b, c")


@pytest.mark.parametrize("body", ["", "no JSON", "[]", '{"instances": 1}'])
def test_what_is_no_request_is_refused(body):
    assert ask(main.app, body)[0] == 400
