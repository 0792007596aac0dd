"""Cloud Run: one service, a revision for each version, and the traffic split over revisions.

A service is written once for each version, in the order in which they are applied: a revision is made by
replacing the service, and traffic can be given only to revisions that are there.
https://cloud.google.com/run/docs/reference/yaml/v1
"""

import json
from typing import Any

from trivet.containers.variables import expanded
from trivet.core.containers import Probe
from trivet.core.errors import InvalidArgument
from trivet.platforms import pods
from trivet.platforms.base import Bundle, Json, Version, Wanted, digest, fitting, label, port_of, same_routes
from trivet.platforms.images import images
from trivet.platforms.notes import built, models, notes
from trivet.platforms.texts import filled

_STARTS_WITHIN = 240.0  # seconds that a start-up probe may take in all
_CPUS = (1, 2, 4, 6, 8)
_MEMORY_FOR = {4: 2048, 6: 4096, 8: 4096}  # MiB that so many CPUs need at least
_MOST_MEMORY = 32 * 1024
_RESERVED = ("PORT", "K_SERVICE", "K_REVISION", "K_CONFIGURATION")
_FOR_GPU = (4, 16 * 1024)  # CPUs and MiB

_EVERYONE = """gcloud run services add-iam-policy-binding {} --project "$PROJECT" --region "$REGION" \\
  --member allUsers --role roles/run.invoker"""


class _CloudRun:
    title = "Cloud Run"
    least = 0

    def bundle(self, wanted: Wanted) -> Bundle:
        _check(wanted)
        same_routes(wanted)
        found = images(wanted)
        made, names = models(wanted), []
        revisions: list[tuple[str, Version]] = []
        for number, version in enumerate(wanted.serving, start=1):
            one = found[version.label]
            template = _template(version, wanted, one.name)
            revision = f"{fitting(f'{wanted.name}-{version.label}', 54)}-{digest(json.dumps(template))}"
            template["metadata"] = {"name": revision, **template["metadata"]}
            revisions.append((revision, version))
            path = f"service-{number}-{version.label}.yaml"
            names.append(path)
            made |= one.bundle | Bundle(documents={path: [_service(wanted, template, revisions)]})
        script = filled(
            "cloud_run.sh",
            name=wanted.name,
            project=wanted.project,
            region=wanted.region,
            build=built(wanted, found),
            files=" ".join(names),
            everyone=_EVERYONE.format(wanted.name) if wanted.public else "",
        )
        text = notes(wanted, found, "cloud_run.md")
        return made | Bundle({"deploy.sh": script, "README.md": text}, programs=frozenset({"deploy.sh"}))


def _service(wanted: Wanted, template: Json, revisions: list[tuple[str, Version]]) -> Json:
    """Return the service as it is while the last of `revisions` is made."""
    return {
        "apiVersion": "serving.knative.dev/v1",
        "kind": "Service",
        "metadata": {
            "name": wanted.name,
            "labels": {"cloud.googleapis.com/location": wanted.region},
            "annotations": {"run.googleapis.com/ingress": "all"},
        },
        "spec": {"template": template, "traffic": _traffic(revisions)},
    }


def _traffic(revisions: list[tuple[str, Version]]) -> list[Json]:
    """Give each revision its share, and what those not yet there would have to the first, which has most."""
    missing = 100 - sum(version.share for _, version in revisions)
    first = revisions[0][0]
    return [
        {"revisionName": name, "percent": version.share + (missing if name == first else 0)}
        for name, version in revisions
    ]


def _template(version: Version, wanted: Wanted, name: str) -> Json:
    annotations = {
        "autoscaling.knative.dev/minScale": str(wanted.least),
        "autoscaling.knative.dev/maxScale": str(wanted.most),
        "run.googleapis.com/execution-environment": "gen2",
        "run.googleapis.com/startup-cpu-boost": "true",
    }
    spec: dict[str, Any] = {
        "containerConcurrency": wanted.concurrency,
        "timeoutSeconds": wanted.timeout,
    }
    if wanted.service_account:
        spec["serviceAccountName"] = wanted.service_account
    if wanted.gpus:
        annotations["run.googleapis.com/cpu-throttling"] = "false"
        annotations["run.googleapis.com/gpu-zonal-redundancy-disabled"] = "true"
        spec["nodeSelector"] = {"run.googleapis.com/accelerator": wanted.gpu_type}
    made = pods.container(version, wanted, name)
    made["ports"] = [{"name": "http1", "containerPort": port_of(version)}]
    told = {one["name"]: one["value"] for one in made["env"]}
    made["env"] = [one for one in made["env"] if one["name"] not in _RESERVED]
    for words in (key for key in ("command", "args") if key in made):  # Cloud Run replaces no variables
        made[words] = list(expanded(made[words], told))
    made["startupProbe"] = pods.startup(_asked_by_http(version), version, _STARTS_WITHIN)
    if version.container is None:
        made["livenessProbe"] = _lives(version)
    elif version.contract.liveness.path:  # a connection, which is what the contract has, is not offered
        made["livenessProbe"] = pods.liveness(version)
    spec["containers"] = [made]
    if volumes := pods.shared_memory(version, made):
        spec["volumes"] = volumes
    labels = {"model": label(version.name), "version": label(version.version)}
    return {"metadata": {"labels": labels, "annotations": annotations}, "spec": spec}


def _asked_by_http(version: Version) -> Probe | None:
    """Return the start-up probe, if it has one that is no command: those are not run on Cloud Run."""
    probe = version.contract.startup
    return None if probe and probe.command else probe


def _lives(version: Version) -> Json:
    return pods.timed(version.contract.liveness) | {"httpGet": {"path": "/livez", "port": port_of(version)}}


def _check(wanted: Wanted) -> None:
    whole = wanted.cpus in _CPUS
    if not whole and not (0.08 <= wanted.cpus < 1 and wanted.concurrency == 1):
        raise InvalidArgument(
            f"--cpu {wanted.cpus:g}: expected one of {', '.join(map(str, _CPUS))} on Cloud Run, or less "
            "than 1 with --concurrency 1"
        )
    least = _MEMORY_FOR.get(int(wanted.cpus), 512)
    if not least <= wanted.memory <= _MOST_MEMORY:
        raise InvalidArgument(
            f"--memory {pods.memory(wanted.memory)}: expected {pods.memory(least)} to "
            f"{pods.memory(_MOST_MEMORY)} for {wanted.cpus:g} CPUs on Cloud Run"
        )
    if wanted.gpus and (wanted.gpus > 1 or wanted.cpus < _FOR_GPU[0] or wanted.memory < _FOR_GPU[1]):
        raise InvalidArgument("--gpus: expected 1 on Cloud Run, with --cpu 4 and --memory 16Gi or more")
    if not 1 <= wanted.concurrency <= 1000:
        raise InvalidArgument(f"--concurrency {wanted.concurrency}: expected 1 to 1000 on Cloud Run")
    if not 1 <= wanted.timeout <= 3600:
        raise InvalidArgument(f"--timeout {wanted.timeout}: expected 1 to 3600 seconds on Cloud Run")
    for version in wanted.versions:
        names = {name for name, _ in (*wanted.env, *(version.container.env if version.container else ()))}
        if taken := names & set(_RESERVED):
            raise InvalidArgument(
                f"env {', '.join(sorted(taken))}: Cloud Run sets it itself; let the application read "
                "AIP_HTTP_PORT, or export without it"
            )


PLATFORM = _CloudRun()
