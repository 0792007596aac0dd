import sys

import pytest

from trivet.core.errors import FailedPrecondition
from trivet.engines.ray import _how
from trivet.engines.registry import open_engine


def test_where_ray_is_missing_the_command_that_installs_it_is_said(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(FailedPrecondition, match=r"pip install 'trivet\[ray\]'"):
        open_engine("ray", 1)


def test_of_what_ray_says_about_a_lost_actor_the_reason_is_told():
    told = (
        "The actor died unexpectedly before finishing this task.\n\tclass_name: Actor\n"
        "The actor is dead because its worker process has died. Worker exit type: SYSTEM_ERROR Worker exit "
        "detail: Worker unexpectedly exits with a connection error code 2. End of file. Some common causes"
    )
    assert _how(RuntimeError(told)) == (
        "was lost (SYSTEM_ERROR: Worker unexpectedly exits with a connection error code 2; "
        "was there too little memory?)"
    )
    assert _how(ValueError("first\n\n  ModuleNotFoundError: No module named 'trivet'\n")) == (
        "was lost (ValueError: ModuleNotFoundError: No module named 'trivet')"
    )
