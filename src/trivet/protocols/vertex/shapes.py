"""The fields of each resource and request that Trivet knows, with their types: aiplatform v1 and v1beta1."""

from trivet.protocols.vertex.schema import (
    anything,
    by_key,
    duration,
    each,
    enum,
    flag,
    int32,
    int64,
    message,
    number,
    text,
    timestamp,
)

_texts = each(text)
_labels = by_key(text)
_split = by_key(int32)

_accelerator = enum(
    ACCELERATOR_TYPE_UNSPECIFIED=0,
    NVIDIA_TESLA_K80=1,
    NVIDIA_TESLA_P100=2,
    NVIDIA_TESLA_V100=3,
    NVIDIA_TESLA_P4=4,
    NVIDIA_TESLA_T4=5,
    TPU_V2=6,
    TPU_V3=7,
    NVIDIA_TESLA_A100=8,
    NVIDIA_A100_80GB=9,
    TPU_V4_POD=10,
    NVIDIA_L4=11,
    TPU_V5_LITEPOD=12,
    NVIDIA_H100_80GB=13,
    NVIDIA_H100_MEGA_80GB=14,
    NVIDIA_H200_141GB=15,
    NVIDIA_B200=16,
    NVIDIA_GB200=17,
    NVIDIA_RTX_PRO_6000=18,
)
_reservation = message(
    {
        "reservationAffinityType": enum(
            TYPE_UNSPECIFIED=0, NO_RESERVATION=1, ANY_RESERVATION=2, SPECIFIC_RESERVATION=3
        ),
        "key": text,
        "values": _texts,
    }
)
_machine = message(
    {
        "machineType": text,
        "acceleratorType": _accelerator,
        "acceleratorCount": int32,
        "gpuPartitionSize": text,
        "tpuTopology": text,
        "multihostGpuNodeCount": int32,
        "reservationAffinity": _reservation,
        "minGpuDriverVersion": text,
    }
)
_metric = message({"metricName": text, "target": int32, "monitoredResourceLabels": _labels})
_dedicated = message(
    {
        "machineSpec": _machine,
        "minReplicaCount": int32,
        "maxReplicaCount": int32,
        "requiredReplicaCount": int32,
        "initialReplicaCount": int32,
        "autoscalingMetricSpecs": each(_metric),
        "spot": flag,
        "flexStart": message({"maxRuntimeDuration": duration}),
        "scaleToZeroSpec": message({"minScaleupPeriod": duration, "idleScaledownPeriod": duration}),
    }
)
_encryption = message({"kmsKeyName": text})

_port = message({"containerPort": int32})
_header = message({"name": text, "value": text})
_probe = message(
    {
        "exec": message({"command": _texts}),
        "httpGet": message(
            {"path": text, "port": int32, "host": text, "scheme": text, "httpHeaders": each(_header)}
        ),
        "grpc": message({"port": int32, "service": text}),
        "tcpSocket": message({"port": int32, "host": text}),
        "periodSeconds": int32,
        "timeoutSeconds": int32,
        "failureThreshold": int32,
        "successThreshold": int32,
        "initialDelaySeconds": int32,
    }
)
_container = message(
    {
        "imageUri": text,
        "command": _texts,
        "args": _texts,
        "env": each(message({"name": text, "value": text})),
        "ports": each(_port),
        "grpcPorts": each(_port),
        "predictRoute": text,
        "healthRoute": text,
        "invokeRoutePrefix": text,
        "deploymentTimeout": duration,
        "sharedMemorySizeMb": int64,
        "startupProbe": _probe,
        "healthProbe": _probe,
        "livenessProbe": _probe,
    }
)

