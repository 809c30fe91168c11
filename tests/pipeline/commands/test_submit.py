"""`latentlaw submit`: an array of workers without a driver, for every batch system and Kubernetes."""

import json
import sys
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

from pipeline.commands.submit import work_command
from pipeline.runtime.claimed_work import recipe_of_stage
from pipeline.runtime.stage import OptionsError
from tests.pipeline.commands.clones import clone_in
from tests.pipeline.commands.running import run
from tests.pipeline.runtime import queue_programs
from tests.pipeline.runtime.test_batch_systems import INDICES

pytest.importorskip("dask_jobqueue")

ROOT = Path(__file__).parents[3]
LOCAL = """\
scheduler: pbs
jobs: {cores: 4, memory: 8GB, walltime: "02:00:00", prologue: [module load python]}
kubernetes: {image: "registry/latentlaw:1", claim: clones, clone: /mnt/latentlaw, scratch_claim: fast, namespace: lab}
"""
KUBECTL = '#!/bin/sh\necho "$@" > {folder}/called\n{rest}\n'


@pytest.fixture
def clone(tmp_path, monkeypatch):
    """A folder with the stages of the project, and a PATH with the programs of this test alone."""
    clone_in(tmp_path)
    monkeypatch.setattr("pipeline.runtime.claimed_work.wrong_params", lambda root: "")  # tested elsewhere, and slow
    (tmp_path / "local.yaml").write_text(LOCAL)
    (tmp_path / "bin").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    for variable in ("LATENTLAW_SCHEDULER", "LATENTLAW_SCRATCH", "LATENTLAW_WORKERS"):
        monkeypatch.delenv(variable, raising=False)
    return tmp_path


@pytest.fixture
def queue(clone, monkeypatch):
    """The programs of PBS; returns the folder of the queue."""
    folder = clone / "queue"
    folder.mkdir()
    queue_programs.install("pbs", folder, clone / "bin")
    monkeypatch.setenv("PATH", f"{clone / 'bin'}:/usr/bin:/bin")
    return folder


def written(clone):
    return sorted(path.relative_to(clone) for path in clone.glob(".cache/jobs/spectra/*.*"))


@pytest.mark.parametrize("system", INDICES)
def test_a_script_is_written_for_every_system_and_nothing_is_submitted_when_dry(system, clone, capsys):
    assert run("submit", "spectra", "--array", 3, "--system", system, "--dry-run") == 0
    (path,) = written(clone)
    text = path.read_text()
    key = recipe_of_stage("spectra").key
    assert text.splitlines()[-1] == f"exec {sys.executable} -m pipeline.cli work spectra --workers 4 --expect {key}"
    assert not (clone / ".cache/generation").exists()
    assert text.index(f"cd {clone} || exit 1") < text.index("module load python") < text.index("exec ")
    assert f"task ${{{INDICES[system]}:-1}} of 3" in text
    assert "latentlaw-spectra" in text
    assert capsys.readouterr().out == f"{text}submit: wrote {path}, submitted nothing\n"


def test_the_system_is_the_scheduler_of_local_yaml_and_the_job_is_told_with_what_comes_next(clone, queue, capsys):
    assert run("submit", "spectra", "--array", 2) == 0
    out = capsys.readouterr().out
    (path,) = written(clone)
    assert out.splitlines() == [
        f"submit: PBS job 101, 2 times 4 workers, by {path}",
        "submit: what they print: .cache/jobs/spectra/output",
        "submit: how far they are: latentlaw status spectra",
    ]
    assert (queue / "101.script").read_text() == path.read_text()
    key = recipe_of_stage("spectra").key
    identity = json.loads((clone / f".cache/generation/{key}/claims.json").read_text())
    assert (identity["stage"], identity["key"]) == ("spectra", key), "what workers elsewhere look for"


def test_a_refusal_is_one_message_and_leaves_nothing_half_done(clone, queue):
    (queue / "refuses").write_text("qsub: Unknown queue\n")
    with pytest.raises(ValueError, match=r"^PBS refused the jobs: qsub: Unknown queue; correct `jobs` in local.yaml$"):
        run("submit", "spectra", "--array", 2)
    assert written(clone) == []
    assert list((queue / "jobs").iterdir()) == []


def test_jobs_keep_finished_shards_where_this_process_does(clone, monkeypatch):
    monkeypatch.setenv("LATENTLAW_SCRATCH", "my scratch")
    run("submit", "spectra", "--array", 2, "--dry-run")
    assert f"export LATENTLAW_SCRATCH='{clone}/my scratch'" in written(clone)[0].read_text()


