"""The page of the lane `atoms`: labels by quantum mechanics, potentials, what forces cost, whether errors are known."""

from pathlib import Path

from matplotlib.figure import Figure

from pipeline.atoms.records import PotentialMetrics
from pipeline.atoms.report.error_section import STORE_WORDS, errors_section, parity_on
from pipeline.atoms.report.feature_section import features_section
from pipeline.atoms.report.force_section import best_ratio, draw_costs_on, forces_section
from pipeline.atoms.report.inputs import MODELS, AtomsInputs, read_atoms
from pipeline.atoms.report.label_section import draw_frames_on, examples, labels_section
from pipeline.atoms.report.uncertainty_section import draw_estimate_on, rank_of, ranked, uncertainty_section
from pipeline.report.axes import settle
from pipeline.report.drawing import drawing, new_figure
from pipeline.report.page import KeyNumber, LanePage, LaneReport, csv_table, in_order, number, picture
from pipeline.report.registry import headline_numbers, report_page

__all__ = ["finding", "headline", "key_numbers", "molecules_page"]


@headline_numbers("atoms", order=30)
def headline(root: Path) -> dict[str, int | float | None]:
    """Force RMSE of HIP-NN on test frames of molecules [eV/A]."""
    trained = PotentialMetrics.read(root).stores["molecules"].get("hipnn")
    return {"molecules_force_eV_A": trained.force_rmse_eV_A if trained else None}


@report_page("atoms", order=20)
def molecules_page(root: Path, max_points: int) -> LaneReport:
    """Raises FileNotFoundError for inputs that are missing, ValueError for those of another version."""
    inputs = read_atoms(root)
    with drawing():
        figure = lead_figure(inputs, max_points)
        sections = [
            labels_section(inputs),
            errors_section(inputs, max_points),
            forces_section(inputs),
            uncertainty_section(inputs),
            features_section(inputs),
        ]
        lead = picture(
            figure,
            name="atoms-lead",
            description="From labelled frames to forces and their errors",
            caption="From left to right: labelled frames with their forces; predicted against labelled force "
            "components of test molecules; time of a training step with forces, in steps without; error of the force "
            "on an atom against the spread of the ensemble.",
        )
    page = LanePage(
        name="atoms",
        title="Potentials that learn forces from quantum mechanics",
        finding=finding(inputs),
        key_numbers=key_numbers(inputs),
        lead=lead,
        sections=sections,
        provenance=inputs.provenance,
    )
    return LaneReport(page=page, pictures={"atoms_lane": figure}, tables=plot_tables(inputs))


def lead_figure(inputs: AtomsInputs, max_points: int) -> Figure:
    """Frames, parity of forces, cost of a step, error against spread: also the picture of the README."""
    figure = new_figure(12.5, 3.5)
    parts = figure.add_gridspec(1, 4, width_ratios=(1.0, 1.1, 0.9, 1.05))
    molecules, cells = examples(inputs.records["molecules"]), examples(inputs.records["aluminium"])
    shown = [*sorted(molecules, key=lambda e: -len(e[1].numbers))[:2], *cells[:2]]
    if shown:
        inner = parts[0].subgridspec(2, 2)
        grid = [figure.add_subplot(inner[cell]) for cell in range(4)]
        for axes in grid[len(shown) :]:
            axes.set_axis_off()
        draw_frames_on(grid[: len(shown)], shown, metal="Al", size=8.5)
    stores = inputs.potential.stores
    parity = figure.add_subplot(parts[1])
    parity_on(parity, inputs.potential_details.parity, stores, "molecules", "force_eV_A", max_points)
    parity.set_title("forces of test molecules")
    costs = figure.add_subplot(parts[2])
    draw_costs_on(costs, inputs.force_training.results)
    costs.set(title="a step with forces", xlabel="time [energy-only steps]")
    costs.legend(loc="upper center", bbox_to_anchor=(0.35, -0.17), ncols=2, fontsize=7.5, columnspacing=0.8)
    errors = figure.add_subplot(parts[3])
    curves = inputs.hierarchy_details.quantities
    if curves:
        quantity = "forces" if "forces" in curves else "energy"
        draw_estimate_on(errors, curves, inputs.hierarchy.quantities, quantity, "spread")
        handles, labels = errors.get_legend_handles_labels()
        errors.legend(handles, [text.partition(":")[0] for text in labels], loc="lower right", handletextpad=0.1)
    errors.set_title("is the error known?")
    return settle(figure)


