"""`latentlaw active-learning`: phases by themselves make what the stage makes; docs/how-to/own-dft.md runs."""

import re
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from models.active_learning import sampling
from models.active_learning.sampling import LabelTask, SampleTask
from models.active_learning.settings import ActiveLearningParams
from models.frames import Frames
from models.physics.atoms.engines.ase import ASEEngine
from models.physics.atoms.labelling import LabelLimits
from pipeline.atoms.active_learning import generate
from pipeline.atoms.active_loop import OUT, RUNS
from pipeline.commands.active_learning import phase_of
from pipeline.runtime.params import load_params
from stores.atoms import ATOMS, frames_of
from stores.manifest import read_manifest
from stores.zarr_store import open_store
from tests.pipeline.commands.clones import clone_in
from tests.pipeline.commands.running import run
from tests.profiles import ROOT

PAGE = (ROOT / "docs/how-to/own-dft.md").read_text()


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    clone_in(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LATENTLAW_SCHEDULER", "serial")
    monkeypatch.delenv("LATENTLAW_SCRATCH", raising=False)
    monkeypatch.setattr("pipeline.commands.active_learning.wrong_params", lambda folder: "")  # a process, each time
    changed(control={**section()["control"], "n_seeds": 0})
    return tmp_path


def section() -> dict[str, Any]:
    params: dict[str, Any] = YAML(typ="safe", pure=True).load(Path("params.yaml"))
    return params["active_learning"]


def changed(**changes: object) -> None:
    """Of section active_learning in params.yaml."""
    yaml = YAML(typ="rt")
    params = yaml.load(Path("params.yaml"))
    params["active_learning"].update(changes)
    with open("params.yaml", "w") as file:
        yaml.dump(params, file)


def next_phases(said: str) -> list[str]:
    return re.findall(r"--phase (\w+)", said.splitlines()[-1])


@pytest.mark.slow
def test_phases_one_by_one_make_the_very_store_and_potential_of_the_stage(clone, capsys):
    phases = []
    ready = ["label"]
    while ready:
        phases.append(ready[0])
        assert run("active-learning", "--phase", ready[0]) == 0
        said = capsys.readouterr().out
        assert len(phases) < 60, said
        ready = next_phases(said)
    assert said.splitlines()[-1].startswith("next: latentlaw repro active_learning")
    assert {"test", "label", "train", "sample"} == set(phases)
    assert not OUT.exists()  # the stage writes it, from what is kept
    params = load_params(ActiveLearningParams, "active_learning")
    generate(params)
    assert re.search(r"epoch", capsys.readouterr().out) is None  # nothing was trained any more
    hashes, weights = read_manifest(OUT).hash, [path.read_bytes() for path in sorted(RUNS.rglob("*.safetensors"))]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LATENTLAW_SCRATCH", str(clone / "other"))
        generate(params)
    assert read_manifest(OUT).hash == hashes
    assert [path.read_bytes() for path in sorted(RUNS.rglob("*.safetensors"))] == weights


def test_a_phase_makes_no_task_of_another(clone, capsys):
    assert run("active-learning", "--phase", "sample") == 0
    said = capsys.readouterr().out
    assert "main: waits for" in said and next_phases(said) == ["test"]
    assert not list(clone.rglob("*.task"))
    assert run("active-learning", "--phase", "test") == 0
    assert next_phases(capsys.readouterr().out) == ["label"]
    made = {path.name for path in clone.rglob("*.task")}
    assert run("active-learning", "--phase", "label") == 0
    assert next_phases(capsys.readouterr().out) == ["train"]
    later = {path.name for path in clone.rglob("*.task")}
    assert made < later and all(name.startswith("labels_") for name in later - made)


def test_the_control_advances_beside_the_loop(clone, capsys):
    changed(control={**section()["control"], "n_seeds": 2})
    assert run("active-learning", "--phase", "test") == 0
    said = capsys.readouterr().out
    assert re.search(r"main: waits for .*\ncontrol: waits for ", said) and next_phases(said) == ["label"]


def test_every_kind_of_task_has_its_phase():
    frames = Frames.one(numbers=[13], positions_A=[[0.0, 0.0, 0.0]])

    def labels(*origins: str) -> LabelTask:
        known = [{"origin": origin} for origin in origins]
        return LabelTask(engine=ASEEngine(), limits=LabelLimits(), frames=frames, provenances=known)

    assert phase_of(labels("test", "test")) == "test"
    assert phase_of(labels("bootstrap")) == phase_of(labels("active", "random")) == "label"
    assert phase_of(sampling.TestTask.__new__(sampling.TestTask)) == "test"
    assert phase_of(SampleTask.__new__(SampleTask)) == "sample"
    with pytest.raises(TypeError, match="found str"):
        phase_of("x")


def test_two_at_once_are_refused(clone):
    import fcntl

    lock = clone / ".cache/generation/active_learning.lock"
    lock.parent.mkdir(parents=True)
    with open(lock, "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(ValueError, match=r"another `latentlaw active-learning` at work, expected one at a time"):
            run("active-learning", "--phase", "label")


def test_outside_of_a_clone_it_says_so(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"no dvc.yaml .* expected the top folder of the clone"):
        run("active-learning")


@pytest.mark.slow
def test_a_program_that_is_run_through_files_labels_the_loop_as_the_page_says(clone, monkeypatch, capsys):
    source = re.search(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert source and "factory: my_dft:MyDFT" in PAGE
    (clone / "my_dft.py").write_text(source.group(1))
    monkeypatch.syspath_prepend(str(clone))
    engine = {"name": "ase", "factory": "my_dft:MyDFT", "keywords": "{}", "level_name": "mine"}
    changed(engine=engine)
    assert run("active-learning") == 0
    assert "main: all rounds are done" in capsys.readouterr().out
    generate(load_params(ActiveLearningParams, "active_learning"))
    by_program = frames_of(open_store(OUT, ATOMS).load())
    assert by_program.labelled.all() and not by_program.failures.any()
    emt = ASEEngine()
    for frame in (by_program[0], by_program[len(by_program) - 1]):
        expected = emt.label(frame.numbers, frame.positions_A, frame.cell_A)
        assert frame.energy_eV == pytest.approx(expected.energy_eV, abs=1e-6)
        assert frame.forces_eV_A == pytest.approx(expected.forces_eV_A, abs=1e-6)
    assert {path.name for path in clone.iterdir() if path.suffix == ".extxyz"} == set()


def test_the_engine_that_the_page_shows_is_one_that_params_take():
    block = re.search(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    assert block
    named = YAML(typ="safe").load(block.group(1))["engine"]
    assert named.pop("name") == "ase"
    assert ASEEngine(**named).level.startswith("VASP")
