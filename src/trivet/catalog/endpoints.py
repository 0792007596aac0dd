"""Endpoints, with the models deployed at them."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Row, Text, and_, delete, exists, insert, literal, select

from trivet.catalog import tables
from trivet.catalog.listing import Field, Listed, page, under
from trivet.catalog.rows import Rows, check_etag, name_of, new_etag
from trivet.core.resources import DeployedModel, Endpoint, Location, Name, Page, Query

_KIND = "Endpoint"

_Key = tuple[str, str]  # parent and id of an endpoint


class Endpoints(Rows):
    """The part of a transaction that knows endpoints."""

    def endpoint(self, name: Name) -> Endpoint:
        """Return an endpoint with its deployed models; raises NotFound."""
        row = self._find(tables.endpoints, name, _KIND)
        return _endpoint(row, self._deployed(_at(name)))

    def add_endpoint(self, one: Endpoint) -> Endpoint:
        """Add an endpoint; return it with its etag. Raises AlreadyExists."""
        values = {**_values(one), "created": one.created, "updated": one.updated}
        self._add(tables.endpoints, one.name, _KIND, values)
        self._deploy(one)
        return self.endpoint(one.name)

    def put_endpoint(self, one: Endpoint) -> Endpoint:
        """Replace an endpoint and its deployed models; return it with a new etag.

        Raises NotFound; Aborted unless the etag is the stored one.
        """
        stored = self._find(tables.endpoints, one.name, _KIND)
        check_etag(_KIND, one.name, one.etag, stored.etag)
        self._put(tables.endpoints, one.name, {**_values(one), "updated": self._later(stored.updated)})
        self._deploy(one)
        return self.endpoint(one.name)

    def redeploy(self, one: Endpoint) -> Endpoint:
        """Replace what is deployed at an endpoint, and its traffic; return it. Raises NotFound.

        The etag stays as it is, and is not asked for: it stands for what a PATCH changes, and clients that
        have one go on using it after deployments. `one` is to be read in the same transaction.
        """
        stored = self._find(tables.endpoints, one.name, _KIND)
        changed = {"traffic": dict(one.traffic), "updated": self._later(stored.updated)}
        self._put(tables.endpoints, one.name, changed)
        self._deploy(one)
        return self.endpoint(one.name)

    def delete_endpoint(self, name: Name) -> None:
        """Delete an endpoint and its deployed models; raises NotFound."""
        self._delete(tables.endpoints, name, _KIND)

    def endpoints(self, parent: Location, query: Query) -> Page[Endpoint]:
        """List endpoints, by default the newest first; raises InvalidArgument.

        Filters and orders may speak of id, endpoint (the same), name, display_name, create_time and
        update_time; filters of labels, too.
        """
        table = tables.endpoints
        fields = under(parent, "endpoints", table.c.id) | {
            "endpoint": Field("text", table.c.id),
            "display_name": Field("text", table.c.display_name),
            "create_time": Field("time", table.c.created),
            "update_time": Field("time", table.c.updated),
            "labels": Field("labels", table.c.labels),
        }
        listed = Listed(f"endpoints of {parent}", table.c.parent == str(parent), fields)
        rows, token = self._page(table, listed, query)
        here = and_(
            tables.deployed.c.parent == str(parent), tables.deployed.c.endpoint.in_([row.id for row in rows])
        )
        deployed = self._deployed(here)
        return Page([_endpoint(row, deployed) for row in rows], token)

    def all_endpoints(self) -> Iterator[Endpoint]:
        """Give every endpoint that has deployed models, wherever it is, by name."""
        table, deployed = tables.endpoints, tables.deployed
        has = exists().where(deployed.c.parent == table.c.parent, deployed.c.endpoint == table.c.id)
        rows = self._connection.execute(select(table).where(has).order_by(table.c.parent, table.c.id)).all()
        at = self._deployed()
        return (_endpoint(row, at) for row in rows)

    def deployments_of(self, model: Name, version: str = "") -> list[tuple[Name, DeployedModel]]:
        """Return where a model, or one version by its number, is deployed, with the endpoints' names."""
        table = tables.deployed
        rows = select(table).where(table.c.model_parent == str(model.parent), table.c.model == model.id)
        if version := version or model.version:
            rows = rows.where(table.c.version == version)
        rows = rows.order_by(table.c.parent, table.c.endpoint, table.c.position)
        return [_deployment(row) for row in self._connection.execute(rows)]

    def deployments_in(self, pool: Name, query: Query) -> Page[tuple[Name, DeployedModel]]:
        """List what is deployed in a pool, by default the newest first; raises InvalidArgument.

        Filters and orders may speak of id, display_name, endpoint (a full name) and create_time.
        """
        table = tables.deployed
        fields = {
            "id": Field("text", table.c.id),
            "endpoint": Field("text", table.c.parent + literal("/endpoints/", Text) + table.c.endpoint),
            "display_name": Field("text", table.c.display_name),
            "create_time": Field("time", table.c.created),
        }
        key = ("create_time", "id", "endpoint")
        listed = Listed(f"deployments in {pool}", table.c.pool == str(pool), fields, key)
        rows, token = page(self._connection, select(table), listed, query)
        return Page([_deployment(row) for row in rows], token)

    def _deployed(self, where: ColumnElement[bool] | None = None) -> Mapping[_Key, Sequence[DeployedModel]]:
        table = tables.deployed
        rows = select(table).order_by(table.c.parent, table.c.endpoint, table.c.position)
        if where is not None:
            rows = rows.where(where)
        found = defaultdict(list)
        for row in self._connection.execute(rows):
            found[row.parent, row.endpoint].append(_deployment(row)[1])
        return found

    def _deploy(self, one: Endpoint) -> None:
        """Replace what is deployed at an endpoint."""
        self._connection.execute(delete(tables.deployed).where(_at(one.name)))
        key = {"parent": str(one.name.parent), "endpoint": one.name.id}
        rows = [{**key, "position": at, **_deployed_values(each)} for at, each in enumerate(one.deployed)]
        if rows:
            self._connection.execute(insert(tables.deployed), rows)


