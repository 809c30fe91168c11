"""Stage `spectra`: what is drawn, how one solution becomes rows, and that the stage survives what happens to it."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from models.physics.impurity.hamiltonian import AndersonImpurity
from models.physics.impurity.solver import IMPURITY_SOLVERS, ImpuritySolution, SolverError, SolverUnavailable
from models.physics.impurity.triqs import TriqsSolver
from pipeline.impurity import spectra
from pipeline.impurity.spectra import (
    Hamiltonian,
    SpectraParams,
    draw_hamiltonian,
    frequency_grid,
    generate,
    solve_shard,
)
from pipeline.runtime.params import load_params
from stores.manifest import read_manifest
from stores.outcome import FAILED, OK
from stores.spectra import FRIEDEL_LIMIT, SPECTRA
from stores.zarr_store import open_store
from tests.models.physics.impurity.test_triqs import wrapper_script

ROOT = Path(__file__).parents[3]
PARAMS = load_params(SpectraParams, "spectra", ROOT / "params.yaml")
OMEGA = frequency_grid(replace(PARAMS.grid, n_positive=6))


class ToySolver:
    """Mean-field levels in a Lorentzian: no physics worth storing, but its spin and mirror symmetries are exact."""

    def solve(self, impurity, *, temperatures, omega):
        if impurity.level > 0.05:
            raise SolverError("the level is too high for this toy")
        gamma = impurity.hybridization
        spectra, occupations = [], []
        for spin in (1, -1):
            centre = impurity.level + impurity.interaction / 2 - spin * impurity.field / 2
            peak = gamma / np.pi / ((omega - centre) ** 2 + gamma**2)
            spectra.append(np.tile(peak, (temperatures.size, 1)) / (1 + temperatures[:, None]))
            occupations.append(np.full(temperatures.size, 0.5 - np.arctan(centre / gamma) / np.pi))
        up, dn = occupations
        return ImpuritySolution(
            temperatures=temperatures,
            omega=omega,
            spectrum_up=spectra[0],
            spectrum_dn=spectra[1],
            n_up=up,
            n_dn=dn,
            double_occupancy=up * dn,
            weight_up=np.full_like(up, 0.9),
            weight_dn=np.full_like(dn, 0.9),
            displaced_charge_up=up,
            displaced_charge_dn=dn,
        )


class WrongChargeSolver(ToySolver):
    """Says of one spin of deep levels that it displaces another charge than its spectrum tells."""

    def solve(self, impurity, **request):
        solution = super().solve(impurity, **request)
        wrong = 0.2 if impurity.level < -0.1 else 0.0
        return replace(solution, displaced_charge_dn=solution.displaced_charge_dn + wrong)


class NaNSolver(ToySolver):
    def solve(self, impurity, **request):
        solution = super().solve(impurity, **request)
        return replace(solution, n_up=np.full_like(solution.n_up, np.nan)) if impurity.level < -0.1 else solution


def toy_kondo_temperature(impurity):
    assert impurity.field == 0
    return impurity.hybridization


def rows_of(field):
    impurity = AndersonImpurity(interaction=0.2, level=-0.06, hybridization=0.02, field=field)
    hamiltonian = Hamiltonian(index=11, impurity=impurity, temperatures=(1e-6, 1e-3))
    return solve_shard([hamiltonian], omega=OMEGA, solver=ToySolver(), kondo_temperature=toy_kondo_temperature)


def test_the_grid_is_symmetric_and_logarithmic():
    omega = frequency_grid(PARAMS.grid)
    assert omega.size == 333
    np.testing.assert_array_equal(omega, -omega[::-1])
    np.testing.assert_allclose(np.diff(np.log(omega[167:])), np.log(omega[168] / omega[167]), rtol=1e-9)


def test_a_hamiltonian_is_drawn_whatever_the_others_are():
    few, many = replace(PARAMS, n_hamiltonians=8), replace(PARAMS, n_hamiltonians=10**6)
    assert draw_hamiltonian(few, 5) == draw_hamiltonian(many, 5)
    assert draw_hamiltonian(few, 5) != draw_hamiltonian(replace(few, seed=9), 5)


def test_draws_fill_their_ranges_evenly():
    drawn = [draw_hamiltonian(PARAMS, index) for index in range(2000)]
    impurities = [h.impurity for h in drawn]
    ranges = PARAMS.sampling
    for values, (low, high) in (
        ([h.interaction for h in impurities], ranges.interaction),
        ([h.hybridization for h in impurities], ranges.hybridization),
        ([h.field for h in impurities if h.field], ranges.field),
        ([t for h in drawn for t in h.temperatures[1:]], ranges.temperature),
    ):
        place = np.log(np.array(values) / low) / np.log(high / low)
        assert place.min() >= 0 and place.max() <= 1
        np.testing.assert_allclose(np.histogram(place, 4, (0, 1))[0] / place.size, 0.25, atol=0.06)
    asymmetry = np.array([(h.interaction + 2 * h.level) / h.interaction for h in impurities])
    assert ranges.asymmetry[0] - 1e-12 <= asymmetry.min() and asymmetry.max() <= ranges.asymmetry[1] + 1e-12
    assert np.mean([h.field == 0 for h in impurities]) == pytest.approx(ranges.zero_field_fraction, abs=0.05)
    for h in drawn:
        assert h.temperatures[0] == ranges.temperature[0]
        assert list(h.temperatures) == sorted(h.temperatures) and len(h.temperatures) == ranges.n_temperatures


@pytest.mark.parametrize(("field", "n_rows"), [(0.0, 4), (0.01, 8)])
def test_each_row_equals_the_solution_of_the_impurity_it_names(field, n_rows):
    rows = rows_of(field)
    assert len({name: values.shape[0] for name, values in rows.items()}) == len(SPECTRA.variables)
    assert rows["spectrum"].shape == (n_rows, OMEGA.size)
    for i in range(n_rows):
        named = AndersonImpurity(
            interaction=rows["interaction"][i],
            level=rows["level"][i],
            hybridization=rows["hybridization"][i],
            field=rows["field"][i],
        )
        direct = ToySolver().solve(named, temperatures=rows["temperature"][i : i + 1], omega=OMEGA)
        expected = np.pi * named.hybridization * direct.spectrum_up[0]
        np.testing.assert_allclose(rows["spectrum"][i], expected, rtol=1e-5)
        assert rows["n_d"][i] == pytest.approx(direct.n_up[0] + direct.n_dn[0], rel=1e-12)
        assert rows["s_z"][i] == pytest.approx((direct.n_up[0] - direct.n_dn[0]) / 2, rel=1e-12)
        assert rows["double_occupancy"][i] == pytest.approx(direct.double_occupancy[0], rel=1e-12)
    assert len(set(zip(rows["level"], rows["field"], rows["temperature"], strict=True))) == n_rows
    assert set(rows["hamiltonian"]) == {11}
    assert set(rows["kondo_temperature"]) == {0.02}
    assert not np.signbit(rows["field"][rows["field"] == 0]).any()


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LATENTLAW_SCHEDULER", "serial")
    return tmp_path


def test_failing_hamiltonians_are_recorded_and_the_run_goes_on(here):
    params = replace(PARAMS, n_hamiltonians=40, hamiltonians_per_shard=7)
    generate(params, NaNSolver(), toy_kondo_temperature)
    dataset = open_store(spectra.OUT, SPECTRA).load()
    reasons = {
        "SolverError: the level is too high for this toy",
        "SolverError: the solver returned NaN or infinities in n_up",
    }
    failed = dataset["status"].values == FAILED
    assert {str(reason) for reason in dataset["failure"].values[failed]} == reasons
    assert set(dataset["hamiltonian"].values) == set(range(40))
    assert not dataset["spectrum"].values[failed].any()
    metrics = (here / "reports/metrics/spectra.json").read_text()
    assert f'"n_failed": {failed.sum()}' in metrics
    assert f'"n_spectra": {failed.size}' in metrics
    assert read_manifest(spectra.OUT).hash in metrics


def test_a_spectrum_that_breaks_friedels_rule_is_a_failure_of_its_hamiltonian(here):
    generate(replace(PARAMS, n_hamiltonians=30), WrongChargeSolver(), toy_kondo_temperature)
    dataset = open_store(spectra.OUT, SPECTRA).load()
    wrong = dataset["level"].where(~dataset["mirrored"], -dataset["interaction"] - dataset["level"]) < -0.1
    assert wrong.any() and not wrong.all()
    reasons = dataset["failure"].values[wrong.values]
    assert all("breaks Friedel's sum rule by" in str(reason) and "spin dn" in str(reason) for reason in reasons)
    kept = dataset.isel(sample=np.flatnonzero(dataset["status"].values == OK))
    assert np.nanmax(np.abs(kept["friedel_residual"])) <= FRIEDEL_LIMIT


def test_the_residual_and_the_integral_stand_in_each_row(here):
    generate(replace(PARAMS, n_hamiltonians=12), ToySolver(), toy_kondo_temperature)
    dataset = open_store(spectra.OUT, SPECTRA).load()
    solved = dataset.isel(sample=np.flatnonzero(dataset["status"].values == OK))
    applies = 30 * solved["temperature"] <= solved["hybridization"]  # T_K of the toy is Gamma
    assert applies.any() and not applies.all()
    np.testing.assert_array_equal(np.isfinite(solved["friedel_residual"]), applies)
    np.testing.assert_allclose(solved["friedel_residual"].values[applies.values], 0, atol=1e-3)
    assert set(solved["spectral_weight"].values) == {0.9}
    metrics = json.loads((here / "reports/metrics/spectra.json").read_text())["friedel"]
    assert metrics["n_rows"] == applies.sum()
    assert 0 <= metrics["median"] <= metrics["percentile_99"] <= metrics["worst"] < 1e-3


def test_no_partition_into_shards_changes_the_store(here):
    params = replace(PARAMS, n_hamiltonians=12)
    hashes = []
    for per_shard in (1, 5, 12):
        generate(replace(params, hamiltonians_per_shard=per_shard), ToySolver(), toy_kondo_temperature)
        hashes.append(read_manifest(spectra.OUT).hash)
    assert len(set(hashes)) == 1


TINY = {
    "n_hamiltonians": "12",
    "hamiltonians_per_shard": "1",
    "n_keep": "16",
    "n_z": "1",
    "n_temperatures": "2",
    "bins_per_decade": "20",
    "grid_per_decade": "10",
}


def tiny_params(root, **changes):
    text = (ROOT / "params.yaml").read_text()
    for key, value in (TINY | changes).items():
        text = re.sub(rf"^(\s+{key}:) [^#\n]*", rf"\1 {value} ", text, flags=re.MULTILINE)
    (root / "params.yaml").write_text(text)


def stage(root, name="spectra", **environment):
    return subprocess.Popen(
        [sys.executable, "-m", f"pipeline.impurity.{name}"],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(ROOT), "LATENTLAW_SCHEDULER": "serial", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def wait_for_a_shard(process, root):
    """One more than there were: the stage is at work, no longer at its imports."""
    kept = list(root.glob(".cache/generation/*/*.task"))
    while process.poll() is None and len(list(root.glob(".cache/generation/*/*.task"))) <= len(kept):
        time.sleep(0.005)


def finished_hash(root, **environment):
    out, err = (process := stage(root, **environment)).communicate()
    assert process.returncode == 0, err
    return re.search(r"hash ([0-9a-f]+)", out)[1]


def test_bad_params_stop_the_stage_with_one_message_and_no_traceback(tmp_path):
    tiny_params(tmp_path, hybridization="[0, 0.06]", n_keep="many", n_z="0")
    out, err = (process := stage(tmp_path)).communicate()
    assert process.returncode == 1
    assert out == ""
    assert "Traceback" not in err
    assert "spectra.sampling.hybridization[0]: found 0 (int), expected a number > 0" in err
    assert "spectra.nrg.n_keep: found 'many' (str), expected a whole number" in err
    assert [entry.name for entry in tmp_path.iterdir()] == ["params.yaml"]


@pytest.mark.slow
def test_the_stage_killed_interrupted_and_on_other_workers_makes_the_same_store(tmp_path):
    roots = [tmp_path / name for name in ("whole", "killed", "workers")]
    for root in roots:
        root.mkdir()
        tiny_params(root)
    expected = finished_hash(roots[0])
    for how in (signal.SIGKILL, signal.SIGINT):
        process = stage(roots[1])
        wait_for_a_shard(process, roots[1])
        os.killpg(process.pid, how)
        _, err = process.communicate()
        if how == signal.SIGINT:
            assert process.returncode == 130, err
            assert "interrupted. Finished shards are kept" in err
            assert "Traceback" not in err
    assert finished_hash(roots[1]) == expected
    assert finished_hash(roots[2], LATENTLAW_SCHEDULER="local", LATENTLAW_WORKERS="2") == expected


@pytest.mark.slow
def test_ctrl_c_ends_worker_processes_quietly(tmp_path):
    tiny_params(tmp_path, n_hamiltonians="400")
    process = stage(tmp_path, LATENTLAW_SCHEDULER="local", LATENTLAW_WORKERS="2")
    wait_for_a_shard(process, tmp_path)
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=600)
    assert process.returncode == 130, err
    assert "Traceback" not in err


class ToyTriqs(TriqsSolver):
    """The versions of TRIQS, the spectra of the toy."""

    def solve(self, impurity, **request):
        return ToySolver().solve(impurity, **request)


def test_a_store_names_the_versions_of_triqs_and_other_versions_make_other_shards(here, capsys):
    params = replace(PARAMS, solver=IMPURITY_SOLVERS.choose("triqs"), n_hamiltonians=4)
    for versions in ({"triqs": "3.2.1"}, {"triqs": "3.3.0"}):
        generate(params, ToyTriqs(versions=versions), toy_kondo_temperature)
        assert json.loads(open_store(spectra.OUT).attrs["settings"])["versions"] == versions
    assert "reused" not in capsys.readouterr().out


def test_a_store_of_the_built_in_solver_names_its_settings_alone(here):
    generate(replace(PARAMS, n_hamiltonians=4), ToySolver(), toy_kondo_temperature)
    attributes = open_store(spectra.OUT).attrs
    assert attributes["settings"] == json.dumps(asdict(PARAMS.nrg), sort_keys=True)
    assert attributes["solver"] == "nrg"


def test_what_a_broken_installation_could_not_solve_is_solved_once_it_is_mended(here, monkeypatch):
    monkeypatch.setenv("LATENTLAW_TRIQS_PYTHON", wrapper_script(here))
    free = replace(PARAMS.sampling, interaction=(1e-16, 2e-16))  # the stand-in of TRIQS solves U = 0
    params = replace(
        PARAMS, solver=IMPURITY_SOLVERS.choose("triqs"), n_hamiltonians=2, hamiltonians_per_shard=1, sampling=free
    )
    solver = IMPURITY_SOLVERS.make(params.solver, nrg=params.nrg)
    sound = (here / "tools" / "kk").read_text()
    (here / "tools" / "kk").write_text("#!/bin/sh\necho 'kk: no libgsl.so.27' >&2; exit 127\n")
    with pytest.raises(SolverUnavailable, match=r"does not solve even the free level.*kk: no libgsl\.so\.27"):
        generate(params, solver, toy_kondo_temperature)
    assert not list(here.glob(".cache/generation/*/*.task"))
    (here / "tools" / "kk").write_text(sound)
    generate(params, solver, toy_kondo_temperature)
    dataset = open_store(spectra.OUT, SPECTRA)
    assert not dataset["status"].values.any()
    assert json.loads(dataset.attrs["settings"])["versions"]["nrgljubljana_interface"] == "3.2.0"


def test_a_missing_triqs_is_told_before_any_work(monkeypatch):
    monkeypatch.delenv("LATENTLAW_TRIQS_PYTHON", raising=False)
    with pytest.raises(SolverUnavailable, match="Install route"):
        IMPURITY_SOLVERS.make(IMPURITY_SOLVERS.choose("triqs"), nrg=PARAMS.nrg)


def toy_solver(*, nrg):
    """What a new file in models/physics/impurity holds: a function, registered."""
    return ToySolver()


def test_a_solver_defined_elsewhere_runs_the_stage_once_it_is_registered(here, monkeypatch):
    text = (
        (ROOT / "params.yaml")
        .read_text()
        .replace("solver: nrg", "solver: toy")
        .replace("n_hamiltonians: 1700", "n_hamiltonians: 3")
    )
    (here / "params.yaml").write_text(text)
    monkeypatch.setattr(spectra, "kondo_temperature", lambda impurity, **_: toy_kondo_temperature(impurity))
    with IMPURITY_SOLVERS.registered("toy", toy_solver):
        spectra.main()
    assert open_store(spectra.OUT, SPECTRA).attrs["solver"] == "toy"
