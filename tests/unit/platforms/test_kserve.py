import pytest

from tests.unit.platforms.wanted import FRAUD, OWN, split, wanted
from trivet.core.errors import InvalidArgument
from trivet.platforms.base import Version
from trivet.platforms.kserve import PLATFORM


def predictors(asked):
    several = PLATFORM.bundle(asked).documents.items()
    return [one["spec"]["predictor"] for path, (one,) in several if path != "account.yaml"]


def test_the_version_with_less_traffic_is_the_canary():
    first, second = predictors(split(30, 70))
    assert "canaryTrafficPercent" not in first
    assert second["canaryTrafficPercent"] == 30
    assert "fraud-1" in second["containers"][0]["image"]


def test_three_versions_are_one_too_many():
    third = Version("fraud", "3", 10, framework="catboost")
    with pytest.raises(InvalidArgument, match="between 2 versions; scoring has 3"):
        PLATFORM.bundle(wanted(*split(30, 60).versions, third))


def test_kserve_fetches_the_files_of_trivets_image(tmp_path):
    (one,) = predictors(wanted(Version("fraud", files=tmp_path), storage="gs://bucket/x"))
    told = {variable["name"]: variable["value"] for variable in one["containers"][0]["env"]}
    assert (told["STORAGE_URI"], told["AIP_STORAGE_URI"]) == ("gs://bucket/x/fraud-1", "/mnt/models")


def test_an_application_fetches_its_files_itself(tmp_path):
    version = Version("echo", container=OWN.container, files=tmp_path)
    (one,) = predictors(wanted(version, storage="gs://bucket/x"))
    told = {variable["name"]: variable["value"] for variable in one["containers"][0]["env"]}
    assert told["AIP_STORAGE_URI"] == "gs://bucket/x/echo-1"
    assert "STORAGE_URI" not in told


def test_a_service_is_reached_from_within_the_cluster_unless_it_is_public():
    labels = []
    for public in (False, True):
        ((one,),) = PLATFORM.bundle(wanted(FRAUD, public=public)).documents.values()
        labels.append(one["metadata"].get("labels", {}))
    assert labels == [{"networking.kserve.io/visibility": "cluster-local"}, {}]


def test_replicas_follow_the_requests():
    (one,) = predictors(wanted(FRAUD, least=0, most=7, concurrency=10))
    assert (one["minReplicas"], one["maxReplicas"]) == (0, 7)
    assert (one["scaleMetric"], one["scaleTarget"], one["containerConcurrency"]) == ("concurrency", 7, 10)
