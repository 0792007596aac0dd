from urllib.parse import parse_qs

import pytest
from google.cloud.aiplatform_v1.types import endpoint_service, model_service, prediction_service

from trivet.core.errors import Internal, InvalidArgument
from trivet.protocols.vertex import grpc_rest
from trivet.protocols.vertex.grpc_methods import ASKED_AS, common, of_version

V1 = "/google.cloud.aiplatform.v1."
HOME = "projects/p/locations/us-central1"


@pytest.fixture(scope="module")
def methods():
    return {**common(), **of_version("v1")}


def test_every_method_is_known_that_the_sdk_can_ask_over_rest(methods):
    services = {path.split("/")[1].rpartition(".")[2] for path in methods}
    assert services == {
        "DeploymentResourcePoolService",
        "EndpointService",
        "FeatureOnlineStoreAdminService",
        "FeatureOnlineStoreService",
        "FeatureRegistryService",
        "IAMPolicy",
        "JobService",
        "Locations",
        "ModelService",
        "Operations",
        "PredictionService",
    }
    assert len(methods) >= 115
    assert all(method.rules for method in methods.values())
    assert set(ASKED_AS) <= {method.name for method in methods.values() if method.kind == "both stream"}


@pytest.mark.parametrize(("stream", "unary"), ASKED_AS.items())
@pytest.mark.parametrize("what", ["Request", "Response"])
def test_a_message_of_a_stream_is_on_the_wire_that_of_its_unary_method(stream, unary, what):
    def fields(name):
        descriptor = getattr(prediction_service, f"{name}{what}").pb().DESCRIPTOR
        return {(one.name, one.number, one.type, one.is_repeated) for one in descriptor.fields}

    assert fields(stream) == fields(unary)


def asked(method, message):
    return grpc_rest.request(method, grpc_rest.parse(method, type(message).serialize(message)))


def test_a_get_has_its_fields_in_the_query(methods):
    message = endpoint_service.ListEndpointsRequest(parent=HOME, filter='display_name="ä b"', page_size=7)
    request = asked(methods[f"{V1}EndpointService/ListEndpoints"], message)
    path, _, query = request.target.partition("?")
    assert (request.verb, path, request.body) == ("GET", f"/v1/{HOME}/endpoints", b"")
    assert request.target.isascii()
    assert parse_qs(query) == {
        "filter": ['display_name="ä b"'],
        "pageSize": ["7"],
        "$alt": ["json;enum-encoding=int"],
    }
    assert request.is_repeatable


def test_a_patch_has_a_mask_and_the_whole_resource(methods):
    message = endpoint_service.UpdateEndpointRequest(
        endpoint={"name": f"{HOME}/endpoints/1", "display_name": "d", "traffic_split": {"7": 100}},
        update_mask={"paths": ["display_name", "traffic_split"]},
    )
    request = asked(methods[f"{V1}EndpointService/UpdateEndpoint"], message)
    path, _, query = request.target.partition("?")
    assert (request.verb, path) == ("PATCH", f"/v1/{HOME}/endpoints/1")
    assert parse_qs(query)["updateMask"] == ["displayName,trafficSplit"]
    assert grpc_rest._decode(request.body) == {"displayName": "d", "trafficSplit": {"7": 100}}
    assert not request.is_repeatable


def test_names_are_escaped_as_the_sdk_does(methods):
    request = asked(
        methods[f"{V1}ModelService/GetModel"], model_service.GetModelRequest(name=f"{HOME}/models/5@prod ä")
    )
    assert request.target.startswith(f"/v1/{HOME}/models/5%40prod%20%C3%A4?")


def test_enums_are_numbers_and_wide_integers_texts(methods):
    message = model_service.UploadModelRequest(
        parent=HOME,
        model={
            "display_name": "m",
            "supported_deployment_resources_types": ["SHARED_RESOURCES"],
            "container_spec": {"image_uri": "i", "shared_memory_size_mb": 128, "deployment_timeout": "600s"},
        },
    )
    request = asked(methods[f"{V1}ModelService/UploadModel"], message)
    assert grpc_rest._decode(request.body) == {
        "model": {
            "displayName": "m",
            "supportedDeploymentResourcesTypes": [3],
            "containerSpec": {"imageUri": "i", "sharedMemorySizeMb": "128", "deploymentTimeout": "600s"},
        }
    }


