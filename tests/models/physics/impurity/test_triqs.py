"""The TRIQS adapter: the real child script runs against a stand-in module of the same API; a live test needs TRIQS."""

import dataclasses
import json
import os
import pickle
import subprocess
import sys
import textwrap
import time
import warnings
from pathlib import Path

import numpy as np
import pytest

from models.physics.impurity.bath import Bath, NoWeightAtFermiLevel, SpinBaths
from models.physics.impurity.friedel import integration_mesh
from models.physics.impurity.hamiltonian import AndersonImpurity, ImpurityInBath, hybridization_function
from models.physics.impurity.nrg_solver import NRGSettings, NRGSolver
from models.physics.impurity.solver import SolverError
from models.physics.impurity.triqs import (
    CHILD,
    INTERPRETER_VARIABLE,
    TriqsSettings,
    TriqsSolver,
    TriqsUnavailable,
    _environment,
    _spectrum,
)
from models.physics.impurity.triqs_child import mean_gamma

FAKE_MODULES = Path(__file__).with_name("fake_triqs")
OMEGA = np.concatenate([-np.geomspace(1e-6, 1.9, 60)[::-1], [0.0], np.geomspace(1e-6, 1.9, 60)])
RESONANT_LEVEL = AndersonImpurity(interaction=0.0, level=-0.02, hybridization=0.05)


TOOLS = ("adapt", "nrgchain", "matrix", "diag", "unitary", "broaden", "kk", "perl")


def wrapper_script(folder):
    """What a user writes: a script that sets the environment of the TRIQS installation and starts its Python."""
    tools = folder / "tools"
    tools.mkdir()
    for name in TOOLS:
        write_script(tools / name, "exit 0")
    environment = f'PYTHONPATH="{FAKE_MODULES}" PATH="{tools}:$PATH"'
    return write_script(folder / "python-of-triqs", f'{environment} exec "{sys.executable}" "$@"')


def write_script(path, text):
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


@pytest.fixture
def interpreter(tmp_path):
    return wrapper_script(tmp_path)


def solve(impurity, interpreter, temperatures=(1e-5,), omega=OMEGA, **settings):
    solver = TriqsSolver(settings=TriqsSettings(**settings), interpreter=interpreter)
    return solver.solve(impurity, temperatures=np.array(temperatures), omega=omega)


def resonant_level_spectrum(impurity, sign):
    level = impurity.level - sign * impurity.field / 2
    return -(1 / (OMEGA - level - hybridization_function(OMEGA, impurity.hybridization))).imag / np.pi


@pytest.mark.parametrize("field", [0.0, 0.03, -0.03])
def test_the_noninteracting_level_comes_out_exactly_and_a_positive_field_raises_n_up(interpreter, field):
    impurity = AndersonImpurity(interaction=0.0, level=-0.02, hybridization=0.05, field=field)
    solution = solve(impurity, interpreter, temperatures=(1e-5, 1e-2))
    for row in range(2):
        np.testing.assert_allclose(solution.spectrum_up[row], resonant_level_spectrum(impurity, 1), atol=1e-10)
        np.testing.assert_allclose(solution.spectrum_dn[row], resonant_level_spectrum(impurity, -1), atol=1e-10)
    assert np.all(np.sign(solution.n_up - solution.n_dn) == np.sign(field))
    np.testing.assert_allclose(solution.double_occupancy, solution.n_up * solution.n_dn, atol=1e-12)
    assert solution.n_up.shape == (2,)


