"""A place to predict in: a bare DuckDB, models by name, and what planning asks of a connection."""

from contextlib import contextmanager

import duckdb

from trivet.core.errors import InvalidArgument, NotFound
from trivet.core.names import ModelRef
from trivet.runtimes.base import Permissions
from trivet.serving.leases import Leases
from trivet.serving.lifecycle import ModelSpec
from trivet.sql import columns
from trivet.sql.dialect import parse
from trivet.sql.functions import Functions
from trivet.sql.model import SqlModel
from trivet.sql.names import ObjectName
from trivet.sql.positions import at
from trivet.sql.predict import rewrite
from trivet.sql.types import Field, of_duckdb


class Place:
    """Holds models and runs statements; it is the `Scope` of each."""

    def __init__(self, permissions=None, isolate="auto"):
        self.connection = duckdb.connect()
        self.connection.execute("SET timezone='UTC'")
        self.leases = Leases(permissions or Permissions(pickle=True), isolate=isolate)
        self.functions = Functions(self.leases)
        self.models, self.specs, self.used = {}, {}, []

    def close(self):
        self.functions.close()
        self.leases.close()
        self.connection.close()

    def create(self, name, path, type_, version="1", framework="", **declared):
        """Do what CREATE MODEL does, but without a catalog."""
        spec = ModelSpec(ModelRef(name, version), path, framework)
        with self.leases.lease(spec) as loaded:
            inputs, outputs, parameters = columns.described(loaded, type_, columns.Declared(**declared))
        key = f"projects/p/locations/l/models/{name}@{version}"
        model = SqlModel(
            ObjectName("p", "ds", name), type_, inputs, outputs,
            model=key, parameters=parameters, options=declared.get("options", {}),
        )  # fmt: skip
        return self.add(model, spec)

    def add(self, model, spec=None):
        self.models[model.name.name.lower()] = model
        self.specs[model.name.name.lower()] = spec
        return model

    def model(self, name):
        if name.name.lower() not in self.models:
            raise NotFound(f"Not found: Model p:ds.{name.name}{at(name)}")
        return self.models[name.name.lower()]

    def describe(self, query):
        try:
            found = self.connection.sql(query.sql(dialect="duckdb"))
        except duckdb.Error as error:
            raise InvalidArgument(str(error)) from None
        return [Field(name, of_duckdb(kind)) for name, kind in zip(found.columns, found.types, strict=True)]

    def function(self, model, *, safe):
        spec = self.specs[model.name.name.lower()]
        name = self.functions.ensure(self.connection, model, lambda: spec, safe=safe)
        self.used.append(name)
        return name

    def plan(self, text):
        (tree,) = parse(text)
        return rewrite(tree, self).sql(dialect="duckdb")

    def run(self, text, connection=None):
        """Return the rows of a statement."""
        text = self.plan(text)
        try:
            return (connection or self.connection).execute(text).fetchall()
        except duckdb.Error as error:
            raised = self.functions.raised(error) or error
        raise raised

    def names(self, text):
        """Return the names and types of a statement's columns."""
        found = self.connection.sql(self.plan(text))
        return dict(zip(found.columns, map(str, found.types), strict=True))


@contextmanager
def place(**options):
    made = Place(**options)
    try:
        yield made
    finally:
        made.close()
