"""The suite: every failure recorded with its reason, deviations from each reference, numbers of the literature."""

import json
import math

import numpy as np
import pytest
from ase.calculators.emt import EMT
from ase.collections import dcdft

from models.physics.atoms.engines.ase import ASEEngine
from models.physics.atoms.properties.crystals import crystal, energy_per_atom, starting_lattice_constant_A, stress_GPa
from models.physics.atoms.properties.engine_calculator import EngineCalculator
from models.physics.atoms.properties.gpaw_values import GPAW_VALUES, beside_recorded
from models.physics.atoms.properties.literature import LITERATURE
from models.physics.atoms.properties.suite import FAMILIES, LONG, BenchmarkSettings, benchmark, chosen_families
from tests.models.physics.atoms.properties.pair_crystal import Broken, NearestNeighbours, Repulsive

QUICK = ("equation_of_state", "elastic", "compression")
SETTINGS = BenchmarkSettings(families=QUICK)


def numbers_of(value):
    if isinstance(value, dict):
        return [number for item in value.values() for number in numbers_of(item)]
    if isinstance(value, list):
        return [number for item in value for number in numbers_of(item)]
    return [value] if isinstance(value, float) else []


def test_a_calculator_deviates_from_itself_by_nothing():
    records = benchmark(EMT, SETTINGS, EMT)
    assert all(record["relative_deviation"]["oracle"] in (0.0, None) for record in records.values())
    assert records["c11"]["relative_deviation"]["oracle"] == 0.0


def test_deviations_are_relative_to_each_reference():
    records = benchmark(EMT, SETTINGS, NearestNeighbours)
    record = records["bulk_modulus"]
    for name in ("literature_dft", "experiment"):
        expected = (record["value"] - record[name]["value"]) / record[name]["value"]
        assert record["relative_deviation"][name] == pytest.approx(expected)
    assert record["relative_deviation"]["oracle"] == pytest.approx(record["value"] / record["oracle"] - 1)
    assert record["settings"]["strain"] == 0.03
    assert records["a0"]["curve"]["volume_A3"][0] < records["a0"]["curve"]["volume_A3"][-1]


@pytest.mark.parametrize(
    ("factory", "reason"),
    [
        (Broken, "is nan"),
        (lambda: Broken("out of memory"), "RuntimeError: out of memory"),
        (Repulsive, "no energy minimum"),
        (lambda: 1 / 0, "ZeroDivisionError"),
    ],
    ids=["nan", "error", "no minimum", "factory"],
)
def test_nothing_stops_the_suite_and_every_missing_value_has_a_reason(factory, reason):
    records = benchmark(factory, BenchmarkSettings())
    assert {name for name in records} >= {"a0", "c11", "vacancy_migration", "phonon_L_transverse", "melt_diffusion"}
    assert reason in records["a0"]["failure"]
    for record in records.values():
        assert (record["value"] is None) == bool(record["failure"])
        assert all(math.isfinite(number) for number in numbers_of(record))
    json.dumps(records, allow_nan=False)


def test_an_oracle_that_fails_leaves_the_value():
    record = benchmark(EMT, SETTINGS, Broken)["c11"]
    assert record["value"] is not None
    assert record["oracle"] is None
    assert "is nan" in record["oracle_failure"]


def test_the_order_of_results_does_not_matter():
    def backwards(function, tasks):
        yield from ((index, function(tasks[index])) for index in reversed(range(len(tasks))))

    one, other = benchmark(EMT, SETTINGS, NearestNeighbours), benchmark(EMT, SETTINGS, NearestNeighbours, backwards)
    assert [(k, r["value"], r["oracle"]) for k, r in one.items()] == [
        (k, r["value"], r["oracle"]) for k, r in other.items()
    ]


def test_a_lost_worker_is_a_recorded_failure():
    def lost(function, tasks):
        yield from ((index, ConnectionError("gone")) for index in range(len(tasks)))

    record = benchmark(EMT, SETTINGS, run=lost)["c11"]
    assert record["failure"] == "the worker was lost: gone"


@pytest.mark.long
def test_each_family_gives_the_properties_it_declares():
    quick = {"structures", "elastic", "vacancy", "surfaces", "stacking_fault", "phonons", "compression"}
    records = benchmark(EMT, BenchmarkSettings(families=tuple(quick)))
    assert [name for name, record in records.items() if record["failure"]] == []
    assert {record["family"] for record in records.values()} == quick | {"equation_of_state"}
    assert all(record["unit"] for record in records.values())


def test_long_families_are_off_by_default():
    assert set(chosen_families(())) == set(FAMILIES) - set(LONG)
    assert set(chosen_families((), long=True)) == set(FAMILIES)
    assert chosen_families(("melt", "elastic")) == ("equation_of_state", "elastic", "melt")


def test_unknown_families_and_elements_that_are_not_fcc_are_refused():
    with pytest.raises(ValueError, match=r"unknown \['elastc'\]"):
        BenchmarkSettings(families=("elastc",))
    for element in ("Fe", "Xx"):
        with pytest.raises(ValueError, match=f"found '{element}', expected an fcc element"):
            starting_lattice_constant_A(element)


def test_literature_names_properties_of_the_suite_in_their_units_with_a_source():
    units = {name: unit for family in FAMILIES.values() for name, unit in family.properties(SETTINGS).items()}
    for name, reference in LITERATURE["Al"].items():
        for number in (reference.dft, reference.experiment):
            if number is not None:
                assert number.unit == units[name]
                assert number.source


def test_lattice_constant_and_modulus_of_the_literature_are_those_of_the_delta_table():
    table = next(dcdft.data[name] for name in dcdft.names if name == "Al")
    entry = LITERATURE["Al"]
    for kind, volume, modulus in (("dft", "wien2k_volume", "wien2k_B"), ("experiment", "exp_volume", "exp_B")):
        assert getattr(entry["a0"], kind).value == pytest.approx((4 * table[volume]) ** (1 / 3), abs=6e-5)
        assert getattr(entry["bulk_modulus"], kind).value == pytest.approx(table[modulus], abs=6e-4)


def test_energies_of_structures_are_those_of_the_acwf_table():
    acwf = pytest.importorskip("gpaw.utilities.acwf")
    for name, energy in zip(("diamond", "sc", "bcc"), acwf.ENERGIES["Al"][:3], strict=True):
        assert LITERATURE["Al"][f"{name}_minus_fcc"].dft.value == energy


def test_an_engine_is_a_calculator():
    atoms = crystal("Al", "fcc", 3.9)
    engine = EngineCalculator(ASEEngine())
    assert energy_per_atom(atoms, engine) == pytest.approx(energy_per_atom(atoms, EMT()), rel=1e-12)
    np.testing.assert_allclose(stress_GPa(atoms, engine), stress_GPa(atoms, EMT()), atol=1e-9)


def test_recorded_values_of_the_engine_stand_as_the_oracle():
    records = beside_recorded(benchmark(EMT, SETTINGS))
    assert records["a0"]["oracle"] == GPAW_VALUES["a0"]
    expected = records["a0"]["value"] / GPAW_VALUES["a0"] - 1
    assert records["a0"]["relative_deviation"]["oracle"] == pytest.approx(expected)
    assert "GPAW" in records["a0"]["oracle_level"]
    assert records["compressed_fcc_0.90_energy"]["oracle"] is None
