"""The one-impurity command: what it prints, what it writes, what it refuses."""

import json

import numpy as np
import pytest

from pipeline.runtime.stage import OptionsError
from tests.pipeline.commands.running import run

PARAMETERS = ["--interaction", "0.2", "--level", "-0.06", "--hybridization", "0.02", "--temperature", "1e-3"]


def test_it_prints_one_json_object_and_writes_both_spins(tmp_path, capsys):
    out, picture = tmp_path / "spectrum.npz", tmp_path / "spectrum.png"
    code = run(
        "solve-impurity",
        *PARAMETERS,
        "--field",
        "0.01",
        "--out",
        str(out),
        "--plot",
        str(picture),
        "--n-keep",
        "64",
        "--n-z",
        "1",
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


def test_all_that_is_wrong_is_said_at_once_and_nothing_written(tmp_path):
    wrong = ["--interaction", "nan", "--level", "0", "--hybridization", "0", "--temperature", "-1"]
    with pytest.raises(OptionsError) as raised:
        run("solve-impurity", *wrong, "--out", str(tmp_path / "missing" / "s.npz"))
    message = str(raised.value)
    assert all(word in message for word in ("interaction", "temperature", "does not exist"))
    assert not list(tmp_path.iterdir())


def test_bad_settings_are_refused(tmp_path):
    with pytest.raises(OptionsError) as raised:
        run("solve-impurity", *PARAMETERS, "--out", str(tmp_path / "s.npz"), "--discretization", "1")
    assert "discretization: found 1.0" in str(raised.value)


QUICK = ["--n-keep", "32", "--n-z", "1", "--temperature", "1e-3"]


@pytest.mark.parametrize(
    ("interaction", "level", "hybridization", "field"),
    [
        ("0.2", "-2.5", "0.02", "0"),
        ("20", "-10", "0.02", "0"),
        ("0.2", "-0.1", "0.02", "100"),
        ("0.2", "-0.1", "2", "0"),
    ],
)
def test_bound_states_outside_the_band_are_reported(tmp_path, capsys, interaction, level, hybridization, field):
    """Their weight is missing from the spectrum that is written; before, an empty spectrum came without a word."""
    impurity = ["--interaction", interaction, "--level", level, "--hybridization", hybridization, "--field", field]
    assert run("solve-impurity", *impurity, *QUICK, "--out", str(tmp_path / "s.npz")) == 0
    expected_message = capsys.readouterr()
    printed = json.loads(expected_message.out)
    assert printed["weight_in_band"]["up"] < 0.5
    assert any("A_up has" in note and "bound states at |omega| > 1" in note for note in printed["notes"])
    assert "note: A_up has" in expected_message.err
    with np.load(tmp_path / "s.npz") as data:
        found = np.trapezoid(data["spectrum_up"], data["omega"])
    assert found == pytest.approx(printed["weight_in_band"]["up"], abs=0.05)


@pytest.mark.parametrize(
    ("interaction", "level", "hybridization", "reason"),
    [
        ("0.2", "-0.1", "2", "U / (pi Gamma) = 0.0318: expected at least 1"),
        ("0.2", "0.05", "0.02", "-eps_d = -0.05: expected at least Gamma"),
        ("0.2", "-0.19", "0.02", "eps_d + U = 0.01: expected at least Gamma"),
        ("2", "-1", "0.02", "U = 2: expected at most the half bandwidth"),
    ],
)
def test_haldanes_formula_is_reported_outside_its_range(tmp_path, capsys, interaction, level, hybridization, reason):
    impurity = ["--interaction", interaction, "--level", level, "--hybridization", hybridization]
    assert run("solve-impurity", *impurity, *QUICK, "--out", str(tmp_path / "s.npz")) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["kondo_temperature"]["haldane"] is None
    assert printed["kondo_temperature"]["haldane_corrected"] is None
    assert any(reason in note for note in printed["notes"])


def test_inside_the_range_there_is_nothing_to_note(tmp_path, capsys):
    low = [*PARAMETERS[:-1], "1e-6", "--n-keep", "128", "--n-z", "2"]
    assert run("solve-impurity", *low, "--out", str(tmp_path / "s.npz")) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["notes"] == []
    assert printed["kondo_temperature"]["haldane_corrected"] > 0
    assert abs(printed["friedel_residual"]["up"]) < 0.01


def test_a_spectrum_that_truncation_spoilt_is_told(tmp_path, capsys):
    """So few states serve no temperature of 1e-20: pi Gamma A(0) is off by 0.93."""
    cold = [*PARAMETERS[:-1], "1e-20", "--n-keep", "32", "--n-z", "1"]
    assert run("solve-impurity", *cold, "--out", str(tmp_path / "s.npz")) == 0
    printed = json.loads(capsys.readouterr().out)
    assert abs(printed["friedel_residual"]["up"]) > 0.05
    assert any("A_up breaks Friedel's sum rule by" in note and "raise n_keep" in note for note in printed["notes"])


@pytest.mark.parametrize("option", ["--interaction", "--level", "--hybridization", "--field"])
def test_energies_far_beyond_any_band_are_refused(tmp_path, option):
    """1e308 ended in a traceback of the eigenvalue solver."""
    with pytest.raises(OptionsError, match=rf"{option}: found 1e308, expected a number .* <= 1e\+06 \[D\]"):
        run("solve-impurity", *PARAMETERS, option, "1e308", "--out", str(tmp_path / "s.npz"))


def test_a_chain_that_would_take_minutes_in_silence_is_refused(tmp_path):
    with pytest.raises(OptionsError, match=r"found a chain of 512 sites.*expected at most 260; raise one of them"):
        long = [*PARAMETERS[:-1], "1e-20", "--discretization", "1.2"]
        run("solve-impurity", *long, "--out", str(tmp_path / "s.npz"))


@pytest.mark.parametrize("temperature", ["1e-100", "1e10", "0", "nan"])
def test_temperatures_that_no_chain_serves_are_refused_at_once(tmp_path, temperature):
    """1e-100 ran for minutes in silence, 1e10 ended in a traceback."""
    with pytest.raises(OptionsError) as raised:
        run("solve-impurity", *PARAMETERS[:-1], temperature, "--out", str(tmp_path / "s.npz"))
    assert "temperature" in str(raised.value)
    assert not list(tmp_path.iterdir())
