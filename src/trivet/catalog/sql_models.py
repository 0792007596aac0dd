"""The names that models have in the datasets of SQL."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, and_, delete, func, insert, or_, select, update

from trivet.catalog import tables
from trivet.catalog.rows import SQL, Rows, new_etag
from trivet.core.errors import Aborted, AlreadyExists, NotFound
from trivet.core.resources import DatasetModel, Location, Name

_table = tables.sql_models


class SqlModels(Rows):
    """The part of a transaction that knows the names of models in datasets. One that has expired is gone.

    Errors are worded as BigQuery's are.
    """

    def sql_model(self, project: str, dataset: str, id_: str) -> DatasetModel:
        """Return what a name stands for; raises NotFound."""
        where = and_(_named(project, dataset, id_), self._valid())
        row = self._connection.execute(select(_table).where(where)).first()
        if row is None:
            raise NotFound(f"Not found: Model {project}:{dataset}.{id_}")
        return _model(row)

    def add_sql_model(self, one: DatasetModel) -> DatasetModel:
        """Add a name; return it with its etag. Raises AlreadyExists."""
        named = _named(one.project, one.dataset, one.id)
        if self._connection.execute(select(_table.c.id).where(named, self._valid())).first() is not None:
            raise AlreadyExists(f"Already Exists: Model {one}")
        self._connection.execute(delete(_table).where(named))  # where it has expired
        key = {"project": one.project, "dataset": one.dataset, "id": one.id}
        times = {"created": one.created, "updated": one.updated}
        self._connection.execute(insert(_table).values(**key, **times, **_values(one)))
        return self._changed(one)

    def put_sql_model(self, one: DatasetModel) -> DatasetModel:
        """Replace what a name stands for; return it with a new etag.

        Raises NotFound; Aborted unless the etag is the stored one.
        """
        stored = self.sql_model(one.project, one.dataset, one.id)
        if one.etag != stored.etag:
            raise Aborted(
                f"Model {one} has been changed by somebody else: its etag is {stored.etag!r}, not "
                f"{one.etag!r}; get it again and repeat the change"
            )
        values = {**_values(one), "updated": self._later(stored.updated)}
        named = _named(one.project, one.dataset, one.id)
        self._connection.execute(update(_table).where(named).values(**values))
        return self._changed(one)

    def delete_sql_model(self, project: str, dataset: str, id_: str) -> None:
        """Delete a name, but not what it stands for, whether or not it has expired; raises NotFound."""
        gone = self._connection.execute(delete(_table).where(_named(project, dataset, id_)))
        if gone.rowcount == 0:
            raise NotFound(f"Not found: Model {project}:{dataset}.{id_}")
        self._bump(SQL)

    def sql_models(self, project: str, dataset: str = "") -> list[DatasetModel]:
        """Return the names in a dataset, or in all of a project, in alphabetical order."""
        within = _table.c.project == project
        if dataset:
            within = and_(within, _table.c.dataset == dataset)
        return self._listed(within, self._valid())

    def sql_models_of(self, model: Name) -> list[DatasetModel]:
        """Return the names, wherever they are, of one version of a model, or of all where it has none."""
        of = and_(_table.c.model_parent == str(model.parent), _table.c.model == model.id)
        if model.version:
            of = and_(of, _table.c.version == model.version)
        return self._listed(of, self._valid())

    def expired_sql_models(self) -> list[DatasetModel]:
        """Return the names that are to be deleted, since they have expired."""
        return self._listed(_table.c.expires <= self._now())

    def next_sql_expiry(self) -> datetime | None:
        """Return when the next name expires, as far as is known now."""
        expires = _table.c.expires
        found: datetime | None = self._connection.scalars(
            select(func.min(expires)).where(expires > self._now())
        ).one()
        return found

    def sql_revision(self) -> int:
        """Return a number that is another after each change of a name, and of a model that names may mean."""
        return self._count(SQL)

    def _valid(self) -> ColumnElement[bool]:
        return or_(_table.c.expires.is_(None), _table.c.expires > self._now())

    def _listed(self, *where: ColumnElement[bool]) -> list[DatasetModel]:
        rows = select(_table).where(*where).order_by(_table.c.project, _table.c.dataset, _table.c.id)
        return [_model(row) for row in self._connection.execute(rows)]

    def _changed(self, one: DatasetModel) -> DatasetModel:
        """Return what is stored now, though it may have expired already."""
        self._bump(SQL)
        named = _named(one.project, one.dataset, one.id)
        return _model(self._connection.execute(select(_table).where(named)).one())


def _named(project: str, dataset: str, id_: str) -> ColumnElement[bool]:
    return and_(_table.c.project == project, _table.c.dataset == dataset, _table.c.id == id_)


def _values(one: DatasetModel) -> dict[str, Any]:
    stands_for: Sequence[str] = ("", "", "")
    if one.model is not None:
        stands_for = (str(one.model.parent), one.model.id, one.model.version)
    return {
        **dict(zip(("model_parent", "model", "version"), stands_for, strict=True)),
        "expires": one.expires,
        "document": dict(one.document),
        "etag": new_etag(),
    }


def _model(row: Row[Any]) -> DatasetModel:
    model = None
    if row.model:
        model = Location.parse(row.model_parent).child("models", row.model).at(row.version)
    return DatasetModel(
        project=row.project,
        dataset=row.dataset,
        id=row.id,
        created=row.created,
        updated=row.updated,
        model=model,
        expires=row.expires,
        document=row.document,
        etag=row.etag,
    )
