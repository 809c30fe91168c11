"""Section on all networks that were trained: curves, errors, latents; nothing is shown for the best seed only."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from pipeline.impurity.records import Choice, SubsetReport, SubsetTraining
from pipeline.impurity.report.latent_section import SUBSET_WORDS
from pipeline.report.drawing import CYCLE, new_figure
from pipeline.report.page import Picture, Section, Table, number, picture

__all__ = ["seed_section"]

FloatArray = NDArray[np.float64]
SHOWN = {"log_T_K": "log T_K", "asymmetry": "asymmetry", "log_max_scale": "log max(T_K, T, |B|)"}


def seed_section(
    vae: Mapping[str, SubsetTraining],
    latents: Mapping[str, SubsetReport],
    selection: Mapping[str, Choice],
    training: Mapping[str, Mapping[str, FloatArray]],
) -> Section:
    """All by subset; `training`: the curves of every seed."""
    return Section(
        anchor="spectra-seeds",
        title="Seeds",
        introduction="Every network that was trained, not only the chosen one. The choice looks at spectra only: "
        "among the settings that reconstruct about equally well, it takes the training whose latents agree best with "
        "those of the other seeds.",
        blocks=[
            _curves(selection, training),
            _settings(selection),
            _seeds(vae, latents, selection),
        ],
    )


def _curves(selection: Mapping[str, Choice], training: Mapping[str, Mapping[str, FloatArray]]) -> Picture:
    subsets = sorted(training, key=list(SUBSET_WORDS).index)
    figure = new_figure(10.0, 3.2)
    for axes, subset in zip(figure.subplots(1, len(subsets), squeeze=False)[0], subsets, strict=True):
        for i, (seed, curve) in enumerate(training[subset].items()):
            chosen = int(seed) == selection[subset].seed
            label = f"seed {seed}, chosen" if chosen else f"seed {seed}"
            axes.plot(
                curve[:, 0], curve[:, 1], color=CYCLE[i % len(CYCLE)], linewidth=2.6 if chosen else 1.2, label=label
            )
        axes.set(yscale="log", xlabel="training step", ylabel="validation error of πΓA(ω)", title=SUBSET_WORDS[subset])
        axes.legend(loc="upper right")
    return picture(
        figure,
        name="training",
        description="Validation error against training step",
        caption="Mean absolute error of πΓA(ω) on validation Hamiltonians while training, all seeds at the chosen β.",
    )


def _settings(selection: Mapping[str, Choice]) -> Table:
    rows: list[list[str]] = []
    chosen: list[int] = []
    for subset in sorted(selection, key=list(SUBSET_WORDS).index):
        for candidate in selection[subset].candidates:
            agreement = list(candidate.consistency.values())
            if candidate.beta == selection[subset].beta:
                chosen.append(len(rows))
            rows.append(
                [
                    SUBSET_WORDS.get(subset, subset),
                    number(candidate.beta),
                    number(candidate.validation_mae),
                    f"{number(min(agreement))} to {number(max(agreement))}" if agreement else number(None),
                ]
            )
    return Table(
        columns=["spectra", "β", "validation error", "agreement with other seeds"],
        rows=rows,
        highlighted=frozenset(chosen),
        caption="The candidate weights β of the KL term, chosen one highlighted; no physical label enters this table.",
    )


def _seeds(
    vae: Mapping[str, SubsetTraining], latents: Mapping[str, SubsetReport], selection: Mapping[str, Choice]
) -> Table:
    rows: list[list[str]] = []
    chosen: list[int] = []
    for subset in sorted(vae, key=list(SUBSET_WORDS).index):
        trained = vae[subset]
        candidates = [c for c in selection[subset].candidates if c.beta == trained.beta]
        consistency = candidates[0].consistency if candidates else {}
        for seed, entry in trained.seeds.items():
            held_out = latents[subset].held_out if subset in latents else {}
            best = {q: of["test"][f"seed_{seed}"] for q, of in held_out.items() if f"seed_{seed}" in of.get("test", {})}
            if int(seed) == trained.seed:
                chosen.append(len(rows))
            rows.append(
                [
                    SUBSET_WORDS.get(subset, subset),
                    seed,
                    number(entry.test_mae),
                    number(entry.active_latents),
                    number(consistency.get(seed)),
                    *(
                        f"{number(best[q].spearman[0])} ({best[q].coordinate})".replace(" ", "\u00a0")
                        if q in best
                        else number(None)
                        for q in SHOWN
                    ),
                ]
            )
    return Table(
        columns=["spectra", "seed", "test error", "active", "agreement", *SHOWN.values()],
        rows=rows,
        highlighted=frozenset(chosen),
        caption="Trainings at the chosen β. Last columns: |Spearman| of one latent (which one, by the validation "
        "Hamiltonians) on test Hamiltonians, looked at only after the choice; the chosen seed need not be the best.",
    )
