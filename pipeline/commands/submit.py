"""`latentlaw submit`: an array of jobs that work on one stage, each by itself, without a driver.

    .cache/jobs/STAGE/<time>-<system>.sh or .yaml    what was submitted
    .cache/jobs/STAGE/output/                        what the jobs print

A job goes to the clone, prepares itself (prologue) and runs the command line of `work_command` with the Python that
submits, in the pods of Kubernetes with that of the image.
"""

import os
import shlex
import shutil
import sys
import time
from pathlib import Path

import yaml

from pipeline.commands.options.submit import SubmitOptions
from pipeline.runtime.array_job import array_script
from pipeline.runtime.batch.batch_system import BATCH_SYSTEMS
from pipeline.runtime.batch.queue_programs import JobRefused, QueueSilent, answer_of
from pipeline.runtime.batch_jobs import require_programs
from pipeline.runtime.claimed_work import prepare, recipe_of_stage
from pipeline.runtime.execution_settings import LOCAL_FILE, Execution, load_execution
from pipeline.runtime.kept_results import SCRATCH_VARIABLE
from pipeline.runtime.kubernetes_job import manifest
from pipeline.runtime.worker_environment import WORKER_ENVIRONMENT
from stores.atomic import write_bytes

__all__ = ["main", "work_command"]

JOBS = Path(".cache/jobs")


def work_command(stage: str, n_workers: int, key: str = "") -> list[str]:
    """The command line of workers without a driver, after the Python that runs it; they make nothing but `key`."""
    return ["-m", "pipeline.cli", "work", stage, "--workers", str(n_workers), *(["--expect", key] if key else [])]


def main(options: SubmitOptions) -> None:
    execution = load_execution()
    system = options.system or execution.scheduler
    if system == "kubernetes":
        _apply(options, execution)
    elif system in BATCH_SYSTEMS.names():
        _submit(options, execution, system)
    else:
        raise ValueError(
            f"scheduler: found {system!r}, which has no queue, expected one of {', '.join(BATCH_SYSTEMS.names())} in "
            f"{LOCAL_FILE}; or name one: --system"
        )


def _submit(options: SubmitOptions, execution: Execution, name: str) -> None:
    system = BATCH_SYSTEMS[name].make()
    if not options.dry_run:
        require_programs(system, name)
    output = (JOBS / options.stage / "output").absolute()
    key = recipe_of_stage(options.stage).key if options.dry_run else prepare(options.stage)
    command = [sys.executable, *work_command(options.stage, execution.jobs.cores, key)]
    environment = WORKER_ENVIRONMENT | _scratch()
    text = array_script(
        system, execution.jobs, f"latentlaw-{options.stage}", options.array, command, output, environment
    )
    script = _written(options.stage, f"{name}.sh", text)
    if options.dry_run:
        print(text, end="")
        print(f"submit: wrote {script}, submitted nothing")
        return
    output.mkdir(parents=True, exist_ok=True)
    try:
        number = system.submit(script)
    except JobRefused as error:
        script.unlink()
        raise ValueError(f"{system.title} refused the jobs: {error}; correct `jobs` in {LOCAL_FILE}") from None
    print(f"submit: {system.title} job {number}, {options.array} times {execution.jobs.cores} workers, by {script}")
    print(f"submit: what they print: {output.relative_to(Path.cwd())}")
    print(f"submit: how far they are: latentlaw status {options.stage}")


def _apply(options: SubmitOptions, execution: Execution) -> None:
    settings, jobs = execution.kubernetes, execution.jobs
    if settings is None:
        raise ValueError(
            f"kubernetes: found no such section in {LOCAL_FILE}, expected `kubernetes: {{image: ..., claim: ..., "
            "clone: /path/in/the/pods}`; add it"
        )
    recipe_of_stage(options.stage)  # refuses what is no such stage; the pods may keep shards where this process cannot
    name = f"latentlaw-{options.stage}-{time.strftime('%Y%m%d-%H%M%S')}".replace("_", "-")
    command = [settings.python, *work_command(options.stage, jobs.cores)]
    job = manifest(name, command, options.array, settings, jobs, WORKER_ENVIRONMENT)
    text = yaml.safe_dump(job, sort_keys=False, width=10**6)
    file = _written(options.stage, "kubernetes.yaml", text)
    apply = ["kubectl", "apply", "-f", str(file)]
    if options.dry_run or shutil.which("kubectl") is None:
        if options.dry_run:
            print(text, end="")
        print(f"submit: wrote {file}, submitted nothing; where kubectl is: {shlex.join(apply)}")
        return
    try:
        answer_of(apply)
    except QueueSilent as error:
        file.unlink()
        raise ValueError(f"Kubernetes refused the job: {error}; correct `kubernetes` in {LOCAL_FILE}") from None
    where = f" -n {settings.namespace}" if settings.namespace else ""
    print(f"submit: Kubernetes job {name}, {options.array} pods of {jobs.cores} workers, by {file}")
    print(f"submit: what they print: kubectl logs{where} -l job-name={name}")
    print(f"submit: how far they are: latentlaw status {options.stage}")


def _scratch() -> dict[str, str]:
    """Jobs keep finished shards where this process does."""
    scratch = os.environ.get(SCRATCH_VARIABLE)
    return {SCRATCH_VARIABLE: str(Path(scratch).absolute())} if scratch else {}


def _written(stage: str, suffix: str, text: str) -> Path:
    folder = JOBS / stage
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{time.strftime('%Y%m%d-%H%M%S')}-{suffix}"
    write_bytes(path, text.encode())
    return path
