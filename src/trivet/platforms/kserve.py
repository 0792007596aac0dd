"""KServe: an InferenceService with a predictor of its own, whose second version is a canary.

KServe splits traffic between the version before and the latest alone, and only where it runs on Knative: the
files are applied one after the other, the version with most of the traffic first.
https://kserve.github.io/website/docs/model-serving/predictive-inference/rollout-strategies/canary
"""

from trivet.core.errors import InvalidArgument
from trivet.platforms import pods
from trivet.platforms.base import Bundle, Json, Version, Wanted, port_of, same_routes
from trivet.platforms.images import images
from trivet.platforms.notes import built, models, notes
from trivet.platforms.texts import filled
from trivet.platforms.variables import storage_uri

_MOUNTED = "/mnt/models"  # where KServe's storage initializer puts what STORAGE_URI names
_LEAVES = 5  # seconds in which balancers notice that a replica is about to end
_AT_MOST = 2


class _KServe:
    title = "KServe"
    least = 1

    def bundle(self, wanted: Wanted) -> Bundle:
        same_routes(wanted)
        if len(wanted.serving) > _AT_MOST:
            raise InvalidArgument(
                f"--endpoint: KServe splits traffic between {_AT_MOST} versions; {wanted.name} has "
                f"{len(wanted.serving)} with traffic"
            )
        found = images(wanted)
        made, files = models(wanted), []
        for number, version in enumerate(wanted.serving, start=1):
            one = found[version.label]
            path = f"{number}-{version.label}.yaml"
            files.append(path)
            documents = [_service(version, wanted, one.name, canary=number > 1)]
            made |= one.bundle | Bundle(documents={path: documents})
        if wanted.service_account:
            made |= Bundle(documents={"account.yaml": [_account(wanted)]})
        script = filled(
            "kserve.sh",
            name=wanted.name,
            namespace=wanted.namespace,
            build=built(wanted, found),
            files=" ".join(files),
        )
        text = notes(wanted, found, "kserve.md")
        return made | Bundle({"deploy.sh": script, "README.md": text}, programs=frozenset({"deploy.sh"}))


def _service(version: Version, wanted: Wanted, image_name: str, *, canary: bool) -> Json:
    made = pods.container(version, wanted, image_name, _LEAVES)
    made["ports"] = [{"name": "http1", "containerPort": port_of(version), "protocol": "TCP"}]
    made["resources"]["requests"] = dict(made["resources"]["limits"])
    if version.container is None and storage_uri(version, wanted):
        told = {one["name"]: one["value"] for one in made["env"]}
        told |= {"STORAGE_URI": storage_uri(version, wanted), "AIP_STORAGE_URI": _MOUNTED}
        made["env"] = [{"name": name, "value": value} for name, value in told.items()]
    made["name"] = "kserve-container"
    made["startupProbe"] = pods.startup(version.contract.startup, version)
    made["readinessProbe"] = pods.readiness(version)
    made["livenessProbe"] = pods.liveness(version)
    predictor: Json = {
        "minReplicas": wanted.least,
        "maxReplicas": wanted.most,
        "scaleMetric": "concurrency",
        "scaleTarget": max(1, round(0.7 * wanted.concurrency)),
        "containerConcurrency": wanted.concurrency,
        "timeout": wanted.timeout,
    }
    if canary:
        predictor["canaryTrafficPercent"] = version.share
    if wanted.service_account:
        predictor["serviceAccountName"] = wanted.name
    predictor["containers"] = [made]
    if wanted.gpus:
        predictor["nodeSelector"] = {"cloud.google.com/gke-accelerator": wanted.gpu_type}
    if volumes := pods.shared_memory(version, made):
        predictor["volumes"] = volumes
    meta: Json = {"name": wanted.name, "namespace": wanted.namespace}
    if not wanted.public:
        meta["labels"] = {"networking.kserve.io/visibility": "cluster-local"}
    meta["annotations"] = {"serving.kserve.io/deploymentMode": "Serverless"}
    return {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": meta,
        "spec": {"predictor": predictor},
    }


def _account(wanted: Wanted) -> Json:
    annotations = {"iam.gke.io/gcp-service-account": wanted.service_account}
    meta = {"name": wanted.name, "namespace": wanted.namespace, "annotations": annotations}
    return {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta}


PLATFORM = _KServe()
