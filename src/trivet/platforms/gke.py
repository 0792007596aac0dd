"""GKE: a Deployment, Service and autoscaler for each version, and a Gateway whose route has weights for them.

A Service whose selector takes the pods of two versions does not split traffic: it chooses a pod for each
connection, by how many pods there are and, behind a load balancer, by where the connection is from. A
route's weights hold for each request, however many pods a version has.
"""

from trivet.core.errors import InvalidArgument
from trivet.platforms import pods
from trivet.platforms.base import Bundle, Json, Version, Wanted, fitting, port_of, same_routes
from trivet.platforms.images import images
from trivet.platforms.notes import built, models, notes
from trivet.platforms.texts import filled

_DRAINS = 60  # seconds that a replica has to finish its requests
_LEAVES = 5  # seconds in which balancers notice that a replica is about to end
_USER = 1000


class _Gke:
    title = "GKE"
    least = 1

    def bundle(self, wanted: Wanted) -> Bundle:
        same_routes(wanted)
        if wanted.least < 1:
            raise InvalidArgument("--min 0: expected 1 or more on GKE, which does not scale to zero")
        found = images(wanted)
        shared = [_account(wanted), _gateway(wanted), _route(wanted)]
        made = models(wanted) | Bundle(documents={"k8s/gateway.yaml": shared})
        for version in wanted.serving:
            one = found[version.label]
            name = _name(version, wanted)
            documents = [
                _deployment(version, wanted, one.name, name),
                _service(version, wanted, name),
                _autoscaler(version, wanted, name),
                _budget(version, wanted, name),
                _health_check(version, wanted, name),
                _backend(version, wanted, name),
            ]
            made |= one.bundle | Bundle(documents={f"k8s/{version.label}.yaml": documents})
        deployments = " ".join(f"deployment/{_name(version, wanted)}" for version in wanted.serving)
        script = filled(
            "gke.sh",
            name=wanted.name,
            namespace=wanted.namespace,
            build=built(wanted, found),
            deployments=deployments,
        )
        text = notes(wanted, found, "gke.md", gateway=_gateway_class(wanted))
        return made | Bundle({"deploy.sh": script, "README.md": text}, programs=frozenset({"deploy.sh"}))


def _name(version: Version, wanted: Wanted) -> str:
    """Return the name of all that is of one version."""
    own = version.label
    return own if own.startswith(f"{wanted.name}-") else fitting(f"{wanted.name}-{own}")


def _meta(wanted: Wanted, name: str, version: Version | None = None) -> Json:
    labels = {"app.kubernetes.io/name": wanted.name, "app.kubernetes.io/managed-by": "trivet"}
    if version is not None:
        labels |= _selector(version, wanted)
    return {"name": name, "namespace": wanted.namespace, "labels": labels}


def _selector(version: Version, wanted: Wanted) -> dict[str, str]:
    return {"app": wanted.name, "model": version.label}


def _account(wanted: Wanted) -> Json:
    """Return the account of the pods, which stands for one of Google's where that is named."""
    meta = _meta(wanted, wanted.name)
    if wanted.service_account:
        meta["annotations"] = {"iam.gke.io/gcp-service-account": wanted.service_account}
    return {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta}


def _deployment(version: Version, wanted: Wanted, image_name: str, name: str) -> Json:
    made = pods.container(version, wanted, image_name, _LEAVES)
    made["ports"] = [{"name": "http", "containerPort": port_of(version)}]
    made["resources"]["requests"] = dict(made["resources"]["limits"])
    made["startupProbe"] = pods.startup(version.contract.startup, version)
    made["readinessProbe"] = pods.readiness(version)
    made["livenessProbe"] = pods.liveness(version)
    made["securityContext"] = {"allowPrivilegeEscalation": False}
    spec: Json = {
        "serviceAccountName": wanted.name,
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": _DRAINS + _LEAVES,
        "containers": [made],
    }
    if version.container is None:
        made["securityContext"] |= {
            "runAsNonRoot": True,
            "runAsUser": _USER,
            "capabilities": {"drop": ["ALL"]},
        }
        spec["securityContext"] = {"seccompProfile": {"type": "RuntimeDefault"}}
    else:
        made["lifecycle"] = {"preStop": {"sleep": {"seconds": _LEAVES}}}
    if wanted.gpus:
        spec["nodeSelector"] = {"cloud.google.com/gke-accelerator": wanted.gpu_type}
    if volumes := pods.shared_memory(version, made):
        spec["volumes"] = volumes
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": _meta(wanted, name, version),
        "spec": {  # without replicas: they are the autoscaler's
            "selector": {"matchLabels": _selector(version, wanted)},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
            "template": {"metadata": {"labels": _selector(version, wanted)}, "spec": spec},
        },
    }


