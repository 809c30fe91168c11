"""Branches that changed different lanes merge without a conflict in dvc.lock; those that changed one stage do not."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from pipeline.runtime.merge_lock import main, merge_locks

ROOT = Path(__file__).parents[3]
LOCK = (ROOT / "dvc.lock").read_text()


def entry(name: str, *, value: int = 0, deps: dict[str, int] | None = None, out: int = 0) -> str:
    """As DVC writes it."""
    listed = "".join(
        f"    - path: {path}\n      hash: md5\n      md5: a{number:031x}\n      size: 1\n"
        for path, number in (deps or {f"pipeline/{name}.py": 0}).items()
    )
    return (
        f"  {name}:\n    cmd: python {name}.py\n    deps:\n{listed}"
        f"    params:\n      params.yaml:\n        {name}:\n          value: {value}\n"
        f"    outs:\n    - path: data/{name}\n      hash: md5\n      md5: a{out:031x}\n      size: 1\n"
    )


def lock(*entries: str) -> str:
    return "schema: '2.0'\nstages:\n" + "".join(entries)


def report(spectra: int, molecules: int, out: int) -> str:
    return entry("report", deps={"data/spectra": spectra, "data/molecules": molecules}, out=out)


BASE = lock(entry("spectra"), entry("molecules"), report(0, 0, 0))


def test_what_one_side_changed_is_taken_and_the_rest_stays_to_the_byte():
    ours = lock(entry("spectra", value=1, out=1), entry("molecules"), report(0, 0, 0))
    theirs = lock(entry("spectra"), entry("molecules", value=2, out=2), report(0, 0, 0))
    merged = merge_locks(BASE, ours, theirs)
    assert merged.text == lock(entry("spectra", value=1, out=1), entry("molecules", value=2, out=2), report(0, 0, 0))
    assert (merged.conflicts, merged.stale) == ([], [])


def test_a_stage_that_reads_both_lanes_keeps_our_entry_and_is_stale():
    ours = lock(entry("spectra", value=1, out=1), entry("molecules"), report(1, 0, 7))
    theirs = lock(entry("spectra"), entry("molecules", value=2, out=2), report(0, 2, 8))
    merged = merge_locks(BASE, ours, theirs)
    assert (merged.conflicts, merged.stale) == ([], ["report"])
    stages = yaml.safe_load(merged.text)["stages"]
    read = {dep["path"]: int(dep["md5"][1:], 16) for dep in stages["report"]["deps"]}
    made = {name: int(stages[name]["outs"][0]["md5"][1:], 16) for name in ("spectra", "molecules")}
    assert read["data/spectra"] == made["spectra"]
    assert read["data/molecules"] != made["molecules"]  # by which DVC knows


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (entry("spectra", value=1), entry("spectra", value=2)),
        (entry("spectra", deps={"a.py": 1}), entry("spectra", deps={"a.py": 2})),
        (entry("spectra", out=1), entry("spectra", out=2)),  # the same inputs
        (entry("spectra").replace("python", "nice python"), entry("spectra").replace("python", "python -O")),
        ("", entry("spectra", value=2)),  # removed and changed
    ],
)
def test_the_same_stage_changed_on_both_sides_is_a_conflict_with_both_entries(ours: str, theirs: str):
    merged = merge_locks(lock(entry("spectra"), entry("a")), lock(ours, entry("a")), lock(theirs, entry("a", value=3)))
    assert merged.conflicts == ["spectra"]
    assert f"<<<<<<< ours\n{ours}=======\n{theirs}>>>>>>> theirs\n" in merged.text
    assert entry("a", value=3) in merged.text  # what is clear is merged all the same


def test_equal_changes_removals_and_new_stages_are_merged():
    ours = lock(entry("spectra", value=5), report(0, 0, 0), entry("mine"))
    theirs = lock(entry("spectra", value=5), entry("molecules"), report(0, 0, 0), entry("yours"))
    expected = lock(entry("spectra", value=5), report(0, 0, 0), entry("mine"), entry("yours"))
    assert merge_locks(BASE, ours, theirs).text == expected
    assert merge_locks("", lock(entry("a")), lock(entry("b"))).text == lock(entry("a"), entry("b"))


def test_a_side_whose_inputs_are_those_of_the_merge_is_right():
    """They ran the stage again after a change of inputs, we only touched its output."""
    ours = lock(entry("spectra", out=1))
    theirs = lock(entry("spectra", value=2, out=2))
    merged = merge_locks(lock(entry("spectra")), ours, theirs)
    assert (merged.text, merged.conflicts, merged.stale) == (theirs, [], [])


def test_the_lock_of_this_project_is_understood_whole():
    assert merge_locks(LOCK, LOCK, LOCK).text == LOCK
    other = LOCK.replace("n_hamiltonians: 1700", "n_hamiltonians: 1600", 1)
    assert merge_locks(LOCK, LOCK, other).text == other


@pytest.mark.parametrize("text", ["[1, 2]\n", "schema: '2.0'\nstages:\n  a: {cmd: b}\n", "a: [\n", "stages: 3\n"])
def test_what_dvc_did_not_write_is_left_to_its_user(text: str, tmp_path: Path, capsys):
    for name, content in (("base", BASE), ("ours", text), ("theirs", BASE)):
        (tmp_path / name).write_text(content)
    assert main([str(tmp_path / name) for name in ("base", "ours", "theirs")]) == 1
    assert (tmp_path / "ours").read_text() == text
    assert "dvc.lock: ours: found" in capsys.readouterr().err


def git(folder: Path, *words: str, status: int = 0) -> str:
    identity = {f"GIT_{who}_{what}": "t@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    reply = subprocess.run(
        ["git", *words], cwd=folder, env=os.environ | identity, capture_output=True, text=True, check=False
    )
    assert reply.returncode == status, reply.stdout + reply.stderr
    return reply.stdout + reply.stderr


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Branches `main` and `other` from BASE, with git set up by the lines of `make setup`."""
    for name in (".gitattributes", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path)
    for name in ("pipeline/__init__.py", "pipeline/runtime/__init__.py", "stores/__init__.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    for name in ("pipeline/runtime/merge_lock.py", "stores/atomic.py"):
        shutil.copy(ROOT / name, tmp_path / name)
    shutil.copy(ROOT / "Makefile", tmp_path)
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / ".venv" / "bin" / "python").symlink_to(sys.executable)
    (tmp_path / ".venv" / ".installed").touch()
    git(tmp_path, "init", "-q", "-b", "main")
    subprocess.run(["make", "setup"], cwd=tmp_path, check=True, capture_output=True)
    (tmp_path / "dvc.lock").write_text(BASE)
    (tmp_path / ".gitignore").write_text(".venv\n__pycache__\n")
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-qm", "base")
    git(tmp_path, "branch", "other")
    return tmp_path


