"""What is wrong is raised as what it is: by its code over gRPC, by the status alone over REST."""

import pytest
from google.api_core import exceptions

NAMES = {
    "not found": exceptions.NotFound,
    "exists": exceptions.AlreadyExists,
    "wrong by itself": exceptions.InvalidArgument,
    "in a state that forbids it": exceptions.FailedPrecondition,
    "overtaken": exceptions.Aborted,
}
BY_STATUS = {
    exceptions.NotFound: exceptions.NotFound,
    exceptions.AlreadyExists: exceptions.Conflict,
    exceptions.InvalidArgument: exceptions.BadRequest,
    exceptions.FailedPrecondition: exceptions.BadRequest,
    exceptions.Aborted: exceptions.Conflict,
}


@pytest.fixture
def calls(client, upload, aiplatform):
    """Return calls that fail, and a part of what each says."""
    model = upload(model_id="m")
    endpoint = model.deploy(machine_type="n1-standard-2")
    parent = model.resource_name.rpartition("/models/")[0]
    endpoints, models = client("Endpoint"), client("Model")
    stale = {"name": model.resource_name, "display_name": "new", "etag": "stale"}
    return {
        "not found": (lambda: endpoints.get_endpoint(name=f"{parent}/endpoints/none"), "endpoints/none"),
        "exists": (
            lambda: endpoints.create_endpoint(
                parent=parent, endpoint={"display_name": "e"}, endpoint_id=endpoint.name
            ),
            endpoint.name,
        ),
        "wrong by itself": (
            lambda: models.list_models(request={"parent": parent, "filter": "colour=red"}),
            "colour",
        ),
        "in a state that forbids it": (lambda: endpoints.delete_endpoint(name=endpoint.resource_name), "id"),
        "overtaken": (
            lambda: models.update_model(model=stale, update_mask={"paths": ["display_name"]}),
            "etag",
        ),
    }


def test_each_code_has_its_class(calls, transport):
    for name, (call, said) in calls.items():
        with pytest.raises(NAMES[name].__bases__[0], match=said) as raised:
            call()
        meant = NAMES[name] if transport == "grpc" else BY_STATUS[NAMES[name]]
        assert type(raised.value) is meant, name
