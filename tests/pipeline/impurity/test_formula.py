"""Stage `formula` on small stores: what it writes, that it repeats itself, and how it refuses."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from models.laws.kondo_law import law_log_ratio
from models.laws.symbolic_engine import (
    SYMBOLIC_ENGINES,
    Candidate,
    EngineUnavailable,
    FrontResult,
    SymbolicEngine,
)
from models.settings import settings
from pipeline.impurity import formula
from pipeline.impurity.targets import TooFewRows, read_latent_target, read_nrg_target
from stores import kondo_temperatures, latents, spectra
from stores.schema import StoreSchema
from stores.zarr_store import write_store

N = 90
PARAMS = """
formula:
  engine: {engine}
  encodings: [dimensionless]
  seed: 1
  moment_depth: 2.0
  n_seeds: 2
  max_rows: 100
  test_fraction: 0.2
  extrapolation_fraction: 0.2
  tolerance: 0.2
  confidence: 0.95
  n_bootstrap: 60
  n_spline: 10
  general:
    {{moment_depth: 2.0, seed: 1, n_seeds: 1, n_rounds: 1, test_fraction: 0.2, extrapolation_fraction: 0.2,
     n_bootstrap: 20}}
  engines:
    pysr: {{iterations: 2, max_size: 20, timeout_s: 10.0}}
    operon: {{population: 60, generations: 6, raw_generations: 6, max_length: 20}}
    library: {{max_power: 2, max_total: 4, max_terms: 5, beam: 40}}
"""


def impurities(seed: int) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(seed)
    gamma, u = np.exp(rng.uniform(np.log(5e-4), np.log(2e-3), N)), np.exp(rng.uniform(2.0, 3.3, N))
    interaction, level = u * gamma, (rng.uniform(-0.4, 0.4, N) - 1) / 2 * u * gamma
    log_ratio = law_log_ratio("haldane_corrected", interaction, level, gamma) + 0.002 * rng.standard_normal(N)
    return interaction, level, gamma, gamma * np.exp(log_ratio)


def dataset(schema: StoreSchema, example: xr.Dataset, columns: dict[str, np.ndarray]) -> xr.Dataset:
    """The example's coordinates and attributes with N rows of its first one, but for `columns`."""
    rows = {v.name: np.repeat(example[v.name].values[:1], N, axis=0) for v in schema.variables if v.dims[0] == "sample"}
    rest = {v.name: example[v.name].values for v in schema.variables if v.dims[0] != "sample"}
    values = {**rows, **rest, **columns}
    return xr.Dataset(
        {v.name: (v.dims, values[v.name], v.attrs) for v in schema.variables},
        coords={v.name: (v.dims, example[v.name].values, v.attrs) for v in schema.coordinates},
        attrs=example.attrs,
    )


