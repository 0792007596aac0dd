"""Endpoints, with the models deployed at them."""

from collections.abc import Iterator

from trivet.core.resources import DeployedModel, Endpoint, Location, Name, Page, Query


class Endpoints:
    """The part of a transaction that knows endpoints."""

    def endpoint(self, name: Name) -> Endpoint:
        """Return an endpoint with its deployed models; raises NotFound."""
        raise NotImplementedError

    def add_endpoint(self, one: Endpoint) -> Endpoint:
        """Add an endpoint; return it with its etag. Raises AlreadyExists."""
        raise NotImplementedError

    def put_endpoint(self, one: Endpoint) -> Endpoint:
        """Replace an endpoint and its deployed models; return it with a new etag.

        Raises NotFound; Aborted unless the etag is the stored one.
        """
        raise NotImplementedError

    def delete_endpoint(self, name: Name) -> None:
        """Delete an endpoint and its deployed models; raises NotFound."""
        raise NotImplementedError

    def endpoints(self, parent: Location, query: Query) -> Page[Endpoint]:
        """List endpoints, by default the newest first; raises InvalidArgument."""
        raise NotImplementedError

    def all_endpoints(self) -> Iterator[Endpoint]:
        """Give every endpoint that has deployed models, wherever it is, by name."""
        raise NotImplementedError

    def deployments_of(self, model: Name, version: str = "") -> list[tuple[Name, DeployedModel]]:
        """Return where a model, or one version by its number, is deployed: endpoints' names and deployments."""
        raise NotImplementedError

    def deployments_in(self, pool: Name, query: Query) -> Page[tuple[Name, DeployedModel]]:
        """List what is deployed in a pool, by default the newest first; raises InvalidArgument."""
        raise NotImplementedError
