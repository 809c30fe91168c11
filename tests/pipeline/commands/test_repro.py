"""`make repro` can always be run again: it heals what a killed DVC leaves, and is cheap when nothing changed."""

import json
import math
import os
import resource
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.commands import repro

ROOT = Path(__file__).parents[3]
STAGE = """
stages:
  slow:
    cmd: echo working && sleep {seconds} && printf done > out.txt
    outs: [out.txt]
"""


WAITING = """
stages:
  patient:
    cmd: echo working; until test -e go; do sleep 0.1; done; printf done > out.txt
    outs: [out.txt]
"""


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A git repository with the project's DVC settings and one stage of its own."""
    subprocess.run(["git", "init", "--quiet", tmp_path], check=True)
    commit(tmp_path)
    (tmp_path / ".dvc" / "tmp").mkdir(parents=True)
    shutil.copy(ROOT / ".dvc" / "config", tmp_path / ".dvc" / "config")
    (tmp_path / "dvc.yaml").write_text(STAGE.format(seconds=0))
    return tmp_path


def commit(folder: Path) -> None:
    identity = ["-c", "user.name=tests", "-c", "user.email=tests@localhost"]
    subprocess.run(["git", *identity, "commit", "--quiet", "--allow-empty", "-m", "first"], cwd=folder, check=True)


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "DVC_NO_ANALYTICS": "1"}
    command = [sys.executable, "-m", "pipeline.cli", "repro", *arguments]
    return subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def run(folder: Path, *arguments: str) -> tuple[int, str]:
    process = start(folder, *arguments)
    output, _ = process.communicate(timeout=600)
    return process.returncode, output


@pytest.mark.parametrize("content", [b"", b"   ", b'{"out.txt": {"read', b"\xff\xfe", b"[]"])
def test_a_torn_lock_file_is_deleted(tmp_path: Path, monkeypatch, content: bytes):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "rwlock"
    path.write_bytes(content)
    assert "deleted" in repro.heal_rwlock(path)
    assert not path.exists()


@pytest.mark.parametrize("content", ["{}", json.dumps({"out.txt": {"write": {"pid": 1, "cmd": "dvc repro"}}})])
def test_a_readable_lock_file_is_left_to_dvc(tmp_path: Path, monkeypatch, content: str):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "rwlock"
    path.write_text(content)
    assert repro.heal_rwlock(path) == ""
    assert path.read_text() == content


def test_it_waits_for_what_still_works_in_the_clone(tmp_path: Path, monkeypatch, capsys):
    answers = iter([[4711, 4712], [4711], []])
    monkeypatch.setattr(repro, "live_runs", lambda root: next(answers))
    monkeypatch.setattr(repro, "WAIT_S", 0.0)
    repro.wait_for_others(tmp_path)
    assert capsys.readouterr().out.count("process 4711 already works in this clone") == 1
    assert next(answers, None) is None


def test_no_lock_file_is_nothing_to_heal(tmp_path: Path):
    assert repro.heal_rwlock(tmp_path / "rwlock") == ""


@pytest.mark.slow
def test_the_empty_lock_file_that_stops_dvc_does_not_stop_repro(clone: Path):
    (clone / ".dvc" / "tmp" / "rwlock").touch()
    plain = subprocess.run(
        [sys.executable, "-m", "dvc", "repro"], cwd=clone, capture_output=True, text=True, check=False
    )
    assert plain.returncode != 0
    assert "rwlock" in plain.stderr
    status, output = run(clone)
    assert status == 0, output
    assert (clone / "out.txt").read_text() == "done"


ON_DEMAND = """
stages:
  large:
    wdir: ../..
    cmd: printf large > large.txt
    outs:
      - large.txt:
          cache: false
"""


@pytest.mark.slow
def test_a_stage_on_demand_runs_only_when_it_is_named(clone: Path):
    file = clone / repro.ON_DEMAND
    file.parent.mkdir(parents=True)
    file.write_text(ON_DEMAND)
    for arguments in ([], ["--force"]):
        assert run(clone, *arguments)[0] == 0
        assert (clone / "out.txt").exists()
        assert not (clone / "large.txt").exists()
    status, output = run(clone, "large")
    assert status == 0, output
    assert (clone / "large.txt").read_text() == "large"


def test_names_of_stages_on_demand_get_their_file(monkeypatch):
    monkeypatch.chdir(ROOT)
    assert repro.addresses([]) == []
    assert repro.addresses(["--force", "spectra", "qm9"]) == ["--force", "spectra", "pipeline/atoms/dvc.yaml:qm9"]


@pytest.mark.slow
def test_a_failing_stage_gives_its_status_and_says_how_to_go_on(clone: Path):
    (clone / "dvc.yaml").write_text("stages:\n  bad:\n    cmd: python -c 'raise SystemExit(3)'\n    outs: [out.txt]\n")
    status, output = run(clone)
    assert status != 0
    assert "make doctor" in output


