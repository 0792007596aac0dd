"""Endpoints: addresses with a traffic split. What is deployed at them is `deployments`'."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from trivet.control.fields import check_id, display_name, labels, masked, merged, text
from trivet.control.operations import Begun, Operations
from trivet.control.options import duration
from trivet.control.settings import ControlSettings
from trivet.control.wishes import flavour
from trivet.core.errors import FailedPrecondition, InvalidArgument
from trivet.core.resources import Document, Endpoint, Location, Name, Operation, Page, Query
from trivet.core.traffic import active, check

if TYPE_CHECKING:
    from trivet.catalog import Catalog, Transaction

_KEPT_ELSEWHERE = (
    "name",
    "displayName",
    "labels",
    "etag",
    "createTime",
    "updateTime",
    "deployedModels",
    "trafficSplit",
    "dedicatedEndpointDns",
    "modelDeploymentMonitoringJob",
)
_MUTABLE = (
    "displayName",
    "description",
    "labels",
    "trafficSplit",
    "predictRequestResponseLoggingConfig",
    "clientConnectionConfig",
    "privateServiceConnectConfig.projectAllowlist",
)
_SERVED = ("trafficSplit", "clientConnectionConfig")
"""Fields that the wish depends on."""


@dataclass(frozen=True, slots=True)
class Endpoints:
    """The calls that concern endpoints."""

    catalog: "Catalog"
    operations: Operations
    settings: ControlSettings

    def create(self, parent: Location, document: Document, *, endpoint_id: str, api: str) -> Operation:
        """Create an endpoint."""
        shown = display_name(document, "endpoint")
        _check(document)
        if document.get("trafficSplit"):
            raise InvalidArgument("endpoint.trafficSplit: nothing is deployed yet that could get traffic")
        if endpoint_id:
            check_id(endpoint_id, "endpointId")
        now = datetime.now(UTC)
        with self.catalog.transaction() as tx:
            endpoint = Endpoint(
                name=parent.child("endpoints", endpoint_id or tx.new_id()),
                display_name=shown,
                created=now,
                updated=now,
                labels=labels(document, "endpoint"),
                document={key: value for key, value in document.items() if key not in _KEPT_ELSEWHERE},
            )
            name = tx.add_endpoint(endpoint).name
            return self.operations.begin(tx, Begun("createEndpoint", name, api, response={"name": str(name)}))

    def get(self, name: Name) -> Endpoint:
        """Return an endpoint as callers see it."""
        with self.catalog.reading() as tx:
            return self._shown(tx.endpoint(name))

    def page(self, parent: Location, query: Query) -> Page[Endpoint]:
        """Return endpoints as callers see them."""
        with self.catalog.reading() as tx:
            page = tx.endpoints(parent, query)
        return Page([self._shown(one) for one in page.items], page.next_page_token)

    def update(self, name: Name, changes: Mapping[str, Any], mask: Sequence[str]) -> tuple[Endpoint, int]:
        """Change an endpoint; return it, and the revision that serves it so."""
        with self.catalog.transaction() as tx:
            endpoint, revision = self._update(tx, name, changes, mask)
        if revision:
            self.operations.nudge()
        return self._shown(endpoint), revision

    def update_later(
        self, name: Name, changes: Mapping[str, Any], mask: Sequence[str], *, api: str
    ) -> Operation:
        """Change an endpoint, and return an operation that is done when it is served so."""
        with self.catalog.transaction() as tx:
            _, revision = self._update(tx, name, changes, mask)
            operation = self.operations.begin(
                tx, Begun("updateEndpoint", name, api, revision=revision, response={"name": str(name)})
            )
        self.operations.nudge()
        return operation

    def _update(
        self, tx: "Transaction", name: Name, changes: Mapping[str, Any], mask: Sequence[str]
    ) -> tuple[Endpoint, int]:
        old = tx.endpoint(name)
        paths = masked(changes, mask, _MUTABLE, "endpoint")
        document = merged(
            old.document, changes, [p for p in paths if p.partition(".")[0] not in _KEPT_ELSEWHERE]
        )
        new = replace(old, document=document, etag=changes.get("etag") or old.etag)
        if "displayName" in paths:
            new = replace(new, display_name=display_name(changes, "endpoint"))
        if any(path.partition(".")[0] == "labels" for path in paths):
            told = merged({"labels": old.labels}, changes, [p for p in paths if p.startswith("labels")])
            new = replace(new, labels=labels(told, "endpoint"))
        if any(path.partition(".")[0] == "trafficSplit" for path in paths):
            told = merged(
                {"trafficSplit": old.traffic}, changes, [p for p in paths if p.startswith("traffic")]
            )
            new = replace(new, traffic=self._split(old, told.get("trafficSplit") or {}))
        _check(document)
        served = any(path.partition(".")[0] in _SERVED for path in paths) and bool(old.deployed)
        if new == old:  # perhaps asked again by somebody who was not told that it is served
            return old, tx.revision() if served else 0
        return tx.put_endpoint(new), tx.bump() if served else 0

    def _split(self, endpoint: Endpoint, split: Mapping[str, int]) -> dict[str, int]:
        ready = [one.id for one in endpoint.deployed if one.state == "READY"]
        checked = check(split, ready)
        if endpoint.document.get("network") and active(checked) != active(endpoint.traffic):
            raise FailedPrecondition(f"{endpoint.name} is a private endpoint: it has no traffic split")
        return checked

    def delete(self, name: Name, *, force: bool, api: str) -> Operation:
        """Delete an endpoint, with what is deployed at it if that is forced."""
        with self.catalog.transaction() as tx:
            endpoint = tx.endpoint(name)
            if endpoint.deployed and not force:
                ids = ", ".join(f'"{one.id}"' for one in endpoint.deployed)
                raise FailedPrecondition(
                    f'Endpoint "{name}" has deployed or being deployed Model(s) with ids: {ids}. '
                    "Undeploy them first, or delete the endpoint by force"
                )
            tx.delete_endpoint(name)
            operation = self.operations.begin(
                tx,
                Begun(
                    "deleteEndpoint", name, api, revision=tx.bump() if endpoint.deployed else 0, response={}
                ),
            )
        self.operations.nudge()
        return operation

    def _shown(self, endpoint: Endpoint) -> Endpoint:
        """Leave out what is being deployed, and say where a dedicated endpoint is found now."""
        document = dict(endpoint.document)
        private = document.get("network") or document.get("privateServiceConnectConfig")
        if not private and flavour(document, self.settings) == "dedicated":
            document["dedicatedEndpointEnabled"] = True
            if self.settings.dedicated_dns:
                document["dedicatedEndpointDns"] = self.settings.dedicated_dns
        ready = tuple(one for one in endpoint.deployed if one.state == "READY")
        return replace(endpoint, document=document, deployed=ready)


def _check(document: Document) -> None:
    """Raise InvalidArgument where the fields of an endpoint do not go together."""
    text(document, "description", "endpoint")
    kinds = ("network", "privateServiceConnectConfig", "dedicatedEndpointEnabled")
    given = [kind for kind in kinds if document.get(kind)]
    if len(given) > 1:
        raise InvalidArgument(
            f"endpoint: expected at most one of {', '.join(kinds)}; got {' and '.join(given)}"
        )
    connection = document.get("clientConnectionConfig") or {}
    if not isinstance(connection, Mapping):
        raise InvalidArgument(f"endpoint.clientConnectionConfig: expected an object; got {connection!r}")
    if timeout := connection.get("inferenceTimeout"):
        where = "endpoint.clientConnectionConfig.inferenceTimeout"
        if duration(timeout, where) > 3600:
            raise InvalidArgument(f'{where}: expected at most an hour, "3600s"; got {timeout!r}')
