import pytest

from trivet.control.container_fields import read
from trivet.core.containers import ContainerSpec, Probe, Resources
from trivet.core.errors import InvalidArgument, Unimplemented


def test_everything_that_it_says_is_read():
    given = {
        "imageUri": "mine",
        "command": ["python", "-m", "app"],
        "args": ["--fast", "two words"],
        "env": [{"name": "MODULE_NAME", "value": "main"}, {"name": "EMPTY"}],
        "ports": [{"containerPort": 9000}, {"containerPort": 9001}],
        "predictRoute": "/v1/models/m:predict",
        "healthRoute": "/health",
        "deploymentTimeout": "90s",
        "sharedMemorySizeMb": "64",
    }
    assert read(given) == ContainerSpec(
        image="mine",
        command=("python", "-m", "app"),
        args=("--fast", "two words"),
        env=(("MODULE_NAME", "main"), ("EMPTY", "")),
        ports=(9000, 9001),
        predict_route="/v1/models/m:predict",
        health_route="/health",
        start_timeout=90.0,
        resources=Resources(shared_memory=64 << 20),
    )


def test_what_it_leaves_out_is_left_to_the_deployment():
    spec = read({"imageUri": "mine"})
    assert (spec.predict_route, spec.health_route, spec.start_timeout, spec.ports) == ("", "", 0, (8080,))
    assert (spec.startup, spec.health, spec.liveness) == (None, Probe(), Probe())


@pytest.mark.parametrize(("given", "below"), [("/*", "/"), ("/v1/*", "/v1/"), ("", "")])
def test_a_prefix_is_what_is_before_its_star(given, below):
    assert read({"invokeRoutePrefix": given}).invoke_prefix == below


@pytest.mark.parametrize(
    ("given", "probe"),
    [
        ({"httpGet": {"path": "/ready"}}, Probe("/ready", period=10, timeout=1, failures=3)),
        ({"httpGet": {}}, Probe("/", period=10, timeout=1, failures=3)),
        ({"httpGet": {"path": "/r", "port": 9000}}, Probe("/r", period=10, timeout=1, failures=3)),
        ({"tcpSocket": {"port": 9001}}, Probe(port=9001, period=10, timeout=1, failures=3)),
        (
            {
                "exec": {"command": ["cat", "ok"]},
                "periodSeconds": 2,
                "timeoutSeconds": 5,
                "failureThreshold": 7,
            },
            Probe(command=("cat", "ok"), period=2, timeout=5, failures=7),
        ),
        (
            {"tcpSocket": {}, "initialDelaySeconds": 30},
            Probe(period=10, timeout=1, failures=3, delay=30),
        ),
    ],
)
def test_a_probe_is_read_with_googles_defaults(given, probe):
    """Port 0 is the one of predictions, whatever its number is where the container runs."""
    ports = [{"containerPort": 9000}, {"containerPort": 9001}]
    assert read({"ports": ports, "startupProbe": given}).startup == probe
    assert read({"ports": ports, "healthProbe": given}).health == probe
    assert read({"ports": ports, "livenessProbe": given}).liveness == probe


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"predictRoute": "predict"}, "predictRoute: expected a path of ASCII characters"),
        ({"predictRoute": "/a b"}, "predictRoute: expected"),
        ({"healthRoute": "/h?x=1"}, "healthRoute: expected"),
        ({"healthRoute": "/h\r\nX: y"}, "healthRoute: expected"),
        ({"healthRoute": "/ü"}, "healthRoute: expected"),
        ({"invokeRoutePrefix": "/"}, r"invokeRoutePrefix: expected /\* or /PATH/\*; got '/'"),
        ({"invokeRoutePrefix": "/v1*"}, "invokeRoutePrefix: expected"),
        ({"invokeRoutePrefix": "/*/*"}, "invokeRoutePrefix: expected"),
        (
            {"invokeRoutePrefix": "/*", "predictRoute": "/p"},
            "expected one of predictRoute and invokeRoutePrefix; got both",
        ),
        ({"command": "python"}, "command: expected a list of texts; got 'python'"),
        ({"args": ["a", "b\0"]}, r"args\[1\]: expected a text"),
        ({"env": [{"value": "x"}]}, r"env\[0\]\.name: expected letters"),
        ({"env": [{"name": "A"}, {"name": "1A"}]}, r"env\[1\]\.name: expected letters.*got '1A'"),
        ({"env": [{"name": "AIP_HTTP_PORT", "value": "1"}]}, "AIP_HTTP_PORT: the server sets all AIP_"),
        ({"env": [{"name": "A", "value": "\0"}]}, r"env\[0\]\.value: expected a text"),
        ({"env": [{"name": f"A{n}"} for n in range(101)]}, "env: expected at most 100 variables; got 101"),
        ({"ports": [{"containerPort": 0}]}, r"ports\[0\]\.containerPort: expected a port, 1 to 65535; got 0"),
        ({"ports": [{"containerPort": 65536}]}, "expected a port"),
        ({"ports": [{"containerPort": 80}, {"containerPort": 80}]}, "ports: expected different ports"),
        ({"deploymentTimeout": "soon"}, "deploymentTimeout: expected a duration"),
        ({"sharedMemorySizeMb": "-1"}, "sharedMemorySizeMb: expected a whole number"),
        ({"healthProbe": {"periodSeconds": 1}}, "healthProbe: expected one of exec, .*; got none"),
        ({"healthProbe": {"exec": {}}}, r"healthProbe\.exec\.command: required"),
        ({"healthProbe": {"exec": {"command": ["a"]}, "tcpSocket": {}}}, "got exec and tcpSocket"),
        ({"healthProbe": {"httpGet": {"path": "x"}}}, r"httpGet\.path: expected a path that begins"),
        ({"healthProbe": {"httpGet": {"scheme": "HTTPS"}}}, r"httpGet\.scheme: expected HTTP"),
        ({"healthProbe": {"tcpSocket": {"host": "10.0.0.1"}}}, r"tcpSocket\.host: only the container itself"),
        ({"healthProbe": {"tcpSocket": {"port": 70000}}}, r"tcpSocket\.port: expected a port"),
    ],
)  # fmt: skip
def test_what_is_not_sound_is_refused_by_its_field(given, message):
    with pytest.raises(InvalidArgument, match=rf"^model\.containerSpec.*{message}"):
        read({"imageUri": "mine", **given})


@pytest.mark.parametrize("probe", [{"grpc": {"port": 1}}, {"httpGet": {"httpHeaders": [{"name": "a"}]}}])
def test_probes_that_are_not_made_are_said(probe):
    with pytest.raises(Unimplemented, match=r"model\.containerSpec\.startupProbe"):
        read({"startupProbe": probe})