def _service(version: Version, wanted: Wanted, name: str) -> Json:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": _meta(wanted, name, version),
        "spec": {
            "type": "ClusterIP",
            "selector": _selector(version, wanted),
            "ports": [{"name": "http", "port": 80, "targetPort": "http", "appProtocol": "http"}],
        },
    }


def _autoscaler(version: Version, wanted: Wanted, name: str) -> Json:
    utilization = {"type": "Utilization", "averageUtilization": wanted.cpu_target}
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": _meta(wanted, name, version),
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
            "minReplicas": wanted.least,
            "maxReplicas": wanted.most,
            "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": utilization}}],
            "behavior": {"scaleDown": {"stabilizationWindowSeconds": 300}},
        },
    }


def _budget(version: Version, wanted: Wanted, name: str) -> Json:
    """Return how many replicas may be taken for maintenance at once: with a single one, that."""
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": _meta(wanted, name, version),
        "spec": {"maxUnavailable": 1, "selector": {"matchLabels": _selector(version, wanted)}},
    }


def _health_check(version: Version, wanted: Wanted, name: str) -> Json:
    """Return how the load balancer asks replicas: a Gateway does not take that from their probes."""
    check = {"portSpecification": "USE_SERVING_PORT", "requestPath": pods.health_route(version)}
    return {
        "apiVersion": "networking.gke.io/v1",
        "kind": "HealthCheckPolicy",
        "metadata": _meta(wanted, name, version),
        "spec": {
            "default": {
                "checkIntervalSec": 10,
                "timeoutSec": 10,
                "healthyThreshold": 1,
                "unhealthyThreshold": 4,
                "config": {"type": "HTTP", "httpHealthCheck": check},
            },
            "targetRef": {"group": "", "kind": "Service", "name": name},
        },
    }


def _backend(version: Version, wanted: Wanted, name: str) -> Json:
    """Return how long the load balancer waits for an answer, which is 30 seconds otherwise."""
    return {
        "apiVersion": "networking.gke.io/v1",
        "kind": "GCPBackendPolicy",
        "metadata": _meta(wanted, name, version),
        "spec": {
            "default": {
                "timeoutSec": wanted.timeout,
                "connectionDraining": {"drainingTimeoutSec": _DRAINS},
            },
            "targetRef": {"group": "", "kind": "Service", "name": name},
        },
    }


def _gateway_class(wanted: Wanted) -> str:
    return "gke-l7-global-external-managed" if wanted.public else "gke-l7-rilb"


def _gateway(wanted: Wanted) -> Json:
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "Gateway",
        "metadata": _meta(wanted, wanted.name),
        "spec": {
            "gatewayClassName": _gateway_class(wanted),
            "listeners": [{"name": "http", "protocol": "HTTP", "port": 80}],
        },
    }


def _route(wanted: Wanted) -> Json:
    """Return the route, which lets through what predicts and nothing else."""
    contract = same_routes(wanted)
    if contract.invoke_prefix:
        paths = [{"type": "PathPrefix", "value": contract.invoke_prefix}]
    else:
        routes = (contract.predict_route, contract.health_route or "/health")
        paths = [{"type": "Exact", "value": route} for route in routes]
    backends = [
        {"name": _name(version, wanted), "port": 80, "weight": version.share} for version in wanted.serving
    ]
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": _meta(wanted, wanted.name),
        "spec": {
            "parentRefs": [{"name": wanted.name}],
            "rules": [{"matches": [{"path": path} for path in paths], "backendRefs": backends}],
        },
    }


PLATFORM = _Gke()
