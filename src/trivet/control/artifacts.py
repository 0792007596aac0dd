"""The artifact store: immutable copies of models' files, each under the digest of what it holds.

Equal content is stored once, whoever brings it. A copy is made in a temporary folder and renamed when it is
whole and on the disk, so that a crash leaves only temporaries, which `clean` removes. Who still needs what
is the catalog's to know.
"""

from collections.abc import Callable, Collection, Mapping
from pathlib import Path

from trivet import storage
from trivet.control import artifact_files as files
from trivet.core.errors import FailedPrecondition, InvalidArgument, NotFound, ServingError
from trivet.core.resources import Artifact

BESIDE = ("signature.json",)
"""What belongs to a model file where it is in the same folder."""

_SMALL = 64 << 20
"""Bytes of an artifact that is read whole before it is first given out."""

CACHE = Path("~/.cache/trivet/artifacts")


class ArtifactStore:
    """A store in a local folder, or at a URI (gs://, s3://) with `cache` as local folder for what is used.

    `buckets` are local folders by the buckets that they stand for, and `folders` those that models may
    come from (any where None). May be used from several threads and processes at once.
    """

    def __init__(
        self,
        root: str | Path,
        buckets: Mapping[str, str] | None = None,
        *,
        cache: Path = CACHE,
        folders: Collection[str | Path] | None = None,
    ) -> None:
        self._buckets = buckets or {}
        self._folders = folders
        self._remote = ""
        local, _ = storage.locate(str(root), self._buckets)
        if local is None:
            self._remote = str(root).rstrip("/")
            local = cache
        self._root = local.expanduser().absolute()
        self._sound: set[str] = set()  # the keys of what this process has looked at
        files.make(self._root)

    def __repr__(self) -> str:
        return f"<ArtifactStore {self._remote or self._root}>"

    def add(
        self,
        source: str,
        progress: files.Progress | None = None,
        known: Callable[[str], object] | None = None,
    ) -> Artifact:
        """Copy a file, or all files of a folder, and return what was copied.

        Takes a path or a URI of scheme file, gs or s3. `progress` is told the bytes copied and those there
        are, and `known` the key before anything is kept under it; a ServingError that one of them raises ends
        the copy. Raises InvalidArgument for another scheme and for
        names that are refused, NotFound where nothing is there, and FailedPrecondition for what cannot be
        read or is no plain file, for links that lead out of the folder, and where the disk is too full.
        """
        found = storage.source(source, self._buckets, self._folders, BESIDE)
        return self._add(found, source, progress, known)

    def has(self, source: str, names: Collection[str]) -> bool:
        """Whether a source is a local folder with a file of one of these names. Raises as `add` does."""
        path, _ = storage.locate(source, self._buckets)
        return path is not None and any((path / name).is_file() for name in names)

    def add_application(
        self,
        source: str,
        progress: files.Progress | None = None,
        known: Callable[[str], object] | None = None,
    ) -> Artifact:
        """Copy the folder of an application, as `add` does, but for what its `.dockerignore` names."""
        found = storage.source(source, self._buckets, self._folders, ignores=".dockerignore")
        return self._add(found, source, progress, known)

    def _add(
        self,
        found: storage.Source,
        source: str,
        progress: files.Progress | None,
        known: Callable[[str], object] | None,
    ) -> Artifact:
        artifact = self._take(found, source, progress=progress, known=known)
        if self._remote:
            self._upload(artifact)
        return artifact

    def link(self, path: str | Path) -> Artifact:
        """Return an artifact that is the files themselves, where they are; its digest is of names, sizes and
        times of change, since reading them all would take long.

        Raises NotFound and FailedPrecondition as `add` does.
        """
        whole = Path(path).absolute()
        digest, size = files.outline(storage.LocalFiles(whole, str(path), beside=BESIDE))
        return Artifact(key=str(whole), source=str(path), digest=digest, size=size, linked=True)

    def path(self, artifact: Artifact) -> Path:
        """Return the local folder with an artifact's files (for a link, the file or folder itself).

        Fetches it first if the store is remote and this is the first use here. Before it gives something out
        for the first time it looks whether that is whole: reads all of it up to 64 MiB, and compares the size
        of more. Raises FailedPrecondition where it is gone or damaged.
        """
        if artifact.linked:
            if not Path(artifact.key).exists():
                raise FailedPrecondition(f"{artifact.source}: the model's files are gone; upload it again")
            return Path(artifact.key)
        folder = self._folder(artifact)
        if folder.is_dir():
            if artifact.key in self._sound or _is_sound(artifact, folder):
                self._sound.add(artifact.key)
                return folder
            if not self._remote:
                raise _damaged(artifact)
            files.discard(folder)
        try:
            if self._remote:
                there = storage.RemoteFiles(f"{self._remote}/{artifact.key}")
                self._take(there, artifact.source, artifact.digest)
                return folder
        except NotFound:
            pass
        raise FailedPrecondition(
            f"{artifact.source}: its copy is gone from {self._remote or self._root}; upload it again"
        )

    def verify(self, artifact: Artifact) -> None:
        """Read everything and compare; raises FailedPrecondition where it is not what was added."""
        path = self.path(artifact)
        if artifact.linked:
            digest, _ = files.outline(storage.LocalFiles(path, artifact.source, beside=BESIDE))
        else:
            digest = files.digest(storage.LocalFiles(path, artifact.source))
        if digest != artifact.digest:
            raise _damaged(artifact)

    def remove(self, artifact: Artifact) -> None:
        """Delete a copy, if there is one; the caller knows that nobody uses it.

        Whoever adds equal content at the same time may find it gone: so this belongs into a transaction of
        the catalog in which no version has this key, and who adds a version asks `path` in one.
        """
        if artifact.linked:
            return
        if self._remote:
            storage.RemoteFiles(f"{self._remote}/{artifact.key}").remove()
        self._sound.discard(artifact.key)
        files.discard(self._folder(artifact))

    def clean(self) -> None:
        """Remove what interrupted copies and removals have left; those going on are let be."""
        files.clean(self._root)

    def _folder(self, artifact: Artifact) -> Path:
        if not files.is_key(artifact.key):
            raise InvalidArgument(f"{artifact.source}: {artifact.key!r} is not the key of an artifact")
        return self._root / artifact.key

    def _take(
        self,
        found: storage.Source,
        source: str,
        expected: str = "",
        progress: files.Progress | None = None,
        known: Callable[[str], object] | None = None,
    ) -> Artifact:
        with files.incoming(self._root) as folder:
            size = files.copy(found, folder, source, progress)
            digest = files.digest(storage.LocalFiles(folder, source))
            if expected and digest != expected:
                raise FailedPrecondition(
                    f"{source}: its copy at {self._remote} is damaged; delete it there and upload it again"
                )
            if known:
                known(digest)
            files.settle(folder, self._root / digest)
        self._sound.add(digest)
        return Artifact(key=digest, source=source, digest=digest, size=size)

    def _upload(self, artifact: Artifact) -> None:
        """Put a copy into the remote store; what is there of it may be damaged."""
        there = storage.RemoteFiles(f"{self._remote}/{artifact.key}")
        folder = self._folder(artifact)
        for file in storage.LocalFiles(folder, artifact.source).files():
            there.put(folder / file.name, file.name)


def _is_sound(artifact: Artifact, folder: Path) -> bool:
    """Whether a stored copy is whole, as far as a look at it of half a second can tell."""
    if artifact.size <= _SMALL:
        return files.is_whole(folder)
    try:
        return sum(file.size for file in storage.LocalFiles(folder).files()) == artifact.size
    except ServingError:
        return False


def _damaged(artifact: Artifact) -> FailedPrecondition:
    return FailedPrecondition(f"{artifact.source}: its files are not what they were; upload it again")
