"""`trivet env` and `trivet run`."""

import json
import os
import signal
import socket
import ssl
import subprocess
import sys

import pytest
from click.testing import CliRunner

from tests.integration.gateway import Answered, running
from trivet import cli
from trivet.gateway.authority import prepare
from trivet.gateway.variables import TRUSTED

WITHIN = 60  # seconds; a bound for hangs, not a measurement
ENDPOINT = "projects/p/locations/us-central1/endpoints/1"

STOCK = """
from google.cloud import aiplatform

aiplatform.init(project="p", location="us-central1")
endpoint = aiplatform.Endpoint("1")
print(endpoint.predict([[1, 2]]).predictions)
print(endpoint.raw_predict(b"[3]", {"content-type": "application/json"}).text)
print(b"".join(endpoint.stream_raw_predict(b"[4]", {"content-type": "application/json"})).decode())
inputs = [[{"dtype": "DOUBLE", "double_val": [5]}]]
print([one.predictions[0]["doubleVal"] for one in endpoint.stream_direct_predict(iter(inputs))])
"""


def ask(*arguments):
    return CliRunner().invoke(cli.main, arguments)


@pytest.fixture
def here():
    """Return the URL of something that answers."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


def told(data, http, **addresses):
    """Say in a data folder where its server is, as `trivet up` does."""
    data.mkdir(exist_ok=True)
    content = {"http": http, "pid": os.getpid(), **addresses}
    (data / "server.json").write_text(json.dumps(content))
    return str(data)


def exports(text):
    """Return what a shell has after it has run these lines."""
    code = "import os, json; print(json.dumps(dict(os.environ)))"
    clean = {"PATH": os.environ["PATH"]}

    def environment(lines):
        command = ["sh", "-c", f"{lines}\nexec '{sys.executable}' -c '{code}'"]
        return json.loads(subprocess.run(command, env=clean, capture_output=True, check=True).stdout)

    before = environment("")
    return {name: value for name, value in environment(text).items() if name not in before}


def test_each_way_is_told_with_the_addresses_of_the_server(tmp_path, here):
    data = told(tmp_path, here, tls="localhost:9001", proxy="http://127.0.0.1:9002")
    answer = ask("env", "--data", data)
    assert answer.exit_code == 0
    assert answer.stderr == ""
    for text in (
        f"# plain: REST over {here}, named in the script",
        f'aiplatform.init(project="local", location="us-central1", api_endpoint="{here}"',
        f'trivet.connect("{here}")',
        "# tls: gRPC, the SDK's default, and REST over localhost:9001",
        "export https_proxy=http://127.0.0.1:9002\n",
    ):
        assert text in answer.stdout
    assert account(tmp_path)["token_uri"] == f"{here}/token"


def account(data):
    return json.loads((data / "tls/fake-sa.json").read_text())


def test_project_and_location_are_those_of_the_settings(tmp_path, here, monkeypatch):
    monkeypatch.setenv("TRIVET_CATALOG_PROJECT", "risk")
    monkeypatch.setenv("TRIVET_CATALOG_LOCATION", "europe-west1")
    answer = ask("env", "--data", told(tmp_path, here, tls="localhost:9001"))
    assert answer.stdout.count('aiplatform.init(project="risk", location="europe-west1"') == 2
    assert account(tmp_path)["project_id"] == "risk"


@pytest.mark.parametrize("gone", ["process", "port"])
def test_a_server_that_was_killed_is_told_from_one_that_runs(tmp_path, here, gone):
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        pass
    if gone == "process":
        about = {"http": here, "pid": ended.pid}
    else:
        about = {"http": "http://[::1]:1", "pid": os.getpid()}
    data = told(tmp_path, **about, tls="localhost:9001", proxy="http://127.0.0.1:9002")
    answer = ask("env", "--data", data)
    assert f"No server runs in {data}, its last one (process {about['pid']}) is gone" in answer.stderr
    assert 'api_endpoint="localhost:8443"' in answer.stdout
    assert "export https_proxy=http://127.0.0.1:8081" in answer.stdout
    assert "900" not in answer.stdout


def test_addresses_may_be_of_ipv6(tmp_path):
    try:
        listening = socket.create_server(("::1", 0), family=socket.AF_INET6)
    except OSError as error:
        pytest.skip(f"no IPv6 here: {error}")
    with listening:
        url = f"http://[::1]:{listening.getsockname()[1]}"
        data = told(tmp_path, url, tls="localhost:9001", proxy=url)
        answer = ask("env", "--data", data)
        assert (answer.exit_code, answer.stderr) == (0, "")
        assert exports(answer.stdout)["https_proxy"] == url
        command = [
            sys.executable,
            "-m",
            "trivet",
            "run",
            "--data",
            data,
            "--",
            "sh",
            "-c",
            "echo $https_proxy",
        ]
        assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == f"{url}\n"


def test_the_lines_of_one_way_are_for_a_shell_to_read(tmp_path, here):
    data = tmp_path / "a folder, it's one"
    told(data, here, tls="localhost:9001", proxy="http://127.0.0.1:9002")
    bundle = str(data / "tls/bundle.pem")
    trust = {
        "REQUESTS_CA_BUNDLE": bundle,
        "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH": bundle,
        "SSL_CERT_FILE": bundle,
    }
    assert exports(ask("env", "--data", str(data), "--mode", "plain").stdout) == {}
    assert exports(ask("env", "--data", str(data), "--mode", "tls").stdout) == trust
    assert exports(ask("env", "--data", str(data), "--mode", "proxy").stdout) == {
        **trust,
        "https_proxy": "http://127.0.0.1:9002",
        "HTTPS_PROXY": "http://127.0.0.1:9002",
        "no_proxy": "127.0.0.1,localhost",
        "NO_PROXY": "127.0.0.1,localhost",
        "GOOGLE_APPLICATION_CREDENTIALS": str(data / "tls/fake-sa.json"),
    }


@pytest.mark.parametrize(
    ("shell", "line"),
    [
        ("fish", r"set -gx SSL_CERT_FILE '{}/it\'s/tls/bundle.pem'"),
        ("powershell", "$env:SSL_CERT_FILE = '{}/it''s/tls/bundle.pem'"),
    ],
)
def test_other_shells_have_their_own_lines(tmp_path, shell, line):
    answer = ask("env", "--data", str(tmp_path / "it's"), "--mode", "tls", "--shell", shell)
    assert line.format(tmp_path) in answer.stdout.splitlines()


def test_without_a_server_the_addresses_are_those_it_would_have(tmp_path, monkeypatch):
    monkeypatch.setenv("TRIVET_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("TRIVET_GATEWAY_TLS_PORT", "9443")
    answer = ask("env")
    assert f"No server runs in {tmp_path / 'data'}: these are the addresses" in answer.stderr
    assert "localhost:9443" in answer.stdout
    assert "export https_proxy=http://127.0.0.1:8081" in answer.stdout
    assert (tmp_path / "data/tls/ca.pem").exists()


@pytest.mark.parametrize("mode", ["tls", "proxy"])
def test_a_port_that_the_server_does_not_have_is_an_error(tmp_path, here, mode):
    data = told(tmp_path, here)
    answer = ask("env", "--data", data, "--mode", mode)
    assert answer.exit_code == 1
    assert f"the server has no {mode} port; start it with `trivet up --{mode}-port`" in answer.stderr
    assert "# plain" in ask("env", "--data", data).stdout


@pytest.fixture(scope="module")
def gateway(tmp_path_factory):
    with running(tmp_path_factory.mktemp("data")) as found:
        told(
            found.data, http=f"http://127.0.0.1:{found.upstream.address[1]}", tls=found.tls, proxy=found.proxy
        )
        yield found


def start(gateway, *command, **environment):
    clean = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("TRIVET_") and "proxy" not in name.lower() and name not in TRUSTED
    }
    return subprocess.Popen(
        [sys.executable, "-m", "trivet", "run", "--data", str(gateway.data), "--", *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**clean, **environment},
    )


def test_a_stock_script_finds_trivet_by_its_environment(gateway, tmp_path):
    upstream = gateway.upstream
    upstream.forget()
    recorded = {"name": ENDPOINT, "createTime": "2026-01-02T03:04:05Z", "displayName": "e"}
    token = {"access_token": "x", "expires_in": 3599, "token_type": "Bearer"}
    upstream.answers["POST", "/token"] = Answered(token)
    ids = {"x-vertex-ai-deployed-model-id": "7"}
    upstream.answers["GET", f"/v1/{ENDPOINT}"] = Answered(recorded)
    upstream.answers["POST", f"/v1/{ENDPOINT}:predict"] = lambda asked: Answered(
        {"predictions": asked.json["instances"]}
    )
    for verb in ("rawPredict", "streamRawPredict"):
        upstream.answers["POST", f"/v1/{ENDPOINT}:{verb}"] = lambda asked: Answered(asked.body, headers=ids)
    upstream.answers["POST", f"/v1/{ENDPOINT}:directPredict"] = lambda asked: Answered(
        {"outputs": asked.json["inputs"]}
    )
    script = tmp_path / "script.py"
    script.write_text(STOCK)
    process = start(gateway, sys.executable, str(script))
    out, errors = process.communicate(timeout=WITHIN)
    assert process.returncode == 0, errors
    assert out.splitlines() == ["[[1.0, 2.0]]", "[3]", "[4]", "[[5.0]]"]
    assert any("authorization" in asked.headers for asked in upstream.asked)


def test_exit_status_and_arguments_are_the_commands_own(gateway):
    code = "import sys; print(sys.argv[1:]); sys.exit(7)"
    process = start(gateway, sys.executable, "-c", code, "--data", "x", "--", "-h")
    out, _ = process.communicate(timeout=WITHIN)
    assert (process.returncode, out) == (7, "['--data', 'x', '--', '-h']\n")


def test_signals_are_the_commands_own(gateway):
    code = """
