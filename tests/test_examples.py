"""The Python of these pages runs, block after block, on small stores, without a warning."""

import re
from pathlib import Path

import matplotlib.pyplot as plt
import pytest

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

DOCS = Path(__file__).parents[1] / "docs"
PAGES = ("how-to/reading-a-store.md", "how-to/extending.md", "how-to/own-data.md", "tutorials/kondo.md", "tutorials/potential.md")


def blocks(page: str) -> list[tuple[int, str]]:
    """Line of the page and code, of every fenced block of Python."""
    text = (DOCS / page).read_text()
    return [
        (text.count("\n", 0, found.start(1)), found[1])
        for found in re.finditer(r"^```python\n(.*?)^```$", text, re.M | re.S)
    ]


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
    for line, code in found:
        exec(compile("\n" * line + code, str(DOCS / page), "exec"), names)  # an error tells the line of the page