@pytest.mark.slow
def test_ctrl_c_says_that_the_work_is_kept_and_a_second_run_waits_for_the_first(clone: Path):
    (clone / "dvc.yaml").write_text(WAITING)
    first = start(clone)
    assert first.stdout is not None
    wait_for_line(first, "working")
    second = start(clone)
    wait_for_line(second, "already works in this clone")
    os.killpg(first.pid, signal.SIGINT)
    output, _ = first.communicate(timeout=600)
    (clone / "go").touch()
    assert first.returncode == 130
    assert "goes on from there" in output
    output, _ = second.communicate(timeout=600)
    assert second.returncode == 0, output
    assert (clone / "out.txt").read_text() == "done"


@pytest.mark.slow
def test_a_run_whose_wrapper_was_killed_is_waited_for(clone: Path):
    """kill -9 of the wrapper alone leaves DVC and its stage at work."""
    (clone / "dvc.yaml").write_text(WAITING)
    first = start(clone)
    wait_for_line(first, "working")
    first.kill()
    second = start(clone)
    wait_for_line(second, "already works in this clone")
    (clone / "go").touch()
    output, _ = second.communicate(timeout=600)
    first.communicate(timeout=600)
    assert second.returncode == 0, output
    assert "Data and pipelines are up to date" in output


def wait_for_line(process: subprocess.Popen[str], text: str) -> None:
    assert process.stdout is not None
    while text not in (line := process.stdout.readline()):
        assert line or process.poll() is None


@pytest.mark.slow
def test_it_runs_in_a_folder_inside_another_git_repository_and_without_any_commit(clone: Path, tmp_path_factory):
    inner = clone / "vendored" / "latentlaw"
    archive, without_commit = tmp_path_factory.mktemp("archive"), tmp_path_factory.mktemp("empty")
    subprocess.run(["git", "init", "--quiet", without_commit], check=True)
    for folder in (inner, archive, without_commit):
        (folder / ".dvc").mkdir(parents=True)
        shutil.copy(clone / ".dvc" / "config", folder / ".dvc" / "config")
        shutil.copy(clone / "dvc.yaml", folder)
    for folder in (inner, archive, without_commit):
        status, output = run(folder)
        assert status == 0, output
        assert (folder / "out.txt").read_text() == "done"
        assert ("no git commit" in output) == (folder is not inner)
    commit(without_commit)
    assert run(without_commit)[0] == 0
    assert "no_scm" not in (without_commit / ".dvc" / "config.local").read_text()


WRONG = ("  interaction: [0.05, 0.5]", "  interaction: [0.5, 0.05]"), ("\nhierarchy:", "\nhierachy:")


@pytest.mark.slow
def test_params_that_a_later_stage_would_refuse_stop_the_run_before_it_begins(clone: Path):
    text = (ROOT / "params.yaml").read_text()
    for old, new in WRONG:
        assert text.count(old) == 1
        text = text.replace(old, new)
    (clone / "params.yaml").write_text(text)
    status, output = run(clone)
    assert status == 1
    assert "spectra.sampling.interaction: found [0.5, 0.05] (list), expected ascending values" in output
    assert "hierachy: found an unknown section" in output
    assert "hierarchy: found no such section" in output
    assert "nothing was begun" in output and "working" not in output
    assert not (clone / "out.txt").exists()


def test_a_finished_run_sets_its_numbers_beside_the_published_ones(clone: Path):
    (clone / "reports/metrics").mkdir(parents=True)
    headline = clone / "reports/metrics/headline.json"
    headline.write_text(json.dumps({"n_spectra": 100, "friedel_99": 0.002}))
    subprocess.run(["git", "add", "reports"], cwd=clone, check=True)
    commit(clone)
    headline.write_text(json.dumps({"n_spectra": 100, "friedel_99": 0.003}))
    assert "friedel_99" not in run(clone)[1]  # no report: these are not the numbers of this run
    (clone / "reports/index.html").write_text("")
    status, output = run(clone)
    *_, difference, where, last = output.splitlines()
    assert status == 0
    assert difference.split() == ["repro:", "friedel_99", "0.003", "0.002", "+50.00%"]
    assert "docs/reproducibility.md" in where
    assert last.startswith("repro: done. The report:")


def test_outside_of_a_clone_it_says_where_to_go(tmp_path: Path):
    status, output = run(tmp_path)
    assert status == 1
    assert "expected the top folder of the clone" in output


@pytest.mark.slow
def test_a_second_run_with_nothing_to_do_takes_less_than_three_cpu_seconds(clone: Path):
    """Only what DVC and the wrapper cost; test_whole_pipeline.py holds the real stages to the same limit."""
    run(clone)
    least = math.inf
    for _ in range(5):  # the least: other processes on the machine only ever add to it
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        status, output = run(clone)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert status == 0, output
        least = min(least, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        if least < 3:
            break
    assert least < 3


@pytest.mark.slow
def test_dvc_is_asked_again_as_soon_as_a_file_of_the_pipeline_has_changed(clone: Path):
    assert run(clone)[0] == 0
    assert "nothing to do" in run(clone)[1]
    (clone / "out.txt").write_text("damaged")
    status, output = run(clone)
    assert status == 0, output
    assert "nothing to do" not in output
    assert (clone / "out.txt").read_text() == "done"
    assert "nothing to do" not in run(clone, "--force")[1]
