"""The environment by which Google's SDKs find Trivet, for each way to connect."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from trivet.gateway.authority import Authority

Mode = Literal["plain", "tls", "proxy"]
MODES: tuple[Mode, ...] = ("plain", "tls", "proxy")

TRUSTED = ("REQUESTS_CA_BUNDLE", "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH", "SSL_CERT_FILE")
"""Variables for the file of certificates that a client trusts instead of its defaults."""

_LOCAL = ("127.0.0.1", "localhost")


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where a server is: URLs, but host:port of the TLS port. One that it does not have is empty."""

    http: str
    tls: str
    proxy: str

    def of(self, mode: Mode) -> str:
        """Return the one that a mode leads to."""
        return {"plain": self.http, "tls": self.tls, "proxy": self.proxy}[mode]


def variables(mode: Mode, addresses: Addresses, authority: Authority) -> dict[str, str]:
    """Return what must be set for a mode.

    The bundle replaces a client's own roots, so it has them, too. gRPC reads the lower-case names of proxies
    alone, other libraries the upper-case ones.
    """
    if mode == "plain":
        return {}
    trust = dict.fromkeys(TRUSTED, str(authority.bundle))
    if mode == "tls":
        return trust
    past = ",".join(_LOCAL)
    return {
        "https_proxy": addresses.proxy,
        "HTTPS_PROXY": addresses.proxy,
        "no_proxy": past,
        "NO_PROXY": past,
        **trust,
        "GOOGLE_APPLICATION_CREDENTIALS": str(authority.account),
    }


def merged(environment: Mapping[str, str], wanted: Mapping[str, str]) -> dict[str, str]:
    """Return an environment with these variables; hosts that go past a proxy already still do."""
    found = {**environment, **wanted}
    for name in ("no_proxy", "NO_PROXY"):
        if name in wanted and environment.get(name):
            found[name] = f"{environment[name]},{wanted[name]}"
    return found
