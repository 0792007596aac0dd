import pytest

from tests.unit.platforms.wanted import OWN, split, wanted
from trivet.core.containers import ContainerSpec, Probe
from trivet.core.errors import InvalidArgument
from trivet.platforms.base import Version
from trivet.platforms.cloud_run import PLATFORM


def services(asked):
    return [one for several in PLATFORM.bundle(asked).documents.values() for one in several]


def template(asked):
    return services(asked)[-1]["spec"]["template"]


def container(asked):
    return template(asked)["spec"]["containers"][0]


def test_traffic_goes_only_to_revisions_that_are_there():
    first, second = services(split(30, 70))
    (whole,) = first["spec"]["traffic"]
    assert whole["percent"] == 100
    assert whole["revisionName"].startswith("scoring-fraud-2-")  # which has most of it
    shares = {one["revisionName"]: one["percent"] for one in second["spec"]["traffic"]}
    assert list(shares.values()) == [70, 30]
    assert list(shares) == [whole["revisionName"], second["spec"]["template"]["metadata"]["name"]]


def test_a_version_without_traffic_is_left_out():
    assert len(services(split(100, 0))) == 1


def test_a_revision_is_called_by_what_it_is():
    names = [template(wanted(memory=memory))["metadata"]["name"] for memory in (1024, 2048, 1024)]
    assert names[0] == names[2] != names[1]
    assert max(map(len, names)) <= 63


def test_the_variables_of_the_contract_are_told_and_not_those_that_cloud_run_sets():
    told = {one["name"]: one["value"] for one in container(wanted())["env"]}
    assert told["AIP_HTTP_PORT"] == "8080"
    assert (told["AIP_HEALTH_ROUTE"], told["AIP_PREDICT_ROUTE"]) == ("/health", "/predict")
    assert "PORT" not in told


def test_the_start_up_probe_takes_as_long_as_cloud_run_allows():
    probe = container(wanted())["startupProbe"]
    assert probe["periodSeconds"] * probe["failureThreshold"] == 240
    assert probe["httpGet"] == {"path": "/health", "port": 8080}


def test_a_probe_that_is_a_command_is_asked_by_http():
    spec = ContainerSpec(image="r.io/p/echo:1", startup=Probe(command=("true",)))
    probe = container(wanted(Version("echo", container=spec)))["startupProbe"]
    assert probe["httpGet"]["path"] == "/health"


def test_an_application_is_not_restarted_for_its_health():
    """Liveness is a connection by the contract, which Cloud Run has not."""
    assert "livenessProbe" not in container(wanted(OWN))
    assert container(wanted())["livenessProbe"]["httpGet"]["path"] == "/livez"


def test_variables_are_put_into_commands_which_cloud_run_does_not():
    spec = ContainerSpec(image="r.io/p/echo:1", args=("--port=$(PORT)", "$(AIP_HEALTH_ROUTE)"), ports=(9000,))
    made = container(wanted(Version("echo", container=spec)))
    assert made["args"] == ["--port=9000", "/health"]
    assert "PORT" not in {one["name"] for one in made["env"]}


def test_a_gpu_is_asked_for_by_limit_and_node():
    made = template(wanted(gpus=1, cpus=4, memory=16384))
    assert made["spec"]["nodeSelector"] == {"run.googleapis.com/accelerator": "nvidia-l4"}
    assert made["spec"]["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert made["metadata"]["annotations"]["run.googleapis.com/cpu-throttling"] == "false"


def test_only_a_public_service_is_opened_to_everyone():
    scripts = [PLATFORM.bundle(wanted(public=public)).texts["deploy.sh"] for public in (True, False)]
    assert ["allUsers" in script for script in scripts] == [True, False]


@pytest.mark.parametrize(
    ("more", "named"),
    [
        ({"cpus": 3}, "--cpu 3"),
        ({"cpus": 0.5}, "--concurrency 1"),
        ({"cpus": 8, "memory": 1024}, "--memory 1Gi"),
        ({"memory": 64 * 1024}, "--memory 64Gi"),
        ({"gpus": 1}, "--gpus"),
        ({"concurrency": 2000}, "--concurrency"),
        ({"timeout": 7200}, "--timeout"),
        ({"env": (("PORT", "80"),)}, "PORT"),
    ],
)
def test_what_cloud_run_refuses_is_refused_here(more, named):
    with pytest.raises(InvalidArgument, match=named):
        PLATFORM.bundle(wanted(**more))


def test_half_a_cpu_answers_one_request_at_a_time():
    assert container(wanted(cpus=0.5, concurrency=1))["resources"]["limits"]["cpu"] == "500m"
