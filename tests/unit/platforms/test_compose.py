from tests.unit.platforms.wanted import OWN, split, wanted
from trivet.core.containers import ContainerSpec, Probe
from trivet.platforms.base import Version
from trivet.platforms.compose import PLATFORM


def services(asked):
    ((document,),) = PLATFORM.bundle(asked).documents.values()
    return document["services"]


def test_one_version_is_asked_directly_and_from_this_machine_alone():
    (one,) = services(wanted()).values()
    assert one["ports"] == ["127.0.0.1:8080:8080"]
    assert services(wanted(public=True))["fraud-1"]["ports"] == ["8080:8080"]


def test_several_versions_are_behind_a_balancer_that_draws_one_for_each_request():
    found = services(split(30, 70))
    assert list(found) == ["fraud-2", "fraud-1", "balancer"]
    assert ["ports" in one for one in found.values()] == [False, False, True]
    conf = PLATFORM.bundle(split(30, 70)).texts["nginx.conf"]
    assert "    70% fraud-2;\n    * fraud-1;\n" in conf
    assert "upstream fraud-1 { server fraud-1:8080; keepalive 32; }" in conf


def test_replicas_are_behind_a_balancer_too():
    found = services(wanted(least=3))
    assert found["fraud-1"]["deploy"]["replicas"] == 3
    assert "balancer" in found


def test_a_dollar_is_a_dollar():
    """Compose would put a variable of its own in its place."""
    spec = ContainerSpec(image="r.io/p/echo:1", args=("$HOME", "$(PORT)"), env=(("PASSWORD", "a$b"),))
    one = services(wanted(Version("echo", container=spec)))["echo-1"]
    assert one["command"] == ["$$HOME", "8080"]
    assert one["environment"]["PASSWORD"] == "a$$b"


def test_a_container_is_asked_by_what_is_known_to_be_in_it():
    assert services(wanted())["fraud-1"]["healthcheck"]["test"][1] == "python"
    assert "healthcheck" not in services(wanted(OWN))["echo-1"]
    spec = ContainerSpec(image="r.io/p/echo:1", health=Probe(command=("/check", "now")))
    check = services(wanted(Version("echo", container=spec)))["echo-1"]["healthcheck"]
    assert check["test"] == ["CMD", "/check", "now"]


def test_limits_are_those_of_one_replica():
    resources = services(wanted(cpus=1.5, memory=512, gpus=1))["fraud-1"]["deploy"]["resources"]
    assert resources["limits"] == {"cpus": "1.5", "memory": "512m"}
    assert resources["reservations"]["devices"][0]["count"] == 1
