from types import SimpleNamespace

import pytest

from trivet.cli.deploy import _call

AT = {"name": "projects/local/locations/us-central1/endpoints/llm"}
PATH = f"curl http://here:8080/v1/{AT['name']}"


@pytest.mark.parametrize(
    ("container", "expected"),
    [
        ({}, f"{PATH}:predict -d '{{\"instances\":[]}}'"),
        ({"predictRoute": "/predict"}, f"{PATH}:predict -d '{{\"instances\":[]}}'"),
        ({"invokeRoutePrefix": "/*", "healthRoute": "/health"}, f"{PATH}/invoke/health"),
        ({"invokeRoutePrefix": "/v1/*"}, f"{PATH}/invoke/v1/..."),
    ],
)
def test_the_call_that_is_shown_is_one_that_the_container_answers(container, expected):
    assert _call(SimpleNamespace(url="http://here:8080"), AT, None, container) == expected
