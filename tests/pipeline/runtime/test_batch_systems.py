"""One contract for SLURM, PBS, LSF and SGE: the same settings, scripts as each documents them, jobs that are replaced.

SLURM and SGE also run live: test_execution_slurm.py, test_execution_sge.py.
"""

import os
import time
from pathlib import Path

import pytest

from pipeline.runtime import batch_jobs, dask_workers, driver_folder
from pipeline.runtime.array_job import array_script
from pipeline.runtime.batch.batch_system import BATCH_SYSTEMS, JobState
from pipeline.runtime.batch.queue_programs import JobRefused, QueueSilent
from pipeline.runtime.dask_workers import batch_cluster
from pipeline.runtime.driver_folder import DRIVERS, record_jobs
from pipeline.runtime.execution import Execution, JobSettings, run_tasks
from tests.pipeline.runtime import queue_programs
from tests.pipeline.runtime.test_execution_losses import double

pytest.importorskip("dask_jobqueue")

ROOT = Path(__file__).parents[3]
SETTINGS = JobSettings(
    queue="normal",
    account="physics",
    walltime="1-02:03:04",
    cores=4,
    memory="8GB",
    prologue=("module load python",),
    directives=("-M me@there",),
)
HEADS = {
    "slurm": """\
#SBATCH -p normal
#SBATCH -A physics
#SBATCH -n 1
#SBATCH --cpus-per-task=4
#SBATCH --mem=8G
#SBATCH -t 1-02:03:04
#SBATCH -M me@there
""",
    "pbs": """\
#PBS -q normal
#PBS -A physics
#PBS -l select=1:ncpus=4:mem=7630MB
#PBS -l walltime=26:03:04
#PBS -M me@there
""",
    "lsf": """\
#BSUB -q normal
#BSUB -P "physics"
#BSUB -n 4
#BSUB -R "span[hosts=1]"
#BSUB -M 8000000
#BSUB -W 26:04
#BSUB -M me@there
""",
    "sge": """\
#$ -q normal
#$ -P physics
#$ -l mem_free=2000M
#$ -l h_rt=26:03:04
#$ -cwd
#$ -j y
#$ -S /bin/bash
#$ -pe smp 4
#$ -M me@there
""",
}
ARRAYS = {
    "slurm": """\
#SBATCH --job-name=latentlaw-spectra
#SBATCH --array=1-3
#SBATCH --output=/out/%A_%a.out
""",
    "pbs": """\
#PBS -N latentlaw-spectra
#PBS -J 1-3
#PBS -j oe
#PBS -o /out/
""",
    "lsf": """\
#BSUB -J "latentlaw-spectra[1-3]"
#BSUB -o "/out/%J_%I.out"
""",
    "sge": """\
#$ -N latentlaw-spectra
#$ -t 1-3
#$ -o /out/
""",
}
INDICES = {"slurm": "SLURM_ARRAY_TASK_ID", "pbs": "PBS_ARRAY_INDEX", "lsf": "LSB_JOBINDEX", "sge": "SGE_TASK_ID"}
FAKES = sorted(queue_programs.PROGRAMS)


@pytest.fixture(autouse=True)
def short_waits(monkeypatch):
    for module, name, seconds in (
        (dask_workers, "LOOK_EVERY_S", 0.3),
        (batch_jobs, "ASK_EVERY_S", 0.3),
        (batch_jobs, "SEEN_AFTER_S", 0),
        (batch_jobs, "SETTLED_S", 1),
    ):
        monkeypatch.setattr(module, name, seconds)


@pytest.fixture
def fake(tmp_path, monkeypatch):
    """The programs of a system on the PATH; returns the system and the folder of its queue."""

    def install(name):
        folder = tmp_path / "queue"
        folder.mkdir()
        queue_programs.install(name, folder, tmp_path / "bin")
        monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
        monkeypatch.setenv("PYTHONPATH", str(ROOT))
        monkeypatch.chdir(tmp_path)
        return BATCH_SYSTEMS[name].make(), folder

    return install


