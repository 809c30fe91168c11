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


def test_spin_multiplets_give_the_same_answer(tmp_path, capsys):
    answers, spectra = [], []
    for symmetry in ("u1", "su2"):
        out = tmp_path / f"{symmetry}.npz"
        assert run("solve-impurity", *PARAMETERS, *QUICK, "--symmetry", symmetry, "--out", str(out)) == 0
        answers.append(json.loads(capsys.readouterr().out))
        with np.load(out) as data:
            spectra.append(data["spectrum_up"])
    assert [answer["settings"]["symmetry"] for answer in answers] == ["u1", "su2"]
    np.testing.assert_allclose(*spectra, rtol=0, atol=1e-10 * spectra[0].max())
    for name in ("n_up", "double_occupancy"):
        assert answers[0][name] == pytest.approx(answers[1][name], rel=1e-10)
    measured = [answer["kondo_temperature"]["susceptibility"] for answer in answers]
    assert measured[0] == pytest.approx(measured[1], rel=1e-10)


def test_spin_multiplets_in_a_field_are_refused_before_anything_is_solved(tmp_path):
    words = [*PARAMETERS, *QUICK, "--symmetry", "su2", "--field", "0.01"]
    with pytest.raises(OptionsError, match=r"symmetry su2: found B = 0\.01, expected 0: take symmetry u1, or no field"):
        run("solve-impurity", *words, "--out", str(tmp_path / "s.npz"))
    assert not list(tmp_path.iterdir())


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


ANY_BATH = ["--interaction", "0.2", "--level", "-0.06", "--temperature", "1e-3", "--n-keep", "64", "--n-z", "1"]


def test_a_flat_bath_from_a_file_is_the_flat_band(tmp_path, capsys):
    (tmp_path / "flat.csv").write_text("omega,gamma\n-1,0.02\n1,0.02\n")
    answers, spectra = [], []
    for name, band in (("number", ["--hybridization", "0.02"]), ("file", ["--bath", tmp_path / "flat.csv"])):
        out = tmp_path / f"{name}.npz"
        assert run("solve-impurity", *ANY_BATH, *band, "--out", out) == 0
        answers.append(json.loads(capsys.readouterr().out))
        with np.load(out) as data:
            spectra.append(data["spectrum_up"])
    np.testing.assert_allclose(spectra[1], spectra[0], rtol=1e-9, atol=1e-9)
    number, file = answers
    for name in ("n_up", "n_dn", "double_occupancy"):
        assert file[name] == pytest.approx(number[name], abs=1e-12)
    scales = file["kondo_temperature"]
    assert scales["susceptibility"] == pytest.approx(number["kondo_temperature"]["susceptibility"])
    assert scales["haldane"] is None and scales["haldane_corrected"] is None
    assert any("they are of a flat band" in note for note in file["notes"])
    assert file["impurity"]["hybridization"] == pytest.approx(0.02)
    assert file["impurity"]["bath"] == str(tmp_path / "flat.csv")


def test_baths_of_both_spins_are_exchanged_with_them(tmp_path, capsys):
    answers = []
    for name, row in (("a", "0.03 0.01"), ("b", "0.01 0.03")):
        (tmp_path / f"{name}.txt").write_text(f"-1 {row}\n1 {row}\n")
        bath, out = tmp_path / f"{name}.txt", tmp_path / f"{name}.npz"
        assert run("solve-impurity", *ANY_BATH, "--bath", bath, "--out", out, "--plot", tmp_path / f"{name}.png") == 0
        answers.append(json.loads(capsys.readouterr().out))
    assert answers[0]["n_up"] > answers[0]["n_dn"] + 0.1
    assert answers[0]["n_up"] == pytest.approx(answers[1]["n_dn"], abs=1e-6)
    assert answers[0]["kondo_temperature"]["susceptibility"] is None
    assert any("asks for one bath of both spins" in note for note in answers[0]["notes"])


def test_a_gap_at_the_fermi_level_screens_nothing(tmp_path, capsys):
    (tmp_path / "gap.txt").write_text("-1 0.02\n-0.1 0.02\n-0.1 0\n0.1 0\n0.1 0.02\n1 0.02\n")
    assert run("solve-impurity", *ANY_BATH, "--bath", tmp_path / "gap.txt", "--out", tmp_path / "s.npz") == 0
    printed = json.loads(capsys.readouterr().out)
    assert set(printed["kondo_temperature"].values()) == {None}
    assert set(printed["friedel_residual"].values()) == {None}
    assert any("no weight of the bath at the Fermi level" in note for note in printed["notes"])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("-1 0.02\n1 -0.02\n", "gamma(1) = -0.02: expected Gamma = -Im Delta >= 0"),
        ("1 0.02\n-1 0.02\n", "omega: expected ascending"),
        ("-1 0.02\n1 much\n", "b.txt:2: found 'much', expected numbers"),
        ("-1\n1\n", "b.txt:1: found 1 numbers, expected columns omega, gamma_up, gamma_dn or omega, gamma"),
        ("-50 0.02\n50 0.02\n", "divide by it"),
    ],
)
def test_a_bath_that_is_none_is_refused(tmp_path, content, said):
    (tmp_path / "b.txt").write_text(content)
    with pytest.raises(OptionsError) as raised:
        run("solve-impurity", *ANY_BATH, "--bath", tmp_path / "b.txt", "--out", tmp_path / "s.npz")
    assert said in str(raised.value)


@pytest.mark.parametrize(("band", "found"), [([], "neither"), (["--hybridization", "0.1", "--bath", "b"], "both")])
def test_a_bath_is_given_in_one_way(tmp_path, band, found):
    with pytest.raises(OptionsError, match=f"--hybridization, --bath: found {found} of them, expected one"):
        run("solve-impurity", *ANY_BATH, *band, "--out", tmp_path / "s.npz")