def test_the_spectrum_is_rebuilt_from_a_self_energy_known_on_another_mesh():
    def self_energy(w):
        return 0.1 + 0.4 * w - 1j * np.minimum(3 * w**2, 0.2)

    positive = 5 * 1.03 ** -np.arange(600.0)
    mesh = np.concatenate([-positive, positive[::-1]])
    impurity = AndersonImpurity(interaction=0.2, level=-0.1, hybridization=0.02, field=0.01)
    found = _spectrum(impurity, -1, OMEGA, mesh, self_energy(mesh))
    delta = hybridization_function(OMEGA, impurity.hybridization)
    expected = -(1 / (OMEGA + 0.1 - 0.005 - delta - self_energy(OMEGA))).imag / np.pi
    np.testing.assert_allclose(np.pi * 0.02 * found, np.pi * 0.02 * expected, atol=1e-3)


BATHS = {
    "box": Bath.flat(0.05),
    "wide box": Bath.flat(0.05, -2.0, 2.0),
    "slope": Bath([-1, 1], [0.02, 0.08]),
    "almost symmetric box": Bath.flat(0.05, -0.97, 1.0),
    "semicircle": Bath.from_function(lambda w: 0.1 * np.sqrt(np.maximum(1 - w**2, 0)), -1, 1),
    "pseudogap": Bath.power_law(0.05, 0.25),
    "steps": Bath([-1, -0.3, -0.3, 0.11, 0.11, 1], [0.02, 0.02, 0.06, 0.06, 0.03, 0.03]),
}


def free_occupation(impurity, spin, temperature):
    bath = impurity.of_spin(spin)
    mesh = integration_mesh(bath, 1e-9)
    inverse = mesh - impurity.level + spin * impurity.field / 2 - bath.delta(mesh)
    inverse = inverse.real + 1j * np.maximum(inverse.imag, 0.0)
    weight = -(np.diff(np.log(inverse)) / np.diff(inverse)).imag / np.pi * np.diff(mesh)
    return float(weight @ np.exp(-np.logaddexp(0, (mesh[1:] + mesh[:-1]) / 2 / temperature)))


@pytest.mark.parametrize("field", [0.0, 0.03])
@pytest.mark.parametrize("name", BATHS)
def test_a_free_level_in_any_bath_comes_out_with_the_exact_delta_and_friedels_columns(interpreter, name, field):
    """Occupations tell that the band arrives whole: its weight, its edges and its steps."""
    impurity = ImpurityInBath(interaction=0.0, level=-0.02, field=field, bath=BATHS[name])
    temperatures = np.array([1e-4, 1e-2])
    found = solve(impurity, interpreter, temperatures=temperatures)
    ours = NRGSolver(NRGSettings(n_keep=16, n_z=1)).solve(impurity, temperatures=temperatures, omega=OMEGA)
    for spin, label in ((1, "up"), (-1, "dn")):
        level = impurity.level - spin * field / 2
        exact = -(1 / (OMEGA - level - impurity.delta(OMEGA, spin))).imag / np.pi
        np.testing.assert_allclose(getattr(found, f"spectrum_{label}"), np.stack([exact, exact]), atol=1e-10)
        occupation = getattr(found, f"n_{label}")
        np.testing.assert_allclose(
            occupation, [free_occupation(impurity, spin, t) for t in temperatures.tolist()], atol=2e-4
        )
        displaced, theirs = (getattr(s, f"displaced_charge_{label}") for s in (found, ours))
        taken = theirs - getattr(ours, f"n_{label}")
        np.testing.assert_allclose(displaced - occupation, taken, atol=1e-4)
        np.testing.assert_allclose(
            getattr(found, f"weight_{label}"), getattr(ours, f"weight_{label}"), rtol=1e-3, atol=1e-4
        )


