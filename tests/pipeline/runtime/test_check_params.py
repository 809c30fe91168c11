"""A params.yaml that any stage would refuse is refused before the first one begins, with all problems at once."""

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest
import yaml

from models.descriptors.efficientnet import EfficientNetLayer
from models.descriptors.vgg19 import VGG19Layer
from pipeline.runtime import check_params
from pipeline.runtime.check_params import FOUND_GOOD, section_kinds, wrong_params
from pipeline.runtime.content_key import DAGS, stages_of
from pipeline.runtime.dependencies import stage_code, stage_file
from pipeline.runtime.params import ParamsError, check_sections

ROOT = Path(__file__).parents[3]
STAGES = [name for dag in DAGS for name in stages_of(ROOT / dag)]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch) -> Path:
    """A pipeline whose sources are those of the repository."""
    shutil.copy(ROOT / "params.yaml", tmp_path)
    shutil.copy(ROOT / "dvc.yaml", tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    return tmp_path


def change(folder: Path, *changes: tuple[str, str]) -> None:
    text = (folder / "params.yaml").read_text()
    for old, new in changes:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    (folder / "params.yaml").write_text(text)


def test_every_section_that_a_stage_loads_is_checked_as_what_it_is_loaded():
    """`load_params(Kind, "section")` of every stage, and nothing else."""
    kinds = {section: kind.__name__ for section, kind in section_kinds().items()}
    loaded = {}
    for stage in STAGES:
        for node in ast.walk(ast.parse((ROOT / stage_file(ROOT, stage)).read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "load_params":
                loaded[node.args[1].value] = node.args[0].id
    assert kinds == loaded
    assert kinds.keys() == yaml.safe_load((ROOT / "params.yaml").read_text()).keys()


@pytest.mark.slow
def test_all_problems_of_all_sections_are_reported_at_once(folder: Path):
    change(
        folder,
        ("\n  n_hamiltonians: 1700 ", "\n  n_hamiltonian: 1700 "),
        ("\n  oracle: ", "\n  orcale: "),
        ("\nlatents:", "\nlatent:"),
    )
    wrong = wrong_params(folder)
    assert wrong.startswith("params.yaml: 6 problem(s)")
    for message in (
        "spectra.n_hamiltonian: found an unknown key",
        "spectra.n_hamiltonians: found nothing, expected a whole number",
        "aluminium_benchmark.orcale: found an unknown key",
        "aluminium_benchmark.oracle: found nothing, expected text",
        "latent: found an unknown section, expected one of",
        "latents: found no such section",
    ):
        assert message in wrong
    assert not (folder / FOUND_GOOD).exists()


def test_misspelt_names_of_layers_are_refused(folder: Path):
    text = (ROOT / "params.yaml").read_text()
    for old, new, message in (
        (
            "layers: [b7] ",
            "layers: [b16] ",
            "textures.settings.efficientnet.layers[0]: found 'b16' (str), expected one of",
        ),
        (
            "layers: [conv3_4]",
            "layers: [conv34]",
            "textures.settings.vgg19.layers[0]: found 'conv34' (str), expected one",
        ),
        (
            "  layers: [stem, b0,",
            "  layers: [stm, b0,",
            "reconstruction: layers: found ['stm'], expected some of ['stem'",
        ),
        ("layer: b3,", "layer: b 3,", "reconstruction.window.layer: found 'b 3' (str), expected one of ['stem'"),
    ):
        assert text.count(old) == 1, old
        (folder / "params.yaml").write_text(text.replace(old, new))
        with pytest.raises(ParamsError) as caught:
            check_sections(section_kinds(), folder / "params.yaml")
        assert message in str(caught.value)


def test_the_layers_that_params_may_name_are_those_of_the_networks():
    from models.descriptors.efficientnet import EfficientNetLite0
    from models.descriptors.vgg19 import VGG19

    assert get_args(EfficientNetLayer) == EfficientNetLite0.layers
    assert get_args(VGG19Layer) == VGG19.layers


@pytest.mark.slow
def test_a_file_found_good_is_looked_at_again_only_after_a_change(folder: Path, monkeypatch):
    assert wrong_params(folder) == ""
    monkeypatch.setattr(check_params.subprocess, "run", lambda *_, **__: pytest.fail("looked at again"))
    assert wrong_params(folder) == ""
    monkeypatch.undo()
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    change(folder, ("\nreport:", "\nreprot:"))
    assert "reprot: found an unknown section" in wrong_params(folder)
    change(folder, ("\nreprot:", "\nreport:"))
    assert wrong_params(folder) == ""


def test_a_missing_file_is_reported_with_its_cure(tmp_path: Path):
    assert "git checkout params.yaml" in wrong_params(tmp_path)


@pytest.mark.slow
def test_the_first_stage_refuses_what_the_last_would_refuse(folder: Path):
    """So also under a plain `dvc repro`. Without dvc.yaml no stage follows, and the own section is enough."""
    change(folder, ("\naluminium_benchmark:", "\naluminium_benchmrk:"))
    command = [sys.executable, "-m", "pipeline.impurity.spectra"]
    reply = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert reply.returncode == 1
    assert reply.stderr.startswith("spectra: params.yaml: 2 problem(s)")
    assert "Hamiltonians" not in reply.stdout
    assert not (folder / "data").exists() and not (folder / ".cache").exists()
    (folder / "dvc.yaml").unlink()
    change(folder, ("\nspectra:", "\nspectr:"))
    reply = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert "expected 'spectra'; add the section" in reply.stderr


@pytest.mark.parametrize("stage", STAGES)
def test_no_stage_turns_stale_by_the_settings_of_another(stage: str):
    code = stage_code(ROOT, stage)
    assert "pipeline/runtime/check_params.py" not in code
    assert not {stage_file(ROOT, other) for other in STAGES if other != stage} & set(code)


def test_the_check_costs_next_to_nothing_once_it_was_made():
    """Imported by every stage and by `make repro`: it must not bring the stages, nor what reads YAML."""
    code = "import sys, pipeline.runtime.check_params; print(*sys.modules)"
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    reply = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert not {"numpy", "torch", "ruamel.yaml"} & set(reply.stdout.split())
