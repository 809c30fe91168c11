"""Stages spectrum_vae and latents on a store whose physics is one line: spectra of a level without interaction."""

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from models.networks.spectra.spectrum_vae import SpectrumVAE
from models.networks.weights import load_network
from pipeline.impurity import latents, spectrum_vae
from pipeline.impurity.subsets import split_by_hamiltonian, subset_rows
from pipeline.runtime.params import ParamsError
from stores.building import OutputRefused
from stores.latents import read_latents
from stores.manifest import read_manifest
from stores.outcome import FAILED, OK
from stores.schema import SchemaError
from stores.spectra import SPECTRA
from stores.zarr_store import write_store

REPOSITORY = Path(__file__).resolve().parents[3]
PARAMS = """
spectrum_vae:
  seeds: [0, 1]
  betas: [0.05, 0.2]
  baselines: [autoencoder, beta_vae]
  error_slack: 1.5
  active_nats: 0.1
  max_field: 0.0
  validation_fraction: 0.2
  test_fraction: 0.2
  split_seed: 0
  architecture: mirror
  n_latent: 3
  n_odd: 1
  hidden: [16]
  ramp_fraction: 0.3
  nested_dropout: 0.3
  cramer_weight: 10.0
  learning_rate: 0.01
  weight_decay: 1.0e-4
  batch_size: 16
  max_epochs: 40
  max_steps: 400
  patience: 100
  validate_every: 5
latents:
  n_bootstrap: 20
  bootstrap_seed: 0
  max_rows: 1000
  n_folds: 3
  n_neighbours: 4
  traversal_steps: 5
  traversal_range: 2.0
"""


