"""What each gRPC method takes and gives, and what it is called over REST, read out of Google's own SDK.

A transport of the SDK is handed a channel that notes what it is asked for: paths and message types. The
HTTP rules are those of its REST transport. Imports `google-cloud-aiplatform`, which costs a second.
"""

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType
from typing import Any, Literal

from google.cloud.location import locations_pb2
from google.iam.v1 import iam_policy_pb2, policy_pb2
from google.longrunning import operations_pb2
from google.protobuf import empty_pb2
from grpc import aio

Version = Literal["v1", "v1beta1"]
Kind = Literal["unary", "server stream", "both stream"]
Rule = Mapping[str, str]
"""`method`, `uri` (a template) and perhaps `body` (a field, or `*`), as in google.api.http."""

SERVICES = (
    "deployment_resource_pool",
    "endpoint",
    "feature_online_store",
    "feature_online_store_admin",
    "feature_registry",
    "job",
    "model",
    "prediction",
)

ASKED_AS = {
    "StreamDirectPredict": "DirectPredict",
    "StreamDirectRawPredict": "DirectRawPredict",
    "StreamingPredict": "DirectPredict",
    "StreamingRawPredict": "DirectRawPredict",
}
"""Methods where both sides stream, whose messages are on the wire as those of a unary method."""

_REPEATABLE = {"Predict", "RawPredict", "DirectPredict", "DirectRawPredict", "Explain", "FetchFeatureValues"}


@dataclass(frozen=True, slots=True)
class Method:
    """One method of a service, by its path: `/package.Service/Method`."""

    path: str
    kind: Kind
    takes: Any
    gives: Any
    rules: Sequence[Rule]

    @property
    def name(self) -> str:
        """The last part of its path."""
        return self.path.rpartition("/")[2]

    @property
    def is_repeatable(self) -> bool:
        """Whether it may be asked again where it is not known if it was answered before."""
        return self.name in _REPEATABLE or all(rule["method"] == "get" for rule in self.rules)


def of_version(version: Version) -> dict[str, Method]:
    """Return the methods of aiplatform's services that can be asked over REST, by path."""
    found: dict[str, Method] = {}
    for service in SERVICES:
        package = f"google.cloud.aiplatform_{version}.services.{service}_service.transports"
        found |= _of_service(import_module(f"{package}.grpc_asyncio"), import_module(f"{package}.rest_base"))
    return found


def common() -> dict[str, Method]:
    """Return the methods that come with every service: operations, locations and permissions."""
    operations, locations = "google.longrunning.Operations", "google.cloud.location.Locations"
    policies, empty = "google.iam.v1.IAMPolicy", empty_pb2.Empty
    of, at, on = operations_pb2, locations_pb2, iam_policy_pb2
    table = (
        (operations, of.GetOperationRequest, of.Operation, "get", ""),
        (operations, of.ListOperationsRequest, of.ListOperationsResponse, "get", "/operations"),
        (operations, of.WaitOperationRequest, of.Operation, "post", ":wait"),
        (operations, of.CancelOperationRequest, empty, "post", ":cancel"),
        (operations, of.DeleteOperationRequest, empty, "delete", ""),
        (locations, at.GetLocationRequest, at.Location, "get", ""),
        (locations, at.ListLocationsRequest, at.ListLocationsResponse, "get", "/locations"),
        (policies, on.GetIamPolicyRequest, policy_pb2.Policy, "post", ":getIamPolicy"),
        (
            policies,
            on.TestIamPermissionsRequest,
            on.TestIamPermissionsResponse,
            "post",
            ":testIamPermissions",
        ),
    )
    found: dict[str, Method] = {}
    for service, takes, gives, verb, ending in table:
        path = f"/{service}/{takes.DESCRIPTOR.name.removesuffix('Request')}"
        field = "resource" if service is policies else "name"
        rule = {"method": verb, "uri": f"/ui/{{{field}=projects/**}}{ending}"}
        found[path] = Method(path, "unary", takes, gives, (rule,))
    return found


def _of_service(transports: ModuleType, rest: ModuleType) -> dict[str, Method]:
    noted = _Noting()
    _only_class(transports, "GrpcAsyncIOTransport")(channel=noted)
    base = _only_class(rest, "RestTransport")
    found: dict[str, Method] = {}
    for path, kind, takes, gives in noted.methods:
        rules = _rules(base, path.rpartition("/")[2])
        if rules and kind != "both stream":
            found[path] = Method(path, kind, takes, gives, rules)
    for path, kind, _, _ in noted.methods:
        service, _, name = path.rpartition("/")
        unary = found.get(f"{service}/{ASKED_AS.get(name)}")
        if kind == "both stream" and unary is not None:
            found[path] = Method(path, kind, unary.takes, unary.gives, unary.rules)
    return found


def _only_class(module: ModuleType, ending: str) -> Any:
    (found,) = (
        kind
        for name, kind in inspect.getmembers(module, inspect.isclass)
        if name.endswith(ending) and kind.__module__ == module.__name__
    )
    return found


def _rules(base: Any, name: str) -> Sequence[Rule]:
    options = getattr(getattr(base, f"_Base{name}", None), "_get_http_options", None)
    return options() if options is not None else ()


class _Noting(aio.Channel):  # type: ignore[misc]  # grpc has no types
    """A channel that goes nowhere, and notes which methods it is asked for."""

    def __init__(self) -> None:
        self.methods: list[tuple[str, Kind, Any, Any]] = []
        self._unary_unary_interceptors: list[Any] = []  # the SDK adds its own

    def unary_unary(self, method: str, *_: Any, **types: Any) -> Any:
        return self._note(method, "unary", **types)

    def unary_stream(self, method: str, *_: Any, **types: Any) -> Any:
        return self._note(method, "server stream", **types)

    def stream_stream(self, method: str, *_: Any, **types: Any) -> Any:
        return self._note(method, "both stream", **types)

    def _note(
        self, path: str, kind: Kind, *, request_serializer: Any, response_deserializer: Any, **_: Any
    ) -> Any:
        # those of protobuf's own classes say not whose they are: the methods that `common` knows
        if hasattr(request_serializer, "__self__"):
            takes, gives = request_serializer.__self__.pb(), response_deserializer.__self__
            self.methods.append((path, kind, takes, gives.pb() if hasattr(gives, "pb") else gives))
        return lambda *_: None


_Noting.__abstractmethods__ = frozenset()  # the SDK uses nothing else of it
