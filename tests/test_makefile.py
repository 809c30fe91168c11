"""The Makefile's promises that can be seen without installing anything."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = ("Makefile", "pyproject.toml", "constraints.txt")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in FILES:
        shutil.copy(ROOT / name, tmp_path)
    return tmp_path


def make(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    variables = {key: value for key, value in os.environ.items() if not key.startswith("MAKE")} | environment
    return subprocess.run(
        ["make", *arguments], cwd=folder, env=variables, capture_output=True, text=True, check=False, timeout=600
    )


def finish_installation(folder: Path) -> None:
    (folder / ".venv").mkdir()
    (folder / ".venv" / ".installed").touch()


@pytest.mark.parametrize("target", ["repro", "test", "doctor", "lint", "types"])
def test_every_target_that_needs_the_environment_makes_it_first(folder: Path, target: str):
    plan = make(folder, "--dry-run", target).stdout
    assert "pip install" in plan
    assert plan.index("torch==") < plan.index("--editable")


@pytest.mark.parametrize("target", ["setup", "repro", "test", "doctor"])
def test_a_finished_environment_is_not_made_again(folder: Path, target: str):
    finish_installation(folder)
    assert "pip install" not in make(folder, "--dry-run", target).stdout


def test_changed_pins_are_installed(folder: Path):
    finish_installation(folder)
    later = (folder / ".venv" / ".installed").stat().st_mtime + 10
    os.utime(folder / "constraints.txt", (later, later))
    assert "pip install" in make(folder, "--dry-run", "setup").stdout


def test_setup_does_not_run_the_pipeline(folder: Path):
    plan = make(folder, "--dry-run", "setup").stdout
    assert "pipeline.cli" not in plan
    assert "-m pytest" not in plan


def test_a_python_that_is_too_old_or_missing_is_refused_with_the_cure(folder: Path):
    old = folder / "old-python"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)
    for python in (str(old), "/nowhere/python"):
        reply = make(folder, "setup", f"PYTHON={python}")
        assert reply.returncode != 0
        assert "found no Python >= 3.11" in reply.stderr
        assert not (folder / ".venv").exists()


@pytest.mark.slow
def test_half_an_installation_is_not_taken_for_a_finished_one(folder: Path):
    """pip fails here (its index is a folder without packages): no stamp, and the next try begins anew."""
    offline = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(folder), "PIP_CONFIG_FILE": os.devnull}
    assert make(folder, "setup", **offline).returncode != 0
    assert (folder / ".venv" / "bin" / "python").exists()
    assert not (folder / ".venv" / ".installed").exists()
    (folder / ".venv" / "left-over").touch()
    assert make(folder, "setup", **offline).returncode != 0
    assert not (folder / ".venv" / "left-over").exists()


def test_an_environment_of_the_user_is_left_alone(folder: Path):
    (folder / ".venv").mkdir()
    (folder / ".venv" / "mine").touch()
    reply = make(folder, "setup")
    assert reply.returncode != 0
    assert "found .venv, which was not made by make, and leave it alone" in reply.stderr
    assert [path.name for path in (folder / ".venv").iterdir()] == ["mine"]


def test_help_names_every_documented_target(folder: Path):
    shown = make(folder).stdout
    for target in ("setup", "repro", "test", "doctor", "lint", "types", "docs", "clean"):
        assert f"make {target}" in shown


def test_no_file_of_the_foundation_names_a_package_host():
    for name in (*FILES, ".ci/run", "dvc.yaml"):
        assert not re.search(r"https?://", (ROOT / name).read_text()), name
