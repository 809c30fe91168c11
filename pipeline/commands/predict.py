"""Energies and forces of the frames of a file by a trained potential, with what the potential says of its own error.

    latentlaw predict MODEL_DIR FILE.extxyz --out OUT.extxyz

OUT has the frames of FILE with all their keys, and

    energy, forces, stress, energies     prediction (eV, A), as ASE reads it back; `energies` are the atoms' own
    energy_spread, forces_spread         standard deviation over the members of an ensemble, also forces_spread_mean
                                         and forces_spread_max over components
    hierarchicality                      of each atom, and hierarchicality_mean; of models with a hierarchy

A baseline of the potential is part of energy, forces and stress; `energies` are left out where it does not divide its
own among atoms, `stress` where it has none.

Labels of FILE that ASE knows under these names are kept as label_energy, label_forces ... With --energy-key or
--force-key the errors are printed, and how well the spread ranks them. Frames are read, evaluated in batches and
written one after the other; one of more than `--chunk` atoms is evaluated in chunks
(models.networks.potentials.chunked). OUT appears when it is complete.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ase
import numpy as np
import torch
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import iread, write
from numpy.typing import NDArray

from models.laws.uncertainty import rank_correlation
from models.networks.potentials.baseline import BaselineFailed
from models.networks.potentials.calculator import check_distances, check_structure, configuration_of
from models.networks.potentials.chunked import evaluate_in_chunks
from models.networks.potentials.ensemble import Ensemble, EnsemblePrediction, load_potential
from models.networks.potentials.graph import collate, pair_vectors
from pipeline.commands.options.potentials import PredictOptions
from pipeline.runtime.outputs import writing
from stores.importers.label_units import ENERGY_EV, energy_units_of

__all__ = ["main"]

ENOUGH = 10  # frames for a rank correlation
N_SHOWN = 12
VOIGT = ([0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1])
FloatArray = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Labels:
    """Where labels stand in a frame, and the eV in their unit of energy."""

    energy_key: str | None
    force_key: str | None
    units: str


@dataclass(frozen=True, kw_only=True)
class Frame:
    number: int
    atoms: ase.Atoms
    energy_eV: float | None
    forces_eV_A: FloatArray | None


@dataclass(kw_only=True)
class Comparison:
    """Errors and spreads as frames come in."""

    n_frames: int = 0
    n_atoms: int = 0
    energy_per_atom: list[float] = field(default_factory=list)
    energy_spread: list[float] = field(default_factory=list)
    forces: list[FloatArray] = field(default_factory=list)
    forces_spread: list[FloatArray] = field(default_factory=list)


def main(options: PredictOptions) -> None:
    ensemble = load_potential(options.model, allow_baseline=options.allow_baseline or "")
    ensemble.to(dtype=getattr(torch, options.precision))
    labels = Labels(energy_key=options.energy_key, force_key=options.force_key, units=options.units)
    comparison = Comparison()
    with writing(options.out, overwrite=options.overwrite) as partial, partial.open("w", encoding="utf-8") as file:
        for batch in _batches(_frames(options.file, labels), options.batch_atoms):
            for frame, results in zip(batch, _predict(ensemble, batch, options), strict=True):
                write(file, _written(frame, results), format="extxyz")
                _compare(comparison, frame, results)
    print(
        "\n".join(
            [
                f"{options.out}: {comparison.n_frames} frames, {comparison.n_atoms} atoms",
                *_summary(comparison, ensemble),
            ]
        )
    )


def _frames(file: Path, labels: Labels) -> Iterator[Frame]:
    """Raises ValueError with file and record."""
    frames = iread(file, index=":", format="extxyz")
    number = 0
    while True:
        where = f"{file}, record {number}"
        try:
            atoms = next(frames)
        except StopIteration:
            break
        except Exception as error:  # damaged files make ASE raise errors of many kinds
            reason = (str(error).strip().splitlines() or ["no reason given"])[0]
            raise ValueError(
                f"{where}: cannot be read ({type(error).__name__}: {reason}), expected a frame of extended XYZ; "
                "the file is damaged, cut off or of another format"
            ) from error
        yield _labelled(where, number, atoms, labels)
        number += 1
    if number == 0:
        raise ValueError(f"{file}: found no frame, expected at least one; the file is empty")


def _labelled(where: str, number: int, atoms: ase.Atoms, labels: Labels) -> Frame:
    results = {} if atoms.calc is None else atoms.calc.results
    known = {**atoms.info, **{k: v for k, v in atoms.arrays.items() if k not in ("numbers", "positions")}, **results}
    unit = ENERGY_EV[labels.units]
    energy = _label(where, known, labels.energy_key, (), "--energy-key")
    forces = _label(where, known, labels.force_key, (len(atoms), 3), "--force-key")
    if energy is not None:
        likely_unit = str(energy_units_of(np.array([float(energy)]), atoms.numbers.astype(np.int64), np.array([0]))[0])
        if likely_unit and likely_unit != labels.units:
            raise ValueError(
                f"{where}, key {labels.energy_key!r}: found {float(energy):.6g}, a total energy in {likely_unit}, "
                f"expected {labels.units}; name the unit with --units {likely_unit}"
            )
    return Frame(
        number=number,
        atoms=atoms,
        energy_eV=None if energy is None else float(energy) * unit,
        forces_eV_A=None if forces is None else forces * unit,
    )


def _label(where: str, values: dict[str, Any], key: str | None, shape: tuple[int, ...], option: str) -> Any:  # noqa: ANN401
    if key is None:
        return None
    if key not in values:
        shown = ", ".join(sorted(values)[:N_SHOWN]) or "no keys at all"
        raise ValueError(f"{where}: found {shown}, expected the key {key!r}; name one that is there with {option}")
    try:
        value = np.asarray(values[key], dtype=np.float64)
    except (TypeError, ValueError):
        value = np.full(shape, np.nan)  # words
    if value.shape != shape or not np.isfinite(value).all():
        shown = f"shape {value.shape}" if value.shape != shape else f"{(~np.isfinite(value)).sum()} not finite"
        raise ValueError(
            f"{where}, key {key!r}: found {shown}, expected finite numbers of shape {shape}; "
            f"take the record out or name another key with {option}"
        )
    return value


def _batches(frames: Iterator[Frame], batch_atoms: int) -> Iterator[list[Frame]]:
    batch: list[Frame] = []
    for frame in frames:
        if batch and sum(len(f.atoms) for f in batch) + len(frame.atoms) > batch_atoms:
            yield batch
            batch = []
        batch.append(frame)
    if batch:
        yield batch


def _predict(ensemble: Ensemble, batch: list[Frame], options: PredictOptions) -> Iterator[dict[str, Any]]:
    for frame in batch:
        check_structure(frame.atoms, ensemble.species, f"{options.file}, record {frame.number}")
    try:
        prediction = _evaluated(ensemble, batch, options)
    except BaselineFailed as error:
        raise ValueError(f"{options.file}, record {batch[error.row].number}: {error}") from error
    start = 0
    for row, frame in enumerate(batch):
        yield _results(prediction, row, slice(start, start + len(frame.atoms)), periodic=bool(frame.atoms.pbc.all()))
        start += len(frame.atoms)


def _evaluated(ensemble: Ensemble, batch: list[Frame], options: PredictOptions) -> EnsemblePrediction:
    dtype = getattr(torch, options.precision)
    if len(batch) == 1 and len(batch[0].atoms) > options.chunk:
        atoms = batch[0].atoms
        cell = atoms.cell.complete().array
        return evaluate_in_chunks(
            ensemble, atoms.numbers, atoms.positions, cell, atoms.pbc, chunk_atoms=options.chunk, dtype=dtype
        )
    configurations = [configuration_of(frame.atoms, ensemble.cutoff_A) for frame in batch]
    for frame, made in zip(batch, configurations, strict=True):
        near = made.neighbours
        vectors = pair_vectors(made.positions_A, made.cell_A, near)
        check_distances(vectors, near.first, near.second, f"{options.file}, record {frame.number}")
    return ensemble.evaluate(*collate(configurations, dtype), [frame.atoms for frame in batch])


def _results(prediction: EnsemblePrediction, row: int, atoms: slice, *, periodic: bool) -> dict[str, Any]:
    results: dict[str, Any] = {
        "energy": float(prediction.energy_M[row]),
        "forces": prediction.forces_N3[atoms].double().numpy(),
    }
    if not np.isnan(energies := prediction.energy_N[atoms].numpy()).all():
        results["energies"] = energies
    if periodic and not np.isnan(stress := prediction.stress_M33[row].double().numpy()).all():
        results["stress"] = stress[VOIGT]
    if len(prediction.energy_EM) > 1:
        results["energy_spread"] = float(prediction.energy_spread_M[row])
        results["forces_spread_mean"] = float(prediction.forces_spread_mean_M[row])
        results["forces_spread_max"] = float(prediction.forces_spread_max_M[row])
        results["forces_spread"] = prediction.forces_spread_N3[atoms].double().numpy()
    if prediction.terms_ENT.shape[2] > 1:
        results["hierarchicality_mean"] = float(prediction.hierarchicality_M[row])
        results["hierarchicality"] = prediction.hierarchicality_N[atoms].double().numpy()
    return results


def _written(frame: Frame, results: dict[str, Any]) -> ase.Atoms:
    """The frame with predictions; labels that a calculator held step aside."""
    atoms = frame.atoms
    old = {} if atoms.calc is None else atoms.calc.results
    for name, value in old.items():
        _attach(atoms, f"label_{name}", value)
    ase_results = {name: results[name] for name in ("energy", "energies", "forces", "stress") if name in results}
    atoms.calc = SinglePointCalculator(atoms, **ase_results)
    for name, value in results.items():
        if name not in ase_results:
            _attach(atoms, name, value)
    return atoms


def _attach(atoms: ase.Atoms, name: str, value: Any) -> None:  # noqa: ANN401 - of any key
    if np.ndim(value) and len(value) == len(atoms) and name != "label_stress":
        atoms.arrays[name] = np.asarray(value)
    else:
        atoms.info[name] = value


def _compare(comparison: Comparison, frame: Frame, results: dict[str, Any]) -> None:
    comparison.n_frames += 1
    comparison.n_atoms += len(frame.atoms)
    n = len(frame.atoms)
    if frame.energy_eV is not None:
        comparison.energy_per_atom.append((results["energy"] - frame.energy_eV) / n)
        comparison.energy_spread.append(results.get("energy_spread", 0.0) / n)
    if frame.forces_eV_A is not None:
        comparison.forces.append(results["forces"] - frame.forces_eV_A)
        comparison.forces_spread.append(results.get("forces_spread", np.zeros((n, 3))))


def _summary(comparison: Comparison, ensemble: Ensemble) -> list[str]:
    lines = []
    kinds = (
        ("energy per atom", "meV", np.array(comparison.energy_per_atom), np.array(comparison.energy_spread)),
        (
            "force components",
            "meV/A",
            np.concatenate(comparison.forces or [np.zeros((0, 3))]).ravel(),
            np.concatenate(comparison.forces_spread or [np.zeros((0, 3))]).ravel(),
        ),
    )
    for name, unit, error, spread in kinds:
        if not len(error):
            continue
        mae, rmse = 1e3 * np.abs(error).mean(), 1e3 * np.sqrt((error**2).mean())
        line = f"{name}: MAE {mae:.3g}, RMSE {rmse:.3g} {unit}"
        if len(ensemble.members) > 1 and comparison.n_frames >= ENOUGH:
            groups = np.arange(comparison.n_frames)
            if name != "energy per atom":
                groups = np.repeat(groups, [part.size for part in comparison.forces])
            ranked = rank_correlation(spread, error, groups, n_bootstrap=100, seed=0)
            line += f"; Spearman of spread and error {ranked.value:.2f} [{ranked.low:.2f}, {ranked.high:.2f}]"
        lines.append(line)
    return lines
