"""What a server is wished to serve: every deployed model, and every address with its traffic split.

A wish is whole: whoever applies one needs to know nothing of those before it. Making it so, from whatever
is served now, is the supervisor's (`trivet.app`).
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

from trivet.serving.lifecycle import ModelSpec


@dataclass(frozen=True, slots=True)
class Address:
    """Where callers find deployed models.

    `names` are the forms under which it is called: `P/L/E` of an endpoint, or a plain name, which
    `/v1/models/NAME` finds, and any project and location if it is found `anywhere`. `split` gives shares of
    100 by deployed model's id; an address with an empty split answers NOT_FOUND for lack of a model.
    `versions` are what `/v1/models/NAME/versions/V` finds, by version, also without traffic.
    """

    names: tuple[str, ...]
    split: Mapping[str, int]
    versions: Mapping[str, str] = field(default_factory=dict)
    flavour: str = "shared"  # shared, dedicated, private: see `protocols.vertex`
    anywhere: bool = True  # as all that settings name is; endpoints of a catalog have projects of their own
    lost: bool = False  # whether all that has a share could not be loaded: UNAVAILABLE in place of NOT_FOUND

    def only(self, ids: Collection[str]) -> "Address":
        """Return the same without the models that are not among `ids`; the others take their share."""
        versions = {version: id_ for version, id_ in self.versions.items() if id_ in ids}
        split = {id_: share for id_, share in self.split.items() if id_ in ids}
        total = sum(split.values())
        if not total:
            return replace(self, split={}, versions=versions, lost=any(self.split.values()))
        if total != 100:
            split = {id_: share * 100 // total for id_, share in split.items()}
            split[max(split, key=split.__getitem__)] += 100 - sum(split.values())
        return replace(self, split=split, versions=versions)


@dataclass(frozen=True, slots=True)
class Wish:
    """Everything to serve, as of a revision of the catalog. `models` are to be loaded, by their ids."""

    revision: int
    models: tuple[ModelSpec, ...] = ()
    addresses: tuple[Address, ...] = ()

    def of_addresses(self) -> "Wish":
        """Return the same without models that no address leads to: those that are still to be deployed."""
        ids = {id_ for one in self.addresses for id_ in (*one.split, *one.versions.values())}
        return replace(self, models=tuple(spec for spec in self.models if spec.id in ids))
