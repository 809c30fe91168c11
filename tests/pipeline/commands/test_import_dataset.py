"""The command that imports public formats: its names, its report, its messages."""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import ase.db
import ase.io
import numpy as np
import pytest

from pipeline import cli
from pipeline.commands.importers import importer as formats
from pipeline.commands.options.datasets import FilesOptions
from pipeline.commands.options.declaring import Option
from pipeline.runtime.stage import OptionsError
from stores.atoms import load_atoms
from stores.importers.extxyz import FrameKeys, read_extxyz
from stores.validate import validate
from tests.pipeline.commands.running import run
from tests.stores.importers.frames import HARTREE, TOTAL_EV, frames
from tests.stores.importers.qm9_tables import write_tables
from tests.stores.importers.test_ani_h5 import ani_1x
from tests.stores.importers.test_rmd17 import arrays, save

ROOT = Path(__file__).parents[3]


def extxyz(path: Path) -> Path:
    ase.io.write(path, frames(40), format="extxyz")
    return path


def test_extxyz_with_named_keys_and_units_makes_a_valid_store(tmp_path: Path, capsys):
    file, out = extxyz(tmp_path / "a.xyz"), tmp_path / "a.zarr"
    run(
        "import-dataset",
        *["extxyz", str(file), "--out", str(out), "--energy-key", "energy", "--force-key", "forces", "--units", "eV"],
    )
    assert validate(out) == []
    message = capsys.readouterr().out
    assert "read 40 configurations, kept 40 with 150 atoms (H, C, N, O)" in message
    assert "labels in eV and eV/A" in message
    arrays = load_atoms(out)
    assert arrays.reference_energies_eV == pytest.approx(TOTAL_EV, abs=0.5)


def test_every_format_has_its_command(tmp_path: Path):
    with ase.db.connect(tmp_path / "a.db") as database:
        for atoms in frames():
            database.write(atoms)
    write_tables(tmp_path / "qm9")
    commands = {
        "ase-db": [tmp_path / "a.db"],
        "ani-h5": [ani_1x(tmp_path / "a.h5")],
        "rmd17": [save(tmp_path / "a.npz", arrays())],
        "qm9": [tmp_path / "qm9", "--energy", "H", "--references", "b3lyp"],
    }
    levels = {}
    for name, words in commands.items():
        out = tmp_path / f"{name}.zarr"
        run("import-dataset", name, *map(str, words), "--out", str(out))
        assert validate(out) == []
        levels[name] = load_atoms(out).level
    assert levels == {
        "ase-db": "not stated",
        "ani-h5": "wB97x/6-31G(d)",
        "rmd17": "PBE/def2-SVP",
        "qm9": "B3LYP/6-31G(2df,p)",
    }
    assert load_atoms(tmp_path / "qm9.zarr").reference_energies_eV[1] == pytest.approx(-0.497912 * HARTREE, abs=1e-3)


def test_reference_energies_are_fitted_given_or_left_out(tmp_path: Path):
    file, out = extxyz(tmp_path / "a.xyz"), tmp_path / "a.zarr"
    for references, expected in (
        ("robust", TOTAL_EV),
        ("none", {}),
        ("H=-1,C=-2,N=-3,O=-4.5", {1: -1.0, 6: -2.0, 7: -3.0, 8: -4.5}),
    ):
        run("import-dataset", "extxyz", str(file), "--out", str(out), "--references", references, "--level", "mine")
        assert load_atoms(out).reference_energies_eV == pytest.approx(expected, abs=0.5)
        assert load_atoms(out).level == "mine"
    with pytest.raises(ValueError, match=r"found none for the elements \[6, 7, 8\]"):
        run("import-dataset", "extxyz", str(file), "--out", str(out), "--references", "H=-1")
    with pytest.raises(ValueError, match="references: found 'spline', expected least_squares"):
        run("import-dataset", "extxyz", str(file), "--out", str(out), "--references", "spline")


def test_several_files_become_one_store(tmp_path: Path):
    files = [str(extxyz(tmp_path / f"{name}.xyz")) for name in "ab"]
    run("import-dataset", "extxyz", *files, "--out", str(tmp_path / "a.zarr"), "--group", "file")
    arrays_ = load_atoms(tmp_path / "a.zarr")
    np.testing.assert_array_equal(arrays_.frames.groups, np.repeat([0, 1], 40))


def test_wrong_options_are_all_reported_at_once(tmp_path: Path):
    words = ["extxyz", "a.xyz", "--out", str(tmp_path / "a.zarr"), "--group", "x", "--force-units", "eV", "--level", ""]
    with pytest.raises(ValueError, match=r"level: found nothing.*force units: found 'eV'.*group: found 'x'"):
        run("import-dataset", *words)


def test_bad_data_is_one_message_and_exit_status_1_without_a_traceback(tmp_path: Path):
    (tmp_path / "a.xyz").write_text("")
    words = ["extxyz", str(tmp_path / "a.xyz"), "--out", str(tmp_path / "a.zarr")]
    reply = subprocess.run(
        [sys.executable, "-m", "pipeline.cli", "import-dataset", *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert reply.returncode == 1
    assert "a.xyz" in reply.stderr
    assert "Traceback" not in reply.stderr
    assert not (tmp_path / "a.zarr").exists()


def test_dropped_records_are_reported(tmp_path: Path, capsys):
    made = frames()
    made[5].positions[1] = made[5].positions[0]
    ase.io.write(tmp_path / "a.xyz", made, format="extxyz")
    run("import-dataset", "extxyz", str(tmp_path / "a.xyz"), "--out", str(tmp_path / "a.zarr"), "--drop-bad")
    assert f"dropped 1: atoms too close: {tmp_path / 'a.xyz'}, record 5" in capsys.readouterr().out
    assert load_atoms(tmp_path / "a.zarr").row.size == 11
    settings = json.loads((tmp_path / "a.zarr" / "zarr.json").read_text())["attributes"]["settings"]
    assert json.loads(settings)["drop_bad"] is True


@dataclass(frozen=True, kw_only=True)
class PlainOptions(FilesOptions):
    """Energies and forces, no stress."""

    basis: Annotated[str, Option("of the labels")] = "any"


def test_a_format_defined_elsewhere_is_a_command_once_it_is_registered(tmp_path: Path, monkeypatch, capsys):
    words = ["import-dataset", "plain", extxyz(tmp_path / "a.xyz"), "--out", tmp_path / "a.zarr", "--basis", "TZVP"]
    with pytest.raises(OptionsError, match="No such command 'plain'"):
        run(*words)
    monkeypatch.setattr(formats, "_IMPORTERS", formats.importers())

    @formats.importer("plain", PlainOptions)
    def plain(options: PlainOptions) -> None:
        print(f"basis {options.basis}")
        keys = FrameKeys(energy=None, forces=None, stress="none", virial=None, charges=None, group=None)
        formats.store_labels(read_extxyz(options.files, keys), options)

    monkeypatch.setattr(cli, "app", cli._app())
    run(*words)
    assert validate(tmp_path / "a.zarr") == []
    assert "basis TZVP" in capsys.readouterr().out