def level_spectra(n_hamiltonians=80, n_held_out=20):
    """Rows: every Hamiltonian at two temperatures, each with its mirror; the last is held out, and failed."""
    rng = np.random.default_rng(0)
    positive = np.geomspace(1e-3, 1.0, 20)
    omega = np.concatenate([-positive[::-1], [0.0], positive])
    gamma, level = np.exp(rng.uniform(np.log(0.01), np.log(0.2), n_hamiltonians)), rng.uniform(0, 0.3, n_hamiltonians)
    gamma, level = np.repeat(gamma, 4), np.repeat(level, 4)
    mirrored = np.tile([False, True, False, True], n_hamiltonians)
    level = np.where(mirrored, -level, level)
    interaction = np.full(len(level), 1e-9)  # without effect, and the mirror of eps_d is -eps_d
    status = np.where(np.arange(len(level)) // 4 == n_hamiltonians - 1, FAILED, OK).astype(np.int8)
    solved = status == OK
    occupation = np.where(solved, 1 - 2 / np.pi * np.arctan(level / gamma), 0.0)
    spectrum = gamma[:, None] ** 2 / ((omega - level[:, None]) ** 2 + gamma[:, None] ** 2) * solved[:, None]
    columns = {
        "spectrum": spectrum.astype(np.float32),
        "interaction": interaction,
        "hybridization": gamma,
        "level": level,
        "field": np.zeros(len(level)),
        "temperature": np.tile([1e-6, 1e-6, 1e-3, 1e-3], n_hamiltonians),
        "n_d": occupation,
        "s_z": np.zeros(len(level)),
        "double_occupancy": occupation**2 / 4,
        "spectral_weight": np.full(occupation.shape, 0.9),
        "friedel_residual": np.zeros(occupation.shape),
        "clipped_self_energy": np.zeros(occupation.shape),
        "spectrum_error_max": np.full(occupation.shape, np.nan),
        "spectrum_error_mean": np.full(occupation.shape, np.nan),
        "kondo_temperature_error": np.full(occupation.shape, np.nan),
        "held_out": np.arange(len(level)) // 4 >= n_hamiltonians - n_held_out,
        "kondo_temperature": np.where(solved, np.pi * (level**2 + gamma**2) / (2 * gamma), np.nan),
        "hamiltonian": np.repeat(np.arange(n_hamiltonians), 4),
        "mirrored": mirrored,
        "status": status,
        "failure": np.where(solved, "", "example").astype(object),
    }
    return xr.Dataset(
        {v.name: (v.dims, columns[v.name], v.attrs) for v in SPECTRA.variables},
        coords={"omega": ("omega", omega, SPECTRA.variable("omega").attrs)},
        attrs={"seed": "0", "settings": "{}", "solver": "example"},
    )


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A folder in which both stages have run."""
    folder = tmp_path_factory.mktemp("stages")
    (folder / "params.yaml").write_text(PARAMS)
    write_store(folder / "data/spectra.zarr", SPECTRA, level_spectra())
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("LATENTLAW_SCHEDULER", "serial")
        spectrum_vae.main()
        latents.main()
    return folder


def metrics(folder, name):
    return json.loads((folder / f"reports/metrics/{name}.json").read_text())


def test_stage_leaves_weights_curves_selection_and_metrics(finished):
    message = metrics(finished, "spectrum_vae")
    assert message["seeds"] == [0, 1]
    assert 0 < message["test_mae"] < 0.1
    assert message["active_latents"] >= 2
    selection = json.loads((finished / "runs/spectrum_vae/selection.json").read_text())
    for subset in ("low_temperature", "full"):
        assert selection[subset]["beta"] in (0.05, 0.2)
        assert [c["beta"] for c in selection[subset]["candidates"]] == [0.05, 0.2]
        for name in ("seed_0", "seed_1", "autoencoder", "beta_vae"):
            folder = finished / f"runs/spectrum_vae/{subset}/{name}"
            config = load_network(SpectrumVAE, folder).config
            assert config.n_omega == 41
            assert config.architecture == ("mirror" if name.startswith("seed") else "plain")
            assert config.variational == (name != "autoencoder")
            curve = (folder / "live/plots/metrics/objective.tsv").read_text().splitlines()
            assert len(curve) > 5
    assert not list(finished.glob(".cache/generation/spectrum_vae_*/*/checkpoints"))


def test_a_stage_that_runs_again_trains_nothing_twice(finished, monkeypatch):
    """As after an edited comment: DVC runs the stage, and it finds its trainings."""
    before = {file: file.read_bytes() for file in sorted((finished / "runs").rglob("*")) if file.is_file()}
    monkeypatch.chdir(finished)
    monkeypatch.setattr(spectrum_vae, "train_one", lambda job: pytest.fail("a network was trained"))
    spectrum_vae.main()
    assert before == {file: file.read_bytes() for file in sorted((finished / "runs").rglob("*")) if file.is_file()}


def test_choice_of_a_network_needs_no_label(finished, tmp_path, monkeypatch):
    """With every label overwritten by noise, the same weights are chosen."""
    noise = np.random.default_rng(0)
    scrambled = level_spectra()
    for name in ("kondo_temperature", "level"):
        scrambled[name].values[:] = noise.permutation(scrambled[name].values)
    write_store(tmp_path / "data/spectra.zarr", SPECTRA, scrambled)
    (tmp_path / "params.yaml").write_text(PARAMS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LATENTLAW_SCHEDULER", "serial")
    spectrum_vae.main()
    for file in sorted((finished / "runs/spectrum_vae").rglob("*.safetensors")):
        assert file.read_bytes() == (tmp_path / file.relative_to(finished)).read_bytes()
    name = "runs/spectrum_vae/selection.json"
    assert (finished / name).read_text() == (tmp_path / name).read_text()


def test_latents_find_scale_and_asymmetry(finished):
    """On test Hamiltonians: the 19 held-out ones that were solved and the 12 or so of the split."""
    best = metrics(finished, "latents")["best_abs_spearman"]
    assert set(best) == {"log_T_K", "asymmetry", "n_d", "log_max_scale"}
    for name, record in best.items():
        assert {"value", "low", "high", "latent", "subset", "linear_direction", "nonlinear_r2"} <= set(record), name
        assert 0 <= record["low"] <= record["value"] <= record["high"] <= 1
        assert record["baseline"] in ("centroid", "log_width", "imbalance", "height")
    assert 19 < best["log_T_K"]["n_hamiltonians"] == best["log_T_K"]["n_rows"] < 45
    assert best["log_max_scale"]["n_hamiltonians"] < best["log_T_K"]["n_hamiltonians"]
    assert best["asymmetry"]["value"] > 0.9
    assert best["log_T_K"]["latent"].startswith("even")
    assert best["log_max_scale"]["subset"] == "full"


def test_the_asymmetry_of_both_mirror_images_is_in_an_odd_latent(finished):
    """Of unmirrored rows alone an even latent may know as much: there its sign is one."""
    table = json.loads((finished / "reports/details/latents.json").read_text())["subsets"]["low_temperature"]
    lines = table["associations"]
    assert max(lines, key=lambda latent: abs(lines[latent]["asymmetry"]["spearman"][0])).startswith("odd")


def test_latents_report_all_seeds_and_words(finished):
    message = json.loads((finished / "reports/details/latents.json").read_text())["subsets"]["low_temperature"]
    sets = message["held_out"]["log_T_K"]["test"]
    assert {"network", "seed_0", "seed_1", "autoencoder", "beta_vae", "untrained", "summaries"} <= set(sets)
    assert sets["network"] in (sets["seed_0"], sets["seed_1"])
    assert sets["summaries"]["ahead"] == [0, 0, 0]
    assert sets["network"]["ahead"][0] == pytest.approx(
        sets["network"]["spearman"][0] - sets["summaries"]["spearman"][0]
    )
    assert len(message["meaning"]) == len(message["associations"])
    assert all("nats a spectrum" in sentence for sentence in message["meaning"])
    first = next(iter(message["associations"].values()))["asymmetry"]
    assert {"pearson", "spearman", "distance_correlation", "mutual_information"} == set(first)


def test_latents_store_is_the_encoding_of_its_rows(finished):
    message = read_latents(finished / "data/latents.zarr", "low_temperature")
    original = level_spectra()
    assert (original["temperature"].values[message.spectrum_row] == 1e-6).all()
    assert (original["status"].values[message.spectrum_row] == OK).all()
    assert (original["hamiltonian"].values[message.spectrum_row] == message.hamiltonian).all()
    mirrored = original["mirrored"].values[message.spectrum_row]
    sign = np.array([1 if name.startswith("even") else -1 for name in message.names])
    np.testing.assert_allclose(message.mean[mirrored], sign * message.mean[~mirrored], atol=2e-5)
    assert message.traversal_spectrum.shape == (len(message.names), 5, 41)
    with pytest.raises(ValueError, match="found the subsets"):
        read_latents(finished / "data/latents.zarr", "all")


def test_latents_are_reproducible_bit_for_bit(finished, monkeypatch):
    before = metrics(finished, "latents"), read_manifest(finished / "data/latents.zarr").hash
    monkeypatch.chdir(finished)
    latents.main()
    assert (metrics(finished, "latents"), read_manifest(finished / "data/latents.zarr").hash) == before


@pytest.mark.slow
def test_a_killed_stage_goes_on_to_the_same_weights(finished, tmp_path):
    shutil.copytree(finished / "data/spectra.zarr", tmp_path / "data/spectra.zarr")
    (tmp_path / "params.yaml").write_text(PARAMS)
    command = [sys.executable, "-m", "pipeline.impurity.spectrum_vae"]
    environment = {"PYTHONPATH": str(REPOSITORY), "LATENTLAW_SCHEDULER": "serial", "PATH": "/usr/bin:/bin"}
    process = subprocess.Popen(command, cwd=tmp_path, env=environment)
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob(".cache/generation/spectrum_vae_*/*.task")) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "runs").exists()
    subprocess.run(command, cwd=tmp_path, env=environment, check=True)
    for file in sorted((finished / "runs/spectrum_vae").rglob("*.safetensors")):
        assert file.read_bytes() == (tmp_path / file.relative_to(finished)).read_bytes()


def hamiltonians(n, n_held_out):
    numbers = np.repeat(np.arange(n + n_held_out), 3)
    return xr.Dataset({"hamiltonian": ("sample", numbers), "held_out": ("sample", numbers >= n)})


def test_splits_keep_every_hamiltonian_together_and_do_not_move_when_more_come():
    settings = {"validation": 0.1, "test": 0.2, "seed": 3}
    split = split_by_hamiltonian(hamiltonians(200, 0), np.arange(600), **settings)
    for name in range(200):
        assert len(set(split[3 * name : 3 * name + 3])) == 1
    assert (split[:150] == split_by_hamiltonian(hamiltonians(50, 0), np.arange(150), **settings)).all()
    assert np.mean(split == 2) == pytest.approx(0.2, abs=0.08)
    assert set(split_by_hamiltonian(hamiltonians(3, 0), np.arange(9), **settings)) == {0, 1, 2}
    with pytest.raises(ValueError, match="found 2 Hamiltonians"):
        split_by_hamiltonian(hamiltonians(2, 5), np.arange(21), **settings)


def test_held_out_hamiltonians_are_test_ones_and_move_no_other():
    settings = {"validation": 0.1, "test": 0.2, "seed": 3}
    split = split_by_hamiltonian(hamiltonians(200, 40), np.arange(720), **settings)
    assert (split[600:] == 2).all()
    assert (split[:600] == split_by_hamiltonian(hamiltonians(200, 0), np.arange(600), **settings)).all()


def test_subsets_are_chosen_by_inputs():
    spectra = level_spectra(5, 2)
    assert len(subset_rows(spectra, "full")) == 12
    assert len(subset_rows(spectra, "low_temperature")) == 8
    spectra["field"].values[:] = 0.1
    with pytest.raises(ValueError, match="no spectrum at the lowest temperature"):
        subset_rows(spectra, "low_temperature")
    with pytest.raises(ValueError, match="found 'hot'"):
        subset_rows(spectra, "hot")


def test_bad_params_are_refused_before_anything_is_read(tmp_path, monkeypatch):
    broken = (
        PARAMS.replace("nested_dropout: 0.3", "nested_dropout: 1.3")
        .replace("seeds: [0, 1]", "seeds: []")
        .replace("n_odd: 1", "odd: 1")
    )
    (tmp_path / "params.yaml").write_text(broken)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        ParamsError,
        match=r"(?s)spectrum_vae\.odd.*spectrum_vae\.seeds.*spectrum_vae\.n_odd.*spectrum_vae\.nested_dropout",
    ):
        spectrum_vae.main()


@pytest.mark.parametrize(("stage", "path"), [(spectrum_vae, "runs/spectrum_vae"), (latents, "data/latents.zarr")])
def test_what_the_stage_did_not_make_is_left_alone(stage, path, tmp_path, monkeypatch):
    (tmp_path / "params.yaml").write_text(PARAMS)
    (tmp_path / path).mkdir(parents=True)
    (tmp_path / path / "notes.txt").write_text("mine")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(OutputRefused, match=r"something that is no .* made here"):
        stage.main()
    assert [file.name for file in (tmp_path / path).iterdir()] == ["notes.txt"]


def test_a_store_of_another_kind_is_refused(tmp_path, monkeypatch):
    (tmp_path / "params.yaml").write_text(PARAMS)
    write_store(tmp_path / "data/spectra.zarr", SPECTRA, level_spectra(5, 1))
    group = json.loads((tmp_path / "data/spectra.zarr/zarr.json").read_text())
    group["attributes"]["schema_version"] = "99"
    (tmp_path / "data/spectra.zarr/zarr.json").write_text(json.dumps(group))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SchemaError, match="schema_version '99'"):
        spectrum_vae.main()
