"""A place for SQL in a temporary folder, with files of models, and what a connection would add to it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb

from tests.zoo import cases
from trivet.app.sql import Place, place
from trivet.control.plane import ControlPlane
from trivet.core.errors import InvalidArgument, NotFound
from trivet.core.resources import ModelVersion, Name, Query
from trivet.settings import Artifacts, Settings
from trivet.sql import dialect, model_statements
from trivet.sql.model import SqlModel
from trivet.sql.names import DatasetName, ObjectName, dataset_name
from trivet.sql.result import Done, Planned
from trivet.storage.targets import Target, target

DS = DatasetName("local", "ds")


def trained(name: str, folder: Path) -> Path:
    """Train a model of the zoo in a new folder below; return what to import."""
    into = folder / name
    into.mkdir()
    return next(case for case in cases() if case.name == name).train(into)


@dataclass
class World:
    """A place, and the surroundings of the statements that are run in it."""

    place: Place
    folder: Path | None
    datasets: set[str] = field(default_factory=lambda: {"ds", "other"})
    tables: set[str] = field(default_factory=lambda: {"local:ds.t"})

    def name(self, table: Any) -> ObjectName:
        parts = [one.name for one in table.parts]
        if len(parts) == 1:
            raise InvalidArgument(f"model {parts[0]!r}: no dataset")
        return dataset_name(parts[-3] if len(parts) == 3 else "local", parts[-2]).child(parts[-1])

    def require_dataset(self, name: DatasetName) -> None:
        if name.dataset not in self.datasets:
            raise NotFound(f"Not found: Dataset {name}")

    def has_table(self, name: ObjectName) -> bool:
        return str(name) in self.tables

    def value(self, expression: Any) -> Any:
        return duckdb.sql(f"SELECT {expression.sql('duckdb')}").fetchall()[0][0]

    def exports(self, uri: str) -> Target:
        return target(uri)

    # what tests ask

    def run(self, text: str) -> Done:
        (tree,) = dialect.parse(text)
        assert model_statements.is_about_models(tree)
        return model_statements.run(tree, self.place.models, self)

    def plan(self, text: str) -> Planned:
        (tree,) = dialect.parse(text)
        return model_statements.planned(tree, self.place.models, self)

    def find(self, name: str) -> SqlModel:
        return self.place.models.named(name.split("."), "local")

    @property
    def control(self) -> ControlPlane:
        return self.place.control

    def registered(self) -> list[str]:
        """Return the ids of the registered models."""
        return sorted(one.name.id for one in self.control.models(self.location, Query()).items)

    def versions(self, id_: str) -> Sequence[ModelVersion]:
        return self.control.versions(self.location.child("models", id_), Query()).items

    def stored(self) -> int:
        """Return how many artifacts the store has."""
        return len(list((self.place.data / "artifacts").iterdir()))

    @property
    def location(self) -> Any:
        return Name.parse("projects/local/locations/us-central1/models/m", "models").parent


def opened(folder: Path, **settings: Any) -> World:
    """Open a place below a folder, where relative paths lead to `folder`."""
    settings = {"artifacts": Artifacts(allow_pickle=True)} | settings
    return World(place(Settings(**settings), folder / "data", isolate="never"), folder)
