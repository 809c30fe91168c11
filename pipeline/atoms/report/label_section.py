"""Section on what was labelled: how many frames of what, at which level of theory, and how they look."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from models.frames import Frames
from pipeline.atoms.report.frames import CELL_ARROW_A, MOLECULE_ARROW_A, draw_cell_on, draw_molecule_on
from pipeline.atoms.report.inputs import AtomsInputs, LabelCounts
from pipeline.report.axes import logarithmic, settle
from pipeline.report.drawing import CYCLE, new_figure
from pipeline.report.page import Block, Notice, Section, Table, number, picture

__all__ = ["draw_frames_on", "examples", "labels_section"]

MAX_PICTURES = 10
MAX_MOLECULES = 6
MARKS = "osD^v<>"


def labels_section(inputs: AtomsInputs) -> Section:
    molecules, cells = examples(inputs.records["molecules"]), examples(inputs.records["aluminium"])
    blocks: list[Block] = [count_table(inputs.labels)]
    if molecules or cells:
        blocks.append(
            picture(
                settle(draw_examples(molecules, cells)),
                name="atoms-frames",
                description="Labelled frames",
                caption="Of every molecule and of every kind of cell the labelled frame with the largest force. Arrows "
                f"are the labels, forces in the plane of the picture; 1 eV/Å is drawn {number(MOLECULE_ARROW_A)} Å "
                f"long in molecules, {number(CELL_ARROW_A)} Å in aluminium. Cells are periodic: pale atoms are images "
                "of those in the cell.",
            )
        )
    if all(inputs.records.values()):
        figure = draw_spread(inputs.records["molecules"], inputs.records["aluminium"])
        blocks.append(
            picture(
                settle(figure),
                name="atoms-labels",
                description="Energies and forces of the labels",
                caption="What the potentials have to learn. Left, energy per atom above the lowest labelled frame of "
                "the same molecule; middle, of aluminium above its lowest frame, against the volume (a slab's holds "
                "its vacuum); right, sizes of the "
                "forces on single atoms. The sets are small: they show that the lane works, not all of chemistry. "
                + coverage_words(inputs),
            )
        )
    else:
        blocks.append(Notice(text="A store has no labelled frame: its pictures are missing."))
    return Section(
        anchor="atoms-labels",
        title="Labels",
        introduction="Positions are proposed by cheap engines, energies and forces come from the level of theory in "
        "the table alone. Frames that could not be labelled keep their row with the reason and are not trained on.",
        blocks=blocks,
    )


def count_table(labels: Mapping[str, LabelCounts]) -> Table:
    rows = []
    for store, seen in labels.items():
        kinds: dict[str, int] = {}
        for source, count in sorted(seen.sources.items()):
            kinds[source.partition(" ")[0]] = kinds.get(source.partition(" ")[0], 0) + count
        counts = ", ".join(f"{kind} {count}" for kind, count in kinds.items())
        rows.append([store, seen.level, number(seen.n_configs), number(seen.n_failed), number(seen.n_retried), counts])
    return Table(
        columns=["store", "level of theory", "frames", "failed", "labelled at the second try", "frames by source"],
        rows=rows,
        caption="One level of theory for each store. The default settings are chosen for speed on two cores, not "
        "converged to the last digit, and potentials can be no better than their labels.",
    )


def coverage_words(inputs: AtomsInputs) -> str:
    rms = {name: float(np.sqrt(np.mean(forces_eV_A**2))) for name, forces_eV_A in _forces(inputs.records).items()}
    return "Root mean square force component: " + ", ".join(f"{k} {number(v, 2)} eV/Å" for k, v in rms.items()) + "."


def examples(records: Sequence[Frames]) -> list[tuple[str, Frames]]:
    """Of each first word of the source the frame with the largest force, in the order of the store."""
    frames: dict[str, Frames] = {}
    for record in records:
        name = record.source.partition(" ")[0]
        if not np.isnan(record.forces_eV_A).all() and (name not in frames or _largest(record) > _largest(frames[name])):
            frames[name] = record
    return list(frames.items())


def draw_examples(molecules: Sequence[tuple[str, Frames]], cells: Sequence[tuple[str, Frames]]) -> Figure:
    shown = [*molecules[:MAX_MOLECULES], *cells][:MAX_PICTURES]
    n_columns = min(5, len(shown))
    figure = new_figure(10.0, 2.3 * -(-len(shown) // n_columns))
    grid = figure.subplots(-(-len(shown) // n_columns), n_columns, squeeze=False)
    for axes in grid.flat[len(shown) :]:
        axes.set_axis_off()
    draw_frames_on(list(grid.flat[: len(shown)]), shown)
    return figure


def draw_frames_on(
    axes_of: Sequence[Axes], shown: Sequence[tuple[str, Frames]], *, metal: str = "aluminium", size: float = 9.5
) -> None:
    for axes, (name, record) in zip(axes_of, shown, strict=True):
        forces = np.nan_to_num(record.forces_eV_A)
        if record.cell_A is None:
            draw_molecule_on(axes, record.numbers.astype(int), record.positions_A, forces)
            axes.set_title(formula_words(name), fontsize=size)
        else:
            numbers = record.numbers.astype(int)
            draw_cell_on(axes, numbers, record.positions_A, record.cell_A, forces)
            axes.set_title(f"{metal}, {name}", fontsize=size)


def formula_words(name: str) -> str:
    """CH3OH with its digits low, where the name is a formula; a name of a molecule otherwise."""
    if not name.isalnum() or not any(character.isupper() for character in name):
        return name
    return "".join(f"$_{{{c}}}$" if c.isdigit() else c for c in name)


def draw_spread(molecules: Sequence[Frames], cells: Sequence[Frames]) -> Figure:
    figure = new_figure(10.0, 3.5)
    left, middle, right = figure.subplots(1, 3)
    draw_molecule_energies_on(left, molecules)
    draw_cell_energies_on(middle, cells)
    for (name, forces_eV_A), colour in zip(
        _forces({"molecules": molecules, "aluminium": cells}).items(), CYCLE, strict=False
    ):
        size = np.linalg.norm(forces_eV_A, axis=1)
        size = size[size > 0]
        bins = np.geomspace(max(1e-3, size.min()), size.max(), 30)
        right.hist(np.maximum(size, bins[0]), bins=bins, histtype="step", color=colour, linewidth=1.6, label=name)
    logarithmic(right, "x")
    right.set(xlabel="size of the force [eV/Å]", ylabel="atoms", title="forces")
    right.legend(loc="upper left")
    return figure


def draw_molecule_energies_on(axes: Axes, records: Sequence[Frames]) -> None:
    names = list(dict.fromkeys(record.source.partition(" ")[0] for record in records))
    ways = list(dict.fromkeys(record.source.partition(" ")[2] for record in records))
    for row, name in enumerate(names):
        seen = [record for record in records if record.source.partition(" ")[0] == name]
        lowest = min(record.energy_eV for record in seen)
        for w, way in enumerate(ways):
            of_way = [record for record in seen if record.source.partition(" ")[2] == way]
            above = np.array([(r.energy_eV - lowest) / len(r.numbers) * 1e3 for r in of_way])
            height = row + 0.22 * (w - (len(ways) - 1) / 2)
            axes.plot(
                above,
                np.full(len(above), height),
                MARKS[w % len(MARKS)],
                color=CYCLE[w % len(CYCLE)],
                markersize=3.2,
                alpha=0.65,
                markeredgewidth=0,
                label=way.replace("_", " ") if row == 0 else None,
            )
    axes.set_yticks(range(len(names)), [formula_words(name) for name in names])
    axes.set(xlabel="energy above the lowest [meV/atom]", title="molecules", ylim=(-0.6, len(names) + 0.9))
    axes.grid(visible=False, axis="y")
    axes.legend(loc="upper right", handletextpad=0.1, borderaxespad=0.1, ncols=min(3, len(ways)), columnspacing=0.6)


def draw_cell_energies_on(axes: Axes, records: Sequence[Frames]) -> None:
    kinds = list(dict.fromkeys(record.source.partition(" ")[0] for record in records))
    lowest = min(record.energy_eV / len(record.numbers) for record in records)
    for k, kind in enumerate(kinds):
        seen = [r for r in records if r.source.partition(" ")[0] == kind]
        volume = [np.nan if r.cell_A is None else abs(np.linalg.det(r.cell_A)) / len(r.numbers) for r in seen]
        above = [r.energy_eV / len(r.numbers) - lowest for r in seen]
        axes.plot(
            volume,
            above,
            MARKS[k % len(MARKS)],
            color=CYCLE[k % len(CYCLE)],
            markersize=4.2,
            alpha=0.75,
            markeredgewidth=0,
            label=kind,
        )
    axes.set(xlabel="volume [Å³/atom]", ylabel="energy above the lowest [eV/atom]", title="aluminium")
    axes.legend(handletextpad=0.1)


def _forces(records: Mapping[str, Sequence[Frames]]) -> dict[str, NDArray[np.float64]]:
    """On all atoms (N, 3)."""
    return {
        name: np.concatenate([r.forces_eV_A for r in seen if not np.isnan(r.forces_eV_A).all()])
        for name, seen in records.items()
    }


def _largest(record: Frames) -> float:
    forces: NDArray[np.float64] = np.nan_to_num(record.forces_eV_A)
    return float(np.linalg.norm(forces, axis=1).max())