def script(tmp_path, text):
    path = tmp_path / "job.sh"
    path.write_text(f"#!/bin/sh\n{text}\n")
    return path


def wait_for_end(folder, seconds=10):
    """Until the process of job 101 is gone."""
    process = Path(f"/proc/{(folder / 'jobs' / '101').read_text().strip()}")
    deadline = time.monotonic() + seconds
    while process.exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_the_batch_systems_are_those_of_the_folder():
    assert BATCH_SYSTEMS.names() == ["lsf", "pbs", "sge", "slurm"]


def test_an_added_batch_system_is_a_choice_at_once():
    with BATCH_SYSTEMS.registered("moab", object):
        assert Execution(scheduler="moab").scheduler == "moab"
    with pytest.raises(ValueError, match="found 'moab', expected local, threads, serial, lsf, pbs"):
        Execution(scheduler="moab")


@pytest.mark.parametrize("name", HEADS)
def test_the_script_of_an_array_is_what_the_system_documents(name):
    command = ["/env/bin/python", "-m", "program", "two words"]
    text = array_script(
        BATCH_SYSTEMS[name].make(), SETTINGS, "latentlaw-spectra", 3, command, Path("/out"), {"OMP_NUM_THREADS": "1"}
    )
    body = f"""
cd {os.getcwd()} || exit 1
export OMP_NUM_THREADS=1
module load python
echo "task ${{{INDICES[name]}:-1}} of 3 on $(hostname)"
exec /env/bin/python -m program 'two words'
"""
    assert text == "#!/usr/bin/env bash\n" + HEADS[name] + ARRAYS[name] + body


