"""What all tests share: the zoo's models, trained once a session."""

import pytest

from trivet.cli import threads

threads.keep_to_one()  # as `trivet serve` does, before anything imports NumPy


@pytest.fixture(scope="session")
def zoo(tmp_path_factory):
    """Return a function from a case to the path of its trained model."""
    trained = {}

    def path_of(case):
        if case.name not in trained:
            trained[case.name] = case.train(tmp_path_factory.mktemp(case.name))
        return trained[case.name]

    return path_of
