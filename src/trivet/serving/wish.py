"""What a server is wished to serve: every deployed model, and every address with its traffic split.

A wish is whole: whoever applies one needs to know nothing of those before it. Making it so, from whatever
is served now, is the supervisor's (`trivet.app`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from trivet.serving.lifecycle import ModelSpec


@dataclass(frozen=True, slots=True)
class Address:
    """Where callers find deployed models.

    `names` are the forms under which it is called: `P/L/E` of an endpoint, or a plain name, which is found
    under any project and location. `split` gives shares of 100 by deployed model's id; an address with an
    empty split answers NOT_FOUND for lack of a model. `versions` are what `/v1/models/NAME/versions/V`
    finds, by version, also without traffic.
    """

    names: tuple[str, ...]
    split: Mapping[str, int]
    versions: Mapping[str, str] = field(default_factory=dict)
    flavour: str = "shared"  # shared, dedicated, private: see `protocols.vertex`


@dataclass(frozen=True, slots=True)
class Wish:
    """Everything to serve, as of a revision of the catalog. `models` are to be loaded, by their ids."""

    revision: int
    models: tuple[ModelSpec, ...] = ()
    addresses: tuple[Address, ...] = ()
