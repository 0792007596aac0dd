"""What commands tell of deployed models: what they are called, their traffic, and where they run."""

import json

from trivet.cli.control import Control, Json
from trivet.core.resources import Name


def called(one: Json) -> str:
    """Return what a deployed model is called: `fraud@2`."""
    return f"{Name.parse(one['model']).id}@{one['modelVersionId']}"


def titled(name: str, display_name: str) -> str:
    """Return a name, and the one to show behind it where that says more: `5839@1 (fraud)`."""
    return name if display_name in ("", name.partition("@")[0]) else f"{name} ({display_name})"


def shown(one: Json) -> str:
    """Return what tables call a deployed model."""
    return titled(called(one), one.get("displayName", ""))


def split(at: Json) -> str:
    """Return an endpoint's traffic in words: `fraud@1 90 %, fraud@2 10 %`."""
    shares = at.get("trafficSplit", {})
    told = [f"{shown(one)} {shares.get(one['id'], 0)} %" for one in at.get("deployedModels", [])]
    return ", ".join(told)


class Served:
    """What the server's data plane says of the models that answer at this moment."""

    def __init__(self, control: Control) -> None:
        models: list[Json] = json.loads(control.text("/v1/models"))["models"]
        self._models = {model["deployedModelId"]: model for model in models}

    def __len__(self) -> int:
        return len(self._models)

    def of(self, one: Json) -> Json | None:
        """Return what it says of a deployed model; None where that does not answer yet."""
        return self._models.get(one["id"])
