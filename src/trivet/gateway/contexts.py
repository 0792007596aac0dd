"""Which certificate a client is shown, by the name that it asks for."""

import logging
import ssl
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from tempfile import NamedTemporaryFile

from trivet.gateway import hosts
from trivet.gateway.authority import Authority

log = logging.getLogger("trivet")

_MOST = 256
_ZONES = tuple(name[1:] for name in hosts.NAMES if name.startswith("*.") and name != "*.localhost")


class Contexts:
    """TLS as the server speaks it: `main`, for those who ask for no name, and others by the name asked for.

    One of these has the server's usual names. A wildcard among them stands for one label alone, and not below
    `localhost` in OpenSSL's eyes; the name of a dedicated endpoint has the project's number in it, as
    regional hosts have their region. Certificates for those are signed when first asked for.
    """

    def __init__(self, authority: Authority, protocols: Sequence[str]) -> None:
        self._authority = authority
        self._protocols = list(protocols)
        self._others: dict[str, ssl.SSLContext] = {}
        self._named = self._make(authority.certificate)
        self.main = self._make(authority.address)
        self.main.sni_callback = self._choose

    def renew(self, authority: Authority) -> None:
        """Show what has been signed anew from now on."""
        self._authority = authority
        self._others.clear()
        self._named.load_cert_chain(authority.certificate)
        self.main.load_cert_chain(authority.address)

    def _make(self, certificate: Path) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(certificate)
        context.set_alpn_protocols(self._protocols)
        return context

    def _choose(self, connection: ssl.SSLObject, name: str | None, context: ssl.SSLContext) -> None:
        if name is None or hosts.is_address(name):
            return
        connection.context = self._named
        if not (hosts.is_googles(name) or hosts.is_local(name)):
            return
        name = name.lower()
        if any(name.endswith(zone) and "." not in name.removesuffix(zone) for zone in _ZONES):
            return
        try:
            connection.context = self._others.get(name) or self._sign(name)
        except OSError as error:
            log.warning("no certificate for %s: %s", name, error)

    def _sign(self, name: str) -> ssl.SSLContext:
        if len(self._others) >= _MOST:
            self._others.clear()
        signed = self._authority.issuer.sign([name], datetime.now(UTC))
        # `ssl` reads certificates from files alone; this one is for its owner's eyes, and soon gone
        with NamedTemporaryFile(dir=self._authority.certificate.parent, prefix=".") as file:
            file.write(signed)
            file.flush()
            self._others[name] = self._make(Path(file.name))
        return self._others[name]
