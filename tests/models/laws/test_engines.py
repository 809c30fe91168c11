"""The contract of symbolic regression engines, inherited by every engine, and what is particular to each."""

import json
import os
import pickle
import sys
import textwrap
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from models.laws.engines.library import LibraryEngine, library_terms
from models.laws.engines.operon import OperonEngine
from models.laws.engines.pysr import PySREngine
from models.laws.selection import best_index, canonical_front, read_hall_of_fame
from models.laws.symbolic_engine import (
    SYMBOLIC_ENGINES,
    EngineError,
    EngineFailed,
    EngineUnavailable,
    FrontResult,
    SymbolicEngine,
    choose_engine,
)

RECORDED = Path(__file__).parent / "hall_of_fame.csv"
NAMES = ("u", "x")
LIBRARY = LibraryEngine(max_power=2, max_total=4, max_terms=6, beam=100)
OPERON = OperonEngine(population=300, generations=25, raw_generations=50, max_length=30)
PYSR = PySREngine(iterations=40, max_size=30, timeout_s=1800.0)


def haldane_like(n: int = 120, scatter: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    u, x = np.exp(rng.uniform(1.5, 3.3, n)), rng.uniform(-0.8, -0.2, n)
    return np.stack([u, x], 1), np.pi / 2 * u * x * (1 + x) + 0.5 * np.log(u) + scatter * rng.standard_normal(n)


class EngineContract:
    """Subclasses give `engine`."""

    @pytest.fixture(scope="class")
    @classmethod
    def front(cls, engine: SymbolicEngine) -> FrontResult:
        inputs, target = haldane_like()
        return engine.fit(inputs, target, NAMES, seed=1)

    def test_front_names_its_engine_and_inputs(self, engine, front):
        assert front.engine == engine.name
        assert front.names == NAMES
        assert front.candidates

    def test_reported_losses_are_those_of_the_written_equations(self, front):
        inputs, target = haldane_like()
        worst = max(front.candidates, key=lambda c: c.complexity)
        values = eval(worst.equation.replace("^", "**"), {"u": inputs[:, 0], "x": inputs[:, 1], "log": np.log})
        assert np.mean((values - target) ** 2) == pytest.approx(worst.loss, rel=0.05, abs=1e-7)

    def test_the_exponent_is_on_the_canonical_front(self, front):
        inputs, target = haldane_like()
        found = [e for e in canonical_front([front], inputs, target) if {"u*x", "u*x**2"} <= set(e.terms)]
        assert found
        assert found[-1].terms["u*x"] == pytest.approx(np.pi / 2, rel=0.1)

    def test_the_same_seed_gives_the_same_front(self, engine, front):
        inputs, target = haldane_like()
        assert engine.fit(inputs, target, NAMES, seed=1) == front

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (lambda x, y: (x, y[:-1], NAMES), "shapes"),
            (lambda x, y: (x, np.where(y == y[0], np.nan, y), NAMES), "NaN"),
            (lambda x, y: (x[:5], y[:5], NAMES), "5 samples"),
            (lambda x, y: (x, y, ("u", "u")), "distinct"),
            (lambda x, y: (x, y, ("u",)), "1 names for 2 inputs"),
        ],
    )
    def test_unusable_data_is_refused_by_name(self, engine, change, message):
        with pytest.raises(ValueError, match=message):
            engine.fit(*change(*haldane_like()), seed=0)


class TestLibraryEngine(EngineContract):
    @pytest.fixture(scope="class")
    @classmethod
    def engine(cls):
        return LIBRARY

    @pytest.mark.parametrize("scatter", [0.0, 0.01, 0.05])
    def test_the_own_pick_has_exactly_the_true_terms(self, engine, scatter):
        inputs, target = haldane_like(scatter=scatter)
        front = engine.fit(inputs, target, NAMES, seed=0)
        equation = front.candidates[front.pick].equation
        if scatter > 0:
            assert equation.count("+ (") == 3
        found = canonical_front([front], inputs, target)
        assert set(found[best_index(found)].terms) == {"log(u)", "u*x", "u*x**2"}

    def test_units_leave_only_dimensionless_terms(self):
        inputs = np.random.default_rng(0).uniform(1, 2, (20, 3))
        labels, _ = library_terms(inputs, ("U", "G", "t"), 2, 4, (1, 1, 0))
        assert "U**(1)*G**(-1)" in labels
        assert "log(t)" in labels
        assert "(log(U) - log(G))" in labels
        assert not {"U**(1)", "log(U)", "U**(1)*G**(1)"} & set(labels)

    def test_inputs_that_do_not_vary_are_refused(self, engine):
        with pytest.raises(ValueError, match="no varying term"):
            engine.fit(np.ones((20, 2)), np.arange(20.0), NAMES, seed=0)

    def test_impossible_settings_are_reported_all_at_once(self):
        with pytest.raises(ValueError, match=r"(?s)max_power.*beam"):
            replace(LIBRARY, max_power=0, beam=0)