@pytest.mark.parametrize("name", HEADS)
def test_the_script_of_a_job_of_workers_asks_for_the_same(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with batch_cluster(BATCH_SYSTEMS[name].make(), SETTINGS, tmp_path) as cluster:
        lines = cluster.job_script().splitlines()
    assert [line for line in HEADS[name].splitlines() if line not in lines] == []
    assert lines.index(f"cd {tmp_path}") < lines.index("export OMP_NUM_THREADS=1") < lines.index("module load python")
    command = next(line for line in lines if "distributed.cli.dask_worker" in line)
    for part in ("tls://", "--nthreads 1", "--nworkers 4", "--no-dashboard", f"--tls-key {tmp_path}/key.pem"):
        assert part in command


def test_an_array_of_one_is_no_array_for_pbs_which_refuses_it():
    text = array_script(BATCH_SYSTEMS["pbs"].make(), SETTINGS, "one", 1, ["true"], Path("/out"), {})
    assert "#PBS -J" not in text


def test_a_site_names_its_own_parallel_environment_of_sge():
    settings = JobSettings(cores=4, directives=("-pe threads 4",))
    text = array_script(BATCH_SYSTEMS["sge"].make(), settings, "one", 2, ["true"], Path("/out"), {})
    assert "#$ -pe threads 4" in text
    assert "-pe smp" not in text


@pytest.mark.parametrize("name", FAKES)
def test_a_job_is_submitted_told_and_cancelled(name, fake, tmp_path):
    system, folder = fake(name)
    number = system.submit(script(tmp_path, "sleep 60"))
    assert number == "101"
    assert list(system.states(["101", "999"])) == ["101"]
    assert not system.states(["101"])["101"].ended
    system.cancel(["101"])
    wait_for_end(folder)
    state = system.states(["101"]).get("101", JobState("gone", ended=True, blameless=True))  # SGE knows nothing of it
    assert state.ended
    assert state.blameless
    system.cancel(["101"])  # which has ended: no error


@pytest.mark.parametrize("name", FAKES)
def test_a_refusal_is_told_in_the_words_of_the_queue(name, fake, tmp_path):
    system, folder = fake(name)
    (folder / "refuses").write_text(f"{queue_programs.REFUSALS[name]}\n")
    with pytest.raises(JobRefused) as caught:
        system.submit(script(tmp_path, "true"))
    assert str(caught.value) == queue_programs.REFUSALS[name]


@pytest.mark.parametrize("name", FAKES)
def test_a_run_ends_with_the_refusal_once(name, fake, capfd):
    system, folder = fake(name)
    (folder / "refuses").write_text(f"{queue_programs.REFUSALS[name]}\n")
    with pytest.raises(ValueError) as caught:
        list(run_tasks(double, range(9), Execution(scheduler=name, workers=3, jobs=JobSettings(memory="500MB"))))
    assert str(caught.value) == (
        f"{system.title} refused the job: {queue_programs.REFUSALS[name]}; correct `jobs` in local.yaml"
    )
    assert queue_programs.REFUSALS[name] not in capfd.readouterr().err
    assert list(DRIVERS.iterdir()) == []


def nap(number):
    time.sleep(0.5)
    return number


@pytest.mark.slow
def test_a_limit_on_the_number_of_jobs_is_told_once_and_the_run_goes_on_with_those_there_are(fake, capfd, monkeypatch):
    _, folder = fake("pbs")
    monkeypatch.setattr(batch_jobs, "SUBMIT_AGAIN_S", 0.3)
    (folder / "limit").touch()
    (folder / "refuses").write_text("qsub: would exceed limit on jobs\n")
    results = dict(run_tasks(nap, range(12), Execution(scheduler="pbs", workers=3, jobs=JobSettings(memory="500MB"))))
    assert results == {number: number for number in range(12)}
    assert [path.name for path in (folder / "jobs").iterdir()] == ["101"]
    told = [line for line in capfd.readouterr().err.splitlines() if "exceed" in line]
    assert told == ["PBS refused all but 1 jobs: qsub: would exceed limit on jobs; asked again every 0.3 s"]


def test_the_end_does_not_depend_on_when_jobs_are_collected_as_garbage(fake, monkeypatch):
    """Dask asserts at the end that all jobs which still exist are closed, and dask-jobqueue does not say so of any."""
    fake("pbs")
    keep, held = batch_jobs.BatchJobs.keep, []

    def holding(self, *arguments, **options):
        held.extend(self.cluster.workers.values())
        return keep(self, *arguments, **options)

    monkeypatch.setattr(batch_jobs.BatchJobs, "keep", holding)
    results = dict(run_tasks(nap, range(4), Execution(scheduler="pbs", workers=1, jobs=JobSettings(memory="500MB"))))
    assert results == {number: number for number in range(4)} and held


def kills_its_job_once(task):
    folder, number = task
    first = Path(folder) / "first"
    if number == 1 and not first.exists():
        first.touch()
        os.killpg(0, 9)
    return number


@pytest.mark.slow
@pytest.mark.parametrize("name", FAKES)
def test_jobs_that_end_are_replaced(name, fake, tmp_path, capfd):
    system, folder = fake(name)
    tasks = [(tmp_path, number) for number in range(4)]
    results = dict(run_tasks(kills_its_job_once, tasks, Execution(scheduler=name, jobs=JobSettings(memory="500MB"))))
    assert results == {number: number for number in range(4)}
    assert sorted(path.name for path in (folder / "jobs").iterdir()) == ["101", "102"]
    assert f"{system.title}: jobs ended: 101 " in capfd.readouterr().err


def test_the_programs_that_are_missing_are_named_for_each_system(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    for name in FAKES:
        program = BATCH_SYSTEMS[name].make().programs[0]
        with pytest.raises(
            ValueError, match=rf"scheduler {name}: found no `{program}` on the PATH, .* `module load {name}`"
        ):
            list(run_tasks(double, [1], Execution(scheduler=name)))


@pytest.mark.parametrize(
    ("name", "program", "answer", "expected"),
    [
        ("slurm", "squeue", "7|TIMEOUT|TimeLimit", JobState("TIMEOUT (TimeLimit)", ended=True, blameless=True)),
        ("slurm", "squeue", "7|OUT_OF_MEMORY|OutOfMemory", JobState("OUT_OF_MEMORY (OutOfMemory)", ended=True)),
        ("slurm", "squeue", "7|NODE_FAIL|NodeDown", JobState("NODE_FAIL (NodeDown)", ended=True, blameless=True)),
        ("slurm", "squeue", "7|PENDING|Priority", JobState("PENDING (Priority)")),
        ("slurm", "squeue", "7|COMPLETING|None", JobState("COMPLETING", ending=True)),
        (
            "pbs",
            "qstat",
            "Job Id: 7.server\n    job_state = F\n    Exit_status = -29\n    Variable_List = A=1,\n\tB=job_state = X",
            JobState("ended (exit status -29)", ended=True, blameless=True),
        ),
        (
            "pbs",
            "qstat",
            "Job Id: 7.server\n    job_state = F\n    Exit_status = 137",
            JobState("ended (exit status 137)", ended=True),
        ),
        (
            "pbs",
            "qstat",
            "Job Id: 7.server\n    job_state = Q\n    comment = Not Running: Insufficient amount of resource: ncpus",
            JobState("queued (Not Running: Insufficient amount of resource: ncpus)"),
        ),
        (
            "lsf",
            "bjobs",
            "7|EXIT|TERM_RUNLIMIT: job killed after reaching LSF run time limit|-",
            JobState("EXIT (TERM_RUNLIMIT: job killed after reaching LSF run time limit)", ended=True, blameless=True),
        ),
        (
            "lsf",
            "bjobs",
            "7|EXIT|TERM_MEMLIMIT: job killed after reaching LSF memory usage limit|-",
            JobState("EXIT (TERM_MEMLIMIT: job killed after reaching LSF memory usage limit)", ended=True),
        ),
        (
            "lsf",
            "bjobs",
            "7|PEND|-|New job is waiting for scheduling;",
            JobState("PEND (New job is waiting for scheduling;)"),
        ),
        ("sge", "qstat", "      7 0.5 latentlaw me Eqw 11/29/2026 10:00:00 1", JobState("refused by its node")),
        ("sge", "qstat", "      7 0.5 latentlaw me dr 11/29/2026 10:00:00 all.q@n 1", JobState("dr", ending=True)),
    ],
)
def test_what_a_queue_says_of_a_job_is_understood(name, program, answer, expected, tmp_path, monkeypatch):
    (tmp_path / program).write_text(f"#!/bin/sh\ncat <<'END'\n{answer}\nEND\n")
    (tmp_path / program).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert BATCH_SYSTEMS[name].make().states(["7"]) == {"7": expected}


@pytest.mark.parametrize("name", HEADS)
def test_a_queue_that_does_not_answer_is_quoted(name, tmp_path, monkeypatch):
    system = BATCH_SYSTEMS[name].make()
    program = system.programs[1]
    (tmp_path / program).write_text("#!/bin/sh\necho 'cannot connect\nto server' >&2\nexit 1\n")
    (tmp_path / program).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(QueueSilent, match=r"^cannot connect to server$"):
        system.states(["7"])


def test_what_a_killed_driver_left_is_taken_away_by_the_next_one(fake, tmp_path, capfd):
    system, folder = fake("pbs")
    number = system.submit(script(tmp_path, "sleep 60"))
    left = DRIVERS / driver_folder._name(2**30, 1.0)  # no process has this id
    left = left.with_name(f"{left.name}-0")
    left.mkdir(parents=True)
    (left / "key.pem").touch(mode=0o600)
    record_jobs(left, "pbs", [number, "999"])
    with driver_folder.driver_folder() as mine, driver_folder.driver_folder() as second:
        assert {path.absolute() for path in DRIVERS.iterdir()} == {mine, second}
        assert mine.stat().st_mode & 0o777 == 0o700
    assert list(DRIVERS.iterdir()) == []
    assert "PBS: cancelled 101, which a run that was killed had left" in capfd.readouterr().err
    wait_for_end(folder)
    assert system.states([number])[number].ended
