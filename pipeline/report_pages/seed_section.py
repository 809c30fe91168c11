"""Section on all networks that were trained: nothing is shown for the best seed only."""

from collections.abc import Mapping
from typing import Any

from pipeline.report_pages.latent_section import SUBSET_WORDS
from pipeline.report_pages.page import Section, Table, number

__all__ = ["seed_section"]

SHOWN = {"log_T_K": "log T_K", "asymmetry": "asymmetry", "log_max_scale": "log max(T_K, T, |B|)"}


def seed_section(vae: Mapping[str, Any], latents: Mapping[str, Any], selection: Mapping[str, Any]) -> Section:
    """From the metrics of spectrum_vae and latents, and runs/spectrum_vae/selection.json."""
    return Section(
        anchor="spectra-seeds",
        title="Seeds",
        introduction="Every network that was trained, not only the chosen one. The choice looks at spectra only: "
        "among the "
        "settings that reconstruct about equally well, it takes the training whose latents agree best with those of "
        "its "
        "sister trainings.",
        blocks=[_settings(selection), _seeds(vae["subsets"], latents["subsets"], selection)],
    )


def _settings(selection: Mapping[str, Any]) -> Table:
    rows: list[list[str]] = []
    chosen: list[int] = []
    for subset in sorted(selection, key=list(SUBSET_WORDS).index):
        told = selection[subset]
        for candidate in told["candidates"]:
            agreement = list(candidate["consistency"].values())
            if candidate["beta"] == told["beta"]:
                chosen.append(len(rows))
            rows.append(
                [
                    SUBSET_WORDS.get(subset, subset),
                    number(candidate["beta"]),
                    number(candidate["validation_mae"]),
                    f"{number(min(agreement))} to {number(max(agreement))}" if agreement else number(None),
                ]
            )
    return Table(
        columns=["spectra", "β", "validation error", "agreement with sister trainings"],
        rows=rows,
        highlighted=frozenset(chosen),
        caption="The candidate weights β of the KL term, chosen one highlighted; no physical label enters this table.",
    )


def _seeds(vae: Mapping[str, Any], latents: Mapping[str, Any], selection: Mapping[str, Any]) -> Table:
    rows: list[list[str]] = []
    chosen: list[int] = []
    for subset in sorted(vae, key=list(SUBSET_WORDS).index):
        told = vae[subset]
        candidates = [c for c in selection[subset]["candidates"] if c["beta"] == told["beta"]]
        consistency: Mapping[str, Any] = candidates[0]["consistency"] if candidates else {}
        for seed, own in told["seeds"].items():
            best = latents.get(subset, {}).get("seeds", {}).get(seed, {})
            if int(seed) == told["seed"]:
                chosen.append(len(rows))
            rows.append(
                [
                    SUBSET_WORDS.get(subset, subset),
                    seed,
                    number(own["test_mae"]),
                    number(own["active_latents"]),
                    number(consistency.get(seed)),
                    *(
                        f"{number(best[q]['value'])} ({best[q]['latent']})".replace(" ", "\u00a0")
                        if q in best
                        else number(None)
                        for q in SHOWN
                    ),
                ]
            )
    return Table(
        columns=["spectra", "seed", "test error", "active", "agreement", *(f"{words}" for words in SHOWN.values())],
        rows=rows,
        highlighted=frozenset(chosen),
        caption="Trainings at the chosen β. Last columns: |Spearman| of the best single latent (which one), looked "
        "at only "
        "after the choice; the chosen seed need not be the best.",
    )
