import pytest

from tests.unit.platforms.wanted import OWN, split, wanted
from trivet.core.containers import ContainerSpec, Resources
from trivet.core.errors import InvalidArgument
from trivet.platforms.base import Version
from trivet.platforms.gke import PLATFORM


def found(asked):
    several = PLATFORM.bundle(asked).documents.values()
    return {(one["kind"], one["metadata"]["name"]): one for documents in several for one in documents}


def rule(asked):
    return found(asked)["HTTPRoute", "scoring"]["spec"]["rules"][0]


def pod(asked, name):
    return found(asked)["Deployment", name]["spec"]["template"]["spec"]


def test_the_split_is_the_weights_of_the_route():
    weights = {one["name"]: one["weight"] for one in rule(split(30, 70))["backendRefs"]}
    assert weights == {"scoring-fraud-1": 30, "scoring-fraud-2": 70}


def test_no_service_takes_the_pods_of_two_versions():
    documents = found(split(30, 70))
    for version in ("1", "2"):
        name = f"scoring-fraud-{version}"
        selector = documents["Service", name]["spec"]["selector"]
        assert selector == documents["Deployment", name]["spec"]["template"]["metadata"]["labels"]
        assert selector["model"] == f"fraud-{version}"


def test_everything_of_a_version_is_for_the_same_name():
    documents = found(split(30, 70))
    scaled = documents["HorizontalPodAutoscaler", "scoring-fraud-1"]["spec"]["scaleTargetRef"]
    assert scaled == {"apiVersion": "apps/v1", "kind": "Deployment", "name": "scoring-fraud-1"}
    for kind in ("HealthCheckPolicy", "GCPBackendPolicy"):
        assert documents[kind, "scoring-fraud-2"]["spec"]["targetRef"]["name"] == "scoring-fraud-2"
    assert "replicas" not in documents["Deployment", "scoring-fraud-1"]["spec"]  # the autoscaler's


def test_only_predictions_and_health_are_let_through():
    paths = [one["path"] for one in rule(wanted())["matches"]]
    assert paths == [{"type": "Exact", "value": "/predict"}, {"type": "Exact", "value": "/health"}]


def test_all_below_an_invoke_prefix_is_let_through():
    spec = ContainerSpec(image="r.io/p/chat:1", predict_route="", invoke_prefix="/v1/")
    (match,) = rule(wanted(Version("chat", container=spec)))["matches"]
    assert match["path"] == {"type": "PathPrefix", "value": "/v1/"}


def test_the_load_balancer_is_internal_unless_the_service_is_public():
    classes = [found(wanted(public=public))["Gateway", "scoring"]["spec"] for public in (False, True)]
    named = [one["gatewayClassName"] for one in classes]
    assert named == ["gke-l7-rilb", "gke-l7-global-external-managed"]


def test_probes_are_those_of_the_contract():
    (container,) = pod(wanted(OWN), "scoring-echo-1")["containers"]
    assert container["livenessProbe"]["tcpSocket"] == {"port": 8080}
    for probe in ("startupProbe", "readinessProbe"):
        assert container[probe]["httpGet"] == {"path": "/health", "port": 8080}
    assert container["readinessProbe"]["failureThreshold"] == 4


def test_trivets_image_runs_as_nobody_in_particular_and_drains():
    (container,) = pod(wanted(), "scoring-fraud-1")["containers"]
    assert container["securityContext"]["runAsNonRoot"]
    assert {"name": "TRIVET_SERVER_DRAIN_WINDOW", "value": "5"} in container["env"]


def test_an_application_is_given_time_before_it_is_told_to_end():
    (container,) = pod(wanted(OWN), "scoring-echo-1")["containers"]
    assert container["lifecycle"]["preStop"] == {"sleep": {"seconds": 5}}
    assert "TRIVET_SERVER_DRAIN_WINDOW" not in {one["name"] for one in container["env"]}


def test_shared_memory_is_a_volume():
    spec = ContainerSpec(image="r.io/p/echo:1", resources=Resources(shared_memory=256 << 20))
    made = pod(wanted(Version("echo", container=spec)), "scoring-echo-1")
    assert made["volumes"][0]["emptyDir"] == {"medium": "Memory", "sizeLimit": "256Mi"}
    assert made["containers"][0]["volumeMounts"][0]["mountPath"] == "/dev/shm"


def test_the_account_of_the_pods_stands_for_googles():
    account = found(wanted(service_account="s@p.iam.gserviceaccount.com"))["ServiceAccount", "scoring"]
    annotations = account["metadata"]["annotations"]
    assert annotations == {"iam.gke.io/gcp-service-account": "s@p.iam.gserviceaccount.com"}
    assert "annotations" not in found(wanted())["ServiceAccount", "scoring"]["metadata"]


def test_there_is_no_scale_to_zero():
    with pytest.raises(InvalidArgument, match="--min 0"):
        PLATFORM.bundle(wanted(least=0))


def test_versions_with_different_routes_share_no_traffic():
    spec = ContainerSpec(image="r.io/p/echo:1", predict_route="/score")
    with pytest.raises(InvalidArgument, match="/predict and /score"):
        PLATFORM.bundle(wanted(OWN, Version("echo", "2", container=spec)))


def test_names_of_any_length_fit_into_labels():
    long = Version("a" * 63, "b" * 63, framework="onnx")
    names = {name for _, name in found(wanted(long))}
    assert max(map(len, names)) <= 63
