"""Small CSV tables for `dvc plots show` and `dvc plots diff`: what two runs of the pipeline should be compared by.

    training_<subset>.csv    step, mae              validation error of the chosen training
    pareto_<target>.csv      complexity, loss       front of the chosen engine in the first encoding
    latents.csv              log10_scale, latent_scale, asymmetry, latent_asymmetry     the two latents nearest to both
    laws.csv                 measured, found, haldane, haldane_corrected                log10 T_K / D

Every function returns name -> contents.
"""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline.impurity.report.latent_section import MapPlane
from pipeline.impurity.report.law_section import LawTable

__all__ = ["latent_table", "law_table", "pareto_tables", "table", "training_tables"]

FloatArray = NDArray[np.float64]


def training_tables(curves: Mapping[str, FloatArray]) -> dict[str, str]:
    """`curves`: subset -> (n_steps, 2) step and validation error."""
    return {f"training_{subset}": table(("step", "mae"), curve) for subset, curve in curves.items()}


def pareto_tables(fronts: Sequence[Mapping[str, str]], engine: str) -> dict[str, str]:
    """`fronts`: rows of reports/formula/fronts.csv; a target that was not searched gets a table without rows."""
    tables = {}
    for target in ("nrg", "latent"):
        own = [row for row in fronts if row["target"] == target and row["engine"] == engine]
        first = [row for row in own if row["encoding"] == own[0]["encoding"]]
        rows = ((float(row["complexity"]), float(row["loss"])) for row in first)
        tables[f"pareto_{target}"] = table(("complexity", "loss"), rows)
    return tables


def latent_table(plane: MapPlane | None) -> dict[str, str]:
    columns = [] if plane is None else [plane.scale, plane.x, plane.asymmetry, plane.y]
    rows = (row for row in zip(*columns, strict=True) if np.isfinite(row).all())
    return {"latents": table(("log10_scale", "latent_scale", "asymmetry", "latent_asymmetry"), rows)}


def law_table(laws: LawTable) -> dict[str, str]:
    names = ("measured", "found", "haldane", "haldane_corrected")
    columns = [getattr(laws, name) / np.log(10) for name in names]
    return {"laws": table(names, zip(*columns, strict=True))}


def table(names: Sequence[str], rows: Iterable[Iterable[float]]) -> str:
    lines = [",".join(names), *(",".join(f"{value:.6g}" for value in row) for row in rows)]
    return "\n".join(lines) + "\n"
