"""Trajectories as npz, of the layout of revised MD17 and of MD17."""

from pathlib import Path

import numpy as np
import pytest

from stores.atoms import ATOMS, frames_of
from stores.importers.label_store import store_reading
from stores.importers.labelled import LabelSettings
from stores.importers.rmd17 import read_rmd17
from stores.zarr_store import open_store
from tests.stores.importers.frames import frames

KCAL_MOL_EV = 0.0433641042
SETTINGS = LabelSettings(level="PBE/def2-SVP")


def arrays(n: int = 30) -> dict[str, np.ndarray]:
    made = frames(n, names=("NH3",))
    return {
        "nuclear_charges": made[0].numbers.astype(np.uint8),
        "coords": np.array([atoms.positions for atoms in made]),
        "energies": np.array([atoms.calc.results["energy"] for atoms in made]) / KCAL_MOL_EV,
        "forces": np.array([atoms.calc.results["forces"] for atoms in made]) / KCAL_MOL_EV,
        "old_indices": np.random.default_rng(0).permutation(n) * 7,
    }


def save(path: Path, content: dict[str, np.ndarray]) -> Path:
    np.savez(path, **content)
    return path


def imported(path: Path, settings: LabelSettings = SETTINGS):
    report = store_reading(read_rmd17([path]), path.with_suffix(".zarr"), settings)
    return report, frames_of(open_store(path.with_suffix(".zarr"), ATOMS))


def test_frames_come_back_in_eV_and_A(tmp_path: Path):
    report, records = imported(save(tmp_path / "rmd17_ammonia.npz", arrays()))
    for record, atoms in zip(records, frames(30, names=("NH3",)), strict=True):
        np.testing.assert_allclose(record.positions_A, atoms.positions)
        np.testing.assert_allclose(record.forces_eV_A, atoms.calc.results["forces"], atol=1e-12)
        assert record.energy_eV == pytest.approx(atoms.calc.results["energy"])
    assert report.units == "kcal/mol and kcal/mol/A"
    assert records[4].provenance["level"] == "PBE/def2-SVP"


def test_neighbours_in_time_are_one_group(tmp_path: Path):
    _, records = imported(save(tmp_path / "a.npz", arrays(200)))
    in_time = arrays(200)["old_indices"] // 70
    groups = np.array([record.group for record in records])
    assert len(set(groups)) == 20
    for block in range(20):
        assert len(set(groups[in_time == block])) == 1
    report, _ = imported(tmp_path / "a.npz", LabelSettings(level="PBE", group="record"))
    assert report.n_groups == 200


@pytest.mark.parametrize("n_frames", [3, 30])
def test_a_small_file_has_groups_enough_for_the_default_split(tmp_path: Path, n_frames: int):
    report, _ = imported(save(tmp_path / "a.npz", arrays(n_frames)))
    assert report.n_groups >= 3
    assert report.grouped_by == "label"


def test_md17_has_shorter_names(tmp_path: Path):
    content = arrays()
    short = {"z": "nuclear_charges", "R": "coords", "E": "energies", "F": "forces"}
    old = {name: content[longer] for name, longer in short.items()} | {"E": content["energies"][:, None]}
    _, records = imported(save(tmp_path / "a.npz", old))
    assert records[3].energy_eV == pytest.approx(frames(4, names=("NH3",))[3].calc.results["energy"])


def test_npz_of_an_unknown_unit_is_refused_until_it_is_named(tmp_path: Path):
    """Those of NequIP have the keys of MD17, and any unit."""
    content = arrays()
    short = {"z": content["nuclear_charges"], "R": content["coords"], "F": content["forces"] * KCAL_MOL_EV}
    total = content["energies"] * KCAL_MOL_EV
    with pytest.raises(ValueError, match=r"frame 0, key 'E': .*in eV .*expected kcal/mol; .*--units eV"):
        imported(save(tmp_path / "a.npz", short | {"E": total}))
    save(tmp_path / "a.npz", short | {"E": total - total.mean()})
    with pytest.raises(
        ValueError, match=r"frame 0 and others, key 'E': found no unit in the file .*--units kcal/mol or"
    ):
        imported(tmp_path / "a.npz")
    _, records = imported(tmp_path / "a.npz", LabelSettings(level="PBE", units="eV"))
    assert records[3].energy_eV == pytest.approx(total[3] - total.mean())
    with pytest.raises(ValueError, match=r"found the keys \['cell'\], expected open systems"):
        read_rmd17([save(tmp_path / "a.npz", short | {"E": total, "cell": np.eye(3)})])


def test_energies_in_other_units_are_refused_until_named(tmp_path: Path):
    content = arrays()
    content["energies"] *= KCAL_MOL_EV
    content["forces"] *= KCAL_MOL_EV
    with pytest.raises(ValueError, match=r"a.npz, frame 0, key 'energies': .*in eV .*expected kcal/mol; .*--units eV"):
        imported(save(tmp_path / "a.npz", content))
    report, _ = imported(tmp_path / "a.npz", LabelSettings(level="PBE", units="eV"))
    assert report.units == "eV and eV/A"


def test_missing_keys_shapes_and_damage_are_reported(tmp_path: Path):
    content = arrays()
    save(tmp_path / "a.npz", {key: value for key, value in content.items() if key != "forces"})
    with pytest.raises(ValueError, match=r"a.npz: found the keys \['coords', .* expected also 'forces' or 'F'"):
        read_rmd17([tmp_path / "a.npz"])
    save(tmp_path / "b.npz", content | {"coords": content["coords"][:-1]})
    with pytest.raises(ValueError, match=r"key 'coords': found shape \(29, 4, 3\), expected \(30, 4, 3\)"):
        read_rmd17([tmp_path / "b.npz"])
    save(tmp_path / "c.npz", content | {"old_indices": np.arange(3)})
    with pytest.raises(ValueError, match="key 'old_indices': found 3 numbers, expected 30"):
        read_rmd17([tmp_path / "c.npz"])
    whole = save(tmp_path / "d.npz", content).read_bytes()
    for damaged in (whole[: len(whole) // 2], b""):
        (tmp_path / "d.npz").write_bytes(damaged)
        with pytest.raises(ValueError, match=r"d.npz: cannot be read .* damaged or cut off"):
            read_rmd17([tmp_path / "d.npz"])
    with pytest.raises(FileNotFoundError):
        read_rmd17([tmp_path / "absent.npz"])
