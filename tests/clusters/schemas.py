"""What engines accept, as JSON schemas of the parts that bertd uses; written by hand from the versions named below.

TrainJob and TrainingRuntime: Kubeflow Trainer 2.3.0, trainer.kubeflow.org_trainjobs.yaml and _trainingruntimes.yaml of
its manifests/base/crds: the fields of each object that is used; others are refused. JobSet and Job in them:
jobset.x-k8s.io/v1alpha2, batch/v1.
SkyPilot: get_task_schema and _get_single_resources_schema of sky/utils/schemas.py, July 2026.
"""

from __future__ import annotations

from collections.abc import Mapping

Schema = dict[str, object]


def closed(fields: Mapping[str, Schema], *, required: tuple[str, ...] = ()) -> Schema:
    """An object with these fields and no others."""
    return {"type": "object", "properties": dict(fields), "required": [*required], "additionalProperties": False}


def several(items: Schema) -> Schema:
    return {"type": "array", "items": items, "minItems": 1}


def one_of(*values: str) -> Schema:
    return {"enum": [*values]}


TEXT: Schema = {"type": "string", "minLength": 1}
NUMBER: Schema = {"type": "integer", "minimum": 0}
FLAG: Schema = {"type": "boolean"}
NAME: Schema = {"type": "string", "pattern": r"^[a-z0-9]([-a-z0-9.]{0,61}[a-z0-9])?$"}
TEXTS: Schema = {"type": "object", "additionalProperties": {"type": "string"}}
AMOUNTS: Schema = {"type": "object", "additionalProperties": {"type": ["integer", "string"]}}
METADATA = closed({"name": NAME, "namespace": NAME, "labels": TEXTS, "annotations": TEXTS}, required=("name",))

CONFIG_MAP = closed(
    {"apiVersion": one_of("v1"), "kind": one_of("ConfigMap"), "metadata": METADATA, "data": TEXTS, "immutable": FLAG},
    required=("apiVersion", "kind", "metadata"),
)
_ENVIRONMENT = several(closed({"name": TEXT, "value": {"type": "string"}, "valueFrom": {}}, required=("name",)))
_MOUNT = closed({"name": NAME, "mountPath": TEXT, "readOnly": FLAG, "subPath": TEXT}, required=("name", "mountPath"))
_VOLUME = closed(
    {
        "name": NAME,
        "configMap": closed({"name": NAME, "items": {}, "optional": FLAG}),
        "persistentVolumeClaim": closed({"claimName": TEXT, "readOnly": FLAG}, required=("claimName",)),
        "emptyDir": closed({"medium": one_of("", "Memory"), "sizeLimit": TEXT}),
    },
    required=("name",),
)
_POD = closed(
    {
        "restartPolicy": one_of("Never", "OnFailure"),
        "terminationGracePeriodSeconds": NUMBER,
        "containers": several(
            closed(
                {"name": NAME, "image": TEXT, "command": several(TEXT), "args": several(TEXT), "env": _ENVIRONMENT}
                | {"volumeMounts": several(_MOUNT), "resources": {}},
                required=("name",),
            )
        ),
        "volumes": several(_VOLUME),
        "nodeSelector": TEXTS,
        "tolerations": {},
    },
    required=("containers",),
)
_EXIT_CODES = closed(
    {"containerName": NAME, "operator": one_of("In", "NotIn"), "values": several(NUMBER)},
    required=("operator", "values"),
)
_JOB = closed(
    {
        "backoffLimit": NUMBER,
        "completionMode": one_of("Indexed", "NonIndexed"),
        "podFailurePolicy": closed(
            {
                "rules": several(
                    closed(
                        {"action": one_of("FailJob", "FailIndex", "Ignore", "Count"), "onExitCodes": _EXIT_CODES}
                        | {"onPodConditions": {}},
                        required=("action",),
                    )
                )
            },
            required=("rules",),
        ),
        "template": closed({"metadata": {}, "spec": _POD}),
    },
    required=("template",),
)
_JOB_SET = closed(
    {
        "failurePolicy": closed(
            {
                "maxRestarts": NUMBER,
                "restartStrategy": one_of("Recreate", "BlockingRecreate"),
                "rules": several(
                    closed(
                        {
                            "name": {"type": "string", "pattern": r"^[A-Za-z]([_A-Za-z0-9,:-]*[A-Za-z0-9_])?$"},
                            "action": one_of("FailJobSet", "RestartJobSet", "RestartJobSetAndIgnoreMaxRestarts"),
                            "onJobFailureReasons": several(
                                one_of("BackoffLimitExceeded", "DeadlineExceeded", "PodFailurePolicy")
                            ),
                            "targetReplicatedJobs": several(NAME),
                        },
                        required=("name", "action"),
                    )
                ),
            }
        ),
        "replicatedJobs": several(
            closed(
                {
                    "name": NAME,
                    "replicas": NUMBER,
                    "template": closed({"metadata": closed({"labels": TEXTS}), "spec": _JOB}),
                },
                required=("name", "template"),
            )
        ),
    }
)
TRAINING_RUNTIME = closed(
    {
        "apiVersion": one_of("trainer.kubeflow.org/v1alpha1"),
        "kind": one_of("TrainingRuntime"),
        "metadata": METADATA,
        "spec": closed(
            {
                "mlPolicy": closed({"numNodes": NUMBER, "torch": closed({"envInjection": {}}), "mpi": {}, "jax": {}}),
                "podGroupPolicy": {},
                "template": closed({"metadata": {}, "spec": _JOB_SET}),
            }
        ),
    },
    required=("apiVersion", "kind", "metadata", "spec"),
)
TRAIN_JOB = closed(
    {
        "apiVersion": one_of("trainer.kubeflow.org/v1alpha1"),
        "kind": one_of("TrainJob"),
        "metadata": METADATA,
        "spec": closed(
            {
                "runtimeRef": closed({"name": NAME, "kind": TEXT, "apiGroup": TEXT}, required=("name",)),
                "trainer": closed(
                    {
                        "image": TEXT,
                        "command": several(TEXT),
                        "args": several(TEXT),
                        "env": _ENVIRONMENT,
                        "numNodes": NUMBER,
                        "numProcPerNode": NUMBER,
                        "resourcesPerNode": closed({"limits": AMOUNTS, "requests": AMOUNTS, "claims": {}}),
                    }
                ),
                "initializer": {},
                "suspend": FLAG,
                "managedBy": TEXT,
                "runtimePatches": {},
                "activeDeadlineSeconds": NUMBER,
            },
            required=("runtimeRef",),
        ),
    },
    required=("apiVersion", "kind", "metadata", "spec"),
)
_SKY_RESOURCES = closed(
    {
        "infra": TEXT,
        "accelerators": {"type": "string", "pattern": r"^[A-Za-z0-9-]+:\d+$"},
        "cpus": {"type": ["string", "number"]},
        "memory": {"type": ["string", "number"]},
        "image_id": TEXT,
        "use_spot": FLAG,
        "job_recovery": closed(
            {
                "strategy": TEXT,
                "max_restarts_on_errors": NUMBER,
                "recover_on_exit_codes": several({"type": "integer", "minimum": 0, "maximum": 255}),
            }
        ),
    }
)
SKYPILOT_TASK = closed(
    {
        "name": TEXT,
        "workdir": TEXT,
        "num_nodes": {"type": "integer", "minimum": 1},
        "resources": _SKY_RESOURCES,
        "volumes": {"type": "object", "additionalProperties": {"type": ["string", "object"]}},
        "envs": {},
        "secrets": {},
        "file_mounts": {},
        "setup": TEXT,
        "run": TEXT,
    }
)
