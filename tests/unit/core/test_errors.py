import pickle

import pytest

from trivet.core import errors
from trivet.core.errors import Code, Internal, ResourceExhausted, ServingError, model_error

KINDS = ServingError.__subclasses__()


@pytest.mark.parametrize("kind", KINDS)
def test_errors_survive_a_process_boundary(kind):
    error = pickle.loads(pickle.dumps(kind("what, which, what to do")))
    assert type(error) is kind
    assert str(error) == "what, which, what to do"


def test_the_time_to_retry_survives_too():
    error = pickle.loads(pickle.dumps(ResourceExhausted("full", retry_after=2.5)))
    assert (str(error), error.retry_after) == ("full", 2.5)


def test_every_code_has_one_class():
    assert sorted(kind.code.value for kind in KINDS) == sorted(code.value for code in Code)


def test_only_what_may_succeed_later_is_retriable():
    retriable = {code for code in Code if code.retriable}
    assert retriable == {Code.UNAVAILABLE, Code.RESOURCE_EXHAUSTED, Code.ABORTED}


def test_an_exception_of_the_model_is_internal_with_its_type_and_message():
    error = model_error(ZeroDivisionError("by zero"))
    assert isinstance(error, Internal)
    assert str(error) == "the model failed: ZeroDivisionError: by zero"
    raised = errors.InvalidArgument("mine")
    assert model_error(raised) is raised
