"""Vertex AI: requests that upload each version, deploy it at an endpoint, and split the traffic.

Each request is a file in the form of the REST API, and `deploy.py` sends them in order. Versions are called
`vN` by an alias and deployed models N by their id, so that every request is known beforehand;
`deploy.py` puts what it is answered in their place, and so can be run again.
https://cloud.google.com/vertex-ai/docs/reference/rest/v1/projects.locations.models
"""

from typing import Any

from trivet.core.containers import Probe
from trivet.core.errors import InvalidArgument
from trivet.platforms import pods
from trivet.platforms.base import Bundle, Json, Version, Wanted, port_of, service_name
from trivet.platforms.images import images
from trivet.platforms.notes import built, models, notes
from trivet.platforms.texts import filled
from trivet.platforms.variables import own, storage_uri

_MACHINE = "n1-standard-4"
_MACHINE_WITH_GPU = "g2-standard-8"
_FIRST = 1001
"""The id of the first deployed model; Vertex takes any number of ten digits at most."""


class _Vertex:
    title = "Vertex AI"
    least = 1

    def bundle(self, wanted: Wanted) -> Bundle:
        _check(wanted)
        parent = f"projects/{wanted.project}/locations/{wanted.region}"
        found = images(wanted)
        made, files = models(wanted), []
        split: dict[str, int] = {}
        seen: set[str] = set()
        documents: dict[str, list[Json]] = {
            "endpoint.json": [{"displayName": wanted.name, "dedicatedEndpointEnabled": True}]
        }
        for number, version in enumerate(wanted.serving):
            one = found[version.label]
            made |= one.bundle
            upload = f"{number + 1}-upload-{version.label}.json"
            documents[upload] = [_upload(version, wanted, one.name, parent, first=version.name not in seen)]
            seen.add(version.name)
            id_ = str(_FIRST + number)
            deploy = f"{number + 1}-deploy-{version.label}.json"
            documents[deploy] = [_deploy(version, wanted, parent, id_, already=split)]
            split[id_] = version.share
            files.append((upload, deploy))
        documents["traffic.json"] = [{"trafficSplit": split}]
        script = filled(
            "vertex.py.txt",
            region=wanted.region,
            parent=parent,
            name=wanted.name,
            versions="\n".join(f"    ({upload!r}, {deploy!r})," for upload, deploy in files),
        )
        builds = filled("vertex.sh", build=built(wanted, found))
        text = notes(wanted, found, "vertex.md")
        texts = {"deploy.py": script, "images.sh": builds, "README.md": text}
        return made | Bundle(texts, documents, programs=frozenset({"deploy.py", "images.sh"}))


def _upload(version: Version, wanted: Wanted, name: str, parent: str, *, first: bool) -> Json:
    """Return the request that uploads a version: the first of a model, or one more."""
    contract = version.contract
    env = [{"name": key, "value": value} for key, value in own(version, wanted).items()]
    container: dict[str, Any] = {"imageUri": name, "ports": [{"containerPort": port_of(version)}]}
    if contract.invoke_prefix:
        container["invokeRoutePrefix"] = f"{contract.invoke_prefix}*"
    else:
        container["predictRoute"] = contract.predict_route
    container["healthRoute"] = contract.health_route or "/health"
    container |= {"env": env} if env else {}
    if version.container is not None:
        container |= {"command": list(contract.command)} if contract.command else {}
        container |= {"args": list(contract.args)} if contract.args else {}
    if contract.resources.shared_memory:
        container["sharedMemorySizeMb"] = str(contract.resources.shared_memory >> 20)
    if contract.start_timeout:
        container["deploymentTimeout"] = f"{contract.start_timeout:g}s"
    probes = {
        "startupProbe": contract.startup,
        "healthProbe": contract.health,
        "livenessProbe": contract.liveness,
    }
    for field, probe in probes.items():
        if probe is not None and probe != Probe():
            container[field] = pods.asked(probe, version)
    model: Json = {
        "displayName": version.name,
        "versionAliases": [_alias(version)],
        "labels": {"made-by": "trivet"},
        "containerSpec": container,
    }
    if uri := storage_uri(version, wanted):
        model["artifactUri"] = uri
    id_ = service_name(version.name)
    to: Json = {"modelId": id_} if first else {"parentModel": f"{parent}/models/{id_}"}
    return {"model": model, **to}


def _deploy(version: Version, wanted: Wanted, parent: str, id_: str, already: dict[str, int]) -> Json:
    """Return the request that deploys a version: the first with all of the traffic, others with none."""
    machine: Json = {"machineType": wanted.machine_type or (_MACHINE_WITH_GPU if wanted.gpus else _MACHINE)}
    if wanted.gpus:
        kind = wanted.gpu_type.upper().replace("-", "_")
        machine |= {"acceleratorType": kind, "acceleratorCount": wanted.gpus}
    metric = {
        "metricName": "aiplatform.googleapis.com/prediction/online/cpu/utilization",
        "target": wanted.cpu_target,
    }
    deployed: Json = {
        "id": id_,
        "model": f"{parent}/models/{service_name(version.name)}@{_alias(version)}",
        "displayName": version.label,
        "dedicatedResources": {
            "machineSpec": machine,
            "minReplicaCount": wanted.least,
            "maxReplicaCount": wanted.most,
            "autoscalingMetricSpecs": [metric],
        },
    }
    if wanted.service_account:
        deployed["serviceAccount"] = wanted.service_account
    first = next(iter(already), "0")
    split = {"0": 100} if first == "0" else {"0": 0, **dict.fromkeys(already, 0), first: 100}
    return {"deployedModel": deployed, "trafficSplit": split}


def _alias(version: Version) -> str:
    return f"v{version.version.lower()}"


def _check(wanted: Wanted) -> None:
    if not wanted.project:
        raise InvalidArgument("--gcp-project: required for Vertex AI; models and endpoints are named by it")
    if wanted.least < 1:
        raise InvalidArgument("--min 0: expected 1 or more on Vertex AI")
    if wanted.public:
        raise InvalidArgument("--public: Vertex AI answers nobody without a token; leave it out")
    if wanted.storage and not wanted.storage.startswith("gs://"):
        raise InvalidArgument(f"--storage {wanted.storage}: expected gs://BUCKET/FOLDER for Vertex AI")
    for version in wanted.versions:
        if version.container is not None and version.files is not None and not wanted.storage:
            raise InvalidArgument(
                f"--storage: required for {version.name}@{version.version} on Vertex AI, which tells a "
                "container where its files are, and knows only gs://BUCKET/FOLDER"
            )


PLATFORM = _Vertex()
