import math

import pytest
from google.cloud.aiplatform_v1.types import prediction_service
from google.protobuf import json_format, struct_pb2
from hypothesis import given, settings
from hypothesis import strategies as st

from trivet.core.errors import Internal, InvalidArgument
from trivet.protocols.vertex.grpc_json import of_object, to_object

REQUEST, RESPONSE = prediction_service.PredictRequest.pb(), prediction_service.PredictResponse.pb()
TEXT = st.text(st.characters(exclude_categories=["Cs"]))
JSON = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner),
    max_leaves=20,
)


@settings(deadline=None, max_examples=50)
@given(st.lists(JSON), st.none() | st.dictionaries(TEXT, JSON))
def test_instances_become_what_protobuf_itself_makes_of_them(instances, parameters):
    content = {"instances": instances, "endpoint": "e", "labels": {"a": "b"}}
    if parameters is not None:
        content["parameters"] = parameters
    message = json_format.ParseDict(content, REQUEST())
    expected = json_format.MessageToDict(message)
    assert to_object(message) == expected


@settings(deadline=None, max_examples=50)
@given(st.lists(JSON), JSON)
def test_predictions_are_read_as_protobuf_itself_reads_them(predictions, metadata):
    content = {"predictions": predictions, "metadata": metadata, "deployedModelId": "7", "unknown": 1}
    expected = json_format.ParseDict(content, RESPONSE(), ignore_unknown_fields=True)
    assert of_object(content, RESPONSE) == expected


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_a_number_that_json_does_not_have_is_refused(number):
    message = REQUEST(instances=[struct_pb2.Value(number_value=number)])
    with pytest.raises(InvalidArgument, match="instances: expected finite numbers"):
        to_object(message)


@pytest.mark.parametrize(
    "content",
    [None, [], "text", {"predictions": 7}, {"deployedModelId": {"a": 1}}, {"predictions": {"a": 1}}],
)
def test_an_answer_that_does_not_fit_is_an_internal_error(content):
    with pytest.raises(Internal, match="no PredictResponse"):
        of_object(content, RESPONSE)