@pytest.mark.parametrize("name", BATHS)
def test_the_interface_gets_the_exact_weight_of_every_stretch_of_its_mesh(name):
    impurity = ImpurityInBath(interaction=0.1, level=-0.05, bath=BATHS[name])
    request = TriqsSolver()._request(impurity, np.array([1e-4]), OMEGA)
    (run,) = request["runs"]
    positive = request["mesh_max"] * request["mesh_ratio"] ** -np.arange(len(run["halfway"]) / 2 - 0.5)
    mesh = np.concatenate([-positive, positive[::-1]])
    gamma = mean_gamma(mesh, run)
    halfway = (mesh[1:] + mesh[:-1]) / 2
    inside = np.abs(halfway) < impurity.reach
    weight = np.cumsum(gamma[1:-1] * np.diff(halfway))
    expected = impurity.bath.cumulative(halfway[1:])
    np.testing.assert_allclose(np.diff(weight[inside[1:]]), np.diff(expected[inside[1:]]), atol=1e-12)
    # All that the interface uses: linear between the points, cut at the end of the band.
    edges = np.array([-impurity.reach, impurity.reach])
    used = np.concatenate([edges[:1], mesh[np.abs(mesh) < impurity.reach * (1 - 1e-9)], edges[1:]])
    total = np.trapezoid(np.interp(used, mesh, gamma), used)
    np.testing.assert_allclose(total, np.pi * impurity.bath.coupling_squared, rtol=2e-5)


def test_a_bath_for_each_spin_is_refused(interpreter):
    by_spin = SpinBaths(up=BATHS["box"], dn=BATHS["semicircle"])
    with pytest.raises(ValueError, match=r"triqs: a bath for each spin: expected one for both.*solver nrg takes it"):
        solve(ImpurityInBath(interaction=0.0, level=-0.02, bath=by_spin), interpreter)
    alike = SpinBaths(up=BATHS["box"], dn=Bath.flat(0.05))
    assert solve(ImpurityInBath(interaction=0.0, level=-0.02, bath=alike), interpreter).n_up.shape == (1,)


def test_a_hybridization_that_the_interface_would_raise_is_refused(interpreter):
    with pytest.raises(ValueError, match=r"triqs: hybridization = 5e-09: expected at least 1e-08 \[D\]"):
        solve(AndersonImpurity(interaction=0.0, level=-0.02, hybridization=5e-9), interpreter)
    with pytest.raises(ValueError, match=r"Gamma = 5e-07 on average: expected at least 1e-06 \[D\]"):
        solve(ImpurityInBath(interaction=0.0, level=-0.02, bath=Bath.flat(5e-7)), interpreter)
    steep = ImpurityInBath(interaction=0.0, level=-0.02, bath=Bath.power_law(0.05, 2.0))
    with pytest.raises(ValueError, match=r"omega\| = T = \[1e-07\].*expected T >= 1e-06"):
        solve(steep, interpreter, temperatures=(1e-3, 1e-7))
    assert solve(steep, interpreter, temperatures=(1e-3,)).n_up.shape == (1,)


@pytest.mark.parametrize(
    ("bath", "words"),
    [
        (Bath.flat(0.05, -0.6, 1.0), r"\[-1, -0\.577\], \[-1, -0\.333\] D"),
        (Bath.flat(0.05, 0.0, 1.0), r"\[-1, -0\.577\]"),
        (Bath([-1, -0.5, -0.5, -0.2, -0.2, 1], [0.05, 0.05, 0, 0, 0.05, 0.05]), r"\[-0\.577, -0\.192\]"),
    ],
    ids=["asymmetric box", "one side", "hole"],
)
def test_a_bath_with_an_empty_interval_outside_of_others_is_refused(interpreter, bath, words):
    """A live TRIQS broke Friedel's rule there by 0.12, without a word; a gap around 0 is fine."""
    with pytest.raises(ValueError, match=rf"Gamma is zero in parts of {words}.*expected a bath from -1 to 1 D"):
        solve(ImpurityInBath(interaction=0.0, level=-0.02, bath=bath), interpreter, omega=OMEGA[OMEGA != 0])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NoWeightAtFermiLevel)
        gapped = Bath([-1, -0.1, -0.1, 0.1, 0.1, 1], [0.05, 0.05, 0, 0, 0.05, 0.05])
    impurity = ImpurityInBath(interaction=0.0, level=-0.02, bath=gapped)
    assert solve(impurity, interpreter, temperatures=(1e-4,)).n_up.shape == (1,)


