"""The blocks of these pages run one after the other, on small stores: Python without a warning, commands in a shell."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest
from scipy.stats import spearmanr

from models.descriptors.descriptor import DESCRIPTORS
from models.laws.symbolic_engine import SYMBOLIC_ENGINES
from models.networks.potentials.potential import POTENTIALS
from models.physics.microstructure.generator import GENERATORS
from pipeline.report.registry import PAGES as PAGES_OF_LANES
from stores import atoms, microstructures, spectra
from stores.atoms import ATOMS
from stores.microstructures import MICROSTRUCTURES
from stores.spectra import SPECTRA
from stores.zarr_store import write_store

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = (
    "how-to/reading-a-store.md",
    "how-to/extending.md",
    "tutorials/kondo.md",
    pytest.param("how-to/potentials.md#learn-what-a-cheap-method-leaves-over", marks=pytest.mark.slow),
    pytest.param("reference.md", marks=pytest.mark.slow),
    pytest.param("how-to/own-data.md", marks=pytest.mark.slow),
    pytest.param("tutorials/potential.md", marks=pytest.mark.slow),
)
# The command of this checkout, wherever the one on the path was installed from.
LATENTLAW = 'set -eu; latentlaw() { "$PYTHON" -m latentlaw "$@"; }\n'


def blocks(page: str) -> list[tuple[int, str, str]]:
    """Line of the page, language and code, of every fenced block of Python and of commands.

    Of "page#section" those from that heading up to "Use in Python", whose files are the reader's.
    """
    name, _, section = page.partition("#")
    text = (DOCS / name).read_text()
    first, last = 0, len(text)
    if section:
        first, last = text.index(f"## {section.replace('-', ' ').capitalize()}"), text.index("## Use in Python")
    found = re.compile(r"^```(\w*)\n(.*?)^```$", re.M | re.S).finditer(text, first, last)
    fenced = [(text.count("\n", 0, block.start(2)), block[1], block[2]) for block in found]
    return [block for block in fenced if block[1] == "python" or block[2].startswith("latentlaw ")]


def in_a_shell(code: str) -> None:
    environment = os.environ | {"PYTHON": sys.executable, "PYTHONPATH": str(ROOT), "LATENTLAW_SCHEDULER": "serial"}
    done = subprocess.run(["bash", "-c", LATENTLAW + code], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def check_potential(names):
    """What the page says in words; numbers differ between processors, for dynamics is chaotic."""
    error, spread, true, turned, pulled = (names[name] for name in ("error", "spread", "true", "turned", "pulled"))
    assert sorted(set(names["rows"])) == [0, 1, 2] and all((names["rows"] == row).sum() == 60 for row in (1, 2))
    assert error["500 K"] < error["1000 K"]
    assert error["500 K"] < 0.2 * names["rms"](true["500 K"])
    assert all(spread[name] < error[name] for name in ("500 K", "1000 K"))
    assert spread["500 K"] < spread["1000 K"]
    by_reference, by_potential = names["frequencies"].values()
    assert np.median(np.abs(by_potential / by_reference - 1)) < 0.02
    assert np.std(names["total"]) < 0.05 * np.std(names["stored"])
    assert np.abs(np.subtract(*(energies - energies.min() for energies in turned[:2]))).max() < 0.05
    off, beyond = np.abs(pulled[1] - pulled[0]), names["lengths"] > max(names["trained"])
    assert pulled[2][beyond].max() > 5 * pulled[2][names["known"]].max()
    assert off[beyond].max() > 3 * pulled[2][beyond].max()
    strength = [energies[-1] - energies.min() for energies in pulled[:2]]
    assert strength[1] < 0.75 * strength[0]


def check_own_data(names):
    test = names["test"]
    assert test.sum() > 100 and abs(spearmanr(names["chosen"][test], names["table"].frequency[test]).statistic) > 0.8


def check_baseline(names):
    before, after = (json.loads(Path(name, "potential.json").read_text()) for name in ("above_xtb", "tuned"))
    assert before["metrics"]["force_rmse_eV_A"] < before["metrics"]["force_rms_eV_A"]  # of the baseline alone
    assert after["from"]["metrics"]["test"]["force_rmse_eV_A"] == pytest.approx(
        before["metrics"]["force_rmse_eV_A"], rel=1e-3
    )
    assert after["baseline"] == before["baseline"]


CHECKS = {
    "how-to/potentials.md#learn-what-a-cheap-method-leaves-over": check_baseline,
    "tutorials/potential.md": check_potential,
    "how-to/own-data.md": check_own_data,
}


@pytest.fixture
def at_home(tmp_path, monkeypatch):
    """A folder like that of the repository, with small stores where the pipeline writes them."""
    write_store(tmp_path / "data/spectra.zarr", SPECTRA, spectra.tiny())
    write_store(tmp_path / "data/molecules.zarr", ATOMS, atoms.tiny())
    write_store(tmp_path / "data/microstructures.zarr", MICROSTRUCTURES, microstructures.tiny())
    monkeypatch.chdir(tmp_path)
    plt.switch_backend("agg")
    yield tmp_path
    plt.close("all")


@pytest.fixture
def registries_as_before():
    """What a page registers is gone after the test."""
    registries = (DESCRIPTORS, SYMBOLIC_ENGINES, GENERATORS, POTENTIALS)
    before = [(registry.names(), registry) for registry in registries]
    pages = dict(PAGES_OF_LANES)
    yield
    for names, registry in before:
        for name in set(registry.names()) - set(names):
            del registry._entries[name]
    for name in set(PAGES_OF_LANES) - set(pages):
        del PAGES_OF_LANES[name]


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.usefixtures("at_home", "registries_as_before")
def test_every_block_of_a_page_runs_after_the_ones_before(page):
    names: dict[str, object] = {"__name__": page}
    found = blocks(page)
    assert found
    for line, language, code in found:
        if language == "python":
            exec(compile("\n" * line + code, str(DOCS / page), "exec"), names)  # an error tells the line of the page
        else:
            in_a_shell(code)
    CHECKS.get(page, lambda names: None)(names)
