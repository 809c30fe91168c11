"""Workers without a driver on Kubernetes: an Indexed Job, whose pods mount the clone and the scratch folder.

https://kubernetes.io/docs/concepts/workloads/controllers/job/#completion-mode: each of the N pods has an index, and
ends when no work is left or at the walltime; one that ended otherwise than well is started again, three times at most.
"""

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from models.settings import settings
from pipeline.runtime.batch.job_settings import JobSettings

__all__ = ["KubernetesSettings", "manifest"]

RESTARTS = 3  # of each pod


@settings
class KubernetesSettings:
    """What the pods run and mount; cores, memory, walltime and prologue are those of `jobs`."""

    image: str  # has the Python environment of the project
    claim: str  # persistent volume claim that holds the clone, ReadWriteMany
    clone: str  # folder of the clone in the pods; the claim is mounted there
    scratch_claim: str | None = None  # where finished shards wait; without it they do so below .cache/ in the clone
    scratch: str = "/scratch"  # the scratch claim is mounted there
    namespace: str | None = None
    python: str = "python"  # of the image


def manifest(
    name: str,
    command: Sequence[str],
    n_tasks: int,
    kubernetes: KubernetesSettings,
    jobs: JobSettings,
    environment: Mapping[str, str],
) -> dict[str, Any]:
    """The manifest of a Job of this name; `command` runs in the clone, by `sh -c`, after the prologue."""
    volumes, mounts = [_volume("clone", kubernetes.claim)], [{"name": "clone", "mountPath": kubernetes.clone}]
    if kubernetes.scratch_claim is not None:
        volumes.append(_volume("scratch", kubernetes.scratch_claim))
        mounts.append({"name": "scratch", "mountPath": kubernetes.scratch})
        environment = {**environment, "LATENTLAW_SCRATCH": kubernetes.scratch}
    resources = {"cpu": str(jobs.cores), "memory": str(jobs.n_bytes)}
    container = {
        "name": "work",
        "image": kubernetes.image,
        "workingDir": kubernetes.clone,
        "command": ["/bin/sh", "-c", "\n".join([*jobs.prologue, f"exec {shlex.join(command)}"])],
        "env": [{"name": key, "value": value} for key, value in environment.items()],
        "resources": {"requests": resources, "limits": resources},
        "volumeMounts": mounts,
    }
    metadata = {"name": name, "labels": {"app": "latentlaw"}}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": metadata | ({"namespace": kubernetes.namespace} if kubernetes.namespace else {}),
        "spec": {
            "completionMode": "Indexed",
            "completions": n_tasks,
            "parallelism": n_tasks,
            "backoffLimitPerIndex": RESTARTS,
            "template": {
                "metadata": {"labels": {"app": "latentlaw"}},
                "spec": {
                    "restartPolicy": "Never",
                    "activeDeadlineSeconds": int(jobs.life.total_seconds()),
                    "volumes": volumes,
                    "containers": [container],
                },
            },
        },
    }


def _volume(name: str, claim: str) -> dict[str, Any]:
    return {"name": name, "persistentVolumeClaim": {"claimName": claim}}
