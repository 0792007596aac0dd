import json
import ssl
import stat
import sys
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime, timedelta
from multiprocessing import get_context
from pathlib import Path

import certifi
import pytest
from cryptography import x509

from tests.unit.gateway.tls import handshake
from trivet.core.errors import FailedPrecondition
from trivet.gateway.authority import prepare
from trivet.gateway.contexts import Contexts

HTTP = "http://127.0.0.1:8080"
FILES = {
    ".gitignore",
    ".lock",
    "address.pem",
    "bundle.pem",
    "ca-key.pem",
    "ca.pem",
    "fake-sa.json",
    "server.pem",
}
NOW = datetime(2030, 1, 1, tzinfo=UTC)


def contents(folder):
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def client(authority):
    """Return a client that trusts what the bundle has, and looks as closely as OpenSSL can."""
    context = ssl.create_default_context(cafile=authority.bundle)
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    return context


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return prepare(tmp_path_factory.mktemp("data"), HTTP)


def test_keys_are_made_once_and_are_for_their_owner_alone(tmp_path):
    prepare(tmp_path, HTTP)
    first = contents(tmp_path / "tls")
    prepare(tmp_path, HTTP)
    assert contents(tmp_path / "tls") == first
    assert set(first) == FILES
    assert stat.S_IMODE((tmp_path / "tls").stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in (tmp_path / "tls").iterdir()} == {0o600}
    assert first[".gitignore"] == b"*\n"


@pytest.mark.parametrize("mode", [None, 0o755])
def test_the_data_folder_is_for_its_owner_alone_whoever_makes_it(tmp_path, mode):
    data = tmp_path / "above" / "data"
    if mode is not None:
        data.mkdir(parents=True)
        data.chmod(mode)
    prepare(data, HTTP)
    assert stat.S_IMODE(data.stat().st_mode) == 0o700
    assert stat.S_IMODE(data.parent.stat().st_mode) != 0o700


def test_a_folder_that_is_there_to_be_shared_stays_so(tmp_path):
    tmp_path.chmod(0o1777)
    prepare(tmp_path, HTTP)
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o1777
    assert stat.S_IMODE((tmp_path / "tls").stat().st_mode) == 0o700


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "models.localhost",
        "127.0.0.1",
        "::1",
        "us-central1-aiplatform.googleapis.com",
        "storage.googleapis.com",
        "aiplatform.eu.rep.googleapis.com",
        "7.us-central1-123.prediction.vertexai.goog",
        "AIPLATFORM.us.rep.googleapis.com",
        "a.b.localhost",
    ],
)
def test_a_client_with_the_bundle_trusts_the_server(authority, host):
    contexts = Contexts(authority, ["http/1.1", "h2"])
    assert handshake(contexts.main, client(authority), host).version() == "TLSv1.3"


@pytest.mark.parametrize("host", ["example.org", "192.0.2.1", "googleapis.com"])
def test_it_is_nobody_else(authority, host):
    contexts = Contexts(authority, ["http/1.1"])
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(contexts.main, client(authority), host)


@pytest.mark.parametrize("host", ["example.org", "192.0.2.1", "goog", "evil-googleapis.com", "128.0.0.1"])
def test_its_key_can_vouch_for_nobody_else(authority, tmp_path, host):
    (tmp_path / "forged.pem").write_bytes(authority.issuer.sign([host], datetime.now(UTC)))
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(tmp_path / "forged.pem")
    with pytest.raises(ssl.SSLCertVerificationError, match="permitted subtree violation"):
        handshake(server, client(authority), host)


def test_an_authority_that_could_vouch_for_anything_is_replaced(tmp_path, monkeypatch):
    monkeypatch.setattr(x509.CertificateBuilder, "add_extension", without_constraints)
    before = prepare(tmp_path, HTTP)
    monkeypatch.undo()
    old = contents(tmp_path / "tls")
    after = prepare(tmp_path, HTTP)
    new = contents(tmp_path / "tls")
    assert {name for name in FILES if old[name] != new[name]} == {
        "bundle.pem",
        "ca-key.pem",
        "ca.pem",
        "server.pem",
    }
    assert before.issuer.certificate != after.issuer.certificate
    handshake(Contexts(after, ["http/1.1"]).main, client(after), "localhost")


def without_constraints(builder, extension, critical, add=x509.CertificateBuilder.add_extension):
    return builder if isinstance(extension, x509.NameConstraints) else add(builder, extension, critical)


def test_a_client_without_the_bundle_does_not_trust_it(authority):
    contexts = Contexts(authority, ["http/1.1"])
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(contexts.main, ssl.create_default_context(cafile=certifi.where()), "localhost")


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [(["h2"], "h2"), (["h2", "http/1.1"], "http/1.1"), (["http/1.1"], "http/1.1"), ([], None)],
)
def test_a_client_that_offers_both_protocols_gets_http_1(authority, offered, chosen):
    contexts = Contexts(authority, ["http/1.1", "h2"])
    for host in ("localhost", "7.us-central1-123.prediction.vertexai.goog"):
        side = handshake(contexts.main, client(authority), host, protocols=offered)
        assert side.selected_alpn_protocol() == chosen


def test_the_bundle_has_the_public_roots_too(authority):
    public = ssl.create_default_context(cafile=certifi.where()).cert_store_stats()["x509_ca"]
    ours = ssl.create_default_context(cafile=authority.bundle).cert_store_stats()["x509_ca"]
    assert ours == public + 1


