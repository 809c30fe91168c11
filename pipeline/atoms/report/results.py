"""Rows of the README's table of results: force gradients, molecules, active learning, and what its potential misses."""

from collections.abc import Mapping
from pathlib import Path

from pipeline.atoms.records import (
    ActiveLearningMetrics,
    AluminiumProperties,
    ForceTrainingMetrics,
    PotentialMetrics,
    Property,
)
from pipeline.atoms.report.inputs import MODELS
from pipeline.atoms.report.property_section import nearest_deviation
from pipeline.atoms.report.round_section import percents
from pipeline.report.page import ResultRow, in_order, number
from pipeline.report.registry import result_rows

__all__ = ["rows"]

HITS = {"a0": "lattice constant", "local_bulk_modulus": "bulk modulus at small strain"}
MISSES = {
    "bulk_modulus": "bulk modulus",
    "c44": "C44",
    "surface_111": "surface 111",
    "surface_100": "surface 100",
    "vacancy_formation": "vacancy",
    "vacancy_migration": "migration barrier",
}


@result_rows("atoms", order=30)
def rows(root: Path) -> list[ResultRow]:
    return [_force_gradients(root), _molecules(root), _active_learning(root), _aluminium(root)]


def _force_gradients(root: Path) -> ResultRow:
    results = [r for r in ForceTrainingMetrics.read(root).results if r.device == "cpu"]
    fastest: dict[tuple[str, str], float] = {}
    for r in results:
        fastest[r.model, r.system] = min(r.time_ratio, fastest.get((r.model, r.system), r.time_ratio))
    words_of = {model: MODELS.get(model, model) for model in in_order({r.model for r in results}, MODELS)}
    of_models = [
        f"{words} {' and '.join(number(ratio, 2) for (fit, _), ratio in fastest.items() if fit == model)}"
        for model, words in words_of.items()
    ]
    return (
        "a training step with forces",
        f"{', '.join(of_models)} energy steps",
        "fastest of three methods; molecules, and 108 atoms of aluminium; CPU times move by some ten percent",
    )


def _molecules(root: Path) -> ResultRow:
    models = {MODELS.get(name, name): fit for name, fit in PotentialMetrics.read(root).stores["molecules"].items()}
    first = next(iter(models.values()))
    seen = {words: fit.force_rmse_eV_A for words, fit in models.items()}
    unseen = {words: fit.held_out.force_rmse_eV_A for words, fit in models.items() if fit.held_out}
    judged = (
        f"{number(first.n_test)} frames of other trajectories, rms of their labels {number(first.force_rms_eV_A, 2)}"
    )
    if first.held_out:
        judged += f"; on a molecule never seen {_each(unseen)}, against {number(first.held_out.force_rms_eV_A, 2)}"
    return ("forces of molecules", f"RMSE {_each(seen)} eV/A from {number(first.n_train)} frames", judged)


def _active_learning(root: Path) -> ResultRow:
    metrics = ActiveLearningMetrics.read(root)
    first, last, control = metrics.rounds[0], metrics.rounds[-1], metrics.oracle_control
    errors = f"{number(first.force_rmse, 2)} to {number(last.force_rmse, 2)}"
    result = f"force RMSE {errors} eV/A with {last.n_labels} labels"
    if metrics.random:
        result += f", {number(metrics.random[-1].force_rmse, 2)} with as many drawn at random"
    judged = "frozen test set by DFT, one seed"
    if control.force_gain:
        judged += (
            f"; over {control.n_seeds} seeds with EMT for DFT, choosing saves {percents(control.force_gain)} % of it"
        )
    if control.force_gain_over_plain:  # without this arm the random frames came from other trajectories
        judged += (
            " against random frames of the same trajectories, "
            f"{percents(control.force_gain_over_plain)} % against plain dynamics"
        )
    return ("aluminium by active learning", result, judged)


def _aluminium(root: Path) -> ResultRow:
    records = AluminiumProperties.read(root).root
    hits, misses = (
        ", ".join(f"{words} {_deviation(records[name])}" for name, words in names.items() if name in records)
        for names in (HITS, MISSES)
    )
    return (
        "what that potential is worth",
        f"{hits}; but {misses}",
        "its own DFT where computed, otherwise published DFT or experiment; crystals were in no training set",
    )


def _deviation(record: Property) -> str:
    """From the first there is of QM engine, published DFT and experiment; what is of the wrong sign is unstable."""
    if record.value is None:
        return "none: unstable" if "unstable" in record.failure else "not measured"
    if (deviation := nearest_deviation(record)) is None:
        return f"{number(record.value)} {record.unit}"
    percent = f"{100 * deviation:+.0f}" if abs(deviation) >= 0.1 else f"{100 * deviation:+.1f}"
    return f"{percent} %" + (" (negative)" if deviation < -1 else "")


def _each(values: Mapping[str, float | None]) -> str:
    return ", ".join(f"{words} {number(value, 2)}" for words, value in sorted(values.items(), reverse=True))
