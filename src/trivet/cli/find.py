"""Finds the models, endpoints and deployed models that people name.

A model or an endpoint is named by its id, or by its display name where only one has that: what is uploaded
with Google's SDK has a number for an id. A deployed model is named by its model, as `fraud@2`, or by its id.
"""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches

from trivet.cli.control import Control, Json
from trivet.cli.deployed import called
from trivet.core.errors import InvalidArgument, NotFound
from trivet.core.resources import Name

_HINTS_FROM = 1000
"""Resources among which a name is looked for that is nearly right: one page."""


def model(control: Control, text: str) -> Json:
    """Return a version of a model; raises NotFound, with the name that is nearest."""
    plain, _, version = text.partition("@")
    try:
        return control.get(str(control.name("models", text)))
    except (NotFound, InvalidArgument) as error:  # a display name may be anything
        known = _resources(control, "models", plain)
        same = [one for one in known if plain in (_id(one), one["displayName"])]
        if not same:
            raise _unknown("model", plain, known, "`trivet model ls` shows what there is") from None
        if version and any(_id(one) == plain for one in same):
            has = _versions(control, same[0])
            raise NotFound(f"{plain} has no version or alias {version}; it has {has}") from error
        found = Name.parse(_one("models", plain, same)["name"])
        return control.get(str(found.at(version)))


def endpoint(control: Control, text: str) -> Json:
    """Return an endpoint; raises NotFound, with the name that is nearest."""
    try:
        return control.get(str(control.name("endpoints", text)))
    except (NotFound, InvalidArgument):
        known = _resources(control, "endpoints", text)
        same = [one for one in known if one["displayName"] == text]
        if not same:
            create = f"create it with `trivet endpoint create {text}`"
            raise _unknown("endpoint", text, known, create) from None
        return _one("endpoints", text, same)


def deployed(control: Control, at: Json, text: str) -> Json:
    """Return a deployed model of an endpoint; raises NotFound, or InvalidArgument where several are meant."""
    there = at.get("deployedModels", [])
    found = [one for one in there if text in (one["id"], called(one))] or _of_model(control, there, text)
    if len(found) == 1:
        return found[0]
    refs = [called(one) for one in there]
    if not found:
        has = f"it has {', '.join(refs)}" if refs else "nothing is deployed there"
        raise NotFound(f"{_id(at)} has no deployed model {text}{_nearest(text, refs)}; {has}")
    ways = ", ".join(called(one) if refs.count(called(one)) == 1 else one["id"] for one in found)
    raise InvalidArgument(f"{text} stands for {len(found)} deployed models of {_id(at)}: name one of {ways}")


def _of_model(control: Control, there: Sequence[Json], text: str) -> list[Json]:
    """Return those of a model, of any version or of one that is given by number or alias."""
    if text.startswith("projects/"):
        full = Name.parse(text, "models")
        plain, version = full.id, full.version
    else:
        plain, _, version = text.partition("@")
    found = [one for one in there if plain in (Name.parse(one["model"]).id, one["displayName"])]
    if version and found:
        name = Name.parse(found[0]["model"])
        try:
            version = control.get(str(name.at(version)))["versionId"]
        except NotFound:
            return []
        found = [one for one in found if one["modelVersionId"] == version]
    return found


def _resources(control: Control, collection: str, text: str) -> list[Json]:
    """Return those that could be meant: of one that is named in full, others of its project."""
    home = control.found.home
    parent = control.name(collection, text).parent if text.startswith("projects/") else home
    key = f"{parent}/{collection}"
    return list(control.get(key, pageSize=_HINTS_FROM).get(collection, []))


def _one(collection: str, text: str, found: Sequence[Json]) -> Json:
    if len(found) == 1:
        return found[0]
    ids = ", ".join(_id(one) for one in found)
    raise InvalidArgument(f"{len(found)} {collection} have the display name {text}: say which, by id: {ids}")


def _unknown(kind: str, text: str, known: Iterable[Json], what_to_do: str) -> NotFound:
    near = _nearest(text, [name for one in known for name in (_id(one), one["displayName"])])
    return NotFound(f"there is no {kind} {text}{near or f'; {what_to_do}'}")


def _versions(control: Control, one: Json) -> str:
    name = Name.parse(one["name"]).at("")
    versions = control.listed(f"{name}:listVersions")
    return ", ".join(word for one in versions for word in (one["versionId"], *one.get("versionAliases", [])))


def _nearest(text: str, names: Sequence[str]) -> str:
    near = get_close_matches(text, names, n=1, cutoff=0.6)
    return f"; did you mean {near[0]}?" if near else ""


def _id(one: Json) -> str:
    return Name.parse(one["name"]).id
