"""`make doctor` names what is wrong with a clone and how to mend it, and does not fail for optional parts."""

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.commands import doctor
from tests.models.physics.impurity.test_triqs import wrapper_script

ROOT = Path(__file__).parents[3]


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    subprocess.run(["git", "init", "--quiet", tmp_path], check=True)
    (tmp_path / ".dvc" / "tmp").mkdir(parents=True)
    shutil.copy(ROOT / ".dvc" / "config", tmp_path / ".dvc" / "config")
    for name in ("dvc.yaml", "constraints.txt", "params.yaml"):
        shutil.copy(ROOT / name, tmp_path)
    return tmp_path


@pytest.mark.slow
def test_a_sound_clone_is_fit_to_run(clone: Path):
    command = [sys.executable, "-m", "pipeline.cli", "doctor"]
    environment = {"PATH": "/usr/bin:/bin:/usr/local/bin", "PYTHONPATH": str(ROOT)}
    reply = subprocess.run(command, cwd=clone, env=environment, capture_output=True, text=True, check=False)
    assert reply.returncode == 0, reply.stdout + reply.stderr
    subjects = [line.split()[1] for line in reply.stdout.splitlines() if line[:2] in ("ok", "--", "!!")]
    wanted = [
        "python",
        "packages",
        "git",
        "dvc",
        "lock",
        "params",
        "disk",
        "memory",
        "nrg",
        "triqs",
        "operon",
        "pysr",
        "atoms",
        "gpu",
    ]
    assert subjects == wanted
    assert "the pipeline can run here" in reply.stdout


def test_everything_that_is_not_fine_comes_with_a_cure(clone: Path):
    for finding in (doctor.git(clone), doctor.dvc(clone), doctor.lock(clone), doctor.disk(clone), doctor.pysr()):
        assert finding.fine is True or finding.cure


def test_a_torn_lock_is_named_with_its_cure(clone: Path):
    (clone / ".dvc" / "tmp" / "rwlock").touch()
    finding = doctor.lock(clone)
    assert finding.fine is None
    assert "make repro" in finding.cure


def test_a_lost_dvc_configuration_stops_the_pipeline(clone: Path):
    (clone / ".dvc" / "config").unlink()
    finding = doctor.dvc(clone)
    assert finding.fine is False
    assert "git checkout .dvc" in finding.cure


@pytest.mark.slow
def test_params_that_do_not_fit_stop_the_pipeline_wherever_they_stand(clone: Path):
    assert doctor.params(clone).fine is True
    text = (clone / "params.yaml").read_text()
    (clone / "params.yaml").write_text(text.replace("  max_points: ", "  max_point: "))
    finding = doctor.params(clone)
    assert finding.fine is False
    for key in ("potential.max_point", "potential.max_points", "hierarchy.max_point", "hierarchy.max_points"):
        assert f"{key}: found" in finding.found
    assert "git diff params.yaml" in finding.cure
    (clone / "params.yaml").unlink()
    assert doctor.params(clone).fine is False


def test_a_full_disk_stops_the_pipeline(clone: Path, monkeypatch):
    monkeypatch.setattr(doctor, "FREE_DISK_GIB", 1e9)
    finding = doctor.disk(clone)
    assert finding.fine is False
    assert "free some" in finding.cure


def test_a_folder_without_git_is_reported_but_can_run(tmp_path: Path):
    finding = doctor.git(tmp_path)
    assert finding.fine is None
    assert "clone" in finding.cure


def test_packages_other_than_the_pinned_are_named(clone: Path):
    (clone / "constraints.txt").write_text("# comment\nnumpy==0.0.1\nnot-installed-at-all==1\n")
    finding = doctor.packages(clone)
    assert finding.fine is None
    assert "(pinned 0.0.1)" in finding.found
    assert "not-installed-at-all" not in finding.found


def test_a_triqs_interpreter_that_is_not_there_is_optional(monkeypatch):
    monkeypatch.setenv("LATENTLAW_TRIQS_PYTHON", "/nowhere/python")
    finding = doctor.triqs(ROOT)
    assert finding.fine is None
    assert "/nowhere/python" in finding.found


def test_a_triqs_that_solves_is_reported_with_its_versions(monkeypatch, tmp_path):
    monkeypatch.setenv("LATENTLAW_TRIQS_PYTHON", wrapper_script(tmp_path))
    finding = doctor.triqs(ROOT)
    assert finding.fine is True
    assert "triqs 3.2.1, nrgljubljana_interface 3.2.0" in finding.found


def test_a_triqs_that_imports_but_cannot_solve_is_not_fine(monkeypatch, tmp_path):
    monkeypatch.setenv("LATENTLAW_TRIQS_PYTHON", wrapper_script(tmp_path))
    (tmp_path / "tools" / "broaden").unlink()
    finding = doctor.triqs(ROOT)
    assert finding.fine is None
    assert "finds no broaden on its PATH" in finding.found
    assert "exports PYTHONPATH, LD_LIBRARY_PATH and PATH" in finding.cure


def test_missing_quantum_mechanics_is_reported_with_the_compiler_that_it_needs(monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(doctor.importlib.util, "find_spec", lambda name: None if name == "gpaw" else found(name))
    monkeypatch.setattr(doctor.shutil, "which", lambda _: None)
    finding = doctor.quantum_mechanics()
    assert finding.fine is False
    assert "gpaw" in finding.found
    assert "g++" in finding.cure
    assert "make setup" in finding.cure
