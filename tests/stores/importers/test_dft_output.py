"""Steps of DFT programs come back in eV and A, with the free energy and a stress that is positive under tension.

The files hold what ASE looks for, in the layout of the programs, and the labels of strained aluminium.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.units import Bohr, GPa, Rydberg

from stores.atoms import ATOMS, frames_of
from stores.importers.dft_output import ZERO_SMEARING, read_dft_output
from stores.importers.frame_keys import FrameKeys
from stores.importers.label_store import store_reading
from stores.importers.labelled import LabelSettings
from stores.validate import validate
from stores.zarr_store import open_store
from tests.pipeline.commands.running import run
from tests.stores.importers.test_stress import crystals

SMEARING_EV = 0.02


def row(*values: float) -> str:
    return " ".join(f"{value:.10f}" for value in values)


def outcar(made: list[Atoms]) -> str:
    lines = [" POTCAR:    PAW_PBE Al 04Jan2001"] * 2
    lines += [f"   ions per type = {len(made[0]):10d}", "   ISPIN  =      1    non spin polarized calculation?"]
    lines += ["--------------------------------------- Iteration    1(   1)  ---------------------------------------"]
    for atoms in made:
        xx, yy, zz, yz, xz, xy = -atoms.get_stress() / GPa * 10
        lines += ["  in kB  " + row(xx, yy, zz, xy, yz, xz)]
        lines += ["      direct lattice vectors                 reciprocal lattice vectors"]
        lines += [row(*vector, 0, 0, 0) for vector in atoms.cell]
        lines += [" POSITION                                       TOTAL-FORCE (eV/Angst)", " " + "-" * 80]
        lines += [row(*r, *f) for r, f in zip(atoms.positions, atoms.get_forces(), strict=True)]
        lines += ["  FREE ENERGIE OF THE ION-ELECTRON SYSTEM (eV)", "  " + "-" * 50]
        energy = atoms.get_potential_energy()
        lines += [f"  free  energy   TOTEN  = {energy:20.10f} eV", ""]
        lines += [f"  energy  without entropy= {energy:.10f}  energy(sigma->0) = {energy + SMEARING_EV:.10f}"]
    return "\n".join(lines) + "\n"


def vasprun(made: list[Atoms]) -> str:
    def array(name: str, rows: np.ndarray) -> str:
        return f'<varray name="{name}">' + "".join(f"<v>{row(*values)}</v>" for values in rows) + "</varray>"

    def structure(atoms: Atoms, name: str) -> str:
        cell = f"<crystal>{array('basis', atoms.cell)}</crystal>"
        return f"<structure{name}>{cell}{array('positions', atoms.get_scaled_positions())}</structure>"

    def energy(atoms: Atoms) -> str:
        value = atoms.get_potential_energy()
        zero = f'<i name="e_0_energy">{value + SMEARING_EV:.10f}</i>'
        return f'<energy><i name="e_fr_energy">{value:.10f}</i>{zero}</energy>'

    steps = [
        f"<calculation><scstep>{energy(atoms)}</scstep>{structure(atoms, '')}{array('forces', atoms.get_forces())}"
        f"{array('stress', -atoms.get_stress(voigt=False) / GPa * 10)}{energy(atoms)}</calculation>"
        for atoms in made
    ]
    points = '<varray name="kpointlist"><v>0 0 0</v></varray><varray name="weights"><v>1</v></varray>'
    names = "".join("<rc><c>Al</c><c>1</c></rc>" for _ in made[0])
    known = f'<atominfo><array name="atoms"><set>{names}</set></array></atominfo>'
    initial = structure(made[0], ' name="initialpos"')
    return f"<modeling><kpoints>{points}</kpoints>{known}{initial}{''.join(steps)}</modeling>"


def pw_x(made: list[Atoms]) -> str:
    lines = []
    for atoms in made:
        lines += ["     Program PWSCF v.7.0 starts on 27Jan2022", f"     number of atoms/cell      = {len(atoms):12d}"]
        lines += ["     number of atomic types    =            1", f"     celldm(1)= {1 / Bohr:12.8f}"]
        lines += ["     crystal axes: (cart. coord. in units of alat)"]
        lines += [f"               a({k}) = ( {row(*vector)} )" for k, vector in enumerate(atoms.cell, 1)]
        lines += ["     site n.     atom                  positions (alat units)"]
        lines += [f"  {k:8d}           Al  tau({k:4d}) = ( {row(*r)} )" for k, r in enumerate(atoms.positions, 1)]
        lines += [f"!    total energy              = {atoms.get_potential_energy() / Rydberg:16.10f} Ry"]
        lines += ["     Forces acting on atoms (cartesian axes, Ry/au):", ""]
        forces = atoms.get_forces() / Rydberg * Bohr
        lines += [f"     atom {k:4d} type  1   force = {row(*force)}" for k, force in enumerate(forces, 1)]
        lines += ["     total   stress  (Ry/bohr**3)                   (kbar)     P=        0.00"]
        lines += [row(*values) for values in -atoms.get_stress(voigt=False) / Rydberg * Bohr**3]
    return "\n".join([*lines, ""])


@pytest.mark.parametrize(
    ("name", "text", "key"),
    [("OUTCAR", outcar, "free_energy"), ("vasprun.xml", vasprun, "free_energy"), ("pw.out", pw_x, "free_energy")],
)
def test_steps_come_back_in_eV_and_A(tmp_path: Path, name: str, text: Callable[[list[Atoms]], str], key: str):
    made = crystals()
    (tmp_path / name).write_text(text(made))
    report = store_reading(
        read_dft_output([tmp_path / name], FrameKeys()), tmp_path / "a.zarr", LabelSettings(level="EMT")
    )
    assert {use.label: use.key for use in report.labels if use.key} == {
        "energy": key,
        "forces": "forces",
        "stress": "stress",
    }
    assert ZERO_SMEARING in report.ignored
    assert any("sign and unit agree" in note for note in report.notes)
    for record, atoms in zip(frames_of(open_store(tmp_path / "a.zarr", ATOMS)), made, strict=True):
        assert record.energy_eV == pytest.approx(atoms.get_potential_energy(), abs=1e-7)
        np.testing.assert_allclose(record.forces_eV_A, atoms.get_forces(), atol=1e-7)
        np.testing.assert_allclose(record.stress_eV_A3, atoms.get_stress(voigt=False), atol=1e-7)
        np.testing.assert_allclose(record.cell_A, atoms.cell, atol=1e-6)


def test_the_command_reads_several_programs_and_refuses_other_files(tmp_path: Path, capsys):
    (tmp_path / "OUTCAR").write_text(outcar(crystals()))
    words = ["import-dataset", "dft-output", str(tmp_path / "OUTCAR"), "--out", str(tmp_path / "a.zarr")]
    run(*words, "--energy-key", ZERO_SMEARING)
    assert validate(tmp_path / "a.zarr") == []
    assert ZERO_SMEARING in capsys.readouterr().out
    (tmp_path / "a.xyz").write_text("1\n\nH 0 0 0\n")
    with pytest.raises(ValueError, match=r"a\.xyz, step 0: cannot be read .*expected one of vasp-out, vasp-xml"):
        read_dft_output([tmp_path / "a.xyz"], FrameKeys())
    (tmp_path / "OUTCAR").write_text("nothing\n")
    with pytest.raises(ValueError, match=r"OUTCAR, step 0: cannot be read .*Incomplete OUTCAR"):
        read_dft_output([tmp_path / "OUTCAR"], FrameKeys())