class TestOperonEngine(EngineContract):
    @pytest.fixture(scope="class")
    @classmethod
    def engine(cls):
        pytest.importorskip("pyoperon")
        return OPERON

    def test_another_seed_gives_another_front(self, engine, front):
        inputs, target = haldane_like()
        assert engine.fit(inputs, target, NAMES, seed=2) != front

    def test_missing_pyoperon_is_reported_with_a_cure(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "pyoperon.sklearn", None)
        with pytest.raises(EngineUnavailable, match="pip install pyoperon, or choose `engine: library`"):
            OPERON.check_available()


def child(tmp_path: Path, body: str) -> tuple[str, ...]:
    """A stand-in for pysr_child.py which speaks its protocol: request file in, answer file out."""
    script = tmp_path / "child.py"
    head = "import json, sys, time, pathlib, csv, os\nrequest = json.loads(pathlib.Path(sys.argv[1]).read_text())\n"
    tail = "\npathlib.Path(sys.argv[2]).write_text(answer if isinstance(answer, str) else json.dumps(answer))\n"
    script.write_text(head + textwrap.dedent(body) + tail)
    return (sys.executable, "-P", str(script))


REPLAY = f"""
rows = list(csv.DictReader(open({str(RECORDED)!r})))
table = [dict(complexity=int(r["Complexity"]), loss=float(r["Loss"]), equation=r["Equation"]) for r in rows]
answer = dict(status="ready") if request.get("probe") else dict(status="ok", hall_of_fame=table, request=request)
"""


class TestPySREngine(EngineContract):
    """Against a child that replays a recorded hall of fame; the live search is the test marked `pysr`."""

    @pytest.fixture(scope="class")
    @classmethod
    def engine(cls, tmp_path_factory):
        return replace(PYSR, command=child(tmp_path_factory.mktemp("replay"), REPLAY), timeout_s=60.0)

    def test_the_request_holds_data_seed_units_and_settings(self, tmp_path):
        copy = tmp_path / "request.json"
        body = f"pathlib.Path({str(copy)!r}).write_text(json.dumps(request))\n" + textwrap.dedent(REPLAY)
        engine = replace(PYSR, command=child(tmp_path, body), iterations=7, max_size=21)
        inputs, target = haldane_like()
        engine.fit(inputs, target, NAMES, seed=11, units=(0, 0))
        request = json.loads(copy.read_text())
        assert np.array_equal(request["inputs"], inputs)
        assert (request["seed"], request["units"], request["names"]) == (11, [0, 0], ["u", "x"])
        assert request["settings"]["niterations"] == 7
        assert request["settings"]["maxsize"] == 21

    def test_the_recorded_file_reads_as_candidates(self):
        rows = read_hall_of_fame(RECORDED)
        assert [r.complexity for r in rows] == [1, 3, 9, 11, 14, 17]

    @pytest.mark.parametrize(
        ("body", "error", "message"),
        [
            ("print('cannot load libjulia'); os._exit(139)", EngineFailed, "code 139: cannot load libjulia"),
            ("sys.exit(0)", EngineFailed, "code 0"),
            ("answer = 'no json {'", EngineFailed, "no protocol message"),
            ("answer = '[1, 2]'", EngineFailed, "no protocol message"),
            ("answer = dict(status='ok')", EngineFailed, "cannot be read"),
            ("answer = dict(status='ok', hall_of_fame=[])", EngineFailed, "empty"),
            ("answer = dict(status='ok', hall_of_fame=[dict(complexity='many')])", EngineFailed, "cannot be read"),
            ("answer = dict(status='failed', reason='JuliaError: boom')", EngineFailed, "JuliaError: boom"),
            ("answer = dict(status='unavailable', reason='no Julia')", EngineUnavailable, "no Julia.*pip install pysr"),
        ],
    )
    def test_a_bad_end_of_the_child_is_reported(self, tmp_path, body, error, message):
        engine = replace(PYSR, command=child(tmp_path, body))
        with pytest.raises(error, match=f"(?s){message}"):
            engine.fit(*haldane_like(), NAMES, seed=0)

    def test_a_hanging_child_and_its_own_children_are_ended(self, tmp_path):
        pid_file = tmp_path / "pid"
        body = f"""
        import subprocess
        grandchild = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        pathlib.Path({str(pid_file)!r}).write_text(str(grandchild.pid))
        time.sleep(600)
        answer = None
        """
        for limit_s in (2, 20, 200):  # the first that lets the child begin to hang, however slow this machine is
            engine = replace(PYSR, command=child(tmp_path, body), timeout_s=float(limit_s))
            with pytest.raises(EngineFailed, match=rf"no answer within {limit_s} s.*raise the time limit"):
                engine.fit(*haldane_like(), NAMES, seed=0)
            if pid_file.exists():
                break
        assert ended(int(pid_file.read_text()))

    def test_a_missing_interpreter_is_unavailability_with_a_cure(self):
        with pytest.raises(EngineUnavailable, match=r"cannot start.*PYTHON_JULIAPKG_EXE"):
            replace(PYSR, command=("/no/such/python",)).check_available()

    def test_the_real_child_tells_that_pysr_is_missing(self):
        if importable("pysr"):
            pytest.skip("pysr is installed here")
        with pytest.raises(EngineUnavailable, match="the package pysr is not installed"):
            PYSR.check_available()

    @pytest.mark.pysr
    @pytest.mark.slow
    def test_a_live_search_finds_the_exponent(self):
        engine = PYSR
        try:
            engine.check_available()
        except EngineUnavailable as error:
            pytest.skip(error.reason)
        inputs, target = haldane_like()
        found = canonical_front([engine.fit(inputs, target, NAMES, seed=0)], inputs, target)
        assert any({"u*x", "u*x**2"} <= set(e.terms) for e in found)


