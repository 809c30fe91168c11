"""The stage on molecules whose labels are drawn from the same distribution as the members of the ensemble."""

import json
from pathlib import Path

import ase.build
import numpy as np
import pytest
import torch
import yaml

from models.frames import Frames
from models.networks.potentials.calculator import PotentialCalculator
from models.networks.potentials.ensemble import Ensemble, save_potential
from models.networks.potentials.hipnn import HIPNN
from pipeline.atoms import hierarchy
from pipeline.atoms.hierarchy_latents import atomic_quantities
from stores.atoms import ATOMS, columns_of, dataset_of, load_atoms
from stores.zarr_store import write_store

PARAMS = {
    "seed": 0,
    "n_bootstrap": 20,
    "max_points": 15,
    "features_per_quantity": 2,
    "max_atoms": 400,
    "n_folds": 3,
    "n_neighbours": 4,
}
METRICS, DETAILS = (Path(f"reports/{kind}/hierarchy.json") for kind in ("metrics", "details"))
KINDS = ("CH3CH2OH", "CH4", "CO2")
PARTS = np.array([0, 1, 2, -1], dtype=np.int8)


def potential(seed):
    torch.manual_seed(seed)
    config = HIPNN.Config(species=(1, 6, 8), n_features=5, n_sensitivities=5, energy_scale_eV=100.0)
    return HIPNN(config).double()


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text(yaml.safe_dump({"hierarchy": PARAMS}))
    truth = PotentialCalculator(Ensemble([potential(99)]))
    rng = np.random.default_rng(0)
    records = []
    for row in range(160):
        atoms = ase.build.molecule(KINDS[row % 3])
        atoms.positions += rng.uniform(0.005, 0.05) * rng.normal(size=atoms.positions.shape)
        truth.calculate(atoms)
        records.append(
            Frames.one(
                numbers=atoms.numbers,
                positions_A=atoms.positions,
                energy_eV=truth.results["energy"],
                forces_eV_A=truth.results["forces"],
                charges_e=0.1 * (atoms.numbers == 8) - 0.02 * atoms.numbers + 0.01 * rng.normal(size=len(atoms)),
                group=row,
                source=f"{KINDS[row % 3]} normal_modes",
                provenance={"level": "made up"},
            )
        )
    attributes = {"level": "made up", "reference_energies": "{}", "settings": "{}"}
    write_store("data/molecules.zarr", ATOMS, dataset_of(columns_of(Frames.concatenate(records)), attributes))
    save_potential(hierarchy.POTENTIAL, [potential(seed) for seed in range(5)], {})
    np.save(hierarchy.POTENTIAL / "split.npy", PARTS[np.arange(160) % 4])
    return tmp_path


def test_labels_like_another_member_are_within_the_spread(workplace):
    hierarchy.main()
    found = json.loads(METRICS.read_text())
    for quantity in ("energy", "forces"):
        assert set(found[quantity]) == {"spread", "hierarchicality", "last_term"}
        for estimate in found[quantity].values():
            assert 0.3 < estimate["told_apart"] < 0.7  # both sets are drawn alike here
            for name in ("held_out", "out_of_distribution"):
                figures = estimate[name]
                value, low, high = figures["spearman"]
                assert -1 <= low <= value <= high <= 1
                assert figures["oracle_area"] <= figures["area"] and figures["relative_excess"] >= 0
                assert 0 <= figures["miscalibration"] <= 0.5
    spread = found["forces"]["spread"]
    assert 0.5 < spread["scale"] < 3
    assert spread["held_out"]["spearman"][0] > 0
    assert spread["held_out"]["miscalibration"] < 0.15
    assert spread["held_out"]["relative_excess"] < 1
    assert found["sets"]["out_of_distribution"]["n_configs"] == found["sets"]["held_out"]["n_configs"] == 40


def test_details_hold_curves_of_bounded_length(workplace):
    hierarchy.main()
    found = json.loads(DETAILS.read_text())
    curve = found["forces"]["hierarchicality"]["held_out"]
    assert len(curve["coverage"]) == len(curve["risk"]) == len(curve["error"]) == PARAMS["max_points"]
    assert curve["coverage"][-1] == 1.0
    assert len(curve["expected"]) == len(curve["observed"])
    assert np.diff(curve["oracle_risk"]).min() >= 0
    assert len(found["terms"]["held_out"]["rms_eV"]) == 3


def test_features_are_separated_by_what_they_know(workplace):
    """Ethanol's oxygen is the only atom of its element with a hydrogen: features see elements and coordination."""
    hierarchy.main()
    found = json.loads(DETAILS.read_text())["latents"]
    best = found["best"]
    assert set(best) >= {"charge", "charge_beyond_element", "coordination", "is_H", "is_C", "is_O"}
    assert abs(best["is_H"]["spearman"]) > 0.8
    assert abs(best["charge_beyond_element"]["spearman"]) < 0.3  # noise within an element
    assert all(name.startswith("block ") for name in found["associations"])
    assert len(found["meaning"]) == len(found["associations"])


def test_the_same_run_writes_the_same_bytes(workplace):
    written = []
    for _ in range(2):
        hierarchy.main()
        written.append((METRICS.read_bytes(), DETAILS.read_bytes()))
    assert written[0] == written[1]


def test_without_foreign_sources_only_the_held_out_set_is_judged(workplace):
    np.save(hierarchy.POTENTIAL / "split.npy", PARTS[np.arange(160) % 3])
    hierarchy.main()
    found = json.loads(METRICS.read_text())
    assert "out_of_distribution" not in found["energy"]["spread"] and "out_of_distribution" not in found["sets"]


def test_too_few_groups_leave_the_latents_out(workplace):
    split = np.zeros(160)
    split[:8], split[8:12] = 1, 2
    np.save(hierarchy.POTENTIAL / "split.npy", split)
    hierarchy.main()
    assert json.loads(DETAILS.read_text())["latents"] == {}


def test_coordination_counts_bonds(workplace):
    frames = load_atoms("data/molecules.zarr").frames
    known = atomic_quantities(frames)
    for config, bonds in ((0, [4, 4, 2]), (1, [4, 1, 1, 1, 1]), (2, [2, 1, 1])):
        mine = frames.frame_of_atoms == config
        assert known["coordination"][mine].tolist()[: len(bonds)] == bonds


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda: save_potential(hierarchy.POTENTIAL, [potential(0)], {}), "expected at least 2: one has no spread"),
        (lambda: np.save(hierarchy.POTENTIAL / "split.npy", np.zeros(7)), "found 7 rows, .*train it again"),
        (lambda: np.save(hierarchy.POTENTIAL / "split.npy", np.zeros(160)), "found no validation configuration"),
    ],
)
def test_what_does_not_belong_together_is_refused(workplace, spoil, message):
    spoil()
    with pytest.raises(ValueError, match=message):
        hierarchy.main()
