"""`latentlaw submit`: an array of workers without a driver, for every batch system and Kubernetes."""

import sys
from pathlib import Path

import pytest
import yaml

from pipeline.commands.submit import work_command
from pipeline.runtime.params import ParamsError
from tests.pipeline.commands.running import UsageError, run
from tests.pipeline.runtime import queue_programs
from tests.pipeline.runtime.test_batch_systems import INDICES

ROOT = Path(__file__).parents[3]
JOBS = "jobs: {cores: 4, memory: 8GB, prologue: [module load python]}\n"
KUBERNETES = (
    "kubernetes: {image: registry/latentlaw:1, claim: clones, clone: /work/latentlaw, scratch_claim: scratch, "
    "namespace: physics}\n"
)


@pytest.fixture
def clone(tmp_path, monkeypatch):
    """A folder with the stages of the project, and a PATH without any queue."""
    (tmp_path / "pipeline/atoms").mkdir(parents=True)
    for dag in ("dvc.yaml", "pipeline/atoms/dvc.yaml"):
        (tmp_path / dag).write_text((ROOT / dag).read_text())
    (tmp_path / "local.yaml").write_text(f"scheduler: pbs\n{JOBS}{KUBERNETES}")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    monkeypatch.setattr("shutil.which", which := lambda name, path=None: found(tmp_path, name))
    monkeypatch.delenv("LATENTLAW_SCHEDULER", raising=False)
    return tmp_path
