"""What all tests share: the zoo's models, trained once a session."""

import signal
from contextlib import suppress

import pytest

from trivet.cli import threads

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as a shell has it for what it runs in the background
    signal.signal(signal.SIGINT, signal.default_int_handler)

threads.keep_to_one()  # as `trivet serve` does, before anything imports NumPy

with suppress(ModuleNotFoundError):  # the environment of an older SDK has none
    from hypothesis import settings

    settings.register_profile("trivet", deadline=None)  # a busy machine is no defect
    settings.load_profile("trivet")

_without_podman = {}


@pytest.fixture(scope="session")
def podman(tmp_path_factory):
    """Return the engine podman, with images to build on and a store of its own; skips without it."""
    from tests.contract import images
    from trivet.containers.podman import ENGINE

    if lacking := ENGINE.lacks():
        _without_podman[lacking] = True
        pytest.skip(f"WITHOUT PODMAN: {lacking}")
    images.own_store(ENGINE)
    images.stand_in(ENGINE, tmp_path_factory.mktemp("image"))
    return ENGINE


def pytest_terminal_summary(terminalreporter):
    """Say it loudly where containers were not tested."""
    for lacking in _without_podman:
        skipped = sum(
            "WITHOUT PODMAN" in str(one.longrepr) for one in terminalreporter.stats.get("skipped", ())
        )
        terminalreporter.section("CONTAINERS WERE NOT TESTED WITH PODMAN", sep="!", red=True, bold=True)
        terminalreporter.write_line(f"{skipped} tests were left out: {lacking}")


@pytest.fixture(scope="session")
def zoo(tmp_path_factory):
    """Return a function from a case to the path of its trained model."""
    trained = {}

    def path_of(case):
        if case.name not in trained:
            trained[case.name] = case.train(tmp_path_factory.mktemp(case.name))
        return trained[case.name]

    return path_of


@pytest.fixture(scope="session")
def saved_model(tmp_path_factory):
    """Return a function from what makes a SavedModel (`tests.saved_models`) to its path, made once a session.

    The autoencoder has three: `saved_model(saved_models.autoencoder) / "final"`.
    """
    made = {}

    def path_of(make):
        if make.__name__ not in made:
            made[make.__name__] = make(tmp_path_factory.mktemp(make.__name__) / "model")
        return made[make.__name__]

    return path_of