import signal, sys
print(signal.getsignal(signal.SIGPIPE) is signal.SIG_IGN, flush=True)
signal.signal(signal.SIGTERM, lambda *_: sys.exit(3))
print("ready", flush=True)
signal.pause()
"""
    process = start(gateway, "sh", "-c", 'exec "$0" -c "$1"', sys.executable, code)
    with process:
        process.stdout.readline()
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait(WITHIN) == 3


def test_a_broken_pipe_ends_the_command_as_it_would_in_a_shell(gateway):
    process = start(gateway, "sh", "-c", "kill -PIPE $$; echo survived")
    out, _ = process.communicate(timeout=WITHIN)
    assert (process.returncode, out) == (-signal.SIGPIPE, "")


def test_hosts_that_go_past_a_proxy_already_still_do(gateway):
    process = start(gateway, "sh", "-c", "echo $no_proxy $NO_PROXY", no_proxy="intra.example")
    out, _ = process.communicate(timeout=WITHIN)
    assert out == "intra.example,127.0.0.1,localhost 127.0.0.1,localhost\n"


SHOW = "echo $REQUESTS_CA_BUNDLE $SSL_CERT_FILE $GRPC_DEFAULT_SSL_ROOTS_FILE_PATH"


def test_a_proxy_and_certificates_that_were_set_are_said_to_be_replaced(gateway, tmp_path):
    own = prepare(tmp_path, "http://127.0.0.1:1").ca
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "0a1b2c3d.0").write_bytes(own.read_bytes())
    (tmp_path / "folder" / "notes.txt").write_text("no certificate")
    for trusted in (own, tmp_path / "folder"):
        process = start(
            gateway, "sh", "-c", SHOW, https_proxy="http://u:pw@p", REQUESTS_CA_BUNDLE=str(trusted)
        )
        out, errors = process.communicate(timeout=WITHIN)
        assert errors == "Replaced for this command: https_proxy, REQUESTS_CA_BUNDLE\n"
        (bundle,) = set(out.split())
        stats = [
            ssl.create_default_context(cafile=file).cert_store_stats()["x509"]
            for file in (bundle, gateway.bundle, own)
        ]
        assert stats[0] == stats[1] + stats[2]
    assert len(list((gateway.data / "tls").glob("bundle-*.pem"))) == 1


def test_what_was_trusted_and_cannot_be_read_is_said(gateway, tmp_path):
    process = start(gateway, "sh", "-c", SHOW, SSL_CERT_FILE=str(tmp_path / "none.pem"))
    out, errors = process.communicate(timeout=WITHIN)
    assert f"{tmp_path}/none.pem: No such file or directory; the certificates there are not" in errors
    assert set(out.split()) == {gateway.bundle}


@pytest.mark.parametrize(("command", "status"), [("/no/such/command", 127), (".", 126)])
def test_a_command_that_cannot_be_run_is_an_error(gateway, command, status):
    process = start(gateway, command)
    _, errors = process.communicate(timeout=WITHIN)
    assert process.returncode == status
    assert errors.startswith(f"Error: {command}: ")


def test_without_a_proxy_nothing_is_run(tmp_path, here):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    data = told(tmp_path, here, tls="localhost:1", proxy=f"http://127.0.0.1:{port}")
    answer = ask("run", "--data", data, "true")
    assert answer.exit_code == 1
    assert f"no proxy answers at http://127.0.0.1:{port}" in answer.stderr
    assert "trivet up" in answer.stderr


def test_a_command_is_needed():
    assert ask("run").exit_code == 2


def test_commands_import_no_google_library():
    heavy = ("grpc", "google.auth", "google.cloud.aiplatform", "cryptography", "certifi")
    code = f"import trivet.cli.env, trivet.cli.run, sys; print([m for m in {heavy} if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out == "[]\n"