def commit(repository: Path, branch: str, text: str) -> None:
    git(repository, "checkout", "-q", branch)
    (repository / "dvc.lock").write_text(text)
    git(repository, "commit", "-qam", branch)


def test_git_merges_two_lanes_without_a_conflict(repository: Path):
    commit(repository, "other", lock(entry("spectra"), entry("molecules", value=2, out=2), report(0, 2, 8)))
    commit(repository, "main", lock(entry("spectra", value=1, out=1), entry("molecules"), report(1, 0, 7)))
    message = git(repository, "merge", "other", "-m", "both")
    assert "dvc.lock: merged; report must run again" in message
    expected = lock(entry("spectra", value=1, out=1), entry("molecules", value=2, out=2), report(1, 0, 7))
    assert (repository / "dvc.lock").read_text() == expected
    assert git(repository, "status", "--porcelain") == ""


@pytest.mark.slow
def test_after_the_merge_dvc_finds_the_report_stale_and_nothing_else(repository: Path):
    def dvc(*words: str) -> str:
        command = [sys.executable, "-m", "dvc", *words]
        variables = os.environ | {"DVC_NO_ANALYTICS": "1"}
        return subprocess.run(command, cwd=repository, env=variables, capture_output=True, text=True, check=True).stdout

    stage = "  {0}:\n    cmd: cp {1} {2}\n    deps: {3}\n    outs: [{2}]\n"
    (repository / "dvc.yaml").write_text(
        "stages:\n"
        + stage.format("spectra", "one.txt", "spectra", "[one.txt]")
        + stage.format("molecules", "two.txt", "molecules", "[two.txt]")
        + "  report:\n    cmd: cat spectra molecules > page\n    deps: [spectra, molecules]\n    outs: [page]\n"
    )
    (repository / "dvc.lock").unlink()
    for name in ("one.txt", "two.txt"):
        (repository / name).write_text("first\n")
    dvc("init", "-q")
    (repository / ".dvc" / "config").write_text("[core]\n    autostage = false\n")
    dvc("repro", "-q")
    git(repository, "add", "-A")
    git(repository, "commit", "-qm", "run")
    git(repository, "branch", "-f", "other")
    for branch, name in (("other", "two.txt"), ("main", "one.txt")):
        git(repository, "checkout", "-q", branch)
        dvc("checkout", "-q")
        (repository / name).write_text(f"changed on {branch}\n")
        dvc("repro", "-q")
        git(repository, "commit", "-qam", branch)
    assert "report must run again" in git(repository, "merge", "other", "-m", "both")
    dvc("checkout", "-q")
    assert set(json.loads(dvc("status", "--json"))) == {"report"}
    dvc("repro", "-q")
    assert (repository / "page").read_text() == "changed on main\nchanged on other\n"


