"""Controls of the whole procedure: the same search and the same rules where the answer is known.

shuffled    the target permuted over the training rows: nothing may be found (R2 on test rows < 0.5, no law matched)
rival laws  the target replaced by each reference law, or by a power law, plus scatter: each must be recognised
dummy       two inputs added that have nothing to do with the target: the selected equation must not use them
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from models.laws.discovery import Problem, Rules, discover
from models.laws.symbolic_engine import FloatArray, SymbolicEngine

__all__ = ["ControlResult", "dummy_control", "rival_control", "shuffled_control"]


@dataclass(frozen=True, kw_only=True)
class ControlResult:
    control: str
    engine: str
    expected: str
    found: str
    passed: bool


def shuffled_control(problem: Problem, engine: SymbolicEngine, rules: Rules) -> ControlResult:
    values = problem.values.copy()
    values[problem.train] = np.random.default_rng([rules.seed, 1]).permutation(values[problem.train])
    selected = discover(replace(problem, values=values), engine, replace(rules, n_seeds=1)).selected
    return ControlResult(
        control="shuffled",
        engine=engine.name,
        expected="R2 on test rows < 0.5, no law matched",
        found=f"R2 {max(selected.r2_test, -1.0):.3f}, law matched: {selected.matches}",
        passed=selected.r2_test < 0.5 and selected.matches is None,
    )


def dummy_control(problem: Problem, engine: SymbolicEngine, rules: Rules) -> ControlResult:
    rng = np.random.default_rng([rules.seed, 2])
    extra = np.exp(rng.uniform(-3.0, 3.0, size=(len(problem.values), 2)))
    wider = replace(
        problem,
        names=(*problem.names, "dummy_a", "dummy_b"),
        inputs=np.column_stack([problem.inputs, extra]),
        units=(*problem.units, 0, 0),
    )
    selected = discover(wider, engine, replace(rules, n_seeds=1)).selected
    used = sorted(str(s) for s in selected.equation.expression.free_symbols if str(s).startswith("dummy_"))
    return ControlResult(
        control="dummy", engine=engine.name, expected="no dummy input used", found=f"used: {used}", passed=not used
    )


def rival_control(
    problem: Problem, engine: SymbolicEngine, rules: Rules, rivals: Mapping[str, FloatArray], scatter: float
) -> list[ControlResult]:
    """`rivals` maps a law's name to its values (n_samples,); one that is no reference law must match none.

    Over n_seeds draws of the scatter: a wrong law may never match, and the right answer must come in most draws. The
    share of right answers is the power of the procedure on these rows.
    """
    results = []
    for i, (name, exact) in enumerate(rivals.items()):
        expected = name if name in problem.laws else None
        matched = []
        for draw in range(rules.n_seeds):
            noise = scatter * np.random.default_rng([rules.seed, 3, i, draw]).standard_normal(len(exact))
            discovery = discover(replace(problem, values=exact + noise), engine, replace(rules, n_seeds=1))
            matched.append(discovery.selected.matches)
        right = sum(match == expected for match in matched)
        wrong = sum(match not in (expected, None) for match in matched)
        results.append(
            ControlResult(
                control=f"rival_{name}",
                engine=engine.name,
                expected=f"law matched: {expected}, in most draws; never another law",
                found=f"{right} of {len(matched)} draws right, {wrong} with another law",
                passed=wrong == 0 and 2 * right > len(matched),
            )
        )
    return results
