"""A throw-away certificate authority for the TLS port, and a throw-away account for Google's SDKs.

All of it lives in the folder `tls` of the data folder, in files that only their owner can read, and is made
when first needed. The authority may vouch for Google's hosts, besides this server's own names: it must be
trusted by single processes (`bundle.pem`, through environment variables), never by a whole system. Its
certificate says that it vouches for nothing else (`hosts.ZONES`).
"""

import fcntl
import os
import re
import stat
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from trivet.core.errors import FailedPrecondition
from trivet.gateway.hosts import ADDRESSES, NAMES, ZONES, is_address

if TYPE_CHECKING:
    from trivet.gateway.certificates import Issuer

FOLDER = "tls"
_CERTIFICATE = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
INSTALL = "install it with `pip install 'trivet[google]'`"


@dataclass(frozen=True, slots=True)
class Authority:
    """The files of an authority that is ready for use."""

    certificate: Path
    """The server's certificate with its key, for names, signed by the authority (PEM)."""

    address: Path
    """Its certificate with its key for addresses, signed by itself (PEM)."""

    ca: Path
    """What a client must trust: the authority's certificate, and that for addresses (PEM)."""

    bundle: Path
    """Public roots and `ca` (PEM): what a client should trust instead of its defaults."""

    account: Path
    """A service account's key file, good for Trivet only (`GOOGLE_APPLICATION_CREDENTIALS`)."""

    issuer: "Issuer"
    """What signs certificates for further names."""


def prepare(
    data: Path,
    http: str,
    names: Sequence[str] = (),
    *,
    project: str = "local",
    now: datetime | None = None,
) -> Authority:
    """Make in the data folder what is not there, or no longer valid, and return all of it.

    `http` is the URL of the plain HTTP port, where the account, which is of `project`, gets tokens. `names`
    are this server's names and addresses besides those of every one. The data folder becomes its owner's.
    Processes may do this at the same time. Raises FailedPrecondition where a library is missing or the
    folder cannot be written.
    """
    try:
        from trivet.gateway import certificates
    except ImportError as error:
        raise FailedPrecondition(f"TLS needs the library {error.name}; {INSTALL}") from None
    folder = data.absolute() / FOLDER
    now = now or datetime.now(UTC)
    ca_key, ca = folder / "ca-key.pem", folder / "ca.pem"
    server, address = folder / "server.pem", folder / "address.pem"
    bundle, account = folder / "bundle.pem", folder / "fake-sa.json"
    addresses = [*ADDRESSES, *filter(is_address, names)]
    plain = [*NAMES, *(name for name in names if not is_address(name))]
    try:
        with _alone_in(folder):
            issuer = certificates.issuer(_read(ca_key), (*ZONES, *names), now)
            _write(ca_key, issuer.pem)
            _write(server, certificates.server(_read(server), issuer, plain, now))
            _write(address, certificates.address(_read(address), addresses, now))
            _write(ca, trusted := certificates.ours(issuer, _read(address)))
            _write(bundle, certificates.bundle(trusted))
            _write(account, certificates.account(_read(account), f"{http}/token", project))
    except OSError as error:
        raise FailedPrecondition(
            f"{folder}: cannot keep certificates here: {error.strerror or error}; choose another data folder"
        ) from None
    return Authority(server, address, ca, bundle, account, issuer)


def joined(authority: Authority, others: Iterable[bytes]) -> Path | None:
    """Return a bundle that has these certificates (PEM), too; None where there are no others.

    It is called by what is in it, since it must outlast who asks for it; each content is kept once.
    Raises FailedPrecondition where it cannot be written.
    """
    bundle = authority.bundle.read_bytes()
    texts = dict.fromkeys(match.strip() for other in others for match in _CERTIFICATE.findall(other))
    if not (new := [text for text in texts if text not in bundle]):
        return None
    content = b"\n".join([bundle, *new, b""])
    file = authority.bundle.with_name(f"bundle-{sha256(content).hexdigest()[:16]}.pem")
    try:
        with _alone_in(file.parent):
            _write(file, content)
    except OSError as error:
        raise FailedPrecondition(f"{file}: cannot be written: {error.strerror or error}") from None
    return file


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Make the folder, and keep other processes from doing what this one is doing."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)  # with the usual mode for what is above it
    for one in (folder.parent, folder):
        _close(one)
    with open(folder / ".lock", "w", opener=_private) as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        _write(folder / ".gitignore", b"*\n")  # so that no key is ever committed
        yield


def _close(folder: Path) -> None:
    """Let nobody else enter a folder of ours; one that is there to be shared, as /tmp, is left as it is."""
    found = folder.stat()
    if found.st_uid == os.geteuid() and not found.st_mode & stat.S_ISVTX:
        folder.chmod(0o700)


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except FileNotFoundError:
        return b""


def _write(file: Path, content: bytes) -> None:
    """Replace a file at once, if it has other content."""
    if _read(file) == content:
        return
    new = file.with_name(f".new-{file.name}")
    new.unlink(missing_ok=True)
    with open(new, "wb", opener=_private) as made:
        made.write(content)
    new.replace(file)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
