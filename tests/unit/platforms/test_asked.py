import pytest

from tests.unit.platforms.wanted import FRAUD, split, wanted
from trivet.core.containers import ContainerSpec
from trivet.core.errors import InvalidArgument
from trivet.platforms.asked import check
from trivet.platforms.base import Version, label, service_name


@pytest.mark.parametrize(
    ("option", "more"),
    [
        ("--name", {"name": "Scoring"}),
        ("--name", {"name": "a" * 41}),
        ("--image", {"image": "r.io/p; rm -rf /"}),
        ("--region", {"region": "us central"}),
        ("--gcp-project", {"project": "$(id)"}),
        ("--storage", {"storage": "/srv/models"}),
        ("--storage", {"storage": "gs://bucket/$(id)"}),
        ("--service-account", {"service_account": "me"}),
        ("--machine-type", {"machine_type": "n1 standard"}),
        ("--install", {"install": "trivet\nevil"}),
        ("--base-image", {"base_image": "python\nRUN evil"}),
        ("--env AIP_MODE", {"env": (("AIP_MODE", "x"),)}),
        ("--env 1A", {"env": (("1A", "x"),)}),
        ("--max 1", {"least": 2, "most": 1}),
    ],
)
def test_what_would_not_be_what_it_says_is_refused(option, more):
    with pytest.raises(InvalidArgument) as refused:
        check(wanted(**more))
    assert str(refused.value).startswith(option)


def test_what_is_sound_is_not():
    check(split(30, 70, storage="gs://bucket/models/fraud", service_account="a@p.iam.gserviceaccount.com"))


def test_something_has_traffic():
    with pytest.raises(InvalidArgument, match="no version there has traffic"):
        check(split(0, 0))


def test_two_versions_are_not_called_the_same():
    with pytest.raises(InvalidArgument, match="fraud-1: two versions"):
        check(wanted(FRAUD, Version("Fraud")))


def test_the_name_of_an_applications_image_gets_into_no_other_line():
    with pytest.raises(InvalidArgument, match="the name of an image"):
        check(wanted(Version("echo", container=ContainerSpec(image="a\nRUN b"))))


@pytest.mark.parametrize(
    ("text", "made"), [("Fraud_v2.1", "fraud-v2-1"), ("--", "model"), ("a" * 63, "a" * 40)]
)
def test_any_name_becomes_a_label(text, made):
    assert label(text) == made


def test_a_service_begins_with_a_letter():
    assert service_name("2fast") == "m-2fast"