def test_git_stops_at_a_stage_that_both_changed_and_names_it(repository: Path):
    commit(repository, "other", lock(entry("spectra", value=2, out=2), entry("molecules", value=3), report(2, 0, 8)))
    commit(repository, "main", lock(entry("spectra", value=1, out=1), entry("molecules"), report(1, 0, 7)))
    message = git(repository, "merge", "other", "-m", "both", status=1)
    assert "both sides changed the same inputs of spectra, report" in message
    assert git(repository, "diff", "--name-only", "--diff-filter=U").split() == ["dvc.lock"]
    text = (repository / "dvc.lock").read_text()
    assert text.count("<<<<<<< ours") == 2 and entry("molecules", value=3) in text
    (repository / "dvc.lock").write_text(
        re.sub(r"<<<<<<< ours\n(.*?)=======\n.*?>>>>>>> theirs\n", r"\1", text, flags=re.S)
    )
    git(repository, "commit", "-qam", "ours taken")
    assert set(yaml.safe_load((repository / "dvc.lock").read_text())["stages"]) == {"spectra", "molecules", "report"}


def test_without_the_driver_the_same_merge_of_lines_is_a_conflict(repository: Path):
    """What the driver is for: neighbouring entries and the stage that reads both."""
    git(repository, "config", "--remove-section", "merge.dvc-lock")
    commit(repository, "other", lock(entry("spectra"), entry("molecules", value=2, out=2), report(0, 2, 8)))
    commit(repository, "main", lock(entry("spectra", value=1, out=1), entry("molecules"), report(1, 0, 7)))
    git(repository, "merge", "other", "-m", "both", status=1)


def test_setup_leaves_the_repository_around_a_copy_alone(repository: Path):
    inner = repository / "copy"
    inner.mkdir()
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, inner)
    (inner / ".venv").mkdir()
    (inner / ".venv" / ".installed").touch()
    before = git(repository, "config", "merge.dvc-lock.driver")
    subprocess.run(["make", "setup"], cwd=inner, check=True, capture_output=True)
    assert git(repository, "config", "merge.dvc-lock.driver") == before