def test_a_frequency_at_a_step_of_the_bath_is_refused(interpreter):
    impurity = ImpurityInBath(interaction=0.0, level=-0.02, bath=BATHS["steps"])
    with pytest.raises(ValueError, match=r"omega holds \[-0\.3\]: expected a grid that avoids the steps"):
        solve(impurity, interpreter, omega=np.array([-0.3, 0.0, 0.2]))


def test_a_temperature_gets_its_own_run_and_a_mesh_finer_than_the_output_grid(interpreter):
    solver = TriqsSolver(interpreter=interpreter)
    request = solver._request(RESONANT_LEVEL, np.array([1e-6, 1e-2]), OMEGA)
    assert [run["mesh_min"] for run in request["runs"]] == [5e-8, 1e-6]
    assert all(run["chain_temperature"] == run["temperature"] / 10 for run in request["runs"])
    assert request["mesh_max"] > 1


def test_no_interpreter_names_the_variable_and_the_install_route(monkeypatch):
    monkeypatch.delenv(INTERPRETER_VARIABLE, raising=False)
    with pytest.raises(TriqsUnavailable, match=rf"{INTERPRETER_VARIABLE} is not set.*Install route.*numpy<2"):
        solve(RESONANT_LEVEL, None)


def test_the_interpreter_may_come_from_the_environment(monkeypatch, interpreter):
    monkeypatch.setenv(INTERPRETER_VARIABLE, interpreter)
    assert solve(RESONANT_LEVEL, None).spectrum_up.shape == (1, OMEGA.size)


def test_an_interpreter_that_is_no_file_is_refused_with_the_install_route(tmp_path):
    with pytest.raises(TriqsUnavailable, match=r"is not an executable.*Install route"):
        solve(RESONANT_LEVEL, str(tmp_path / "nowhere" / "python"))


def test_an_interpreter_without_triqs_is_refused_with_the_install_route():
    with pytest.raises(TriqsUnavailable, match=r"cannot import nrgljubljana_interface.*Install route"):
        solve(RESONANT_LEVEL, sys.executable)


@pytest.mark.parametrize(
    ("behaviour", "message"),
    [
        ("crash", r"killed by SIGSEGV"),
        ("garbage", r"no readable result\.npz.*Segmentation fault in the Fortran library"),
        ("nan", r"unusable result: sigma_up_0 .*expected finite numbers"),
    ],
)
def test_a_run_that_goes_wrong_says_how(monkeypatch, interpreter, behaviour, message):
    monkeypatch.setenv("FAKE_TRIQS", behaviour)
    with pytest.raises(SolverError, match=message):
        solve(RESONANT_LEVEL, interpreter)


def test_what_triqs_refuses_comes_through_with_its_words(interpreter):
    with pytest.raises(SolverError, match=r"exit status 1.*this stand-in solves U = 0 only"):
        solve(AndersonImpurity(interaction=0.1, level=-0.05, hybridization=0.01), interpreter)


def test_the_words_of_a_failure_are_the_same_in_every_run(interpreter):
    """They stand in the store: no time of day, which TRIQS prints at its start, no folder of one run."""
    messages = []
    for _ in range(2):
        with pytest.raises(SolverError) as failed:
            solve(AndersonImpurity(interaction=0.1, level=-0.05, hybridization=0.01), interpreter)
        messages.append(str(failed.value))
    assert messages[0] == messages[1]
    assert "Starting serial run" not in messages[0]


def test_an_installation_is_checked_by_solving_and_tells_its_versions(monkeypatch, interpreter):
    monkeypatch.setenv(INTERPRETER_VARIABLE, interpreter)
    solver = TriqsSolver().checked()
    assert solver.versions == {"triqs": "3.2.1", "nrgljubljana_interface": "3.2.0"}
    assert solver.interpreter == interpreter


