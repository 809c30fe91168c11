"""Small CSV tables for `dvc plots show` and `dvc plots diff`: what two runs of the pipeline should be compared by.

training_<subset>.csv    step, mae              validation error of the chosen training
pareto_<target>.csv      complexity, loss       front of the chosen engine, dimensionless inputs
latents.csv              log10_scale, latent_scale, asymmetry, latent_asymmetry     the two latents nearest to both
laws.csv                 measured, found, haldane, haldane_corrected                log10 T_K / D
"""

import csv
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.report_pages.latent_section import MapPlane
from pipeline.report_pages.law_section import LawTable

__all__ = ["write_latent_table", "write_law_table", "write_pareto_tables", "write_training_tables"]

FloatArray = NDArray[np.float64]


def write_training_tables(folder: Path, curves: Mapping[str, FloatArray]) -> None:
    """`curves`: subset -> (n_steps, 2) step and validation error."""
    for subset, curve in curves.items():
        write(folder / f"training_{subset}.csv", ("step", "mae"), ((int(step), f"{mae:.6g}") for step, mae in curve))


def write_pareto_tables(folder: Path, fronts: Sequence[Mapping[str, str]], engine: str) -> None:
    for target in ("nrg", "latent"):
        own = [row for row in fronts if row["target"] == target and row["engine"] == engine]
        first = [row for row in own if row["encoding"] == own[0]["encoding"]]
        rows = ((row["complexity"], row["loss"]) for row in first)
        write(folder / f"pareto_{target}.csv", ("complexity", "loss"), rows)


def write_latent_table(folder: Path, plane: MapPlane | None) -> None:
    names = ("log10_scale", "latent_scale", "asymmetry", "latent_asymmetry")
    columns = [] if plane is None else [plane.scale, plane.x, plane.asymmetry, plane.y]
    rows = (row for row in zip(*columns, strict=True) if np.isfinite(row).all())
    write(folder / "latents.csv", names, ([f"{value:.6g}" for value in row] for row in rows))


def write_law_table(folder: Path, laws: LawTable) -> None:
    names = ("measured", "found", "haldane", "haldane_corrected")
    columns = [getattr(laws, name) / np.log(10) for name in names]
    write(folder / "laws.csv", names, ([f"{value:.6g}" for value in row] for row in zip(*columns, strict=True)))


def write(path: Path, names: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(names)
        writer.writerows(rows)
