"""Stage `qm9` from tables of the published layout: a valid store, atomization energies, metrics."""

import json
from pathlib import Path

import pytest

from pipeline.atoms import qm9
from pipeline.atoms.qm9 import METRICS, OUT, Qm9Params, make
from stores.atoms import load_atoms
from stores.validate import validate
from tests.stores.importers.qm9_tables import write_tables

PARAMS = Qm9Params(energy="U0", references="b3lyp", n_molecules=None, seed=0)


@pytest.fixture
def tables(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return write_tables(tmp_path / "tables")


def test_the_store_is_valid_and_atomization_energies_are_those_of_b3lyp(tables: Path):
    make(PARAMS, tables)
    assert validate(OUT) == []
    assert len(load_atoms(OUT).frames) == 4
    metrics = json.loads(METRICS.read_text())
    assert (metrics["n_molecules"], metrics["n_atoms"], metrics["n_groups"]) == (4, 16, 4)
    # U0 of CH4, NH3, H2O, C2H2 less their atoms at B3LYP/6-31G(2df,p) [Hartree]
    expected = (-0.631066 - 0.441207 - 0.339577 - 0.614337) / 4 * 27.211386
    assert metrics["atomization_mean_eV"] == pytest.approx(expected, abs=1e-4)


def test_fitted_references_leave_less_than_those_of_single_atoms(tables: Path):
    sizes = {}
    for references in ("b3lyp", "least_squares", "robust"):
        make(Qm9Params(energy="U0", references=references, n_molecules=None, seed=0), tables)
        sizes[references] = json.loads(METRICS.read_text())["atomization_mean_abs_eV"]
    assert sizes["least_squares"] < 1 < sizes["b3lyp"]
    assert sizes["robust"] < 1


def test_the_same_params_make_the_same_store(tables: Path):
    drawn = Qm9Params(energy="U0", references="least_squares", n_molecules=3, seed=2)
    make(drawn, tables)
    first = METRICS.read_bytes()
    make(drawn, tables)
    assert METRICS.read_bytes() == first


def test_the_stage_reads_its_section(tables: Path, monkeypatch):
    section = "qm9: {energy: G, references: b3lyp, n_molecules: 2, seed: 1}\n"
    Path("params.yaml").write_text(section)
    monkeypatch.setattr(qm9, "find_tables", lambda folder: sorted(tables.glob("*.csv")))
    qm9.main()
    assert json.loads(METRICS.read_text())["n_molecules"] == 2
