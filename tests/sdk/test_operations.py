"""Operations, locations and permissions, by the clients below the SDK's own classes."""

import pytest
from google.api_core import exceptions
from google.longrunning import operations_pb2

from tests.sdk.place import BUCKET


@pytest.fixture
def parent(project):
    return f"projects/{project}/locations/us-central1"


def test_an_operation_is_found_listed_waited_for_and_deleted(client, parent):
    service = client("Endpoint")
    begun = service.create_endpoint(parent=parent, endpoint={"display_name": "e"})
    name = begun.operation.name
    assert name.startswith(f"{parent}/operations/")
    endpoint = begun.result()
    found = service.get_operation(operations_pb2.GetOperationRequest(name=name))
    assert found.done
    assert found.response.type_url == "type.googleapis.com/google.cloud.aiplatform.v1.Endpoint"
    waited = service.wait_operation(operations_pb2.WaitOperationRequest(name=name))
    if isinstance(waited, bytes):  # the SDK does not decode it over gRPC
        waited = operations_pb2.Operation.FromString(waited)
    assert (waited.name, waited.done) == (name, True)
    listed = service.list_operations(operations_pb2.ListOperationsRequest(name=parent))
    assert [one.name for one in listed.operations] == [name]
    service.cancel_operation(operations_pb2.CancelOperationRequest(name=name))
    service.delete_operation(operations_pb2.DeleteOperationRequest(name=name))
    with pytest.raises(exceptions.NotFound, match=name):
        service.get_operation(operations_pb2.GetOperationRequest(name=name))
    service.delete_endpoint(name=endpoint.name).result()


def test_an_operation_that_fails_says_why(client, parent):
    model = {"display_name": "m", "artifact_uri": f"gs://{BUCKET}/missing"}
    begun = client("Model").upload_model(parent=parent, model=model)
    with pytest.raises(exceptions.GoogleAPICallError, match="missing") as failed:
        begun.result()
    assert failed.value.grpc_status_code is not None
    assert begun.done()


def test_locations_are_known(client, project):
    from google.cloud.location import locations_pb2

    service = client("Model")
    name = f"projects/{project}/locations/us-central1"
    request = locations_pb2.GetLocationRequest(name=name)
    assert service.get_location(request).location_id == "us-central1"
    listed = service.list_locations(locations_pb2.ListLocationsRequest(name=f"projects/{project}"))
    assert "us-central1" in [one.location_id for one in listed.locations]


def test_everything_is_permitted(client, parent):
    from google.iam.v1 import iam_policy_pb2

    asked = ["aiplatform.endpoints.predict"]
    request = iam_policy_pb2.TestIamPermissionsRequest(resource=f"{parent}/endpoints/e", permissions=asked)
    assert list(client("Endpoint").test_iam_permissions(request).permissions) == asked
