"""The script of an array of jobs that run one command each, for any batch system.

Its head is that of dask-jobqueue's jobs, so that `jobs` in local.yaml means the same with a driver and without.
"""

import os
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from pipeline.runtime.batch.batch_system import BatchSystem
from pipeline.runtime.batch.job_settings import JobSettings

__all__ = ["array_script"]


def array_script(
    system: BatchSystem,
    settings: JobSettings,
    name: str,
    n_tasks: int,
    command: Sequence[str],
    output: Path,
    environment: Mapping[str, str],
) -> str:
    """`command` runs `n_tasks` times in this folder, after the prologue; what it prints goes to the folder `output`."""
    options = {
        "queue": settings.queue,
        "cores": settings.cores,
        "processes": settings.cores,
        "memory": settings.memory,
        "job_name": name,
        "job_extra_directives": list(settings.directives),
    }
    job = system.cluster_class().job_cls(name=name, **(options | system.job_options(settings)))
    array = [f"{system.directive} {line}" for line in system.array_directives(name, n_tasks, output)]
    named = {line.split()[1].partition("=")[0] for line in array}  # said better by the lines of the array
    head = [line for line in job.job_header.splitlines() if line.split()[1] not in named and f"{name}" not in line]
    lines = [
        "#!/usr/bin/env bash",
        *head,
        *array,
        "",
        f"cd {shlex.quote(os.getcwd())} || exit 1",
        *(f"export {key}={shlex.quote(value)}" for key, value in environment.items()),
        *settings.prologue,
        f'echo "task ${{{system.array_variable}:-1}} of {n_tasks} on $(hostname)"',
        f"exec {shlex.join(command)}",
    ]
    return "\n".join(lines) + "\n"
