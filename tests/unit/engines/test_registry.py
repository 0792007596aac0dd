"""Engines are found by their names."""

import pytest

from trivet.core.errors import InvalidArgument
from trivet.engines import registry


def test_the_engines_that_there_are():
    assert set(registry.names()) >= {"embedded", "ray"}
    assert registry.DEFAULT in registry.names()


@pytest.mark.parametrize("name", ["rya", "registry", "..", "worker"])
def test_an_unknown_one_is_refused(name):
    with pytest.raises(InvalidArgument, match="unknown engine"):
        registry.open_engine(name)