def test_a_raw_body_is_sent_as_it_is(methods):
    message = prediction_service.RawPredictRequest(
        endpoint=f"{HOME}/endpoints/1", http_body={"content_type": "text/csv", "data": b"\x00\xff"}
    )
    request = asked(methods[f"{V1}PredictionService/RawPredict"], message)
    assert request.target == f"/v1/{HOME}/endpoints/1:rawPredict"
    assert (request.body, request.media_type) == (b"\x00\xff", "text/csv")


@pytest.mark.parametrize("media_type", ["a/b\r\nx-evil: 1", "ä", "a\0"])
def test_a_media_type_cannot_smuggle_headers(methods, media_type):
    message = prediction_service.RawPredictRequest(
        endpoint=f"{HOME}/endpoints/1", http_body={"content_type": media_type}
    )
    with pytest.raises(InvalidArgument, match="content_type: expected a media type"):
        asked(methods[f"{V1}PredictionService/RawPredict"], message)


@pytest.mark.parametrize(
    "name",
    ["", "models/5", f"{HOME}/endpoints/1/x", "projects/../locations/l/endpoints/1", f"{HOME}/models/1"],
)
def test_a_name_that_is_none_is_told_with_what_is_expected(methods, name):
    message = endpoint_service.GetEndpointRequest(name=name)
    with pytest.raises(
        InvalidArgument,
        match=r"^GetEndpoint: name: expected projects/\*/locations/\*/endpoints/\*; got '",
    ):
        asked(methods[f"{V1}EndpointService/GetEndpoint"], message)


def test_what_is_no_message_is_refused(methods):
    with pytest.raises(InvalidArgument, match="GetEndpoint: not a GetEndpointRequest"):
        grpc_rest.parse(methods[f"{V1}EndpointService/GetEndpoint"], b"\xff\xff\xff")


@pytest.mark.parametrize("body", [b"<html>", b"[1]", b'{"createTime": "noon"}', b"\xff"])
def test_an_answer_that_is_none_is_an_internal_error(methods, body):
    with pytest.raises(Internal, match="the server's answer is no"):
        grpc_rest.answer(methods[f"{V1}EndpointService/GetEndpoint"], body, "application/json")


def test_no_answer_at_all_is_an_empty_message(methods):
    method = methods["/google.longrunning.Operations/CancelOperation"]
    assert grpc_rest.answer(method, b"", "") == b""


def test_an_operation_is_asked_for_under_any_resource(methods):
    method = methods["/google.longrunning.Operations/GetOperation"]
    for name in (f"{HOME}/operations/1", f"{HOME}/endpoints/2/operations/1"):
        request = grpc_rest.request(method, method.takes(name=name))
        assert request.target.startswith(f"/ui/{name}?")
    with pytest.raises(InvalidArgument, match=r"name: expected projects/\*\*; got 'operations/1'"):
        grpc_rest.request(method, method.takes(name="operations/1"))


def test_what_only_the_first_message_of_a_stream_says_holds_for_the_others(methods):
    method = methods[f"{V1}PredictionService/StreamDirectRawPredict"]
    first = []
    begins = method.takes(endpoint="e", method_name="m", input=b"1").SerializeToString()
    assert grpc_rest.continued(method, begins, first) == begins
    later = grpc_rest.continued(method, method.takes(input=b"2").SerializeToString(), first)
    assert method.takes.FromString(later) == method.takes(endpoint="e", method_name="m", input=b"2")
    other = method.takes(endpoint="f", method_name="n", input=b"3").SerializeToString()
    assert grpc_rest.continued(method, other, first) == other


def test_both_versions_have_the_methods_that_sdks_ask(methods):
    beta = of_version("v1beta1")
    for path in methods:
        if path.startswith(V1) and "/Update" not in path:
            assert path.replace(".v1.", ".v1beta1.") in beta, path