def _at(name: Name) -> ColumnElement[bool]:
    return and_(tables.deployed.c.parent == str(name.parent), tables.deployed.c.endpoint == name.id)


def _values(one: Endpoint) -> dict[str, Any]:
    return {
        "display_name": one.display_name,
        "labels": dict(one.labels),
        "document": dict(one.document),
        "traffic": dict(one.traffic),
        "etag": new_etag(),
    }


def _deployed_values(one: DeployedModel) -> dict[str, Any]:
    return {
        "id": one.id,
        "model_parent": str(one.model.parent),
        "model": one.model.id,
        "version": one.version,
        "display_name": one.display_name,
        "created": one.created,
        "document": dict(one.document),
        "pool": one.pool,
        "state": one.state,
    }


def _endpoint(row: Row[Any], deployed: Mapping[_Key, Sequence[DeployedModel]]) -> Endpoint:
    return Endpoint(
        name=name_of(row.parent, "endpoints", row.id),
        display_name=row.display_name,
        created=row.created,
        updated=row.updated,
        labels=row.labels,
        document=row.document,
        traffic=row.traffic,
        deployed=tuple(deployed.get((row.parent, row.id), ())),
        etag=row.etag,
    )


def _deployment(row: Row[Any]) -> tuple[Name, DeployedModel]:
    one = DeployedModel(
        id=row.id,
        model=name_of(row.model_parent, "models", row.model),
        version=row.version,
        display_name=row.display_name,
        created=row.created,
        document=row.document,
        pool=row.pool,
        state=row.state,
    )
    return name_of(row.parent, "endpoints", row.endpoint), one
