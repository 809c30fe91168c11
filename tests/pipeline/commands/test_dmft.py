"""`latentlaw dmft`: limits that are known, runs that are stopped and go on, what is refused."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, get_args, get_type_hints

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from models.physics.dmft.hubbard import check_model
from pipeline.commands import dmft
from pipeline.commands.options.dmft import DMFTOptions
from pipeline.runtime.stage import OptionsError
from tests.pipeline.commands.running import run

ROOT = Path(__file__).parents[3]
QUICK = ["--n-keep", "48", "--n-z", "1", "--broadening", "0.5", "--tolerance", "1e-2"]
METAL = ["dmft", "--interaction", "1", "--temperature", "1e-3", *QUICK]
DOPED = [*METAL, "--filling", "0.9"]


def npz(path: Path) -> dict[str, Any]:
    with np.load(path) as data:
        return dict(data)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_without_interaction_the_spectrum_is_the_semicircle(tmp_path, capsys):
    out, picture = tmp_path / "free.npz", tmp_path / "free.png"
    words = ["--interaction", "0", "--temperature", "1e-3", *QUICK]
    assert run("dmft", *words, "--out", out, "--plot", picture) == 0
    printed, data = json.loads(capsys.readouterr().out), npz(out)
    assert sorted(data) == ["bath", "chemical_potential", "omega", "self_energy", "spectrum"]
    inside = np.abs(data["omega"]) < 0.98
    semicircle = 2 / np.pi * np.sqrt(1 - data["omega"][inside] ** 2)
    assert_allclose(data["spectrum"][inside], semicircle, atol=1e-6)
    assert_allclose(data["bath"][inside], np.pi / 4 * semicircle, atol=1e-6)  # Im Delta = D^2 Im G / 4
    assert_array_equal(data["self_energy"], 0)
    assert printed["converged"] and printed["problem"] is None and printed["notes"] == []
    assert printed["quasiparticle_weight"] == pytest.approx(1)
    assert printed["double_occupancy"] == pytest.approx(0.25, abs=2e-3)
    assert printed["spectrum_at_fermi_level"]["found"] == pytest.approx(2 / np.pi, abs=1e-6)
    assert printed["spectrum_at_fermi_level"]["expected"] == pytest.approx(2 / np.pi, abs=1e-6)
    assert printed["sum_rule"] == pytest.approx(1, abs=2e-3)
    assert picture.stat().st_size > 10_000
    assert names(tmp_path) == ["free.npz", "free.png"]


def test_a_half_filled_metal_is_symmetric_and_pinned(tmp_path, capsys):
    out = tmp_path / "metal.npz"
    words = ["--interaction", "2", "--temperature", "1e-5", *QUICK]
    assert run("dmft", *words, "--out", out) == 0
    said = capsys.readouterr()
    printed, data = json.loads(said.out), npz(out)
    assert_array_equal(data["omega"], -data["omega"][::-1])
    assert_allclose(data["spectrum"], data["spectrum"][::-1], atol=1e-9)
    assert_allclose(data["self_energy"], 2 - np.conj(data["self_energy"][::-1]), atol=1e-9)
    assert data["chemical_potential"] == printed["chemical_potential"] == pytest.approx(1)
    height = printed["spectrum_at_fermi_level"]
    assert height["found"] == pytest.approx(2 / np.pi, rel=0.01)
    assert [height["expected"], height["free_electrons"]] == pytest.approx([2 / np.pi] * 2)
    assert printed["filling"]["luttinger"] == pytest.approx(1)
    assert 0.1 < printed["quasiparticle_weight"] < 0.35
    lines = [line for line in said.err.splitlines() if line.startswith("dmft: iteration ")]
    assert len(lines) == printed["n_iterations"] == len(printed["changes"])
    assert f"iteration 1: change {printed['changes'][0]:.2e}, Z 0." in lines[0] and lines[0].endswith(" CPU s")


def test_electrons_and_holes_are_alike(tmp_path, capsys):
    """A_n(w) = A_(2-n)(-w), mu_n + mu_(2-n) = U."""
    printed, spectra = [], []
    for filling in ("0.8", "1.2"):
        out = tmp_path / f"{filling}.npz"
        assert run(*METAL, "--n-keep", "100", "--tolerance", "2e-3", "--filling", filling, "--out", out) == 0
        printed.append(json.loads(capsys.readouterr().out))
        spectra.append(npz(out)["spectrum"])
    assert_allclose(spectra[1], spectra[0][::-1], atol=5e-3)
    assert sum(one["chemical_potential"] for one in printed) == pytest.approx(1, abs=3e-3)
    for one in printed:
        assert one["filling"]["impurity"] == pytest.approx(one["filling"]["asked"], abs=2e-3)
        assert one["filling"]["luttinger"] == pytest.approx(one["filling"]["asked"], abs=0.03)


def test_an_insulator_has_a_gap_and_no_quasiparticles(tmp_path, capsys):
    out, picture = tmp_path / "gap.npz", tmp_path / "gap.svg"
    words = ["--interaction", "4", "--temperature", "1e-2", "--start", "insulator", *QUICK]
    assert run("dmft", *words, "--out", out, "--plot", picture) == 0
    printed, data = json.loads(capsys.readouterr().out), npz(out)
    assert printed["quasiparticle_weight"] is None
    assert printed["spectrum_at_fermi_level"]["expected"] is None
    assert printed["filling"]["luttinger"] is None
    assert data["spectrum"][np.abs(data["omega"]) < 0.3].max() < 0.02
    assert any(note.startswith("insulator: A(0) D = ") for note in printed["notes"])
    assert picture.stat().st_size > 10_000


def test_a_semicircle_from_a_file_is_the_bethe_lattice(tmp_path, capsys):
    """The density need not have norm 1, and text, CSV with names, and NPZ say the same."""
    energy = np.sin(np.linspace(-np.pi / 2, np.pi / 2, 101))
    density = 7 * np.sqrt(np.maximum(1 - energy**2, 0))
    np.savetxt(tmp_path / "dos.txt", np.transpose([energy, density]), header="energy density")
    np.savetxt(tmp_path / "dos.csv", np.transpose([energy, density]), header="E,rho", delimiter=",", comments="")
    np.savez(tmp_path / "dos.npz", energy=energy, density=density)
    for name in ("dos.txt", "dos.csv", "dos.npz"):
        asked = DMFTOptions(interaction=1.0, temperature=1e-3, lattice=str(tmp_path / name), out=tmp_path / "s.npz")
        lattice = asked.lattice_model()
        assert_allclose(lattice.energy, energy, atol=1e-15)
        assert_allclose(lattice.density, 2 / np.pi * np.sqrt(np.maximum(1 - energy**2, 0)), atol=1e-3)
    words = ["dmft", "--interaction", "1", "--temperature", "1e-2", *QUICK]
    spectra = []
    for lattice in ("bethe", tmp_path / "dos.txt"):
        out = tmp_path / f"{Path(lattice).stem}_out.npz"
        assert run(*words, "--lattice", lattice, "--out", out) == 0
        spectra.append(npz(out)["spectrum"])
    assert_allclose(spectra[1], spectra[0], atol=5e-3)


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """What DOPED makes undisturbed."""
    out = tmp_path_factory.mktemp("whole") / "whole.npz"
    assert run(*DOPED, "--out", out) == 0
    return out


def test_a_killed_run_goes_on_to_the_same_bits(whole, tmp_path, capsys):
    out, kept = tmp_path / "killed.npz", tmp_path / "killed.npz.iterations"
    command = [sys.executable, "-m", "pipeline.cli", *DOPED, "--out", str(out)]
    child = subprocess.Popen(
        command, env=os.environ | {"PYTHONPATH": str(ROOT)}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 300
    while not (kept / "0000.task").is_file() and child.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    child.send_signal(signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL, "it ended before it was killed"
    assert not out.exists()
    n_kept = len(list(kept.glob("*.task")))
    assert run(*DOPED, "--out", out) == 0
    said = capsys.readouterr()
    printed = json.loads(said.out)
    assert printed["n_reused"] == n_kept > 0
    assert f"{n_kept} iterations of an earlier run are taken from {kept}" in said.err
    assert printed["converged"]
    for name, values in npz(whole).items():
        assert_array_equal(npz(out)[name], values)
    assert names(tmp_path) == ["killed.npz"]


def test_ctrl_c_keeps_the_iterations_and_says_how_to_go_on(tmp_path, capsys, monkeypatch):
    out = tmp_path / "a.npz"

    def interrupt(sentence: str, say=dmft.say) -> None:
        say(sentence)
        if sentence.startswith("iteration 2"):
            raise KeyboardInterrupt

    monkeypatch.setattr(dmft, "say", interrupt)
    assert run(*METAL, "--out", out) == 130
    said = capsys.readouterr()
    assert said.out == ""
    assert f"dmft: interrupted. 2 iterations are kept in {out}.iterations: run the same command again" in said.err
    assert names(tmp_path / "a.npz.iterations") == ["0000.task", "0001.task", "parameters.json"]
    monkeypatch.undo()
    assert run(*METAL, "--out", out) == 0
    assert json.loads(capsys.readouterr().out)["n_reused"] == 2
    assert names(tmp_path) == ["a.npz"]


def test_what_did_not_converge_is_written_and_goes_on_with_more_iterations(whole, tmp_path, capsys):
    out = tmp_path / "a.npz"
    assert run(*DOPED, "--out", out, "--max-iterations", "1") == 1
    said = capsys.readouterr()
    printed = json.loads(said.out)
    assert not printed["converged"]
    assert "expected 0.01 or less" in printed["problem"] and any("not converged" in note for note in printed["notes"])
    assert "dmft: not converged: found a change of" in said.err
    assert "run again with --overwrite and more than --max-iterations 1" in said.err
    assert npz(out)["spectrum"].size > 100
    n_made = printed["n_iterations"]
    assert len(list((tmp_path / "a.npz.iterations").glob("*.task"))) == n_made
    with pytest.raises(OptionsError, match="give --overwrite"):
        run(*DOPED, "--out", out)
    assert run(*DOPED, "--out", out, "--overwrite") == 0
    again = json.loads(capsys.readouterr().out)
    assert again["n_reused"] == n_made
    assert again["converged"] and again["changes"][:n_made] == printed["changes"]
    for name, values in npz(whole).items():
        assert_array_equal(npz(out)[name], values)
    assert names(tmp_path) == ["a.npz"]


@pytest.fixture(scope="module")
def given_up(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("given_up")
    assert run(*METAL, "--max-iterations", "1", "--out", folder / "a.npz") == 1
    return folder


@pytest.fixture
def stopped(given_up, tmp_path) -> Path:
    """An output beside which iterations of METAL are kept."""
    shutil.copytree(given_up, tmp_path, dirs_exist_ok=True)
    return tmp_path / "a.npz"


def test_iterations_of_other_parameters_are_refused_and_stay(stopped: Path):
    kept = stopped.with_name("a.npz.iterations")
    before = names(kept)
    other = ["--temperature", "2e-3", "--filling", "0.9", "--n-keep", "32"]
    with pytest.raises(OptionsError) as raised:
        run(*METAL, *other, "--out", stopped, "--overwrite")
    message = str(raised.value)
    assert "found temperature 0.001, expected 0.002" in message
    assert "found filling 1.0, expected 0.9" in message
    assert "found n_keep 48, expected 32" in message
    assert f"name another output, or rm -r {kept}" in message
    assert names(kept) == before


def test_iterations_of_other_code_are_refused(stopped: Path):
    parameters = stopped.with_name("a.npz.iterations") / "parameters.json"
    parameters.write_text(json.dumps(json.loads(parameters.read_text()) | {"code": "0"}))
    with pytest.raises(OptionsError, match="found another version of the code or of its libraries"):
        run(*METAL, "--out", stopped, "--overwrite")
    parameters.unlink()
    with pytest.raises(OptionsError, match=r"found no parameters.json that can be read"):
        run(*METAL, "--out", stopped, "--overwrite")


def test_a_damaged_iteration_is_made_anew_and_files_of_others_are_refused(stopped: Path, capsys):
    kept = stopped.with_name("a.npz.iterations")
    content = (kept / "0001.task").read_bytes()
    (kept / "0001.task").write_bytes(content[:50] + b"x" + content[51:])
    (kept / "notes.txt").write_text("mine")
    with pytest.raises(OptionsError, match=r"that were not made with it \(notes.txt\); move them"):
        run(*METAL, "--out", stopped, "--overwrite")
    (kept / "notes.txt").unlink()
    assert run(*METAL, "--out", stopped, "--overwrite") == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["n_reused"] == 1
    assert "0001.task: checksum does not fit" in said.err


def test_all_that_is_wrong_is_said_at_once_and_nothing_is_written(tmp_path):
    wrong = ["--interaction", "-1", "--temperature", "nan", "--filling", "2", "--start", "superconductor"]
    with pytest.raises(OptionsError) as raised:
        run("dmft", *wrong, "--mixing", "0", "--out", tmp_path / "missing" / "s.txt", "--plot", tmp_path / "p.doc")
    message = str(raised.value)
    for option in ("interaction", "temperature", "filling", "start", "mixing", "out", "plot"):
        assert f"--{option}: found" in message
    with pytest.raises(OptionsError) as raised:
        run(*METAL, "--n-keep", "1", "--broadening", "0", "--lattice", "nowhere.txt", "--out", tmp_path / "s.npz")
    message = str(raised.value)
    assert "n_keep: found 1" in message and "broadening: found 0.0" in message
    assert "--lattice: nowhere.txt: found no such file, expected a file with columns energy, density" in message
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (
            "-1 0\n0 x\n# half\n1\n",
            ["d.txt:2: found 'x', expected numbers", "d.txt:4: found 1 numbers, expected columns energy"],
        ),
        ("-1 0\n1 0\n0 1\n", ["d.txt: density of states: expected ascending energies"]),
        ("-1 0\n0 -1\n1 0\n", ["a density >= 0"]),
        ("-1 0\n0 nan\n1 0\n", ["not finite"]),
        ("-1 0\n0 0\n1 0\n", ["found no weight"]),
        ("-6 0\n0 1\n6 0\n", ["found a band from -6 to 6", "divide them by it"]),
        ("-1 0\n-0.05 0\n0 1\n0.05 0\n", ["found a band from -0.05 to 0.05", "at least 0.2 wide"]),
        ("", ["found no rows of numbers"]),
        ("energy density\n", ["found no rows of numbers"]),
    ],
)
def test_a_density_of_states_that_is_none_is_refused_with_its_lines(content: str, said: list[str], tmp_path: Path):
    (tmp_path / "d.txt").write_text(content)
    with pytest.raises(OptionsError) as raised:
        run(*METAL, "--lattice", tmp_path / "d.txt", "--out", tmp_path / "s.npz")
    assert all(part in str(raised.value) for part in said), str(raised.value)
    assert names(tmp_path) == ["d.txt"]


def test_an_npz_without_the_arrays_and_files_that_are_none_are_refused(tmp_path: Path):
    np.savez(tmp_path / "d.npz", energy=np.arange(3.0), rho=np.ones(3))
    (tmp_path / "torn.npz").write_bytes((tmp_path / "d.npz").read_bytes()[:100])
    (tmp_path / "picture.txt").write_bytes(b"\x89PNG\xff")
    np.savez(tmp_path / "complex.npz", energy=np.arange(3.0), density=np.ones(3) * 1j)
    for name, said in (
        ("d.npz", "found arrays energy, rho, expected energy, density"),
        ("torn.npz", "cannot be read as NPZ"),
        ("picture.txt", "found bytes that are no text"),
        ("complex.npz", "found no real numbers in density"),
        (".", "found a folder"),
    ):
        with pytest.raises(OptionsError, match=said):
            run(*METAL, "--lattice", tmp_path / name, "--out", tmp_path / "s.npz")


def test_the_file_of_the_lattice_is_never_written_over(tmp_path: Path):
    energy = np.linspace(-1, 1, 21)
    np.savez(tmp_path / "d.npz", energy=energy, density=1 - energy**2)
    before = (tmp_path / "d.npz").read_bytes()
    with pytest.raises(OptionsError, match="the file of --lattice; name another one"):
        run(*METAL, "--lattice", tmp_path / "d.npz", "--out", tmp_path / "d.npz", "--overwrite")
    assert (tmp_path / "d.npz").read_bytes() == before


def test_the_ranges_of_the_options_are_those_of_the_model():
    hints = get_type_hints(DMFTOptions, include_extras=True)
    inside = {"interaction": 1.0, "temperature": 1e-3, "filling": 1.0}
    for name in inside:
        option = get_args(hints[name])[1]
        for limit, beyond in ((option.low, -1e-12), (option.high, 1e-6)):
            check_model(**inside | {name: limit})
            with pytest.raises(ValueError, match=f"{name}: found"):
                check_model(**inside | {name: limit + beyond})
