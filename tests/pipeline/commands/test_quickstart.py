"""`latentlaw quickstart`: its numbers are physics, its page stands alone, the same seed gives the same bytes."""

import json
import re
from pathlib import Path

import pytest

from pipeline.commands import quickstart
from pipeline.runtime.stage import OptionsError
from tests.pipeline.commands.running import run


@pytest.mark.slow
@pytest.mark.physics
def test_a_first_look_finds_the_law_and_the_texture(tmp_path: Path):
    assert run("quickstart", "--out", tmp_path / "look") == 0
    numbers = json.loads((tmp_path / "look/numbers.json").read_text())
    assert numbers["peak"] == pytest.approx(1, abs=0.01)  # Friedel's sum rule at half filling
    assert numbers["r2_test"] > 0.999
    assert numbers["r2_beyond"] > 0.99
    coefficients = [float(value) for value in re.findall(r"\(([\d.]+)\)\*u\*x", numbers["formula"])]
    assert coefficients == pytest.approx([1.571, 1.571], abs=0.05)  # Haldane: pi/2 u x (1 + x)
    assert numbers["noise_spearman"] > 0.9


def test_the_page_stands_alone_and_the_same_seed_gives_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(quickstart, "N_IMPURITIES", 30)
    monkeypatch.setattr(quickstart, "N_IMAGES", 8)
    for name, seed in (("first", 3), ("again", 3), ("other", 4)):
        assert run("quickstart", "--seed", str(seed), "--out", tmp_path / name) == 0
    first, again, other = ((tmp_path / name / "report.html").read_bytes() for name in ("first", "again", "other"))
    assert first == again != other
    assert re.findall(rb"""(?:src|href)=["'](?!#|data:)[^"']*""", first) == []


def test_a_folder_of_somebody_else_is_left_alone(tmp_path: Path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/notes.txt").write_text("mine")
    with pytest.raises(OptionsError, match="expected a new path"):
        run("quickstart", "--out", tmp_path / "mine")
    assert [file.name for file in (tmp_path / "mine").iterdir()] == ["notes.txt"]
