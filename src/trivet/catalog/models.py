"""Models: numbered versions, with aliases that move between them."""

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import asdict
from typing import Any

from sqlalchemy import ColumnElement, Row, Text, and_, cast, delete, func, insert, or_, select, update

from trivet.catalog import tables
from trivet.catalog.listing import Field, Listed, page, under
from trivet.catalog.rows import SQL, Rows, check_etag, missing, name_of, named, new_etag
from trivet.core.errors import FailedPrecondition
from trivet.core.resources import Artifact, Image, Location, ModelVersion, Name, Page, Query

DEFAULT = "default"

_KIND = "Model"

_Key = tuple[str, int]  # id of a model, and number of a version


class Models(Rows):
    """The part of a transaction that knows models. Aliases are given in alphabetical order."""

    def version(self, name: Name, ref: str = "") -> ModelVersion:
        """Return a version by its number or alias (of `ref`, else of the name), by default the default one.

        Raises NotFound.
        """
        ref = ref or name.version
        row = self._connection.execute(select(tables.versions).where(_of(name), _called(name, ref))).first()
        if row is None:
            raise missing(_KIND, name.at(ref))
        return _version(row, self._aliases(_of(name, tables.aliases)))

    def versions(self, name: Name) -> list[ModelVersion]:
        """Return all versions, the newest last; raises NotFound."""
        rows = self._connection.execute(
            select(tables.versions).where(_of(name)).order_by(tables.versions.c.version)
        ).all()
        if not rows:
            raise missing(_KIND, name.at(""))
        aliases = self._aliases(_of(name, tables.aliases))
        return [_version(row, aliases) for row in rows]

    def add_version(self, one: ModelVersion) -> ModelVersion:
        """Add a version, and the model with its first; return it with its number, aliases and etag.

        Numbers are not used twice; one that is asked for is given if it is higher. Aliases leave the versions
        that had them. The first is the default.
        """
        models = tables.models
        last = self._connection.scalars(select(models.c.last).where(named(models, one.name))).one_or_none()
        number = max((last or 0) + 1, int(one.version or 0))
        key = {"parent": str(one.name.parent), "model": one.name.id}
        if last is None:
            values = {"parent": key["parent"], "id": key["model"], "last": number}
            self._connection.execute(insert(models).values(values))
            model_created = one.created
        else:
            self._put(models, one.name, {"last": number})
            model_created = self.version(one.name, DEFAULT).model_created
        times = {"created": one.created, "updated": one.updated, "model_created": model_created}
        self._connection.execute(
            insert(tables.versions).values(**key, version=number, is_default=0, **times, **_values(one))
        )
        self._name(one.name, number, {*one.aliases, *([DEFAULT] if last is None else [])})
        self._bump(SQL)
        return self.version(one.name, str(number))

    def put_version(self, one: ModelVersion) -> ModelVersion:
        """Replace a version; return it with a new etag. Aliases leave the versions that had them.

        Raises NotFound; Aborted unless the etag is the stored one; FailedPrecondition if it would lose the
        alias `default`.
        """
        stored = self.version(one.name, one.version)
        name, number = one.name.at(stored.version), int(stored.version)
        check_etag(_KIND, name, one.etag, stored.etag)
        _keep_default(stored, one.aliases)
        values = {**_values(one), "updated": self._later(stored.updated)}
        self._connection.execute(
            update(tables.versions).where(_of(one.name), _numbered(number)).values(values)
        )
        self._name(one.name, number, set(one.aliases))
        self._bump(SQL)
        return self.version(one.name, stored.version)

    def name_version(self, name: Name, version: str, aliases: Collection[str]) -> ModelVersion:
        """Give a version exactly these aliases, which leave the versions that had them; return it.

        No etag changes, since it stands for what a PATCH can change. Raises NotFound; FailedPrecondition if
        the version would lose the alias `default`.
        """
        stored = self.version(name, version)
        _keep_default(stored, aliases)
        number = int(stored.version)
        changed = {"updated": self._later(stored.updated)}
        self._connection.execute(update(tables.versions).where(_of(name), _numbered(number)).values(changed))
        self._name(name, number, set(aliases))
        self._bump(SQL)
        return self.version(name, stored.version)

    def delete_version(self, name: Name, version: str) -> None:
        """Delete a version; raises NotFound, or FailedPrecondition if it is the default or the only one."""
        stored = self.version(name, version)
        full = name.at(stored.version)
        count = self._connection.scalars(select(func.count()).select_from(tables.versions).where(_of(name)))
        if count.one() == 1:
            raise FailedPrecondition(f"Model {full} is the only version; delete the model instead.")
        if DEFAULT in stored.aliases:
            raise FailedPrecondition(
                f"Model {full} holds the alias default; give it to another version before deleting this one."
            )
        self._connection.execute(delete(tables.versions).where(_of(name), _numbered(int(stored.version))))
        self._bump(SQL)

    def delete_model(self, name: Name) -> None:
        """Delete a model with all versions; raises NotFound."""
        self._delete(tables.models, name.at(""), _KIND)
        self._bump(SQL)

    def models(self, parent: Location, query: Query) -> Page[ModelVersion]:
        """List the default version of each model, by default the newest model first; raises InvalidArgument.

        Filters and orders may speak of id, model (the same), name, display_name, create_time (of the model)
        and update_time (of the version); filters of labels, too.
        """
        table = tables.versions
        fields = under(parent, "models", table.c.model) | {
            "model": Field("text", table.c.model),
            "display_name": Field("text", table.c.display_name),
            "create_time": Field("time", table.c.model_created),
            "update_time": Field("time", table.c.updated),
            "labels": Field("labels", table.c.labels),
        }
        where = and_(table.c.parent == str(parent), tables.is_default)
        rows, token = page(
            self._connection, select(table), Listed(f"models of {parent}", where, fields), query
        )
        ids = [row.model for row in rows]
        aliases = self._aliases(and_(tables.aliases.c.parent == str(parent), tables.aliases.c.model.in_(ids)))
        return Page([_version(row, aliases) for row in rows], token)

    def deployed_versions(self) -> Mapping[Name, ModelVersion]:
        """Return every version that is deployed anywhere, by its full name; without aliases but `default`."""
        table, deployed = tables.versions, tables.deployed
        joined = select(table).join(
            deployed,
            and_(
                deployed.c.model_parent == table.c.parent,
                deployed.c.model == table.c.model,
                deployed.c.version == cast(table.c.version, Text),
            ),
        )
        found = [_version(row, {}) for row in self._connection.execute(joined)]
        return {one.name.at(one.version): one for one in found}

    def frameworks(self) -> list[str]:
        """Return the frameworks of all versions, in alphabetical order; versions without one do not count."""
        table = tables.versions
        rows = self._connection.scalars(select(table.c.framework).distinct().order_by(table.c.framework))
        return [framework for framework in rows if framework]

    def artifact_is_used(self, key: str) -> bool:
        """Return whether a version has the artifact of this key, as its model or as its container."""
        table = tables.versions
        its = or_(table.c.artifact_key == key, and_(table.c.image_key == key, table.c.image_key != ""))
        return self._connection.execute(select(table.c.model).where(its)).first() is not None

    def _aliases(self, where: ColumnElement[bool]) -> Mapping[_Key, list[str]]:
        found = defaultdict(list)
        table = tables.aliases
        for row in self._connection.execute(select(table).where(where).order_by(table.c.alias)):
            found[row.model, row.version].append(row.alias)
        return found

    def _name(self, name: Name, number: int, aliases: Collection[str]) -> None:
        """Give a version exactly these aliases, and touch those that lose one."""
        table, versions = tables.aliases, tables.versions
        named_so = select(table.c.version).where(_of(name, table), table.c.alias.in_(aliases))
        loses: ColumnElement[bool] = versions.c.version.in_(named_so)
        if DEFAULT in aliases:
            loses = or_(loses, tables.is_default)
        losers = select(versions.c.version, versions.c.updated).where(
            _of(name), versions.c.version != number, loses
        )
        for row in self._connection.execute(losers).all():
            changes: dict[str, Any] = {"updated": self._later(row.updated)}
            if DEFAULT in aliases:
                changes["is_default"] = 0
            self._connection.execute(
                update(versions).where(_of(name), _numbered(row.version)).values(changes)
            )
        self._connection.execute(
            delete(table).where(_of(name, table), or_(table.c.alias.in_(aliases), table.c.version == number))
        )
        key = {"parent": str(name.parent), "model": name.id, "version": number}
        if rows := [{**key, "alias": alias} for alias in sorted(aliases) if alias != DEFAULT]:
            self._connection.execute(insert(table), rows)
        if DEFAULT in aliases:
            self._connection.execute(
                update(versions).where(_of(name), _numbered(number)).values(is_default=1)
            )


