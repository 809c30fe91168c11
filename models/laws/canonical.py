"""The canonical form of an equation, in which equations of different engines compare.

Logarithms and products expanded, so that the equation is a sum c_0 + sum_k c_k phi_k(x); terms whose contribution
varies by less than 1e-3 of std(y) dropped; equations that still have more than 12 terms, or more coefficients than a
third of the rows, are no laws and are left out;
the c_k refitted by least squares; then terms removed one by one while the BIC, n log(loss) + k log n, falls.
Complexity: nodes of this tree, counted as PySR does (a number, a variable, an operator: 1 each; a/b is one operator).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import sympy as sp

from models.laws.symbolic_engine import FloatArray

__all__ = [
    "Equation",
    "additive_terms",
    "canonicalise",
    "complexity_of",
    "evaluate",
    "input_symbols",
    "parse_equation",
    "refit",
    "term_columns",
]

NEGLIGIBLE = 1e-3
MAX_TERMS = 12


@dataclass(frozen=True)
class Equation:
    """c_0 + sum_k c_k phi_k: `terms` maps the text of phi_k to c_k; `loss` is the mean squared error in training."""

    names: tuple[str, ...]
    intercept: float
    terms: dict[str, float]
    complexity: int
    loss: float
    symbols: dict[str, sp.Symbol]

    @cached_property
    def expression(self) -> sp.Expr:
        parts = [sp.Float(c, 15) * parse_equation(text, self.symbols) for text, c in self.terms.items()]
        return sp.Add(sp.Float(self.intercept, 15), *parts)

    @property
    def text(self) -> str:
        """The equation with six significant digits, the terms in a fixed order."""
        return " + ".join([f"{self.intercept:.6g}", *(f"({c:.6g})*{text}" for text, c in self.terms.items())])

    @property
    def latex(self) -> str:
        return str(sp.latex(parse_equation(self.text, self.symbols)))

    def predict(self, inputs: FloatArray) -> FloatArray:
        coefficients = np.array(list(self.terms.values()), dtype=float)
        return np.asarray(self.intercept + term_columns(self, inputs) @ coefficients, dtype=float)


def input_symbols(inputs: FloatArray, names: Sequence[str]) -> dict[str, sp.Symbol]:
    """Symbols that know their sign from the data, so that log(a*b) splits exactly where it may."""
    symbols = {}
    for name, column in zip(names, inputs.T, strict=True):
        sign = (
            {"positive": True} if (column > 0).all() else {"negative": True} if (column < 0).all() else {"real": True}
        )
        symbols[name] = sp.Symbol(name, **sign)
    return symbols


def parse_equation(text: str, symbols: dict[str, sp.Symbol]) -> sp.Expr:
    """sympy expression of an equation string; ValueError when it is none or names an unknown variable."""
    return parse_cached(text, tuple(symbols.items()))


@lru_cache(maxsize=4096)
def parse_cached(text: str, named_symbols: tuple[tuple[str, sp.Symbol], ...]) -> sp.Expr:
    symbols = dict(named_symbols)
    try:
        expression = sp.sympify(text.replace("^", "**"), locals=symbols)
    except (sp.SympifyError, SyntaxError, TypeError, AttributeError, ZeroDivisionError) as error:
        raise ValueError(f"equation {text!r}: cannot be read as a formula ({error})") from error
    unknown = {s.name for s in getattr(expression, "free_symbols", set())} - set(symbols)
    if unknown or not isinstance(expression, sp.Expr):
        raise ValueError(
            f"equation {text!r}: found unknown variables {sorted(unknown)}, expected only {sorted(symbols)}"
        )
    return expression


def evaluate(expression: sp.Expr, inputs: FloatArray, symbols: dict[str, sp.Symbol]) -> FloatArray:
    """Values (n_samples,) of an expression; NaN where it is not real."""
    return call(sp.lambdify(list(symbols.values()), expression, modules="numpy"), inputs)


def evaluate_text(text: str, inputs: FloatArray, symbols: dict[str, sp.Symbol]) -> FloatArray:
    """`evaluate` of an equation string, compiled once per string."""
    return call(compiled(text, tuple(symbols.items())), inputs)


@lru_cache(maxsize=4096)
def compiled(text: str, named_symbols: tuple[tuple[str, sp.Symbol], ...]) -> Callable[..., Any]:
    symbols = dict(named_symbols)
    function: Callable[..., Any] = sp.lambdify(list(symbols.values()), parse_equation(text, symbols), modules="numpy")
    return function


def call(function: Callable[..., Any], inputs: FloatArray) -> FloatArray:
    with np.errstate(all="ignore"):
        values: npt.NDArray[Any] = np.asarray(function(*inputs.T))
    if np.iscomplexobj(values):
        values = np.where(values.imag == 0, values.real, np.nan)
    return np.broadcast_to(np.asarray(values, dtype=float), inputs.shape[:1])


def term_columns(equation: Equation, inputs: FloatArray) -> FloatArray:
    """Columns phi_k(x), shape (n_samples, n_terms)."""
    columns = [evaluate_text(text, inputs, equation.symbols) for text in equation.terms]
    return np.stack(columns, axis=1) if columns else np.empty((len(inputs), 0))


def canonicalise(text: str, inputs: FloatArray, target: FloatArray, names: Sequence[str]) -> Equation | None:
    """Canonical form of one equation on its training rows; None when it is not finite there or has too many terms."""
    symbols = input_symbols(inputs, names)
    ordered = sorted(additive_terms(text, symbols)[1])
    columns = {key: evaluate_text(key, inputs, symbols) for key in ordered}
    if not all(np.isfinite(column).all() for column in columns.values()):
        return None
    coefficients = refit([columns[k] for k in ordered], target)
    sizes = {k: abs(c) * columns[k].std() for k, c in zip(ordered, coefficients[1:], strict=True)}
    kept = [k for k in ordered if sizes[k] > NEGLIGIBLE * target.std()]
    if len(kept) > MAX_TERMS or 3 * (1 + len(kept)) > len(target):
        return None
    kept = eliminate(kept, columns, target)
    coefficients = refit([columns[k] for k in kept], target)
    fitted = coefficients[0] + sum((c * columns[k] for c, k in zip(coefficients[1:], kept, strict=True)), np.zeros(1))
    skeleton = sp.Add(sp.Float(0.5), *(sp.Float(1.5) * parse_equation(k, symbols) for k in kept))
    return Equation(
        names=tuple(names),
        intercept=float(coefficients[0]),
        terms={k: float(c) for k, c in zip(kept, coefficients[1:], strict=True)},
        complexity=complexity_of(skeleton),
        loss=max(float(np.mean((target - fitted) ** 2)), 1e-30),
        symbols=symbols,
    )


def additive_terms(text: str, symbols: dict[str, sp.Symbol]) -> tuple[float, dict[str, float]]:
    """Intercept and {phi_k: c_k} of an equation with products and logarithms expanded."""
    intercept, terms = expanded(text, tuple(symbols.items()))
    return intercept, dict(terms)


@lru_cache(maxsize=4096)
def expanded(text: str, named_symbols: tuple[tuple[str, sp.Symbol], ...]) -> tuple[float, dict[str, float]]:
    symbols = dict(named_symbols)
    expression = sp.expand(sp.expand_log(sp.expand(parse_equation(text, symbols))))
    intercept, terms = 0.0, dict[str, float]()
    for addend in sp.Add.make_args(expression):
        factor, shape = addend.as_independent(*symbols.values(), as_Add=False)
        if shape.free_symbols:
            terms[str(shape)] = terms.get(str(shape), 0.0) + real_number(factor)
        else:
            intercept += real_number(addend)
    return intercept, terms


def real_number(value: sp.Expr) -> float:
    """The value of a constant; NaN when it is not real (a logarithm of a negative constant)."""
    number = complex(value)
    return number.real if number.imag == 0.0 else float("nan")


def refit(columns: Sequence[FloatArray], target: FloatArray) -> FloatArray:
    """Least-squares (intercept, c_1, ...) of target on the columns, scaled for conditioning."""
    design = np.column_stack([np.ones(len(target)), *columns])
    scale = np.linalg.norm(design, axis=0)
    scale[scale == 0] = 1.0
    return np.asarray(np.linalg.lstsq(design / scale, target, rcond=1e-12)[0] / scale, dtype=float)


def eliminate(kept: list[str], columns: dict[str, FloatArray], target: FloatArray) -> list[str]:
    """Backward elimination: drop the least useful term while n log(loss) + k log n falls."""

    def loss_of(keys: list[str]) -> float:
        c = refit([columns[k] for k in keys], target)
        residual = target - c[0] - sum((a * columns[k] for a, k in zip(c[1:], keys, strict=True)), np.zeros(1))
        return max(float(np.mean(residual**2)), 1e-30)

    n, current = len(target), loss_of(kept)
    while len(kept) > 1:
        losses = [loss_of([k for k in kept if k != drop]) for drop in kept]
        i = int(np.argmin(losses))
        if n * np.log(losses[i] / current) > np.log(n):
            break
        kept, current = kept[:i] + kept[i + 1 :], losses[i]
    return kept


def complexity_of(expression: sp.Basic) -> int:
    """Nodes of the tree of binary operators; a/b is one operator, a power is operator + base + exponent."""
    if not expression.args:
        return 1
    if isinstance(expression, sp.Mul):
        factors = [f for f in expression.args if f != -1]
        inverted = [f.base if isinstance(f, sp.Pow) and f.exp == -1 else f for f in factors]
        alone = all(isinstance(f, sp.Pow) and f.exp.is_negative for f in factors)
        return sum(complexity_of(f) for f in inverted) + len(inverted) - 1 + (2 if alone else 0)
    if isinstance(expression, sp.Add):
        return sum(complexity_of(a) for a in expression.args) + len(expression.args) - 1
    return 1 + sum(complexity_of(a) for a in expression.args)
