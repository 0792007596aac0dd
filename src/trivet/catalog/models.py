"""Models: numbered versions, with aliases that move between them."""

from trivet.core.resources import Location, ModelVersion, Name, Page, Query


class Models:
    """The part of a transaction that knows models."""

    def version(self, name: Name, ref: str = "") -> ModelVersion:
        """Return a version by its number or alias (of `ref`, else of the name), by default the default one.

        Raises NotFound.
        """
        raise NotImplementedError

    def versions(self, name: Name) -> list[ModelVersion]:
        """Return all versions, the newest last; raises NotFound."""
        raise NotImplementedError

    def add_version(self, one: ModelVersion) -> ModelVersion:
        """Add a version, and the model with its first; return it with its number, aliases and etag.

        Numbers are not used twice. Aliases leave the versions that had them. The first version is the default.
        """
        raise NotImplementedError

    def put_version(self, one: ModelVersion) -> ModelVersion:
        """Replace a version; return it with a new etag. Aliases leave the versions that had them.

        Raises NotFound; Aborted unless the etag is the stored one; FailedPrecondition if it would lose `default`.
        """
        raise NotImplementedError

    def delete_version(self, name: Name, version: str) -> None:
        """Delete a version; raises NotFound, or FailedPrecondition if it is the default or the only one."""
        raise NotImplementedError

    def delete_model(self, name: Name) -> None:
        """Delete a model with all versions; raises NotFound."""
        raise NotImplementedError

    def models(self, parent: Location, query: Query) -> Page[ModelVersion]:
        """List the default version of each model, by default the newest model first; raises InvalidArgument."""
        raise NotImplementedError
