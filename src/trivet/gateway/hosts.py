"""Names of hosts: which are Google's, so that Trivet answers for them, and how they are written."""

import re
from ipaddress import ip_address

NAMES = ("localhost", "*.localhost", "*.googleapis.com", "*.prediction.vertexai.goog")
"""Names that every server certificate has; deeper ones below Google's domains get their own."""

ADDRESSES = ("127.0.0.1", "::1")
"""Addresses that every server has."""

ZONES = ("localhost", "127.0.0.0/8", "::1/128", "googleapis.com", "vertexai.goog")
"""All that certificates of ours may be for, besides the server's own names."""

_LABELS = r"([a-z0-9]([a-z0-9-]*[a-z0-9])?\.)+"
_GOOGLES = re.compile(_LABELS + r"(googleapis\.com|prediction\.vertexai\.goog)")
_LOCAL = re.compile(_LABELS + "localhost")
_NAME = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9._-]*[A-Za-z0-9_])?\.?")
_ADDRESS = re.compile(r"\[[0-9A-Fa-f:.]+\]")


def is_googles(host: str) -> bool:
    """Whether a name is below googleapis.com, or that of a dedicated endpoint (prediction.vertexai.goog)."""
    return len(host) <= 253 and _GOOGLES.fullmatch(host.lower().removesuffix(".")) is not None


def is_local(host: str) -> bool:
    """Whether a name is below localhost, and so always this machine's (RFC 6761)."""
    return len(host) <= 253 and _LOCAL.fullmatch(host.lower().removesuffix(".")) is not None


def is_address(host: str) -> bool:
    """Whether this is an IP address, not a name."""
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def parse(authority: str) -> tuple[str, int] | None:
    """Return host and port of `host:port` or `[address]:port`; None where it is neither."""
    host, _, port = authority.rpartition(":")
    if not (_NAME.fullmatch(host) or _ADDRESS.fullmatch(host)) or len(host) > 255:
        return None
    if not (port.isascii() and port.isdigit() and 0 < int(port[:6]) < 65536):
        return None
    return host.strip("[]"), int(port)