model = message(
    {
        "name": text,
        "versionId": text,
        "versionAliases": _texts,
        "versionCreateTime": timestamp,
        "versionUpdateTime": timestamp,
        "displayName": text,
        "description": text,
        "versionDescription": text,
        "defaultCheckpointId": text,
        "predictSchemata": message(
            {"instanceSchemaUri": text, "parametersSchemaUri": text, "predictionSchemaUri": text}
        ),
        "metadataSchemaUri": text,
        "metadata": anything,
        "trainingPipeline": text,
        "pipelineJob": text,
        "containerSpec": _container,
        "artifactUri": text,
        "supportedInputStorageFormats": _texts,
        "supportedOutputStorageFormats": _texts,
        "createTime": timestamp,
        "updateTime": timestamp,
        "explanationSpec": by_key(anything),
        "etag": text,
        "labels": _labels,
        "encryptionSpec": _encryption,
    }
)
deployed_model = message(
    {
        "dedicatedResources": _dedicated,
        "automaticResources": message({"minReplicaCount": int32, "maxReplicaCount": int32}),
        "sharedResources": text,
        "id": text,
        "model": text,
        "modelVersionId": text,
        "displayName": text,
        "createTime": timestamp,
        "explanationSpec": by_key(anything),
        "disableExplanations": flag,
        "serviceAccount": text,
        "enableContainerLogging": flag,
        "disableContainerLogging": flag,
        "enableAccessLogging": flag,
        "fasterDeploymentConfig": message({"fastTryoutEnabled": flag}),
        "systemLabels": _labels,
        "checkpointId": text,
    }
)
endpoint = message(
    {
        "name": text,
        "displayName": text,
        "description": text,
        "deployedModels": each(deployed_model),
        "trafficSplit": _split,
        "etag": text,
        "labels": _labels,
        "createTime": timestamp,
        "updateTime": timestamp,
        "encryptionSpec": _encryption,
        "network": text,
        "enablePrivateServiceConnect": flag,
        "privateServiceConnectConfig": message(
            {
                "enablePrivateServiceConnect": flag,
                "projectAllowlist": _texts,
                "enableSecurePrivateServiceConnect": flag,
                "serviceAttachment": text,
            }
        ),
        "modelDeploymentMonitoringJob": text,
        "predictRequestResponseLoggingConfig": message(
            {
                "enabled": flag,
                "samplingRate": number,
                "bigqueryDestination": message({"outputUri": text}),
                "requestResponseLoggingSchemaVersion": text,
                "enableOtelLogging": flag,
            }
        ),
        "dedicatedEndpointEnabled": flag,
        "dedicatedEndpointDns": text,
        "clientConnectionConfig": message({"inferenceTimeout": duration}),
        "privateModelServerEnabled": flag,
    }
)
pool = message(
    {
        "name": text,
        "dedicatedResources": _dedicated,
        "encryptionSpec": _encryption,
        "serviceAccount": text,
        "disableContainerLogging": flag,
        "createTime": timestamp,
    }
)

batch_prediction_job = message(
    {
        "name": text,
        "displayName": text,
        "model": text,
        "modelVersionId": text,
        "endpoint": text,
        "unmanagedContainerModel": message(
            {
                "artifactUri": text,
                "predictSchemata": by_key(anything),
                "containerSpec": _container,
            }
        ),
        "inputConfig": message(
            {
                "instancesFormat": text,
                "gcsSource": message({"uris": _texts}),
                "bigquerySource": message({"inputUri": text}),
            }
        ),
        "instanceConfig": message(
            {
                "instanceType": text,
                "keyField": text,
                "includedFields": _texts,
                "excludedFields": _texts,
            }
        ),
        "modelParameters": anything,
        "outputConfig": message(
            {
                "predictionsFormat": text,
                "gcsDestination": message({"outputUriPrefix": text}),
                "bigqueryDestination": message({"outputUri": text}),
            }
        ),
        "dedicatedResources": message(
            {
                "machineSpec": _machine,
                "startingReplicaCount": int32,
                "maxReplicaCount": int32,
                "flexStart": message({"maxRuntimeDuration": duration}),
                "spot": flag,
            }
        ),
        "serviceAccount": text,
        "manualBatchTuningParameters": message({"batchSize": int32}),
        "generateExplanation": flag,
        "explanationSpec": by_key(anything),
        "labels": _labels,
        "encryptionSpec": _encryption,
        "disableContainerLogging": flag,
    }
)

upload_model = message({"parentModel": text, "modelId": text, "model": model, "serviceAccount": text})
copy_model = message({"sourceModel": text, "modelId": text, "parentModel": text})
merge_aliases = message({"versionAliases": _texts})
deploy_model = message({"deployedModel": deployed_model, "trafficSplit": _split})
undeploy_model = message({"deployedModelId": text, "trafficSplit": _split})
mutate_deployed_model = message({"deployedModel": deployed_model, "updateMask": anything})
update_endpoint = message({"endpoint": endpoint})
create_pool = message({"deploymentResourcePool": pool, "deploymentResourcePoolId": text})
