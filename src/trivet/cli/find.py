"""Finds the models, endpoints and deployed models that people name.

A model or an endpoint is named by its id, or by its display name where only one has that: what is uploaded
with Google's SDK has a number for an id. A deployed model is named by its model, as `fraud@2`, or by its id.
"""

from collections.abc import Sequence
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
    if (one := _by_id(control, "models", text)) is not None:
        return one
    if version and (one := _by_id(control, "models", plain)) is not None:
        raise NotFound(f"{plain} has no version or alias {version}; it has {_versions(control, one)}")
    found = _by_display_name(control, "models", plain)
    if found is None:
        raise _unknown(control, "models", plain, "`trivet model ls` shows what there is")
    name = Name.parse(found["name"])
    return control.get(str(name.at(version)))


def endpoint(control: Control, text: str) -> Json:
    """Return an endpoint; raises NotFound, with the name that is nearest."""
    one = _by_id(control, "endpoints", text) or _by_display_name(control, "endpoints", text)
    if one is None:
        raise _unknown(control, "endpoints", text, f"create it with `trivet endpoint create {text}`")
    return one


def deployed(control: Control, at: Json, text: str) -> Json:
    """Return a deployed model of an endpoint; raises NotFound, or InvalidArgument where several are meant."""
    there = at.get("deployedModels", [])
    found = [one for one in there if text in (one["id"], called(one))] or _of_model(control, there, text)
    if len(found) == 1:
        return found[0]
    refs = [called(one) for one in there]
    if not found:
        has = f"; it has {', '.join(dict.fromkeys(refs))}" if refs else "; nothing is deployed there"
        near = _nearest(text, refs)
        told = near if near and len(set(refs)) == 1 else f"{has}{near}"
        raise NotFound(f"{_id(at)} has no deployed model {text}{told}")
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


def _by_id(control: Control, collection: str, text: str) -> Json | None:
    try:
        return control.get(str(control.name(collection, text)))
    except NotFound:
        return None
    except InvalidArgument:
        if text.startswith("projects/"):
            raise
        return None  # a display name may be anything


def _by_display_name(control: Control, collection: str, text: str) -> Json | None:
    quoted = text.replace("\\", "\\\\").replace('"', '\\"')
    listed = control.listed(_parent(control, collection, text), filter=f'display_name="{quoted}"')
    found = list(listed)
    if len(found) > 1:
        ids = ", ".join(_id(one) for one in found)
        raise InvalidArgument(
            f"{len(found)} {collection} have the display name {text}: say which, by id: {ids}"
        )
    return found[0] if found else None


def _parent(control: Control, collection: str, text: str) -> str:
    """Return the list that a name is in: of one that is written in full, that of its project."""
    full = text.startswith("projects/")
    return f"{control.name(collection, text).parent if full else control.found.home}/{collection}"


def _unknown(control: Control, collection: str, text: str, what_to_do: str) -> NotFound:
    page = control.get(_parent(control, collection, text), pageSize=_HINTS_FROM)
    names = [name for one in page.get(collection, []) for name in (_id(one), one["displayName"])]
    near = _nearest(text, names)
    return NotFound(f"there is no {collection[:-1]} {text}{near or f'; {what_to_do}'}")


def _versions(control: Control, one: Json) -> str:
    name = Name.parse(one["name"]).at("")
    versions = control.listed(f"{name}:listVersions")
    return ", ".join(word for one in versions for word in (one["versionId"], *one.get("versionAliases", [])))


def _nearest(text: str, names: Sequence[str]) -> str:
    near = get_close_matches(text, names, n=1, cutoff=0.6)
    return f"; did you mean {near[0]}?" if near else ""


def _id(one: Json) -> str:
    return Name.parse(one["name"]).id
