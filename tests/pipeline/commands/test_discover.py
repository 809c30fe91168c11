"""`latentlaw discover`: a file in, a folder out; what is asked wrongly is said before anything is read."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from pipeline.cli import app
from pipeline.discover import study as steps
from stores.discovered import DISCOVERED
from stores.zarr_store import open_store

RNG = np.random.default_rng(11)
N = 160
RATE = RNG.uniform(0.3, 3.0, N)


@pytest.fixture
def data(tmp_path):
    curves = np.exp(-RATE[:, None] * np.linspace(0, 3, 16)) + 0.005 * RNG.standard_normal((N, 16))
    np.savez(tmp_path / "decays.npz", curve=curves, rate=RATE)
    return tmp_path / "decays.npz"


def run(*words: str):
    return CliRunner().invoke(app, ["discover", *words])


def test_a_folder_with_report_numbers_and_latents(data, monkeypatch):
    monkeypatch.setattr("pipeline.discover.folder.QUICK", steps.Budget(
        betas=(0.3,), n_seeds=2, n_steps=400, n_engine_seeds=1, generations=5))  # fmt: skip
    out = data.parent / "found"
    answer = run(
        str(data), "--array", "curve", "--inputs", "rate", "--units", "rate=1/s,axis=s", "--quick", "--out", str(out)
    )
    assert answer.exit_code == 0, answer.output
    record = json.loads((out / "discover.json").read_text())
    assert record["n_rows"] == N and record["best"]["rate"]["abs_spearman"] > 0.9
    latents = open_store(out / "latents.zarr", DISCOVERED)
    assert latents.sizes["sample"] == N and latents.sizes["latent"] == record["active_latents"]
    assert (out / "report.html").read_text().startswith("<!doctype html>")
    first = (out / "discover.json").read_bytes(), (out / "report.html").read_bytes()
    assert "rate_axis" in record["formulas"][0]["equation"]
    run(str(data), "--array", "curve", "--inputs", "rate", "--units", "rate=1/s,axis=s", "--quick", "--out", str(out))
    assert ((out / "discover.json").read_bytes(), (out / "report.html").read_bytes()) == first


def test_wrong_words_are_all_named_at_once(data):
    answer = run(str(data), "--array", "curve", "--inputs", "rate,a-b,rate", "--known", "rate")
    assert answer.exit_code == 2
    assert "'rate' twice" in answer.output and "'a-b'" in answer.output
    units = run(str(data), "--array", "curve", "--inputs", "rate", "--units", "rate=1/s^x,size=m").output
    assert "'rate=1/s^x'" in units
    assert "found size" in run(str(data), "--array", "curve", "--inputs", "rate", "--units", "rate=1,size=m").output
    assert "found neither" in run(str(data), "--array", "curve").output


def test_an_array_that_is_not_there_lists_those_that_are(data):
    answer = run(str(data), "--array", "spectrum", "--inputs", "rate", "--out", str(data.parent / "x"))
    assert answer.exit_code == 1 and not (data.parent / "x").exists()
