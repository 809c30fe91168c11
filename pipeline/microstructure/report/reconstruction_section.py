"""Section on what lies beyond two-point statistics, from the files of the stage `reconstruction`."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.microstructure.report.reconstruction_figures import (
    DESCRIPTOR_WORDS,
    GENERATOR_WORDS,
    draw_beyond,
    draw_reconstructions,
    draw_windows,
)
from pipeline.report.drawing import drawing, inline_svg
from pipeline.report.page import Paragraph, Picture, Section, number, value_with_interval

__all__ = ["ARRAYS", "BEYOND_METRICS", "read_reconstructions", "reconstruction_section"]

ARRAYS = "reports/microstructures/reconstruction.npz"
BEYOND_METRICS = "reports/metrics/beyond_two_point.json"


def reconstruction_section(root: Path) -> Section:
    metrics = json.loads((root / BEYOND_METRICS).read_text(encoding="utf-8"))
    names, stacks = read_reconstructions(root)
    with drawing():
        figures = {
            "reconstructions": draw_reconstructions(names, stacks),
            "beyond": draw_beyond(metrics["results"]),
            "windows": draw_windows(metrics["window"]),
        }
    return Section(
        anchor="microstructures-beyond",
        title="Beyond two-point statistics",
        introduction="A surrogate shares the Fourier modulus of an image, hence its two-point function, and has random "
        "phases. A linear classifier that tells images from their surrogates has seen something that pair statistics "
        "cannot hold.",
        blocks=[
            Picture(
                svg=inline_svg(
                    figures["reconstructions"],
                    name="reconstructions",
                    description="Micrographs, their phase surrogates, and images made from noise with equal textures",
                ),
                caption="Left: the image. Middle: all that its two-point function says, with random phases. "
                "Right: made from noise with the texture of early layers of the network, the two-point function, the "
                "total variation and the grey levels of the image; positions in it were never used. "
                + _terms(metrics["reconstruction"]),
            ),
            Picture(
                svg=inline_svg(
                    figures["beyond"], name="beyond", description="AUC of real against surrogate per generator"
                ),
                caption="Real against surrogate, judged on images whose parameter point was not learnt from, with 95 % "
                "intervals. At 0.5 nothing is told apart, and the two-point function is there by construction. The "
                "cells include those with nearly random phases, in which nothing is left to be seen.",
            ),
            Paragraph(text=_beyond_words(metrics["results"])),
            Picture(
                svg=inline_svg(figures["windows"], name="windows", description="Within- over between-image distance"),
                caption="How large must a window be? Mean squared distance between tiles of one parameter point "
                "over that between tiles of different ones. " + _window_words(metrics["window"]),
            ),
        ],
    )


def read_reconstructions(root: Path) -> tuple[list[str], dict[str, NDArray[np.float64]]]:
    """Names, and stacks (n, y, x) `target`, `surrogate`, `image`."""
    with np.load(root / ARRAYS, allow_pickle=False) as file:
        names = [str(name) for name in file["names"]]
        return names, {key: file[key].astype(np.float64) for key in ("target", "surrogate", "image")}


def _terms(records: list[dict[str, Any]]) -> str:
    told = [
        f"{GENERATOR_WORDS[r['generator']]} {number(r['terms']['texture'], 2)} "
        f"(uniform noise {number(r['terms_of_noise']['texture'], 2)})"
        for r in records
    ]
    return "Relative squared distance of the textures: " + ", ".join(told) + "."


def _beyond_words(results: list[dict[str, Any]]) -> str:
    told = []
    for record in results:
        thirds = record.get("by_phase_order")
        if not thirds or record["surrogate"] != "phases" or record["descriptor"] == "two_point":
            continue
        parts = [f"{number(t['auc'], 2)} for {number(t['low'], 2)} to {number(t['high'], 2)}" for t in thirds]
        auc = value_with_interval(record["auc"], record["low"], record["high"], 2)
        told.append(f"AUC of the cells is {auc}; by their phase order: {', '.join(parts)}.")
    for record in results:
        if (null := record.get("null")) and record["descriptor"] != "two_point":
            value = value_with_interval(null["auc"], null["low"], null["high"], 2)
            told.append(
                f"Images of {GENERATOR_WORDS[record['generator']]} do not wrap around; Gaussian fields cut out alike "
                f"reach {value} ({DESCRIPTOR_WORDS.get(record['descriptor'], record['descriptor'])})."
            )
    return " ".join(told) or "No generator with a phase order was judged."


def _window_words(windows: dict[str, dict[str, Any]]) -> str:
    told = []
    for name, window in windows.items():
        size = window["recommended_px"]
        told.append(f"{GENERATOR_WORDS[name]}: " + (f"{size} px suffice" if size else "none of these suffices"))
    return "; ".join(told).capitalize() + "."