def _keep_default(stored: ModelVersion, aliases: Collection[str]) -> None:
    if DEFAULT in stored.aliases and DEFAULT not in aliases:
        full = stored.name.at(stored.version)
        raise FailedPrecondition(f"Model {full} holds the alias default; give it to another version.")


def _of(name: Name, table: Any = tables.versions) -> ColumnElement[bool]:
    return and_(table.c.parent == str(name.parent), table.c.model == name.id)


def _numbered(number: int) -> ColumnElement[bool]:
    return tables.versions.c.version == number


def _called(name: Name, ref: str) -> ColumnElement[bool]:
    """Return what is true of the version of a model that a number or alias means."""
    if ref in ("", DEFAULT):
        return tables.is_default
    if ref.isascii() and ref.isdigit() and len(ref) < 19:
        # 007 is an alias that nothing has, rather than another spelling of 7.
        return _numbered(int(ref) if str(int(ref)) == ref else 0)
    table = tables.aliases
    aliased = select(table.c.version).where(_of(name, table), table.c.alias == ref)
    return tables.versions.c.version == aliased.scalar_subquery()


def _values(one: ModelVersion) -> dict[str, Any]:
    return {
        "display_name": one.display_name,
        "labels": dict(one.labels),
        "document": dict(one.document),
        "artifact_key": "" if one.artifact is None else one.artifact.key,
        "artifact": None if one.artifact is None else asdict(one.artifact),
        "framework": one.framework,
        "etag": new_etag(),
        "image_key": one.image.folder.key if one.image and one.image.folder else "",
        "image": None if one.image is None else asdict(one.image),
    }


def _version(row: Row[Any], aliases: Mapping[_Key, list[str]]) -> ModelVersion:
    names = aliases.get((row.model, row.version), []) + ([DEFAULT] if row.is_default else [])
    return ModelVersion(
        name=name_of(row.parent, "models", row.model),
        version=str(row.version),
        display_name=row.display_name,
        created=row.created,
        updated=row.updated,
        model_created=row.model_created,
        labels=row.labels,
        aliases=tuple(sorted(names)),
        document=row.document,
        artifact=None if row.artifact is None else Artifact(**row.artifact),
        framework=row.framework,
        etag=row.etag,
        image=None if row.image is None else _image(row.image),
    )


def _image(fields: Mapping[str, Any]) -> Image:
    folder = fields["folder"]
    return Image(**{**fields, "folder": None if folder is None else Artifact(**folder)})