@pytest.mark.parametrize("tool", [tool for tool in TOOLS if tool != "perl"])
def test_a_missing_tool_is_named(tmp_path, interpreter, tool):
    (tmp_path / "tools" / tool).unlink()
    with pytest.raises(TriqsUnavailable, match=rf"finds no {tool} on its PATH.*exports PYTHONPATH, LD_LIBRARY_PATH"):
        solve(RESONANT_LEVEL, interpreter)


def test_all_that_is_missing_is_named_at_once(tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    alone = write_script(tmp_path / "alone", f'PATH="{empty}" exec "{sys.executable}" "$@"')
    names = ", ".join(TOOLS)
    with pytest.raises(TriqsUnavailable, match=rf"cannot import nrgljubljana_interface .*finds no {names} on its PATH"):
        TriqsSolver(interpreter=alone).checked()


def test_a_perl_without_its_modules_is_named(tmp_path, interpreter):
    write_script(tmp_path / "tools" / "perl", 'case "$1" in -MMath::Trig) exit 2;; esac')
    with pytest.raises(TriqsUnavailable, match=r"its perl has no module Math::Trig\."):
        TriqsSolver(interpreter=interpreter).checked()


def test_a_tool_that_does_not_run_is_the_fault_of_the_installation(tmp_path, interpreter):
    words = "kk: error while loading shared libraries: libgsl.so.27"
    write_script(tmp_path / "tools" / "kk", f'echo "{words}" >&2; exit 127')
    with pytest.raises(TriqsUnavailable, match=rf"does not solve even the free level.*{words}.*\./process"):
        solve(RESONANT_LEVEL, interpreter)


def test_an_installation_that_solves_wrongly_is_refused(monkeypatch, interpreter):
    monkeypatch.setenv("FAKE_TRIQS", "wrong")
    with pytest.raises(TriqsUnavailable, match=r"solves the free level wrongly: found .* expected 1/2, 1/2, 1/4"):
        TriqsSolver(interpreter=interpreter).checked()


@pytest.mark.parametrize("run_by", ["exec ", ""], ids=["exec", "no exec"])
def test_a_kill_from_outside_is_no_property_of_the_hamiltonian(monkeypatch, tmp_path, interpreter, run_by):
    wrapper = write_script(tmp_path / "wrapper", f'{run_by}"{interpreter}" "$@"')
    monkeypatch.setenv("FAKE_TRIQS", "killed")
    with pytest.raises(TriqsUnavailable, match=r"killed by SIGKILL, from outside"):
        solve(RESONANT_LEVEL, wrapper)


@pytest.mark.parametrize("rank", ["PMI_RANK", "OMPI_COMM_WORLD_RANK"])
def test_the_variables_of_mpirun_and_srun_do_not_reach_the_child(monkeypatch, tmp_path, interpreter, rank):
    launcher = {rank, "PMI_FD", "PMIX_NAMESPACE", "OMPI_MCA_ess", "CRAY_MPICH_VERSION"}
    for variable in launcher:
        monkeypatch.setenv(variable, "1")
    assert not launcher & set(_environment(Path(interpreter), tmp_path))
    assert np.all(np.isfinite(solve(RESONANT_LEVEL, interpreter).spectrum_up))


def test_a_script_that_fails_before_its_python_is_the_fault_of_the_installation(tmp_path):
    wrapper = write_script(tmp_path / "wrapper", "echo 'module: command not found' >&2; exit 255")
    with pytest.raises(TriqsUnavailable, match=r"exit status 255.*module: command not found"):
        solve(RESONANT_LEVEL, wrapper)


def test_a_child_that_mpi_ends_is_the_fault_of_the_installation(tmp_path, interpreter):
    wrapper = write_script(tmp_path / "wrapper", f'PMI_RANK=0 exec "{interpreter}" "$@"')
    with pytest.raises(TriqsUnavailable, match=r"exit status 15.*PMI_Init returned -1"):
        solve(RESONANT_LEVEL, wrapper)


def test_the_script_of_the_how_to_works(tmp_path):
    page = Path(__file__).parents[4] / "docs" / "how-to" / "triqs.md"
    script = textwrap.dedent(page.read_text().partition("```sh\n")[2].partition("    ```")[0])
    (tmp_path / "lib" / "python3.11").mkdir(parents=True)
    (tmp_path / "lib" / "python3.11" / "site-packages").symlink_to(FAKE_MODULES)
    wrapper_script(tmp_path)
    (tmp_path / "tools").rename(tmp_path / "bin")
    script = script.replace("/opt/triqs", str(tmp_path)).replace("/opt/python3.11/bin/python", sys.executable)
    wrapper = write_script(tmp_path / "wrapper", script.removeprefix("#!/bin/sh\n"))
    assert TriqsSolver(interpreter=wrapper).checked().versions["triqs"] == "3.2.1"


def test_our_triqs_py_never_shadows_the_package(tmp_path, interpreter):
    """It lies in the child's folder, which Python puts first on sys.path; here PYTHONPATH names that folder as well."""
    text = Path(interpreter).read_text().replace("PYTHONPATH=", f"PYTHONPATH={CHILD.parent}:")
    wrapper = write_script(tmp_path / "wrapper", text.partition("\n")[2])
    imported = subprocess.run([wrapper, "-c", "import triqs; print(triqs.__file__)"], capture_output=True, text=True)
    assert str(CHILD.with_name("triqs.py")) in imported.stdout + imported.stderr
    assert TriqsSolver(interpreter=wrapper).checked().versions["triqs"] == "3.2.1"


def test_what_stops_a_run_survives_the_way_back_from_a_worker():
    error = pickle.loads(pickle.dumps(TriqsUnavailable("no perl", "Install it.")))
    assert (error.reason, error.cure, str(error)) == ("no perl", "Install it.", "solver triqs: no perl. Install it.")


@pytest.mark.parametrize("behaviour", ["hang", "hang_in_grandchild"])
def test_the_time_limit_ends_the_run_and_all_that_it_started(monkeypatch, interpreter, tmp_path, behaviour):
    monkeypatch.setenv("FAKE_TRIQS", behaviour)
    monkeypatch.setenv("FAKE_TRIQS_PID_FILE", str(tmp_path / "pid"))
    for limit_s in (3.0, 30.0, 150.0):  # the first that lets the child begin to hang, however slow this machine is
        started = time.monotonic()
        with pytest.raises(SolverError, match=f"no result within the time limit of {limit_s:g} s"):
            solve(RESONANT_LEVEL, interpreter, time_limit_s=limit_s)
        assert time.monotonic() - started < 500
        if (tmp_path / "pid").exists():
            break
    assert _ended(int((tmp_path / "pid").read_text()))


def _ended(pid, patience_s=60.0):
    """Whether the process is gone, or a zombie that nobody has collected yet."""
    deadline = time.monotonic() + patience_s
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
            zombie = "\nState:\tZ" in Path(f"/proc/{pid}/status").read_text()
        except ProcessLookupError:
            return True
        except FileNotFoundError:  # no /proc on this system, or gone since the line before
            zombie = False
        if zombie:
            return True
        time.sleep(0.05)
    return False


def test_the_child_refuses_a_hybridization_that_depends_on_spin(interpreter, tmp_path):
    (tmp_path / "request.json").write_text(json.dumps({"hybridization": [0.05, 0.1]}))
    command = [interpreter, str(CHILD), str(tmp_path / "request.json"), str(tmp_path / "result.npz")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode != 0
    assert "expected one number for both spins" in done.stderr
    assert not (tmp_path / "result.npz").exists()


def test_settings_out_of_range_are_all_named_at_once():
    with pytest.raises(ValueError, match=r"discretization: found 1\.0.*; n_keep: found 2 .*; time_limit_s: found nan"):
        TriqsSettings(discretization=1.0, n_keep=2, time_limit_s=float("nan"))


@pytest.fixture(scope="module")
def live():
    if not os.environ.get(INTERPRETER_VARIABLE):
        pytest.skip(f"set {INTERPRETER_VARIABLE} to the Python of a TRIQS installation")
    solver = TriqsSolver().checked()
    assert "unknown" not in solver.versions.values()
    return solver


@pytest.mark.triqs
@pytest.mark.slow
def test_live_triqs_satisfies_friedels_sum_rule_at_particle_hole_symmetry(live):
    impurity = AndersonImpurity(interaction=0.2, level=-0.1, hybridization=0.02, field=0.0)
    solution = live.solve(impurity, temperatures=np.array([1e-6]), omega=OMEGA)
    at_zero = np.pi * impurity.hybridization * solution.spectrum_up[0, OMEGA == 0]
    np.testing.assert_allclose(at_zero, 1.0, atol=0.02)
    np.testing.assert_allclose(solution.n_up + solution.n_dn, 1.0, atol=1e-3)


FLAT = AndersonImpurity(interaction=0.2, level=-0.06, hybridization=0.02)
LIVE_CASES = {
    "B = 0": (FLAT, 1e-6),
    "B > 0": (dataclasses.replace(FLAT, field=0.02), 1e-6),
    "B < 0, T = 1e-3": (dataclasses.replace(FLAT, field=-0.02), 1e-3),
    "semicircle": (ImpurityInBath(interaction=0.2, level=-0.06, bath=BATHS["semicircle"]), 1e-6),
    "slope, B > 0": (
        ImpurityInBath(interaction=0.2, level=-0.06, field=0.02, bath=BATHS["slope"]),
        1e-4,
    ),
    "pseudogap": (ImpurityInBath(interaction=0.2, level=-0.06, bath=BATHS["pseudogap"]), 1e-6),
}


@pytest.mark.triqs
@pytest.mark.slow
@pytest.mark.parametrize("name", LIVE_CASES)
def test_live_triqs_and_the_embedded_solver_agree(live, name):
    """Equal Lambda, states, z and broadening; pi Gamma(w) A within 0.03 anywhere and 0.003 in the mean."""
    impurity, temperature = LIVE_CASES[name]
    request = {"temperatures": np.array([temperature]), "omega": OMEGA}
    theirs = live.solve(impurity, **request)
    ours = NRGSolver(NRGSettings(discretization=3.0, n_keep=256, n_z=2, broadening=0.3)).solve(impurity, **request)
    for spin in ("up", "dn"):
        difference = np.abs(getattr(theirs, f"spectrum_{spin}") - getattr(ours, f"spectrum_{spin}"))
        difference *= -np.pi * impurity.delta(OMEGA, 1).imag
        assert difference.max() < 0.03
        assert difference.mean() < 0.003
        np.testing.assert_allclose(getattr(theirs, f"n_{spin}"), getattr(ours, f"n_{spin}"), atol=1e-4)
    assert np.all(np.sign(np.round(theirs.n_up - theirs.n_dn, 6)) == np.sign(impurity.field))


@pytest.mark.triqs
@pytest.mark.slow
@pytest.mark.parametrize("name", ["wide box", "steps", "semicircle"])
def test_live_triqs_fills_a_free_level_in_any_bath_as_the_exact_solution_does(live, name):
    """With two z the discretization leaves some 1e-3."""
    impurity = ImpurityInBath(interaction=0.0, level=-0.02, bath=BATHS[name])
    found = live.solve(impurity, temperatures=np.array([1e-3]), omega=OMEGA)
    np.testing.assert_allclose(found.n_up, free_occupation(impurity, 1, 1e-3), atol=3e-3)