def finding(inputs: AtomsInputs) -> str:
    """Two sentences; every number comes from the metrics."""
    stores = inputs.potential.stores
    best = {
        store: min(
            (m for m in stores[store] if stores[store][m].force_rmse_eV_A is not None),
            key=lambda m: stores[store][m].force_rmse_eV_A or 0.0,
            default=None,
        )
        for store in in_order(stores, STORE_WORDS)
    }
    parts = [
        f"{MODELS.get(model, model)} predicts forces of {'test molecules' if store == 'molecules' else store} to "
        f"{number(stores[store][model].force_rmse_eV_A, 2)} eV/Å (labels: rms "
        f"{number(stores[store][model].force_rms_eV_A, 2)}) from {number(stores[store][model].n_train)} frames"
        for store, model in best.items()
        if model is not None
    ]
    said = f"{', and '.join(parts)}. " if parts else ""
    results = inputs.force_training.results
    if results:
        low, high = best_ratio(results)
        said += f"Training forces costs {number(low, 2)} to {number(high, 2)} energy steps by the fastest method. "
    entry = inputs.hierarchy.forces or {}
    ranks = {name: rank_of(entry, name, "held_out") for name in ("spread", "hierarchicality")}
    if ranks["spread"] and ranks["hierarchicality"]:
        said += (
            "The order of force errors on held-out frames is known to the spread of an ensemble with a rank "
            f"correlation of {ranked(ranks['spread'])}, to the hierarchy of one network with "
            f"{ranked(ranks['hierarchicality'])}."
        )
        if (auroc := entry["spread"].auroc) is not None:
            said += f" AUROC of an unseen molecule against held-out frames by the spread: {number(auroc, 2)}."
    return said.strip()


def key_numbers(inputs: AtomsInputs) -> list[KeyNumber]:
    labelled = [entry.n_configs - entry.n_failed for entry in inputs.labels.values()]
    failed = sum(entry.n_failed for entry in inputs.labels.values())
    numbers = [
        KeyNumber(
            value=" + ".join(map(number, labelled)),
            label="frames of molecules and of aluminium, labelled",
            note=f"{number(failed)} failed",
        )
    ]
    stores = inputs.potential.stores
    for store in in_order(stores, STORE_WORDS):
        for model in in_order(stores[store], MODELS):
            errors = stores[store][model]
            if errors.force_rmse_eV_A is not None:
                numbers.append(
                    KeyNumber(
                        value=f"{number(errors.force_rmse_eV_A, 2)} eV/Å",
                        label=f"force RMSE, {MODELS.get(model, model)}, {store}",
                        note=f"energy {number(errors.energy_rmse_meV_atom, 3)} meV/atom",
                    )
                )
    if inputs.force_training.results:
        low, high = best_ratio(inputs.force_training.results)
        numbers.append(
            KeyNumber(
                value=f"{low:.1f} \u2013 {high:.1f}", label="energy steps for a step with forces", note="fastest method"
            )
        )
    return numbers


def plot_tables(inputs: AtomsInputs) -> dict[str, str]:
    """For `dvc plots`: the learning curve, and the gradient error of the finite difference against its step."""
    keys = ("n_train", "energy_rmse_meV_atom", "force_rmse_eV_A")
    points = [[getattr(p, key) for key in keys] for p in inputs.potential_details.learning_curve.points]
    tables = {"learning_curve": csv_table(keys, (row for row in points if None not in row))}
    errors: dict[float, dict[str, float]] = {}
    for case in inputs.force_training_details.gradient_errors:
        if case.system == "organic_molecules" and case.model == "hipnn":
            for point in case.points:
                if point.displacement is not None:
                    errors.setdefault(point.displacement, {})[point.dtype] = point.error
    names = ("float32", "float64")
    rows = [[step, *(entry[n] for n in names)] for step, entry in sorted(errors.items()) if set(names) <= set(entry)]
    return tables | {"gradient_error": csv_table(("displacement", *names), rows)}
