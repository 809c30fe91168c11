"""The constants of a formula that was found: all of them refitted, and how far resampling the rows moves them.

An engine's formula has linear coefficients and constants inside functions, as in a + b log(c u + d). The structure is
the formula with every number replaced by a parameter; parameters are fitted together by Levenberg-Marquardt from where
they were found. Bootstrap intervals of whatever follows from them are of scatter, the structure being given.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import sympy as sp
from scipy.optimize import least_squares

from models.laws.canonical import Equation, parse_equation
from models.laws.symbolic_engine import FloatArray

__all__ = ["Structure", "bootstrap_constants", "structure_of"]


@dataclass(frozen=True, kw_only=True)
class Structure:
    """`expression` in `inputs` and `parameters`; `values` are the parameters as found, (n_parameters,)."""

    expression: sp.Expr
    inputs: tuple[sp.Symbol, ...]
    parameters: tuple[sp.Symbol, ...]
    values: FloatArray

    def function(self, modules: Any = "numpy") -> Callable[..., Any]:  # noqa: ANN401 - of sympy.lambdify
        """f(*inputs, *parameters)"""
        call: Callable[..., Any] = sp.lambdify([*self.inputs, *self.parameters], self.expression, modules=modules)
        return call


def structure_of(equation: Equation) -> Structure:
    """Intercept, coefficients and the constants inside terms, in the order of the equation."""
    parameters: list[sp.Symbol] = []
    values: list[float] = []

    def parameter(value: float) -> sp.Symbol:
        parameters.append(sp.Symbol(f"parameter_{len(parameters)}", real=True))
        values.append(value)
        return parameters[-1]

    expression = sp.sympify(parameter(equation.intercept))
    for text, coefficient in equation.terms.items():
        term = parse_equation(text, equation.symbols)
        inner = {number: parameter(float(number)) for number in sorted(term.atoms(sp.Float), key=float)}
        expression = expression + parameter(coefficient) * term.xreplace(inner)
    return Structure(
        expression=expression,
        inputs=tuple(equation.symbols.values()),
        parameters=tuple(parameters),
        values=np.array(values),
    )


def bootstrap_constants(
    structure: Structure, inputs: FloatArray, target: FloatArray, errors: FloatArray, n_bootstrap: int, seed: int
) -> FloatArray:
    """(1 + n_bootstrap, n_parameters): all rows first, then one refit for every resample of rows; NaN where it fails.

    `errors` (n_samples,) are the estimated errors of the target. Numerical errors vary smoothly over the rows, so
    resampling does not show them: each resample adds errors * (s_0 + s_1 t), with s_0, s_1 standard normal and t the
    rank of the target from -1 to 1. Zeros leave the interval of scatter alone.
    """
    model = structure.function()
    arguments = [*structure.inputs, *structure.parameters]
    gradient = [sp.lambdify(arguments, sp.diff(structure.expression, p), "numpy") for p in structure.parameters]
    columns = list(inputs.T)

    def residual(parameters: FloatArray, root_weight: FloatArray, shifted: FloatArray) -> FloatArray:
        with np.errstate(all="ignore"):
            value = np.broadcast_to(model(*columns, *parameters), target.shape)
        return np.where(np.isfinite(value), root_weight * (value - shifted), 1e6)

    def jacobian(parameters: FloatArray, root_weight: FloatArray, shifted: FloatArray) -> FloatArray:
        with np.errstate(all="ignore"):
            parts = [np.broadcast_to(g(*columns, *parameters), target.shape) for g in gradient]
        return np.asarray(np.nan_to_num(np.stack(parts, axis=1), posinf=0.0, neginf=0.0) * root_weight[:, None])

    def fit(start: FloatArray, root_weight: FloatArray, shifted: FloatArray) -> FloatArray:
        arguments = (root_weight, shifted)
        best = least_squares(residual, start, jacobian, method="trf", x_scale="jac", args=arguments, max_nfev=60)
        return np.asarray(best.x if np.isfinite(best.cost) and best.cost < 1e6 else np.full_like(start, np.nan))

    rng = np.random.default_rng(seed)
    n = len(target)
    tilt = 2.0 * np.argsort(np.argsort(target)) / max(n - 1, 1) - 1.0
    samples = [fit(structure.values, np.ones(n), target)]
    for _ in range(n_bootstrap):
        count, (common, slope) = rng.multinomial(n, np.full(n, 1.0 / n)), rng.standard_normal(2)
        samples.append(fit(samples[0], np.sqrt(count.astype(float)), target + errors * (common + slope * tilt)))
    return np.stack(samples)
