"""A dataset that grows: only new shards are made, and the store is that of a fresh run of the larger size."""

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from models.physics.impurity.kondo_label import KondoLabel
from pipeline.atoms import aluminium, molecules
from pipeline.hubbard import hubbard
from pipeline.impurity import kondo_temperatures
from pipeline.microstructure import microstructures, textures
from stores.manifest import read_manifest
from tests.pipeline.atoms import test_aluminium, test_molecules
from tests.pipeline.hubbard import test_hubbard
from tests.pipeline.impurity import test_kondo_temperatures, test_spectra
from tests.pipeline.microstructure import test_microstructures, test_textures


def toy_spectra(n_hamiltonians: int) -> None:
    params = replace(
        test_spectra.PARAMS,
        n_hamiltonians=n_hamiltonians,
        n_held_out=6,
        hamiltonians_per_shard=2,
        grid=replace(test_spectra.PARAMS.grid, n_positive=6),
    )
    test_spectra.make(params, test_spectra.ToySolver())


def toy_kondo_temperatures(n_hamiltonians: int) -> None:
    params = replace(test_kondo_temperatures.PARAMS, n_hamiltonians=n_hamiltonians, hamiltonians_per_shard=2)
    kondo_temperatures.generate(params, lambda impurity: KondoLabel(value=impurity.hybridization, error=1e-6))


def toy_microstructures(n_points: int) -> None:
    """The last of the generators grows."""
    *_, last = test_microstructures.TINY.generators
    microstructures.generate(
        replace(test_microstructures.with_points(test_microstructures.TINY, **{last: n_points}), images_per_shard=2)
    )


def toy_textures(n_points: int) -> None:
    toy_microstructures(n_points)
    textures.generate(replace(test_textures.PARAMS, descriptors=("two_point",)))


def weak_hubbard(n_points: int) -> None:
    hubbard.generate(replace(test_hubbard.SMALL, n_points=n_points, interaction=(0.2, 0.4)))


def emt_molecules(normal_modes: int) -> None:
    """Those of the first molecule, before other frames."""
    water, methanol = (
        test_molecules.wanted("H2O", normal_modes=normal_modes),
        test_molecules.wanted("CH3OH", torsions=1),
    )
    molecules.generate(replace(test_molecules.CHEAP, molecules=(water, methanol)))


def emt_aluminium(n_trajectories: int) -> None:
    """More trajectories come before all other frames: numbers of groups and offsets of atoms move."""
    melts = replace(test_aluminium.CHEAP.melts, n_trajectories=n_trajectories)
    aluminium.generate(replace(test_aluminium.CHEAP, melts=melts))


STAGES: dict[str, tuple[Callable[[int], None], int, int, int]] = {  # made with, size, larger size, new shards
    "spectra": (toy_spectra, 20, 22, 1),
    "kondo_temperatures": (toy_kondo_temperatures, 20, 22, 1),
    "hubbard": (weak_hubbard, 2, 4, 1),
    "microstructures": (toy_microstructures, 2, 4, 2),
    "textures": (toy_textures, 2, 4, 4),
    "molecules": (emt_molecules, 2, 4, 1),
    "aluminium": (emt_aluminium, 1, 2, 1),
}


def shards(folder: Path) -> set[str]:
    return {file.relative_to(folder).as_posix() for file in folder.rglob("*.task")}


def bytes_of(store: Path) -> dict[str, str]:
    return {
        file.relative_to(store).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in store.rglob("*")
        if file.is_file()
    }


@pytest.mark.parametrize("stage", STAGES)
def test_only_new_shards_are_made_and_the_store_is_that_of_a_fresh_run(tmp_path, monkeypatch, stage):
    generate, size, larger, n_new = STAGES[stage]
    monkeypatch.setenv("LATENTLAW_SCHEDULER", "serial")
    stores = {}
    for folder, sizes in (("grown", (size, larger)), ("fresh", (larger,))):
        (tmp_path / folder).mkdir()
        monkeypatch.chdir(tmp_path / folder)
        monkeypatch.setenv("LATENTLAW_SCRATCH", str(tmp_path / folder / "scratch"))
        made: list[set[str]] = []
        for n in sizes:
            generate(n)
            made.append(shards(Path("scratch")))
        if folder == "grown":
            assert made[0] < made[1] and len(made[1] - made[0]) == n_new
        stores[folder] = made[-1], read_manifest(Path(f"data/{stage}.zarr")).hash, bytes_of(Path(f"data/{stage}.zarr"))
    assert stores["grown"] == stores["fresh"]
