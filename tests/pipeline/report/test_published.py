"""After a run its numbers are set beside those of the last commit, and what cannot be compared says why."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.report.published import HEADLINE, against_published

ROOT = Path(__file__).parents[3]
NUMBERS = {"n_spectra": 13266, "friedel_99": 0.002, "lamellae_R2": 0.9, "random_force_eV_A": None}


def write(root: Path, numbers: object = NUMBERS, params: str = "spectra: {seed: 1}\nlatents: {seed: 1}\n") -> None:
    (root / HEADLINE).parent.mkdir(parents=True, exist_ok=True)
    (root / HEADLINE).write_text(json.dumps(numbers))
    (root / "params.yaml").write_text(params)


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    write(tmp_path)
    identity = ["-c", "user.name=tests", "-c", "user.email=tests@localhost"]
    for command in (["init", "-q"], ["add", "-A"], [*identity, "commit", "-qm", "first"]):
        subprocess.run(["git", *command], cwd=tmp_path, check=True)
    return tmp_path


def test_equal_numbers_are_said_to_be_equal_and_a_comment_in_params_changes_nothing(clone):
    write(clone, params="# mine\nspectra: {seed: 1}\nlatents: {seed: 1}\n")
    assert against_published(clone) == [f"the 4 numbers of {HEADLINE} are those of the last commit, to all digits"]


def test_each_number_that_differs_stands_beside_the_published_one(clone):
    write(clone, NUMBERS | {"friedel_99": 0.0021, "random_force_eV_A": 0.5})
    first, *lines, last = against_published(clone)
    assert first.startswith("2 of 4 numbers")
    assert [line.split() for line in lines] == [
        ["friedel_99", "0.0021", "0.002", "+5.00%"],
        ["random_force_eV_A", "0.5", "not", "made"],
    ]
    assert "docs/reproducibility.md" in last


def test_other_params_are_named_instead_of_compared(clone):
    write(clone, NUMBERS | {"n_spectra": 128}, params="spectra: {seed: 1}\nlatents: {seed: 2}\n")
    (line,) = against_published(clone)
    assert "params.yaml differs from the last commit (latents)" in line


def test_without_a_commit_or_without_a_run_nothing_is_compared(tmp_path):
    assert against_published(tmp_path) == []
    write(tmp_path)
    (line,) = against_published(tmp_path)
    assert "not in a commit here" in line


def test_a_torn_file_is_said_to_be_one(clone):
    (clone / HEADLINE).write_text('{"n_spectra": ')
    assert "no JSON" in against_published(clone)[0]


def test_it_costs_next_to_nothing():
    """Of CPU time, with a params.yaml of the size of the project's that is not the committed one."""
    code = "import time; from pathlib import Path; from pipeline.report.published import against_published as f; "
    code += "start = time.process_time(); f(Path.cwd()); print(time.process_time() - start)"
    runs = [
        subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True) for _ in "ab"
    ]
    assert min(float(run.stdout) for run in runs) < 0.3
