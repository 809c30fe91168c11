"""Stage `report`: one self-contained page with the pictures and the numbers of every lane.

reads   data/*.zarr, reports/metrics/*.json, reports/formula, params.yaml
writes  reports/index.html       opens anywhere, needs no network and nothing beside it
        reports/figures/*.png    the pictures of the README
        reports/plots/*.csv      for `dvc plots show`
"""

import os
from dataclasses import dataclass
from pathlib import Path

from pipeline.params import load_params, setting
from pipeline.report_pages.drawing import drawing, save_png
from pipeline.report_pages.layout import render
from pipeline.report_pages.spectra import lane_page, lane_picture, read_lane, write_plot_tables
from pipeline.stage import run_stage

__all__ = ["ReportParams", "build_report", "main"]

TITLE = "Latentlaw: simulated physics in, laws out"


@dataclass(frozen=True, kw_only=True)
class ReportParams:
    """`max_points`: points drawn in a scatter plot at most; more make the page heavier, not clearer."""

    max_points: int = setting(low=100)


def main() -> None:
    params = load_params(ReportParams, "report")
    build_report(Path.cwd(), params)
    print("report: reports/index.html")


def build_report(root: Path, params: ReportParams) -> None:
    """The page is drawn before the first file is written, and is the last one to be."""
    lane = read_lane(root)
    page = render([lane_page(lane, max_points=params.max_points)], title=TITLE)
    with drawing():
        save_png(lane_picture(lane, max_points=params.max_points), root / "reports/figures/spectra_lane.png")
    write_plot_tables(lane, root / "reports/plots", max_points=params.max_points)
    target = root / "reports/index.html"
    partial = target.with_suffix(".partial")
    partial.write_text(page, encoding="utf-8")
    os.replace(partial, target)


if __name__ == "__main__":
    run_stage("report", main)