class TestChoice:
    def test_auto_takes_the_first_ready_engine_and_says_why(self, tmp_path):
        ready, missing = replace(PYSR, command=child(tmp_path, REPLAY)), replace(PYSR, command=("/no/such/python",))
        assert choose_engine("auto", [ready, OPERON, LIBRARY]).ran == "pysr"
        choice = choose_engine("auto", [missing, OPERON, LIBRARY])
        assert choice.ran in ("operon", "library")
        assert "pysr is not ready" in choice.why

    def test_auto_ends_at_the_library(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "pyoperon.sklearn", None)
        choice = choose_engine("auto", [replace(PYSR, command=("/no/such/python",)), OPERON, LIBRARY])
        assert choice.ran == "library"
        assert "operon is not ready" in choice.why

    def test_an_explicit_engine_is_never_replaced(self):
        with pytest.raises(EngineUnavailable, match="To do: `pip install pysr`"):
            choose_engine("pysr", [replace(PYSR, command=("/no/such/python",)), OPERON, LIBRARY])

    def test_an_unknown_name_is_refused_with_the_list(self):
        with pytest.raises(ValueError, match="found 'gplearn', expected one of auto, pysr, operon, library"):
            choose_engine("gplearn", [PYSR, OPERON, LIBRARY])

    def test_the_registry_knows_every_engine_of_the_folder(self):
        assert SYMBOLIC_ENGINES.names() == ["library", "operon", "pysr"]
        with pytest.raises(ValueError, match=r"found 'gplearn', expected one of \['library', 'operon'"):
            SYMBOLIC_ENGINES.choose("gplearn")


@pytest.mark.parametrize("kind", [EngineUnavailable, EngineFailed])
def test_errors_survive_the_way_back_from_a_worker_process(kind):
    error = pickle.loads(pickle.dumps(kind("pysr", "no Julia", "install Julia")))
    assert type(error) is kind
    assert isinstance(error, EngineError)
    assert (error.name, error.reason, error.cure) == ("pysr", "no Julia", "install Julia")
    assert str(error) == str(kind("pysr", "no Julia", "install Julia"))


def importable(module: str) -> bool:
    import importlib.util

    return importlib.util.find_spec(module) is not None


def ended(pid: int) -> bool:
    """Gone, or dead and not yet reaped by its new parent, within a minute."""
    for _ in range(600):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        state = Path(f"/proc/{pid}/stat")
        if state.exists() and state.read_text().rsplit(")", 1)[1].split()[0] == "Z":
            return True
        time.sleep(0.1)
    return False
