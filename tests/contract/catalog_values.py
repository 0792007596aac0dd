"""Resources to fill a catalog with, and a filter's meaning in plain Python to compare with."""

import re
from datetime import UTC, datetime, timedelta

from trivet.core.filters import And, Comparison, Not, Or
from trivet.core.resources import DeployedModel, Endpoint, Location, ModelVersion, Operation, Pool

HERE = Location("acme", "us-central1")
START = datetime(2026, 1, 31, 8, 30, 0, 123456, tzinfo=UTC)


def at(seconds):
    return START + timedelta(seconds=seconds)


def model(id_="5", parent=HERE, **changes):
    values = {"display_name": f"model {id_}", "created": START, "updated": START, "model_created": START}
    return ModelVersion(name=parent.child("models", id_), version="", **(values | changes))


def endpoint(id_="e", parent=HERE, **changes):
    values = {"display_name": f"endpoint {id_}", "created": START, "updated": START}
    return Endpoint(name=parent.child("endpoints", id_), **(values | changes))


def deployed(id_="1", model_id="5", version="1", **changes):
    values = {"display_name": f"deployed {id_}", "created": START}
    return DeployedModel(id_, HERE.child("models", model_id), version, **(values | changes))


def pool(id_="pool", **changes):
    return Pool(HERE.child("deploymentResourcePools", id_), **({"created": START} | changes))


def operation(id_="1", **changes):
    values = {"kind": "deployModel", "target": "t", "created": START, "updated": START}
    return Operation(name=HERE.child("operations", id_), **(values | changes))


def value_of(resource, field, key=""):
    """Return what a filter's field is, of a model or an endpoint; None for a label that is not there."""
    if field == "labels":
        return resource.labels.get(key)
    created = getattr(resource, "model_created", resource.created)
    return {
        "id": resource.name.id,
        "name": str(resource.name),
        "display_name": resource.display_name,
        "create_time": created,
        "update_time": resource.updated,
    }[field]


def holds(one, resource):
    """Say whether a filter holds of a resource."""
    match one:
        case And(parts):
            return all(holds(part, resource) for part in parts)
        case Or(parts):
            return any(holds(part, resource) for part in parts)
        case Not(part):
            return not holds(part, resource)
        case Comparison(field, op, value, key):
            return compares(value_of(resource, field, key), op, value)


def compares(stored, op, value):
    if stored is None:
        return False
    if op == ":":
        return re.fullmatch(".*".join(map(re.escape, value.split("*"))), stored, re.DOTALL) is not None
    return {
        "=": stored == value,
        "!=": stored != value,
        "<": stored < value,
        "<=": stored <= value,
        ">": stored > value,
        ">=": stored >= value,
    }[op]
