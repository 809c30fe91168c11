"""Stage `spectra`: what is drawn, how one solution becomes rows, and that the stage survives what happens to it."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from models.physics.impurity.hamiltonian import AndersonImpurity
from models.physics.impurity.solver import IMPURITY_SOLVERS, ImpuritySolution, SolverError, SolverUnavailable
from models.physics.impurity.triqs import TriqsSolver
from pipeline.impurity import spectra
from pipeline.impurity.spectra import (
    Hamiltonian,
    Method,
    SpectraParams,
    draw_hamiltonian,
    draw_hamiltonians,
    frequency_grid,
    generate,
    place_after,
    solve_shard,
)
from pipeline.runtime.params import load_params
from stores.manifest import read_manifest
from stores.outcome import FAILED, OK
from stores.spectra import CLIPPED_LIMIT, FRIEDEL_LIMIT, SPECTRA, SPECTRUM_ERROR_MAX_LIMIT
from stores.zarr_store import open_store
from tests.models.physics.impurity.test_triqs import wrapper_script

ROOT = Path(__file__).parents[3]
PARAMS = replace(load_params(SpectraParams, "spectra", ROOT / "params.yaml"), n_hamiltonians=10**4, n_held_out=0)
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
            clipped_up=np.full_like(up, 1e-3),
            clipped_dn=np.full_like(dn, 2e-3),
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


class FinerToy(ToySolver):
    """The same spectra, 1 % lower everywhere, or lower by what it is made with."""

    def __init__(self, lower=0.01):
        self.lower = lower

    def solve(self, impurity, **request):
        solution = super().solve(impurity, **request)
        factor = 1 - self.lower
        return replace(solution, spectrum_up=factor * solution.spectrum_up, spectrum_dn=factor * solution.spectrum_dn)


def finer_kondo_temperature(impurity):
    return toy_kondo_temperature(impurity) / 1.02


FINER = Method(solver=FinerToy(), kondo_temperature=finer_kondo_temperature)


def toy(solver):
    return Method(solver=solver, kondo_temperature=toy_kondo_temperature)


def make(params, solver, finer=FINER):
    generate(params, toy(solver), finer)


def rows_of(field):
    impurity = AndersonImpurity(interaction=0.2, level=-0.06, hybridization=0.02, field=field)
    hamiltonian = Hamiltonian(index=11, impurity=impurity, temperatures=(1e-6, 1e-3), solved_twice=True, held_out=False)
    columns = solve_shard([hamiltonian], omega=OMEGA, method=toy(ToySolver()), finer=FINER)
    return place_after(columns, [hamiltonian], {})


def test_the_grid_is_symmetric_and_logarithmic():
    omega = frequency_grid(PARAMS.grid)
    assert omega.size == 333
    np.testing.assert_array_equal(omega, -omega[::-1])
    np.testing.assert_allclose(np.diff(np.log(omega[167:])), np.log(omega[168] / omega[167]), rtol=1e-9)


def test_a_hamiltonian_is_drawn_whatever_the_others_are():
    few, many = replace(PARAMS, n_hamiltonians=8), replace(PARAMS, n_hamiltonians=10**6)
    assert draw_hamiltonian(few, 5) == draw_hamiltonian(many, 5)
    assert draw_hamiltonian(few, 5) != draw_hamiltonian(replace(few, seed=9), 5)


def test_held_out_hamiltonians_are_their_own_draws_at_zero_field_and_the_lowest_temperature():
    """Whatever the number of the others is, and never one of them."""
    few, many = (draw_hamiltonians(replace(PARAMS, n_hamiltonians=n, n_held_out=200)) for n in (8, 3000))
    assert few == many[:208], "more of the others change none that was there before"
    held_out = few[:200]
    for i, hamiltonian in enumerate(held_out):
        assert hamiltonian.held_out and hamiltonian.index == i
        assert hamiltonian.impurity.field == 0
        assert hamiltonian.temperatures == (PARAMS.sampling.temperature[0],)
    others = {hamiltonian.impurity.interaction for hamiltonian in many[200:]}
    assert not others & {hamiltonian.impurity.interaction for hamiltonian in held_out}


def test_rows_of_held_out_hamiltonians_are_marked(here):
    make(replace(PARAMS, n_hamiltonians=6, n_held_out=4), ToySolver())
    dataset = open_store(spectra.OUT, SPECTRA).load()
    assert set(dataset["hamiltonian"].values) == set(range(10))
    np.testing.assert_array_equal(dataset["held_out"], dataset["hamiltonian"] < 4)
    assert dataset.attrs["seed"] == str(PARAMS.seed)


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
        workplace = np.log(np.array(values) / low) / np.log(high / low)
        assert workplace.min() >= 0 and workplace.max() <= 1
        np.testing.assert_allclose(np.histogram(workplace, 4, (0, 1))[0] / workplace.size, 0.25, atol=0.06)
    asymmetry_over_U = np.array([(h.interaction + 2 * h.level) / h.interaction for h in impurities])
    assert (
        ranges.asymmetry_over_U[0] - 1e-12 <= asymmetry_over_U.min()
        and asymmetry_over_U.max() <= ranges.asymmetry_over_U[1] + 1e-12
    )
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
    make(params, NaNSolver())
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
    make(replace(PARAMS, n_hamiltonians=30), WrongChargeSolver())
    dataset = open_store(spectra.OUT, SPECTRA).load()
    wrong = dataset["level"].where(~dataset["mirrored"], -dataset["interaction"] - dataset["level"]) < -0.1
    assert wrong.any() and not wrong.all()
    reasons = dataset["failure"].values[wrong.values]
    assert all("breaks Friedel's sum rule by" in str(reason) and "spin dn" in str(reason) for reason in reasons)
    kept = dataset.isel(sample=np.flatnonzero(dataset["status"].values == OK))
    assert np.nanmax(np.abs(kept["friedel_residual"])) <= FRIEDEL_LIMIT


def test_the_residual_and_the_integral_stand_in_each_row(here):
    make(replace(PARAMS, n_hamiltonians=12), ToySolver())
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


def test_a_hamiltonian_is_solved_twice_whatever_the_others_are_and_the_draws_stay():
    few, many = replace(PARAMS, n_hamiltonians=8), replace(PARAMS, n_hamiltonians=10**6)
    all_twice, none = (replace(PARAMS, quality=replace(PARAMS.quality, share=share)) for share in (1.0, 0.0))
    for index in range(8):
        hamiltonian = draw_hamiltonian(few, index)
        assert hamiltonian == draw_hamiltonian(many, index)
        assert replace(hamiltonian, solved_twice=True) == draw_hamiltonian(all_twice, index)
        assert replace(hamiltonian, solved_twice=False) == draw_hamiltonian(none, index)


def test_the_share_that_is_solved_twice_is_drawn_evenly_and_anew_for_each_seed():
    chosen = [
        np.array([draw_hamiltonian(replace(PARAMS, seed=seed), index).solved_twice for index in range(4000)])
        for seed in (0, 1)
    ]
    for twice in chosen:
        assert twice.mean() == pytest.approx(PARAMS.quality.share, abs=0.01)
    assert not (chosen[0] & chosen[1]).all() and (chosen[0] != chosen[1]).any()


@pytest.mark.parametrize("field", [0.0, 0.01])
def test_rows_tell_the_difference_from_the_second_solution(field):
    """One per cent of the spectrum, two of T_K; what was clipped goes with the spin."""
    rows = rows_of(field)
    np.testing.assert_allclose(rows["spectrum_error_max"], 0.01 * rows["spectrum"].max(axis=1), rtol=1e-5)
    np.testing.assert_allclose(rows["spectrum_error_mean"], 0.01 * rows["spectrum"].mean(axis=1), rtol=1e-5)
    np.testing.assert_allclose(rows["kondo_temperature_error"], 0.02, rtol=1e-9)
    spin = np.where(rows["mirrored"], -1, 1) * np.sign(rows["field"])  # of the solution that the row comes from
    np.testing.assert_array_equal(rows["clipped_self_energy"], np.where(spin >= 0, 1e-3, 2e-3))


def test_errors_stand_where_hamiltonians_were_solved_twice_and_nowhere_else(here):
    params = replace(PARAMS, n_hamiltonians=30, quality=replace(PARAMS.quality, share=0.4))
    make(params, ToySolver())
    dataset = open_store(spectra.OUT, SPECTRA).load()
    twice = np.array([draw_hamiltonian(params, index).solved_twice for index in range(30)])
    expected = twice[dataset["hamiltonian"].values] & (dataset["status"].values == OK)
    assert expected.any() and not expected.all()
    for name in ("spectrum_error_max", "spectrum_error_mean", "kondo_temperature_error"):
        np.testing.assert_array_equal(np.isfinite(dataset[name].values), expected)
    metrics = json.loads((here / "reports/metrics/spectra.json").read_text())
    accuracy = metrics["accuracy"]
    assert (
        accuracy["n_hamiltonians"]
        == accuracy["n_kondo_temperatures"]
        == np.unique(dataset["hamiltonian"][expected]).size
    )
    assert accuracy["n_rows"] == expected.sum() / 2  # mirrored rows repeat the others
    assert accuracy["largest_worst"] == np.nanmax(dataset["spectrum_error_max"])
    assert accuracy["kondo_temperature_worst"] == pytest.approx(0.02, rel=1e-9)
    assert metrics["clipping"] == {"share_of_rows": 1.0, "percentile_99": 2e-3, "worst": 2e-3}


def test_the_second_solution_changes_nothing_but_the_errors(here):
    stored = []
    for share in (0.0, 1.0):
        make(replace(PARAMS, n_hamiltonians=6, quality=replace(PARAMS.quality, share=share)), ToySolver())
        stored.append(open_store(spectra.OUT, SPECTRA).load())
    assert np.isnan(stored[0]["spectrum_error_max"]).all()
    errors = {"spectrum_error_max", "spectrum_error_mean", "kondo_temperature_error"}
    for name in set(stored[0].data_vars) - errors:
        np.testing.assert_array_equal(stored[0][name].values, stored[1][name].values)
    metrics = json.loads((here / "reports/metrics/spectra.json").read_text())
    assert metrics["accuracy"]["n_hamiltonians"] > 0


def test_a_share_of_none_leaves_the_accuracy_unknown(here):
    make(replace(PARAMS, n_hamiltonians=6, quality=replace(PARAMS.quality, share=0.0)), ToySolver())
    accuracy = json.loads((here / "reports/metrics/spectra.json").read_text())["accuracy"]
    assert accuracy["n_hamiltonians"] == accuracy["n_rows"] == accuracy["n_kondo_temperatures"] == 0
    assert accuracy["largest_worst"] is accuracy["mean_median"] is accuracy["kondo_temperature_worst"] is None


class ClippingSolver(ToySolver):
    def solve(self, impurity, **request):
        solution = super().solve(impurity, **request)
        return replace(solution, clipped_up=solution.clipped_up + 2 * CLIPPED_LIMIT)


def far(limit, impurity):
    return toy_kondo_temperature(impurity) / limit


@pytest.mark.parametrize(
    ("solver", "finer", "reason"),
    [
        (ClippingSolver(), FINER, "Im Sigma / Gamma was clipped from 0.101 at T = 1e-06, spin up"),
        (ToySolver(), toy(FinerToy(2 * SPECTRUM_ERROR_MAX_LIMIT)), "pi Gamma A differs from the finer setting by"),
        (ToySolver(), Method(solver=FinerToy(), kondo_temperature=partial(far, 1.2)), "finer setting by 0.200 of it"),
        (ToySolver(), toy(NaNSolver()), "the solver returned NaN or infinities in n_up"),
    ],
)
def test_what_breaks_a_limit_of_the_schema_is_a_failure_of_its_hamiltonian(solver, finer, reason):
    impurity = AndersonImpurity(interaction=0.3, level=-0.15, hybridization=0.02)
    hamiltonian = Hamiltonian(index=0, impurity=impurity, temperatures=(1e-6, 1e-3), solved_twice=True, held_out=False)
    rows = solve_shard([hamiltonian], omega=OMEGA, method=toy(solver), finer=finer)
    assert set(rows["status"]) == {FAILED}
    assert reason in rows["failure"][0]
    sound = solve_shard([hamiltonian], omega=OMEGA, method=toy(ToySolver()), finer=FINER)
    assert set(sound["status"]) == {OK}


def test_no_partition_into_shards_changes_the_store(here):
    params = replace(PARAMS, n_hamiltonians=12, quality=replace(PARAMS.quality, share=0.5))
    hashes = []
    for per_shard in (1, 5, 12):
        make(replace(params, hamiltonians_per_shard=per_shard), ToySolver())
        hashes.append(read_manifest(spectra.OUT).hash)
    assert len(set(hashes)) == 1


TINY = {
    "n_hamiltonians": "12",
    "n_held_out": "0",
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


def ended_by(number, root):
    """Exit status and last words of the stage, sent this signal while it is at work."""
    process = stage(root)
    wait_for_a_shard(process, root)
    os.killpg(process.pid, number)
    _, err = process.communicate()
    return process.returncode, err


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
    status, err = ended_by(signal.SIGKILL, roots[1])
    assert status == -signal.SIGKILL
    for _ in range(5):  # inside a compiler of kernels, which does not stand an exception: a kill like another
        status, err = ended_by(signal.SIGINT, roots[1])
        if status != -signal.SIGSEGV:
            break
    assert status == 130, err
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


def test_a_store_names_the_versions_of_triqs_and_others_are_proven_before_their_shards_are_kept(here, capsys):
    params = replace(PARAMS, solver=IMPURITY_SOLVERS.choose("triqs"), n_hamiltonians=4)
    for versions in ({"triqs": "3.2.1"}, {"triqs": "3.3.0"}):
        make(params, ToyTriqs(versions=versions))
        assert json.loads(open_store(spectra.OUT).attrs["settings"])["versions"] == versions
    told = capsys.readouterr()
    assert "triqs 3.3.0 (before: 3.2.1) gives the bits that are kept" in told.err
    assert "reused 1 of 1 results" in told.out


def test_a_store_of_the_built_in_solver_names_its_settings_alone(here):
    make(replace(PARAMS, n_hamiltonians=4), ToySolver())
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
        make(params, solver)
    assert not list(here.glob(".cache/generation/*/*.task"))
    (here / "tools" / "kk").write_text(sound)
    make(params, solver)
    dataset = open_store(spectra.OUT, SPECTRA)
    assert not dataset["status"].values.any()
    assert json.loads(dataset.attrs["settings"])["versions"]["nrgljubljana_interface"] == "3.2.0"


def test_a_missing_triqs_is_reported_before_any_work(monkeypatch):
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
        .replace("n_held_out: 500", "n_held_out: 0")
    )
    (here / "params.yaml").write_text(text)
    monkeypatch.setattr(spectra, "kondo_temperature", lambda impurity, **_: toy_kondo_temperature(impurity))
    with IMPURITY_SOLVERS.registered("toy", toy_solver):
        spectra.main()
    assert open_store(spectra.OUT, SPECTRA).attrs["solver"] == "toy"
