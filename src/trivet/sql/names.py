"""Names of what a dataset holds: tables, views and models, of one namespace."""

import re
from dataclasses import dataclass

from trivet.core.errors import InvalidArgument

_DATASET = re.compile(r"[A-Za-z0-9_]{1,1024}")
_NAME = re.compile(r"[^\x00-\x1f`\"'\\/.]{1,1024}")


@dataclass(frozen=True, slots=True, order=True)
class DatasetName:
    """`project.dataset`."""

    project: str
    dataset: str

    def __str__(self) -> str:
        return f"{self.project}:{self.dataset}"

    def child(self, name: str) -> "ObjectName":
        """Return the name of something in it; raises InvalidArgument for what cannot be one."""
        if not _NAME.fullmatch(name):
            raise InvalidArgument(f"name {name!r}: expected letters, digits, dashes and underscores")
        return ObjectName(self.project, self.dataset, name)


@dataclass(frozen=True, slots=True, order=True)
class ObjectName:
    """The full name of a table, view or model. `str()` is as BigQuery's messages have it, `p:ds.m`.

    A model that is in no dataset, since it was registered otherwise, has an empty one: `p:fraud@champion`.
    """

    project: str
    dataset: str
    name: str

    def __str__(self) -> str:
        return f"{self.project}:{self.dataset}.{self.name}" if self.dataset else f"{self.project}:{self.name}"

    @property
    def parent(self) -> DatasetName:
        """The dataset that it is in."""
        return DatasetName(self.project, self.dataset)


def dataset_name(project: str, dataset: str) -> DatasetName:
    """Return the name of a dataset; raises InvalidArgument for what cannot be one."""
    if not _DATASET.fullmatch(dataset):
        raise InvalidArgument(f"dataset {dataset!r}: expected letters, digits and underscores")
    return DatasetName(project, dataset)