def test_a_scheduler_without_a_queue_and_missing_programs_are_one_message(clone, monkeypatch):
    with pytest.raises(ValueError, match="scheduler pbs: found no `qsub` on the PATH"):
        run("submit", "spectra", "--array", 2)
    monkeypatch.setenv("LATENTLAW_SCHEDULER", "local")
    with pytest.raises(ValueError, match="found 'local', which has no queue, expected one of lsf, pbs, sge, slurm"):
        run("submit", "spectra", "--array", 2)
    assert written(clone) == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("spectra", "--array", 0), "--array: found 0, expected a whole number >= 1"),
        (("spektra", "--array", 2), "STAGE: found 'spektra', expected one that is made in shards: aluminium"),
        (
            ("spectra", "--array", 2, "--system", "moab"),
            "found 'moab', expected one of kubernetes, lsf, pbs, sge, slurm",
        ),
    ],
)
def test_wrong_options_are_refused(words, message, clone):
    with pytest.raises(OptionsError, match=message):
        run("submit", *words)


def test_outside_of_a_clone_the_command_says_where_to_go(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(OptionsError, match="expected the top folder of the clone; go there first"):
        run("submit", "spectra", "--array", 2)


@pytest.mark.parametrize("version", ["1.29", "1.37"])
def test_the_manifest_is_a_valid_indexed_job_of_kubernetes(version, clone):
    run("submit", "kondo_temperatures", "--array", 5, "--system", "kubernetes", "--dry-run")
    (path,) = clone.glob(".cache/jobs/kondo_temperatures/*-kubernetes.yaml")
    job = yaml.safe_load(path.read_text())
    kubernetes_validate.validate(job, version, strict=True)
    assert job["metadata"]["name"].startswith("latentlaw-kondo-temperatures-")
    assert job["metadata"]["namespace"] == "lab"
    assert (job["spec"]["completionMode"], job["spec"]["completions"], job["spec"]["parallelism"]) == ("Indexed", 5, 5)
    pod = job["spec"]["template"]["spec"]
    assert pod["activeDeadlineSeconds"] == 7200
    (container,) = pod["containers"]
    assert container["image"] == "registry/latentlaw:1"
    assert container["resources"]["requests"] == {"cpu": "4", "memory": "8000000000"}
    script = "module load python\nexec python -m pipeline.cli work kondo_temperatures --workers 4"
    assert container["command"] == ["/bin/sh", "-c", script]
    assert container["workingDir"] == "/mnt/latentlaw"
    assert {"name": "LATENTLAW_SCRATCH", "value": "/scratch"} in container["env"]
    claims = {volume["name"]: volume["persistentVolumeClaim"]["claimName"] for volume in pod["volumes"]}
    assert claims == {"clone": "clones", "scratch": "fast"}
    assert [mount["mountPath"] for mount in container["volumeMounts"]] == ["/mnt/latentlaw", "/scratch"]


def test_a_wrong_manifest_would_be_noticed(clone):
    run("submit", "spectra", "--array", 5, "--system", "kubernetes", "--dry-run")
    job = yaml.safe_load(written(clone)[0].read_text())
    job["spec"]["completionsMode"] = job["spec"].pop("completionMode")
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(job, "1.37", strict=True)


def test_kubectl_applies_the_manifest_where_it_is_and_is_named_where_it_is_not(clone, capsys):
    run("submit", "spectra", "--array", 2, "--system", "kubernetes")
    (path,) = written(clone)
    told = f"submit: wrote {path}, submitted nothing; where kubectl is: kubectl apply -f {path}\n"
    assert capsys.readouterr().out == told
    path.unlink()
    (clone / "bin/kubectl").write_text(KUBECTL.format(folder=clone, rest="exit 0"))
    (clone / "bin/kubectl").chmod(0o755)
    run("submit", "spectra", "--array", 2, "--system", "kubernetes")
    (path,) = written(clone)
    assert (clone / "called").read_text() == f"apply -f {path}\n"
    out = capsys.readouterr().out
    assert out.startswith("submit: Kubernetes job latentlaw-spectra-")
    assert out.endswith("submit: how far they are: latentlaw status spectra\n")


def test_what_kubernetes_refuses_is_one_message_and_leaves_nothing(clone):
    words = "persistentvolumeclaims is forbidden"
    (clone / "bin/kubectl").write_text(KUBECTL.format(folder=clone, rest=f"echo '{words}' >&2; exit 1"))
    (clone / "bin/kubectl").chmod(0o755)
    with pytest.raises(ValueError, match=f"^Kubernetes refused the job: {words}; correct `kubernetes` in local.yaml$"):
        run("submit", "spectra", "--array", 2, "--system", "kubernetes")
    assert written(clone) == []


def test_kubernetes_without_its_settings_says_what_is_missing(clone):
    (clone / "local.yaml").write_text("scheduler: pbs\n")
    with pytest.raises(
        ValueError, match=r"kubernetes: found no such section in local.yaml, expected `kubernetes: \{image"
    ):
        run("submit", "spectra", "--array", 2, "--system", "kubernetes")


def test_the_command_line_of_a_worker_is_made_in_one_place():
    command = ["-m", "pipeline.cli", "work", "spectra", "--workers", "4"]
    assert work_command("spectra", 4) == command
    assert work_command("spectra", 4, "k") == [*command, "--expect", "k"]
    assert "pipeline.cli" not in (ROOT / "pipeline/runtime/array_job.py").read_text()
