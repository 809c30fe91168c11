"""From a table of Kondo temperatures to a law by a general engine, with nothing of any law given.

The engine is told four energies with their units, U, eps_d, Gamma and the half bandwidth D, and T_K/D. It sees either
the dimensionless groups that follow from the units (models.laws.dimensions) or, as the harder control, the energies
themselves; it searches in stages (models.laws.staged_search), link included. The formula is judged afterwards by its
expansion at large U/Gamma (models.laws.kondo_asymptotics).
"""

from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from models.laws.dimensions import dimensionless_groups, group_values
from models.laws.intervals import r_squared
from models.laws.kondo_asymptotics import KondoAsymptotics, kondo_asymptotics
from models.laws.staged_search import LINKS, StagedLaw, StagedRules, search_in_stages, split_in_stages
from models.laws.structure import structure_of
from models.laws.symbolic_engine import EngineError, FloatArray, SymbolicEngine

__all__ = ["GeneralLaw", "KondoTable", "find_kondo_law"]

MIN_ROWS = 30
BAND = 0.25  # |d log T_K / d (U/D)| of a flat band, measured: the law is that of a wide band


@dataclass(frozen=True, kw_only=True)
class KondoTable:
    """All (n_samples,), energies in D; `error` is the estimated error of `kondo_temperature` [D]."""

    interaction: FloatArray
    level: FloatArray
    hybridization: FloatArray
    kondo_temperature: FloatArray
    error: FloatArray

    def local_moments(self, depth: float) -> "KondoTable":
        """Measured rows where -eps_d and eps_d + U are at least `depth` Gamma."""
        shallow = np.minimum(-self.level, self.level + self.interaction)
        kept = np.isfinite(self.kondo_temperature) & (shallow >= depth * self.hybridization)
        return KondoTable(**{name: column[kept] for name, column in vars(self).items()})


@dataclass(frozen=True, kw_only=True)
class GeneralLaw:
    """What was found; where the engine gave nothing, `law` and `asymptotics` are None and `problem` says why."""

    encoding: str
    engine: str
    inputs: dict[str, dict[str, int]]  # name -> exponents of U, eps_d, Gamma, D
    n_rows: int
    median_label_error: float  # relative
    law: StagedLaw | None
    r2_report: float | None  # of log T_K on rows that chose nothing
    asymptotics: KondoAsymptotics | None
    problem: str | None

    def record(self) -> dict[str, Any]:
        record = {name: value for name, value in vars(self).items() if name not in ("law", "asymptotics")}
        if self.law is not None:
            kept = ("link", "link_errors", "error_validation", "error_report", "failures")
            record |= {name: getattr(self.law, name) for name in kept}
            record |= {"equation": self.law.equation.text, "skeleton": self.law.skeleton.text}
            record |= {"front": [[e.complexity, e.loss, e.text] for e in self.law.front]}
        return record | {"asymptotics": None if self.asymptotics is None else asdict(self.asymptotics)}


def find_kondo_law(
    table: KondoTable,
    engine: SymbolicEngine,
    rules: StagedRules,
    *,
    encoding: Literal["dimensionless", "raw"],
    n_bootstrap: int,
    confidence: float,
) -> GeneralLaw:
    """Search and judge. Raises ValueError for fewer than MIN_ROWS rows; an engine without an answer is recorded."""
    if len(table.interaction) < MIN_ROWS:
        raise ValueError(
            f"law of T_K: found {len(table.interaction)} rows with a local moment, expected at least {MIN_ROWS}; raise "
            "the number of Hamiltonians or lower the depth"
        )
    energies = {"U": table.interaction, "eps_d": table.level, "Gamma": table.hybridization}
    energies["D"] = np.ones_like(table.interaction)
    if encoding == "raw":
        exponents = {name: {name: 1} for name in ("U", "eps_d", "Gamma")}  # D is the unit and varies in no row
        inputs = np.stack([energies[name] for name in exponents], axis=1)
    else:
        groups = dimensionless_groups(dict.fromkeys(energies, (1,)), energies)
        exponents = {group.name: dict(group.exponents) for group in groups}
        inputs = group_values(groups, energies)
    engine_used = engine.for_raw_inputs() if encoding == "raw" else engine
    rows = split_in_stages(table.interaction / table.hybridization, rules)
    relative = np.hypot(table.error / table.kondo_temperature, BAND * table.interaction)
    law, r2, judged, problem = None, None, None, None
    try:
        law = search_in_stages(inputs, table.kondo_temperature, tuple(exponents), rows, engine_used, rules, relative)
    except EngineError as error:
        problem = str(error)
    if law is not None:
        linked = LINKS[law.link][0](table.kondo_temperature)
        inverse = LINKS[law.link][1]
        with np.errstate(all="ignore"):
            predicted = np.log(inverse(law.equation.predict(inputs)))
        r2 = r_squared(np.log(table.kondo_temperature)[rows.report], predicted[rows.report])
        steps = LINKS[law.link][0](table.kondo_temperature * (1 + relative)) - linked
        judged = kondo_asymptotics(
            structure_of(law.equation),
            list(exponents.values()),
            law.link,
            inputs[rows.train],
            linked[rows.train],
            steps[rows.train],
            n_bootstrap=n_bootstrap,
            confidence=confidence,
            seed=rules.seed,
        )
    return GeneralLaw(
        encoding=encoding,
        engine=engine.name,
        inputs=exponents,
        n_rows=len(table.interaction),
        median_label_error=float(np.median(table.error / table.kondo_temperature)),
        law=law,
        r2_report=r2,
        asymptotics=judged,
        problem=problem,
    )
