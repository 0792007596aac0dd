"""What DuckDB itself may open, where statements may only reach some folders.

Paths in statements are looked at where they are read. This is for what gets past that, as what DuckDB's own
dialect can say in many ways: DuckDB opens nothing else then, and no statement can change it.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trivet.sql.quoting import text

if TYPE_CHECKING:
    from trivet.sql.database import Place

STORES = ("gs", "s3")
"""The schemes of object stores."""

_BESIDE = ("", ".wal", ".wal.checkpoint", ".wal.recovery")
"""How the names of what DuckDB writes for a database end."""


def fence(root: Any, place: "Place") -> None:
    """Let DuckDB open the files of projects, and what is in the folders that statements may reach."""
    if place.folders is None:
        return
    folders = [
        str(Path(str(one)).resolve()) for one in (*place.folders, *place.buckets.values(), place.folder)
    ]
    files = [f"{file.resolve()}{ending}" for file in place.files.values() for ending in _BESIDE]
    with_stores = list(_stores(root))
    root.execute(f"SET allowed_paths = {_listed(files)}")
    root.execute(f"SET allowed_directories = {_listed([*folders, *(f'{one}://' for one in with_stores)])}")
    root.execute("SET enable_external_access = false")
    for scheme in with_stores:
        root.unregister_filesystem(scheme)


def _stores(root: Any) -> Iterator[str]:
    """Have DuckDB know the schemes of object stores, without which it takes their URIs for paths."""
    try:
        from fsspec import AbstractFileSystem
    except ImportError:
        return
    for scheme in STORES:
        stands_for: Any = AbstractFileSystem(skip_instance_cache=True)
        stands_for.protocol = scheme
        root.register_filesystem(stands_for)
        yield scheme


def _listed(values: list[str]) -> str:
    return f"[{', '.join(map(text, values))}]"