def test_a_certificate_is_renewed_a_month_before_it_ends_by_the_same_authority(tmp_path):
    first = prepare(tmp_path, HTTP, now=NOW)
    signed, ca = first.certificate.read_bytes(), first.ca.read_bytes()
    prepare(tmp_path, HTTP, now=NOW + timedelta(days=359))
    assert first.certificate.read_bytes() == signed
    prepare(tmp_path, HTTP, now=NOW + timedelta(days=361))
    assert first.certificate.read_bytes() != signed
    assert first.ca.read_bytes() == ca


def test_an_authority_is_renewed_too(tmp_path):
    first = prepare(tmp_path, HTTP, now=NOW)
    ca = first.ca.read_bytes()
    prepare(tmp_path, HTTP, now=NOW + timedelta(days=3630))
    assert first.ca.read_bytes() != ca


def test_a_new_name_gets_a_new_certificate_and_keeps_it(tmp_path):
    plain = prepare(tmp_path, HTTP)
    signed = plain.certificate.read_bytes()
    named = prepare(tmp_path, HTTP, ["ml.example.org", "192.0.2.7", "*.models.example.org", "2001:db8::7"])
    assert named.certificate.read_bytes() != signed
    for host in ("ml.example.org", "192.0.2.7", "a.models.example.org", "2001:db8::7", "localhost"):
        handshake(Contexts(named, ["http/1.1"]).main, client(named), host)
    kept = contents(tmp_path / "tls")
    prepare(tmp_path, HTTP)  # as `trivet env` does, which does not know the server's names
    assert contents(tmp_path / "tls") == kept


@pytest.mark.parametrize("file", sorted(FILES - {".lock", ".gitignore"}))
@pytest.mark.parametrize("content", [b"", b"nonsense", b'{"private_key": 7}'])
def test_what_is_broken_is_made_anew(tmp_path, file, content):
    prepare(tmp_path, HTTP)
    (tmp_path / "tls" / file).write_bytes(content)
    authority = prepare(tmp_path, HTTP)
    handshake(Contexts(authority, ["http/1.1"]).main, client(authority), "localhost")
    assert json.loads(authority.account.read_bytes())["token_uri"] == f"{HTTP}/token"


def test_a_certificate_of_another_authority_is_replaced(tmp_path):
    one, other = prepare(tmp_path / "one", HTTP), prepare(tmp_path / "other", HTTP)
    one.certificate.write_bytes(other.certificate.read_bytes())
    authority = prepare(tmp_path / "one", HTTP)
    handshake(Contexts(authority, ["http/1.1"]).main, client(authority), "localhost")


def test_the_account_keeps_its_key_when_the_server_moves(tmp_path):
    first = json.loads(prepare(tmp_path, HTTP).account.read_bytes())
    moved = json.loads(prepare(tmp_path, "http://127.0.0.1:9000").account.read_bytes())
    assert moved == {**first, "token_uri": "http://127.0.0.1:9000/token"}


def test_the_account_is_of_the_project(tmp_path):
    first = json.loads(prepare(tmp_path, HTTP).account.read_bytes())
    again = json.loads(prepare(tmp_path, HTTP, project="risk").account.read_bytes())
    assert (first["project_id"], again["project_id"]) == ("local", "risk")
    assert again["client_email"] == "trivet@risk.iam.gserviceaccount.com"
    assert again["private_key"] == first["private_key"]


def test_google_auth_takes_the_account(authority):
    account = pytest.importorskip("google.oauth2.service_account")
    made = account.Credentials.from_service_account_file(authority.account)
    assert made.project_id == "local"
    assert made.sign_bytes(b"text")


def all_at(folder):
    return prepare(folder, HTTP).certificate.read_bytes(), contents(folder / "tls")


def test_processes_that_prepare_at_once_agree(tmp_path):
    with ProcessPoolExecutor(4, mp_context=get_context("spawn")) as pool:
        found = list(pool.map(all_at, [Path(tmp_path)] * 8))
    assert all(one == found[0] for one in found)


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(FailedPrecondition, match="file/tls: cannot keep certificates here: Not a directory"):
        prepare(tmp_path / "file", HTTP)


def test_a_missing_library_is_named(tmp_path, monkeypatch):
    monkeypatch.delitem(sys.modules, "trivet.gateway.certificates", raising=False)
    monkeypatch.delattr("trivet.gateway.certificates", raising=False)
    monkeypatch.setitem(sys.modules, "certifi", None)
    with pytest.raises(FailedPrecondition, match=r"needs the library certifi.*trivet\[google\]"):
        prepare(tmp_path, HTTP)


def test_a_renewed_certificate_is_shown_to_new_clients(tmp_path):
    authority = prepare(tmp_path, HTTP)
    contexts = Contexts(authority, ["http/1.1"])
    before = handshake(contexts.main, client(authority), "localhost").getpeercert(True)
    contexts.renew(prepare(tmp_path, HTTP, ["other.example.org"]))
    after = handshake(contexts.main, client(authority), "localhost").getpeercert(True)
    assert before != after
    handshake(contexts.main, client(authority), "other.example.org")


def test_names_asked_for_are_remembered_up_to_a_number(authority, monkeypatch):
    monkeypatch.setattr("trivet.gateway.contexts._MOST", 2)
    contexts = Contexts(authority, ["http/1.1"])
    shown = set()
    for number in (1, 1, 2, 3, 3):
        host = f"{number}.us-central1-1.prediction.vertexai.goog"
        shown.add(handshake(contexts.main, client(authority), host).getpeercert(True))
    assert len(shown) == 3
    assert {file.name for file in authority.ca.parent.iterdir()} == FILES
