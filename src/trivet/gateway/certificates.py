"""Keys and certificates as bytes: made, signed, and looked at to see whether they are still good.

The only module that needs `cryptography`; it touches no file but certifi's list of public roots.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import ip_address, ip_network
from pathlib import Path

import certifi
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

RENEWED_BEFORE = timedelta(days=30)
_SERVER_FOR = timedelta(days=390)
_AUTHORITY_FOR = timedelta(days=3650)
_CLOCKS_DIFFER = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Issuer:
    """The authority: a key and the certificate that says so."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @property
    def pem(self) -> bytes:
        """The key, then the certificate."""
        return _key_pem(self.key) + self.certificate_pem

    @property
    def certificate_pem(self) -> bytes:
        """The certificate alone."""
        return _pem(self.certificate)

    def sign(self, names: Sequence[str], now: datetime) -> bytes:
        """Return a new key and a server's certificate for names.

        gRPC cannot check an authority's constraints on addresses, and refuses a certificate that has one.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        until = min(now + _SERVER_FOR, self.certificate.not_valid_after_utc)
        made = _server(_start(names[0], key, now, until, self.certificate.subject), names)
        made = made.add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False
        )
        return _key_pem(key) + _pem(made.sign(self.key, hashes.SHA256()))


def issuer(kept: bytes, zones: Sequence[str], now: datetime) -> Issuer:
    """Return the authority that was kept, or a new one, that may vouch for these zones alone.

    A zone is a domain with all below it, a network or an address. The one kept is no longer good if it is
    nearly over, unreadable, may vouch for anything, or not for one of the zones.
    """
    found, permitted = _pair(kept), [_zone(one) for one in dict.fromkeys(zones)]
    if found is not None and _lasts(found[1], now) and set(permitted) <= set(_permitted(found[1])):
        return Issuer(*found)
    key = ec.generate_private_key(ec.SECP256R1())
    name = _called(f"Trivet, made {now:%Y-%m-%d}")
    certificate = (
        _start(name, key, now, now + _AUTHORITY_FOR, name)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(key_cert_sign=True, crl_sign=True), critical=True)
        .add_extension(x509.NameConstraints(permitted, excluded_subtrees=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    return Issuer(key, certificate)


def server(kept: bytes, by: Issuer, names: Sequence[str], now: datetime) -> bytes:
    """Return the key and certificate for names that were kept, or new ones.

    Those kept are no longer good if they are nearly over, lack a name, or are not by this issuer.
    """
    found = _pair(kept)
    if found is not None and _is_good(found[1], by.certificate, names, now):
        return kept
    return by.sign(names, now)


def address(kept: bytes, names: Sequence[str], now: datetime) -> bytes:
    """Return the key and certificate for addresses that were kept, or new ones, by nobody.

    Clients must trust it itself, which says nothing of any other, and lasts as long as an authority.
    """
    found = _pair(kept)
    if found is not None and _is_good(found[1], found[1], names, now):
        return kept
    key = ec.generate_private_key(ec.SECP256R1())
    by = _called(f"Trivet at its addresses, made {now:%Y-%m-%d}")
    made = _server(_start(by, key, now, now + _AUTHORITY_FOR, by), names)
    return _key_pem(key) + _pem(made.sign(key, hashes.SHA256()))


def ours(by: Issuer, address: bytes) -> bytes:
    """Return what clients must trust: the authority, and the certificate among what is kept for addresses."""
    return by.certificate_pem + _pem(x509.load_pem_x509_certificate(address))


def bundle(trusted: bytes) -> bytes:
    """Return the public roots and what is trusted besides."""
    return Path(certifi.where()).read_bytes().rstrip(b"\n") + b"\n\n" + trusted


def account(kept: bytes, token_uri: str, project: str) -> bytes:
    """Return a service account's key file: that which was kept, of this project, with this URL for tokens."""
    try:
        content = json.loads(kept)
        serialization.load_pem_private_key(content["private_key"].encode(), None)
    except (ValueError, KeyError, TypeError, AttributeError):
        content = _account()
    about = {
        "project_id": project,
        "client_email": f"trivet@{project}.iam.gserviceaccount.com",
        "token_uri": token_uri,
    }
    return json.dumps({**content, **about}, indent=2).encode()


def _account() -> dict[str, str]:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return {
        "type": "service_account",
        "private_key_id": f"{x509.random_serial_number():040x}",
        "private_key": _key_pem(key).decode(),
        "client_id": "0",
        "universe_domain": "googleapis.com",
    }


def _start(
    subject: str | x509.Name,
    key: ec.EllipticCurvePrivateKey,
    now: datetime,
    until: datetime,
    by: x509.Name,
) -> x509.CertificateBuilder:
    if isinstance(subject, str):
        subject = _called(subject)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(by)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCKS_DIFFER)
        .not_valid_after(until)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _server(begun: x509.CertificateBuilder, names: Sequence[str]) -> x509.CertificateBuilder:
    return (
        begun.add_extension(x509.SubjectAlternativeName(_general(names)), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(digital_signature=True), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
    )


def _called(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:64])])


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _usage(
    *, digital_signature: bool = False, key_cert_sign: bool = False, crl_sign: bool = False
) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=key_cert_sign,
        crl_sign=crl_sign,
        encipher_only=False,
        decipher_only=False,
    )


def _general(names: Iterable[str]) -> list[x509.GeneralName]:
    found: list[x509.GeneralName] = []
    for name in dict.fromkeys(names):
        try:
            found.append(x509.IPAddress(ip_address(name)))
        except ValueError:
            found.append(x509.DNSName(name))
    return found


def _zone(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_network(name))
    except ValueError:
        return x509.DNSName(name.removeprefix("*."))


def _permitted(authority: x509.Certificate) -> Iterable[x509.GeneralName]:
    """Return what an authority may vouch for; nothing where that is not said so that it must be heeded."""
    try:
        found = authority.extensions.get_extension_for_class(x509.NameConstraints)
    except (x509.ExtensionNotFound, ValueError):
        return ()
    return found.value.permitted_subtrees or () if found.critical else ()


def _key_pem(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _pair(pem: bytes) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate] | None:
    try:
        key = serialization.load_pem_private_key(pem, None)
        certificate = x509.load_pem_x509_certificate(pem)
    except ValueError:
        return None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
        return None
    return key, certificate


def _lasts(certificate: x509.Certificate, now: datetime) -> bool:
    return certificate.not_valid_before_utc <= now < certificate.not_valid_after_utc - RENEWED_BEFORE


def _is_good(
    certificate: x509.Certificate, by: x509.Certificate, names: Sequence[str], now: datetime
) -> bool:
    try:
        certificate.verify_directly_issued_by(by)
        has = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound):
        return False
    wanted = set(_general(names))
    has_address = any(isinstance(one, x509.IPAddress) for one in has)
    wants_address = any(isinstance(one, x509.IPAddress) for one in wanted)
    return wanted <= set(has) and has_address == wants_address and _lasts(certificate, now)
