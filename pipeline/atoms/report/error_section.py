"""Section on errors of the potentials: learning curve, parity, and the table of all of them."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipeline.atoms.records import EnsembleErrors, LearningCurve, LearningPoint, Parity
from pipeline.atoms.report.inputs import MODELS, AtomsInputs
from pipeline.report.axes import at_numbers, draw_parity_on, logarithmic, settle
from pipeline.report.drawing import CYCLE, MUTED, new_figure, thinned
from pipeline.report.page import Block, Notice, Picture, Section, Table, in_order, number, picture

__all__ = ["COLOURS", "STORE_WORDS", "draw_learning_on", "errors_section", "parity_on"]

COLOURS = {"hipnn": CYCLE[0], "ani": CYCLE[1]}
STORE_WORDS = {"molecules": "molecules", "aluminium": "aluminium"}
QUANTITIES = {  # parity key -> words, unit, key of the error, its unit
    "energy_eV_atom": ("energies", "eV/atom", "energy_rmse_meV_atom", "meV/atom"),
    "force_eV_A": ("forces", "eV/Å", "force_rmse_eV_A", "eV/Å"),
}
Stores = Mapping[str, Mapping[str, EnsembleErrors]]  # store -> model


def errors_section(inputs: AtomsInputs, max_points: int) -> Section:
    stores, details = inputs.potential.stores, inputs.potential_details
    blocks: list[Block] = [error_table(stores)]
    blocks.append(
        picture(
            settle(draw_parity(details.parity, stores, max_points)),
            name="atoms-parity",
            description="Parity",
            caption="Predictions of the mean of each ensemble for the test frames, which share no trajectory with the "
            "training frames, against their labels. Each panel has one scale on both axes, so a visible distance from "
            "the diagonal is an error to care about. Energies are per atom, less those of the free elements as "
            "fitted to the training set.",
        )
    )
    blocks.append(learning_block(details.learning_curve, stores))
    return Section(
        anchor="atoms-errors",
        title="Errors",
        introduction="HIP\u2011NN and ANI, trained on energies and forces, and on stresses where they weigh, with "
        "the same split. Frames of one trajectory are never on both sides of it.",
        blocks=blocks,
    )


def error_table(stores: Stores) -> Table:
    rows = []
    for store in in_order(stores, STORE_WORDS):
        for model in in_order(stores[store], MODELS):
            trained = stores[store][model]
            sets = {"test": trained} | ({"unseen\u00a0molecule": trained.held_out} if trained.held_out else {})
            for name, errors in sets.items():
                if "energy_rmse_meV_atom" not in errors.model_fields_set:
                    continue
                rows.append(
                    [
                        STORE_WORDS.get(store, store),
                        MODELS.get(model, model),
                        name,
                        f"{number(trained.n_train)} \u00d7 {trained.n_members}",
                        number(trained.n_test) if name == "test" else "all",
                        number(errors.energy_mae_meV_atom),
                        number(errors.energy_rmse_meV_atom),
                        number(errors.energy_sd_meV_atom),
                        number(errors.force_mae_eV_A),
                        number(errors.force_rmse_eV_A),
                        number(errors.force_rms_eV_A),
                    ]
                )
    return Table(
        columns=[
            "store",
            "model",
            "set",
            "training frames \u00d7 members",
            "test frames",
            "energy MAE [meV/atom]",
            "RMSE",
            "s.d. of the labels",
            "force MAE [eV/Å]",
            "RMSE",
            "rms of the labels",
        ],
        rows=rows,
        caption="The columns of the labels say what a model that knows nothing would reach." + unseen_words(stores),
    )


def unseen_words(stores: Stores) -> str:
    """What the force errors on the unseen molecule are worth, beside the labels themselves."""
    ratios = {
        MODELS.get(model, model): trained.held_out.force_rmse_eV_A / trained.held_out.force_rms_eV_A
        for models in stores.values()
        for model, trained in models.items()
        if trained.held_out and trained.held_out.force_rmse_eV_A and trained.held_out.force_rms_eV_A
    }
    if not ratios:
        return ""
    words = " and ".join(f"{number(ratio, 2)} ({name})" for name, ratio in ratios.items())
    return (
        " The unseen molecule is in no training frame at all; its energies hang on references fitted to other "
        f"molecules, so expect an offset. Its force RMSE is {words} of the rms of its labels, where predicting no "
        "force at all gives 1."
    )


def draw_parity(parity: Mapping[str, Parity], stores: Stores, max_points: int) -> Figure:
    figure = new_figure(10.0, 2.75)
    panels = [(store, quantity) for store in in_order(stores, STORE_WORDS) for quantity in QUANTITIES]
    for axes, (store, quantity) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        parity_on(axes, parity, stores, store, quantity, max_points)
    return figure


def parity_on(
    axes: Axes,
    parity: Mapping[str, Parity],
    stores: Stores,
    store: str,
    quantity: str,
    max_points: int,
) -> None:
    """All models of one store, energies or forces, with their RMSE in the legend."""
    words, unit, key, error_unit = QUANTITIES[quantity]
    pairs = []
    for model in in_order(stores[store], MODELS):
        if f"{store}_{model}" in parity and (trained := getattr(parity[f"{store}_{model}"], quantity)).label:
            shown = thinned(np.arange(len(trained.label)), max_points)
            x, y = (np.asarray(values, dtype=float)[shown] for values in (trained.label, trained.predicted))
            name = f"{MODELS.get(model, model)}: {number(getattr(stores[store][model], key), 3)}"
            pairs.append((name, COLOURS.get(model, CYCLE[6]), x, y))
    axes.set_title(f"{STORE_WORDS.get(store, store)}, {words}", fontsize=9.5)
    if not pairs:
        axes.text(0.5, 0.5, "no test frame", transform=axes.transAxes, ha="center")
        return
    draw_parity_on(axes, pairs, unit=unit, size=16 if quantity == "energy_eV_atom" else 7)
    axes.legend(title=f"RMSE [{error_unit}]", loc="upper left", fontsize=7.5, title_fontsize=7.5, handletextpad=0.1)


def learning_block(curve: LearningCurve, stores: Stores) -> Picture | Notice:
    points = [point for point in curve.points if point.force_rmse_eV_A is not None]
    if len(points) < 2:
        return Notice(text="No learning curve was trained (params: potential.learning_curve.fractions).")
    model, store = MODELS.get(curve.model, curve.model), STORE_WORDS.get(curve.store, curve.store)
    figure = new_figure(10.0, 3.5)
    whole = stores[curve.store][curve.model]
    for axes, quantity in zip(figure.subplots(1, 2), ("energy", "force"), strict=True):
        draw_learning_on(axes, points, whole, quantity)
    members = {point.n_members for point in points}
    ensembles = (
        " Open markers are means over an ensemble, filled ones single networks, so the last step flatters the curve."
        if len(members) > 1
        else ""
    )
    first, last = points[0], points[-1]
    factor = (last.force_rmse_eV_A or np.nan) / (first.force_rmse_eV_A or np.nan)
    return picture(
        settle(figure),
        name="atoms-learning",
        description="Learning curve",
        caption=f"{model} on {store}: error on the same test frames against the number of training frames, both "
        f"logarithmic. From {number(first.n_train)} to {number(last.n_train)} frames the force RMSE changes by a "
        f"factor of {number(factor, 2)}. Smaller sets are parts of larger ones and train for fewer steps (with the "
        "square root of the size); one seed each, so a kink of a few ten percent means nothing." + ensembles,
    )


def draw_learning_on(axes: Axes, points: Sequence[LearningPoint], whole: EnsembleErrors, quantity: str) -> None:
    """MAE and RMSE; the dashed line is what guessing the mean (energy) or zero (force) would give."""
    unit = {"energy": "meV_atom", "force": "eV_A"}[quantity]
    n_train = np.array([point.n_train for point in points])
    for kind, colour in (("rmse", CYCLE[0]), ("mae", CYCLE[2])):
        values = np.array([getattr(point, f"{quantity}_{kind}_{unit}") for point in points])
        axes.plot(n_train, values, "-", color=colour, label=kind.upper())
        for many in (False, True):
            chosen = np.array([(point.n_members > 1) == many for point in points])
            axes.plot(
                n_train[chosen], values[chosen], "o", color=colour, markersize=6, fillstyle="none" if many else "full"
            )
    nothing = whole.energy_sd_meV_atom if quantity == "energy" else whole.force_rms_eV_A
    if nothing:
        axes.axhline(nothing, color=MUTED, linewidth=1.0, linestyle="--", label="knowing nothing (RMSE)")
    shown_unit = "meV/atom" if quantity == "energy" else "eV/Å"
    axes.set(xlabel="training frames", ylabel=f"{quantity} error [{shown_unit}]", title=quantity)
    logarithmic(axes, "y")
    at_numbers(axes, [float(n) for n in n_train])
    axes.legend()
