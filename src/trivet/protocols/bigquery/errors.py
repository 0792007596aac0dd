"""Errors as BigQuery's API tells them: a status, and a reason that says to clients whether to try again.

Google's client tries again for ten minutes where the reason is `rateLimitExceeded`, `backendError` or
`internalError`; so none of these is given for what would fail again.
https://cloud.google.com/bigquery/docs/error-messages
"""

from collections.abc import Mapping
from math import ceil
from typing import Any

from trivet.core.errors import Aborted, Code, FailedPrecondition, ResourceExhausted, ServingError
from trivet.protocols.base import STATUS, Reply, encode_json

Json = dict[str, Any]

_REASONS: Mapping[Code, str] = {
    Code.INVALID_ARGUMENT: "invalid",
    Code.FAILED_PRECONDITION: "invalid",
    Code.PERMISSION_DENIED: "accessDenied",
    Code.NOT_FOUND: "notFound",
    Code.ALREADY_EXISTS: "duplicate",
    Code.ABORTED: "invalid",
    Code.RESOURCE_EXHAUSTED: "rateLimitExceeded",
    Code.CANCELLED: "stopped",
    Code.INTERNAL: "fault",
    Code.UNIMPLEMENTED: "notImplemented",
    Code.UNAVAILABLE: "backendError",
    Code.DEADLINE_EXCEEDED: "stopped",
}

_OF_JOBS: Mapping[Code, str] = {
    **_REASONS,
    Code.RESOURCE_EXHAUSTED: "resourcesExceeded",
    Code.INTERNAL: "invalid",
    Code.UNAVAILABLE: "invalid",
}

_OF_QUERIES: Mapping[Code, str] = {
    **_OF_JOBS,
    **dict.fromkeys(
        (Code.INVALID_ARGUMENT, Code.FAILED_PRECONDITION, Code.ABORTED, Code.INTERNAL, Code.UNAVAILABLE),
        "invalidQuery",
    ),
}

_STATUSES: Mapping[str, int] = {
    "accessDenied": 403,
    "conditionNotMet": 412,
    "duplicate": 409,
    "invalid": 400,
    "invalidQuery": 400,
    "notFound": 404,
    "notImplemented": 501,
    "resourceInUse": 400,
    "resourcesExceeded": 400,
    "stopped": 499,
}
"""The status of getQueryResults for a job that failed, by its reason."""


class ConditionNotMet(Aborted):
    """What was to be changed is not what the caller has seen any more: its etag is another."""


def job_error(error: ServingError, kind: str) -> Json:
    """Return what a job that failed says of it: an ErrorProto."""
    reasons = _OF_QUERIES if kind == "query" else _OF_JOBS
    told = {"reason": reasons[error.code], "message": str(error)}
    return {**told, "location": "query"} if told["reason"] == "invalidQuery" else told


def refusal(error: ServingError, status: int = 0, reason: str = "", **headers: str) -> Reply:
    """Return the reply that tells of an error."""
    if isinstance(error, ConditionNotMet):
        status, reason = 412, "conditionNotMet"
    if isinstance(error, FailedPrecondition) and str(error).endswith("is still in use"):
        reason = reason or "resourceInUse"
    status, reason = status or STATUS[error.code], reason or _REASONS[error.code]
    if isinstance(error, ResourceExhausted):
        headers["retry-after"] = str(max(1, ceil(error.retry_after or 0)))
    return told(status, {"reason": reason, "message": str(error)}, error.code.name, **headers)


def failed(told_of: Json) -> Reply:
    """Return the reply to one who asks for the results of a job that failed."""
    status = _STATUSES.get(told_of["reason"], 400)
    return told(status, told_of, "INVALID_ARGUMENT" if status == 400 else told_of["reason"])


def told(status: int, error: Json, name: str, **headers: str) -> Reply:
    """Return a reply with an ErrorProto in the form of Google's APIs."""
    content = {
        "code": status,
        "message": error["message"],
        "errors": [{"domain": "global", **error}],
        "status": name,
    }
    return Reply(status, encode_json({"error": content}), headers=headers)
