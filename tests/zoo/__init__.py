"""Real models of every framework, trained on scikit-learn's bundled data, and what they answer.

One file per framework, each with `CASES`. The contract tests, the HTTP grid and the fuzz tests run over
all of them.
"""

from importlib import import_module
from pkgutil import iter_modules

from tests.zoo.base import Case


def cases() -> list[Case]:
    found = []
    for info in iter_modules(__path__):
        if info.name != "base":
            found += import_module(f"{__name__}.{info.name}").CASES
    return found
