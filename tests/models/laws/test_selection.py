"""Canonical forms, complexity, Pareto front, PySR's selection rule, hall_of_fame.csv."""

import numpy as np
import pytest
import sympy as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from models.laws.canonical import Equation, canonicalise, complexity_of, evaluate, input_symbols, parse_equation
from models.laws.selection import best_index, pareto_front, read_hall_of_fame, result_table, write_hall_of_fame

RNG = np.random.default_rng(0)
INPUTS = np.stack([np.exp(RNG.uniform(1, 3, 80)), RNG.uniform(-0.8, -0.2, 80)], 1)
NAMES = ("u", "x")
U, X = INPUTS.T
TARGET = 1.5 * U * X * (1 + X) + 0.5 * np.log(U) - 0.3


@pytest.mark.parametrize(
    "text",
    [
        "(1.5*u*x)*(1+x) + 0.5*log(u) - 0.3",
        "log(sqrt(0.5488116360940264*u)) + 1.5*u*(x + x*x)",
        "0.25*log(3*u*u) + 1.5*u*x + 1.5*u*x^2",
        "2*(0.75*u*x*(1 + x) + 0.25*log(7*u)) + 0.00000001*u",
    ],
)
def test_ways_to_write_a_law_have_one_canonical_form(text):
    equation = canonicalise(text, INPUTS, TARGET, NAMES)
    assert list(equation.terms) == ["log(u)", "u*x", "u*x**2"]
    assert equation.terms["log(u)"] == pytest.approx(0.5)
    assert equation.intercept == pytest.approx(-0.3)
    np.testing.assert_allclose(equation.predict(INPUTS), TARGET, rtol=1e-9)


def test_superfluous_terms_go_and_needed_ones_stay():
    noisy = TARGET + 0.01 * RNG.standard_normal(80)
    equation = canonicalise("u*x + u*x*x + log(u) + x + 1/u + u/x", INPUTS, noisy, NAMES)
    assert {"log(u)", "u*x", "u*x**2"} <= set(equation.terms)
    assert len(equation.terms) <= 4


def test_logarithm_of_a_negative_input_is_no_equation():
    assert canonicalise("log(x)", INPUTS, TARGET, NAMES) is None


def test_logarithm_of_a_square_keeps_its_value():
    equation = canonicalise("log(x*x) + u", INPUTS, np.log(X**2) + U, NAMES)
    assert equation.loss < 1e-20


def test_equations_with_too_many_terms_are_no_laws():
    assert canonicalise("(u + x + log(u) + 1)**6", INPUTS, TARGET, NAMES) is None


@pytest.mark.parametrize("text", ["u +* x", "u + y", "u == x", "", "[u, x]"])
def test_what_is_no_equation_is_reported(text):
    with pytest.raises(ValueError, match="equation"):
        parse_equation(text, input_symbols(INPUTS, NAMES))


@pytest.mark.parametrize(
    ("text", "nodes"),
    [("u", 1), ("u*x", 3), ("u/x", 3), ("1/u", 3), ("log(u)", 2), ("u*x + u", 5), ("x**2", 3), ("u - x", 3)],
)
def test_complexity_counts_nodes_as_pysr_does(text, nodes):
    assert complexity_of(parse_equation(text, input_symbols(INPUTS, NAMES))) == nodes


@settings(max_examples=25, deadline=None)
@given(st.lists(st.sampled_from(["u", "x", "u*x", "1/u", "log(u)", "x**2"]), min_size=1, max_size=4, unique=True))
def test_canonical_text_reads_back_to_the_same_values(shapes):
    symbols = input_symbols(INPUTS, NAMES)
    truth = evaluate(parse_equation(" + ".join(f"1.25*({s})" for s in shapes), symbols), INPUTS, symbols)
    equation = canonicalise(" + ".join(shapes), INPUTS, truth, NAMES)
    read = evaluate(parse_equation(equation.text, symbols), INPUTS, symbols)
    np.testing.assert_allclose(read, truth, rtol=1e-4, atol=1e-4)
    assert r"\\" not in equation.latex and "**" not in equation.latex


def member(complexity: int, loss: float) -> Equation:
    text = "*".join(["u"] * complexity)
    return Equation(NAMES, 0.0, {text: 1.0}, complexity, loss, input_symbols(INPUTS, NAMES))


def test_front_keeps_what_no_other_beats():
    front = pareto_front([member(3, 1.0), member(5, 2.0), member(7, 0.1), member(7, 0.2)])
    assert [(e.complexity, e.loss) for e in front] == [(3, 1.0), (7, 0.1)]


def test_best_is_the_steepest_fall_among_the_accurate():
    losses = {3: 5.0, 5: 1.0, 9: 1e-4, 11: 0.9e-4, 15: 0.8e-4}
    front = [member(c, loss) for c, loss in losses.items()]
    assert front[best_index(front)].complexity == 9  # steepest of 9, 11, 15; 3 and 5 are too inaccurate
    with pytest.raises(ValueError, match="empty front"):
        best_index([])


def test_result_table_has_pysrs_columns_and_a_callable():
    front = pareto_front([canonicalise(t, INPUTS, TARGET, NAMES) for t in ("u*x", "u*x + u*x**2 + log(u)")])
    table = result_table(front)
    assert list(table) == ["complexity", "loss", "score", "equation", "sympy_format", "lambda_format"]
    np.testing.assert_allclose(table["lambda_format"].iloc[-1](INPUTS), TARGET)
    assert isinstance(table["sympy_format"].iloc[0], sp.Expr)


def test_hall_of_fame_has_pysrs_header_and_reads_back(tmp_path):
    path = tmp_path / "run" / "hall_of_fame.csv"
    front = [canonicalise("u*x + u*x**2", INPUTS, TARGET, NAMES)]
    write_hall_of_fame(path, front)
    assert path.read_text().splitlines()[0] == "Complexity,Loss,Equation"
    (row,) = read_hall_of_fame(path)
    assert row.complexity == front[0].complexity
    assert row.loss == pytest.approx(front[0].loss)


def test_the_backup_of_a_killed_run_comes_first(tmp_path):
    (tmp_path / "hall_of_fame.csv").write_text("Complexity,Loss,Equation\n")
    (tmp_path / "hall_of_fame.csv.bak").write_text("Complexity,Loss,Equation\n3,0.5,u * x\n")
    assert read_hall_of_fame(tmp_path / "hall_of_fame.csv")[0].equation == "u * x"


@pytest.mark.parametrize("content", ["", "Complexity;Loss\n1;2\n", "Complexity,Loss,Equation\nmany,0.5,u\n"])
def test_a_broken_hall_of_fame_is_reported(tmp_path, content):
    (tmp_path / "hall_of_fame.csv").write_text(content)
    with pytest.raises(ValueError, match=r"hall_of_fame\.csv"):
        read_hall_of_fame(tmp_path / "hall_of_fame.csv")


def test_an_equation_needs_three_rows_for_every_coefficient():
    text = "u*x + u*x*x + log(u)"
    assert canonicalise(text, INPUTS[:12], TARGET[:12], NAMES) is not None
    assert canonicalise(text, INPUTS[:11], TARGET[:11], NAMES) is None
