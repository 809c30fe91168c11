"""`latentlaw profile NAME` writes params.yaml of another size, and loses no edit."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.runtime.params import ParamsError, read_yaml
from pipeline.runtime.profiles import apply_profile, write_profile

ROOT = Path(__file__).parents[3]
BASE = """\
# All values.
first:                  # a stage
  seed: 0               # of the draw
  sizes: [1, 2]
  limit: null
  engine: &engine       # shared
    name: gpaw
    cutoff_eV: 250.0
    k_mesh: [2, 2, 2]
second:
  engine: *engine
  bath: &bath {time_step_fs: 1.0, friction_1_fs: 0.02}
third: {<<: *bath, time_step_fs: 2.0}
"""
SMALL = "first: {seed: 1, sizes: [3], engine: {cutoff_eV: 200.0}}\nthird: {friction_1_fs: 0.1}\n"


def git(folder: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=tests", "-c", "user.email=tests@localhost"]
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    (tmp_path / "params.yaml").write_text(BASE)
    (tmp_path / "profiles").mkdir()
    (tmp_path / "profiles/small.yaml").write_text(SMALL)
    (tmp_path / "profiles/large.yaml").write_text("first: {seed: 2}\n")
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--quiet", "-m", "first")
    return tmp_path


def read(clone: Path) -> dict:
    return read_yaml(clone / "params.yaml")


def test_what_a_profile_states_is_changed_and_nothing_else(clone: Path):
    engine = {"name": "gpaw", "cutoff_eV": 200.0, "k_mesh": [2, 2, 2]}
    bath = {"time_step_fs": 1.0, "friction_1_fs": 0.02}
    write_profile("small", clone)
    assert read(clone) == {
        "first": {"seed": 1, "sizes": [3], "limit": None, "engine": engine},
        "second": {"engine": engine, "bath": bath},
        "third": {"time_step_fs": 2.0, "friction_1_fs": 0.1},
    }
    text = (clone / "params.yaml").read_text()
    assert text.startswith("# Written by `latentlaw profile small`")
    assert "# of the draw" in text and "limit: null" in text


def test_default_restores_the_committed_file_to_the_byte(clone: Path):
    write_profile("small", clone)
    write_profile("large", clone)
    assert read(clone)["first"]["seed"] == 2
    write_profile("default", clone)
    assert (clone / "params.yaml").read_text() == BASE


def test_a_change_of_an_alias_leaves_the_shared_block_alone():
    changed = apply_profile(BASE, {"second": {"engine": {"cutoff_eV": 300.0}}}, "x")
    (first, second) = (tree := _load(changed))["first"]["engine"], tree["second"]["engine"]
    assert (first["cutoff_eV"], second["cutoff_eV"], second["k_mesh"]) == (250.0, 300.0, [2, 2, 2])


def test_a_choice_of_another_name_stands_whole():
    changed = _load(apply_profile(BASE, {"second": {"engine": {"name": "ase", "factory": "a:b"}}}, "x"))
    assert changed["second"]["engine"] == {"name": "ase", "factory": "a:b"}
    assert changed["first"]["engine"]["name"] == "gpaw"


def _load(text: str) -> dict:
    from ruamel.yaml import YAML

    return YAML(typ="safe", pure=True).load(text)


def test_all_unknown_keys_of_an_overlay_are_named_with_the_valid_ones(clone: Path):
    (clone / "profiles/small.yaml").write_text("first: {sed: 1, engine: {cutof_eV: 2.0}}\nfourth: {a: 1}\n")
    with pytest.raises(ParamsError, match=r"^profiles/small.yaml: 3 problem\(s\)") as caught:
        write_profile("small", clone)
    for message in (
        "first.sed: found an unknown key, expected one of ['engine', 'limit', 'seed', 'sizes']; remove or rename it",
        "first.engine.cutof_eV: found an unknown key",
        "fourth: found an unknown key, expected one of ['first', 'second', 'third']",
    ):
        assert message in str(caught.value)
    assert (clone / "params.yaml").read_text() == BASE


def test_an_unknown_profile_is_refused_with_the_valid_ones(clone: Path):
    with pytest.raises(ParamsError, match=r"found 'huge', expected one of \['default', 'large', 'small'\]"):
        write_profile("huge", clone)


@pytest.mark.parametrize("before", ["default", "small"])
def test_edits_by_hand_are_not_lost_unless_asked_for(clone: Path, before: str):
    write_profile(before, clone)
    edited = (clone / "params.yaml").read_text().replace("time_step_fs: 2.0", "time_step_fs: 3.0")
    (clone / "params.yaml").write_text(edited)
    with pytest.raises(ParamsError, match=r"found edits that are not committed.*--overwrite"):
        write_profile("large", clone)
    assert (clone / "params.yaml").read_text() == edited
    write_profile("large", clone, overwrite=True)
    assert read(clone)["third"]["time_step_fs"] == 2.0


def test_a_committed_profile_is_no_base_for_another(clone: Path):
    write_profile("small", clone)
    git(clone, "commit", "--quiet", "-am", "small run")
    write_profile("large", clone)
    assert read(clone)["first"]["sizes"] == [1, 2]


def test_without_git_the_file_itself_is_the_base_while_no_profile_wrote_it(tmp_path: Path):
    (tmp_path / "params.yaml").write_text(BASE)
    (tmp_path / "profiles").mkdir()
    (tmp_path / "profiles/small.yaml").write_text(SMALL)
    write_profile("small", tmp_path)
    assert read(tmp_path)["first"]["seed"] == 1
    with pytest.raises(ParamsError, match="found a file that a profile wrote and no other in git"):
        write_profile("default", tmp_path)


def test_the_command_says_what_it_wrote_or_what_is_wrong(clone: Path):
    command = [sys.executable, "-m", "pipeline.cli", "profile"]
    options = {"cwd": clone, "env": os.environ | {"PYTHONPATH": str(ROOT)}, "capture_output": True, "text": True}
    for name, status, message in (("small", 0, "params.yaml: profile small"), ("huge", 1, "expected one of")):
        reply = subprocess.run([*command, name], **options, check=False)
        assert reply.returncode == status
        assert message in reply.stdout + reply.stderr