@pytest.fixture
def project(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    names = ("interaction", "level", "hybridization", "kondo_temperature")
    kondo = dict(zip(names, impurities(0), strict=True))
    write_store(
        "data/kondo_temperatures.zarr",
        kondo_temperatures.KONDO_TEMPERATURES,
        dataset(kondo_temperatures.KONDO_TEMPERATURES, kondo_temperatures.tiny(), kondo),
    )
    solved = dict(zip(names, impurities(1), strict=True))
    solved |= {"temperature": np.full(N, 1e-9), "field": np.zeros(N), "hamiltonian": np.arange(N)}
    write_store("data/spectra.zarr", spectra.SPECTRA, dataset(spectra.SPECTRA, spectra.tiny(), solved))
    log_kondo = np.log(solved["kondo_temperature"])
    z = np.tanh((log_kondo - log_kondo.mean()) / (2 * log_kondo.std()))
    placed = {
        "latent_mean": np.stack([np.zeros(N), z], 1),
        "latent_std": np.full((N, 2), 0.1),
        "spectrum_row": np.arange(N),
        "hamiltonian": np.arange(N),
    }
    write_store("data/latents.zarr", latents.LATENTS, dataset(latents.LATENTS, latents.tiny(), placed))
    best = {"value": 0.99, "latent": "odd 1", "subset": "low_temperature"}
    Path("reports/metrics").mkdir(parents=True)
    Path("reports/metrics/latents.json").write_text(json.dumps({"best_abs_spearman": {"log_T_K": best}}))
    Path("params.yaml").write_text(PARAMS.format(engine="library"))
    return tmp_path


def test_the_stage_writes_its_metric_its_tables_and_repeats_itself(project, capsys):
    formula.main()
    first = Path("reports/metrics/formula.json").read_bytes()
    metrics = json.loads(first)
    keys = {"target", "engine", "encoding", "equation", "complexity", "r2_test", "r2_extrapolation", "selected"}
    keys |= {"equivalent_srbench", "matches", "coefficients", "seed_stability"}
    assert all(keys <= set(record) for record in metrics["results"])
    assert {record["target"] for record in metrics["results"]} == {"nrg", "latent"}
    selected = next(r for r in metrics["results"] if r["target"] == "nrg" and r["selected"])
    assert selected["matches"] == "haldane_corrected"
    assert {"coefficient", "low", "high", "expected"} <= set(metrics["correction_resolved"])
    details = json.loads(Path("reports/details/formula.json").read_text())
    assert details["engine_choice"]["ran"] == "library"
    assert metrics["controls_run"] == len(details["controls"])
    header = Path("reports/formula/nrg_library_dimensionless/hall_of_fame.csv").read_text().splitlines()[0]
    assert header == "Complexity,Loss,Equation"
    with Path("reports/formula/laws.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == details["targets"]["nrg"]["n_rows"]
    assert {"measured", "found", "haldane", "haldane_corrected", "split"} <= set(rows[0])
    assert "engine library (asked for: library; chosen in params)" in capsys.readouterr().out
    formula.main()
    assert Path("reports/metrics/formula.json").read_bytes() == first


def test_operon_runs_the_stage(project):
    pytest.importorskip("pyoperon")
    Path("params.yaml").write_text(PARAMS.format(engine="operon"))
    formula.main()
    metrics = json.loads(Path("reports/metrics/formula.json").read_text())
    assert {r["engine"] for r in metrics["results"] if r["target"] == "nrg"} == {"operon", "library"}
    assert Path("reports/formula/nrg_operon_dimensionless/hall_of_fame.csv").exists()


def test_an_engine_that_cannot_run_is_reported_before_anything_is_written(project, monkeypatch):
    Path("params.yaml").write_text(PARAMS.format(engine="missing").replace("    pysr:", "    missing:"))
    with (
        SYMBOLIC_ENGINES.registered("missing", Missing),
        pytest.raises(EngineUnavailable, match="To do: install Julia"),
    ):
        formula.main()
    assert not Path("reports/formula").exists()
    assert not Path("reports/metrics/formula.json").exists()


@settings
class Missing(SymbolicEngine):
    name = "missing"
    iterations: int
    max_size: int
    timeout_s: float

    def check_available(self) -> None:
        raise EngineUnavailable(self.name, "no Julia", "install Julia")

    def fit(self, inputs, target, names, *, seed, units=None):
        raise AssertionError("an engine that is not available was asked")


@settings
class OneLaw(SymbolicEngine):
    """An engine of one candidate: what a new file in models/laws/engines holds."""

    name = "one_law"
    equation: str

    def fit(self, inputs, target, names, *, seed, units=None):
        equation = self.equation if "u" in names else f"log({names[0]})"  # the staged search has names of its own
        found = Candidate(equation=equation, complexity=5, loss=1.0)
        return FrontResult(engine=self.name, names=tuple(names), candidates=(found,))


def test_an_engine_defined_elsewhere_runs_the_stage_once_it_is_registered(project):
    stated = '    one_law: {equation: "u*x*(1 + x) + log(u) + 1/u"}\n'
    Path("params.yaml").write_text(PARAMS.format(engine="one_law") + stated)
    with SYMBOLIC_ENGINES.registered("one_law", OneLaw):
        formula.main()
    results = json.loads(Path("reports/metrics/formula.json").read_text())["results"]
    selected = [r for r in results if r["engine"] == "one_law" and r["selected"]]
    assert [r["target"] for r in selected] == ["nrg", "latent"]
    assert selected[0]["matches"] == "haldane_corrected"
    assert Path("reports/formula/nrg_one_law_dimensionless/hall_of_fame.csv").exists()


def test_a_latent_with_too_few_rows_is_left_out_with_its_reason(project):
    Path("params.yaml").write_text(PARAMS.format(engine="library").replace("moment_depth: 2.0", "moment_depth: 4.0"))
    metrics_file = Path("reports/metrics/latents.json")
    best = {"value": 0.99, "latent": "even 1", "subset": "full"}
    metrics_file.write_text(json.dumps({"best_abs_spearman": {"log_T_K": best}}))
    formula.main()
    metrics = json.loads(Path("reports/metrics/formula.json").read_text())
    details = json.loads(Path("reports/details/formula.json").read_text())
    assert "found subset 'full'" in details["left_out"]["latent"]
    assert {r["target"] for r in metrics["results"]} == {"nrg"}


def test_too_few_kondo_temperatures_name_the_cure(project):
    with pytest.raises(TooFewRows, match=r"found 0 measured .* raise kondo_temperatures\.n_hamiltonians"):
        read_nrg_target(Path("data/kondo_temperatures.zarr"), depth=1e3)


def test_rows_of_the_latent_show_their_kondo_temperature_once_per_hamiltonian(project):
    rows = read_latent_target(
        Path("data/latents.zarr"),
        Path("data/spectra.zarr"),
        Path("reports/metrics/latents.json"),
        depth=2.0,
        seed=0,
    )
    assert len(np.unique(rows.interaction)) == len(rows.interaction)
    assert (np.minimum(-rows.level, rows.level + rows.interaction) >= 2.0 * rows.hybridization).all()
    assert rows.value.std() > 0.1


def test_impossible_params_are_reported_all_at_once(project):
    broken = (
        PARAMS.format(engine="auto").replace("tolerance: 0.2", "tolerance: 2.0").replace("n_seeds: 2", "n_seeds: 0")
    )
    Path("params.yaml").write_text(broken)
    with pytest.raises(ValueError, match=r"(?s)n_seeds: found 0.*tolerance: found 2\.0"):
        formula.main()


def test_params_name_an_unknown_engine(project):
    Path("params.yaml").write_text(PARAMS.format(engine="gplearn"))
    with pytest.raises(ValueError, match="gplearn"):
        formula.main()
