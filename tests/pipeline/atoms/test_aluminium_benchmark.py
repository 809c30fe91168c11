"""Stage `aluminium_benchmark`: the potential of a run folder beside the engine; params refused with the rest."""

import json

import pytest
from ase.calculators.emt import EMT

from models.physics.atoms.properties.suite import BenchmarkSettings
from pipeline.atoms import aluminium_benchmark
from pipeline.atoms.aluminium_benchmark import AluminiumBenchmarkParams, GPAWOracle, main, measure
from pipeline.runtime.params import ParamsError, build

GPAW = GPAWOracle(cutoff_eV=250.0, k_mesh=(12, 12, 12), smearing_eV=0.1)
QUICK = BenchmarkSettings(families=("elastic",))


@pytest.fixture(autouse=True)
def serial(monkeypatch, tmp_path):
    monkeypatch.setenv("LATENTLAW_SCHEDULER", "serial")
    monkeypatch.chdir(tmp_path)


def params(oracle="none"):
    return AluminiumBenchmarkParams(oracle=oracle, gpaw=GPAW, properties=QUICK)


def test_the_oracle_may_be_any_calculator_or_recorded_values():
    assert measure(EMT, params("ase.calculators.emt:EMT"))["c11"]["relative_deviation"]["oracle"] == 0
    assert measure(EMT, params())["c11"]["oracle"] is None
    assert measure(EMT, params("recorded"))["a0"]["oracle"] == pytest.approx(4.04, abs=0.01)


@pytest.mark.parametrize(("oracle", "message"), [("emt", "expected none, recorded, gpaw or module:factory")])
def test_an_unknown_oracle_is_refused(oracle, message):
    with pytest.raises(ValueError, match=message):
        params(oracle)
    with pytest.raises(ValueError, match="cannot import 'nowhere'"):
        measure(EMT, params("nowhere:EMT"))


def test_ranges_inside_the_section_are_refused_with_the_rest():
    gpaw = {"cutoff_eV": 250.0, "k_mesh": [12, 12, 12], "smearing_eV": 0.1}
    given = {"oracle": "none", "gpaw": gpaw, "properties": {"elastic": {"strain": -1.0}, "families": ["elastc"]}}
    with pytest.raises(ParamsError, match=r"properties\.elastic\.strain: found -1.0"):
        build(AluminiumBenchmarkParams, given, "aluminium_benchmark", "params.yaml")


def test_without_a_potential_nothing_is_measured(monkeypatch):
    monkeypatch.setattr(aluminium_benchmark, "load_params", lambda *_: params())
    with pytest.raises((FileNotFoundError, ValueError), match="runs/aluminium"):
        main()


def test_metrics_have_numbers_and_details_have_curves(monkeypatch, tmp_path):
    monkeypatch.setattr(aluminium_benchmark, "load_params", lambda *_: params("recorded"))
    monkeypatch.setattr(aluminium_benchmark, "PotentialCalculator", lambda *_, **__: EMT())
    main()
    metrics = json.loads((tmp_path / "reports/metrics/aluminium_properties.json").read_text())
    details = json.loads((tmp_path / "reports/details/aluminium_benchmark.json").read_text())
    assert metrics["c11"]["experiment"]["value"] == 106.75
    assert not {"curve", "seconds"} & set(metrics["a0"])
    assert len(details["a0"]["curve"]["energy_eV"]) == QUICK.equation_of_state.n_points
