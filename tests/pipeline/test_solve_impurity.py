"""The one-impurity command: what it prints, what it writes, what it refuses."""

import json

import numpy as np
import pytest

from pipeline.solve_impurity import main

PARAMETERS = ["--interaction", "0.2", "--level", "-0.06", "--hybridization", "0.02", "--temperature", "1e-3"]


def test_it_prints_one_json_object_and_writes_both_spins(tmp_path, capsys):
    out, picture = tmp_path / "spectrum.npz", tmp_path / "spectrum.png"
    code = main(
        [*PARAMETERS, "--field", "0.01", "--out", str(out), "--plot", str(picture), "--n-keep", "64", "--n-z", "1"]
    )
    printed = json.loads(capsys.readouterr().out)
    assert code == 0
    assert printed["n_up"] > printed["n_dn"]
    assert printed["settings"]["n_keep"] == 64
    assert set(printed["kondo_temperature"]) == {"susceptibility", "half_width", "haldane", "haldane_corrected"}
    assert printed["cpu_s"] > 0
    with np.load(out) as data:
        assert sorted(data) == ["omega", "spectrum_dn", "spectrum_up"]
        assert data["omega"].shape == data["spectrum_up"].shape == data["spectrum_dn"].shape
        assert np.trapezoid(data["spectrum_up"], data["omega"]) == pytest.approx(1, abs=0.02)
    assert picture.stat().st_size > 10_000
    assert sorted(p.name for p in tmp_path.iterdir()) == ["spectrum.npz", "spectrum.png"]


def test_all_that_is_wrong_is_said_at_once_and_nothing_written(tmp_path, capsys):
    wrong = ["--interaction", "nan", "--level", "0", "--hybridization", "0", "--temperature", "-1"]
    assert main([*wrong, "--out", str(tmp_path / "missing" / "s.npz")]) == 2
    message = capsys.readouterr().err
    assert all(word in message for word in ("interaction", "temperature", "does not exist"))
    assert not list(tmp_path.iterdir())


def test_bad_settings_are_refused(tmp_path, capsys):
    assert main([*PARAMETERS, "--out", str(tmp_path / "s.npz"), "--discretization", "1"]) == 2
    assert "Lambda" in capsys.readouterr().err
