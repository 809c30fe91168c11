"""Stage `report`: one self-contained page with the pictures and the numbers of every lane.

reads   data/*.zarr, reports/metrics/*.json, reports/details, reports/formula, params.yaml
writes  reports/index.html              opens anywhere, needs no network and nothing beside it
        reports/figures/*.png           the pictures of the README
        reports/plots/*.csv             for `dvc plots show`
        reports/metrics/headline.json   for `dvc metrics show`: pipeline/report/headline.py
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

from pydantic import Field

from models.settings import settings
from pipeline.atoms.report.aluminium_page import aluminium_lane
from pipeline.atoms.report.page import atoms_lane
from pipeline.impurity.report.page import spectra_lane
from pipeline.microstructure.report.page import microstructures_lane
from pipeline.report.drawing import save_png
from pipeline.report.headline import headline, lines
from pipeline.report.layout import render
from pipeline.report.page import LaneReport
from pipeline.runtime.params import load_params
from pipeline.runtime.stage import run_stage, write_json
from stores.atomic import write_text

__all__ = ["ReportParams", "build_report", "main"]

Lane = Callable[[Path, int], LaneReport]
# one function per lane, in the order of the page
LANES: tuple[Lane, ...] = (spectra_lane, atoms_lane, aluminium_lane, microstructures_lane)
HEADLINE = Path("reports/metrics/headline.json")
TITLE = "Latentlaw: simulated physics in, laws out"


@settings
class ReportParams:
    """`max_points`: points drawn in a scatter plot at most; more make the page heavier, not clearer."""

    max_points: Annotated[int, Field(ge=100)]


def main() -> None:
    params = load_params(ReportParams, "report")
    numbers = headline(Path.cwd())
    build_report(Path.cwd(), params)
    write_json(HEADLINE, numbers)
    print("report: reports/index.html", *lines(numbers), sep="\n")


def build_report(root: Path, params: ReportParams, lanes: Sequence[Lane] = LANES) -> None:
    """Everything is drawn before the first file is written, and the page comes last."""
    reports_of_lanes = [lane(root, params.max_points) for lane in lanes]
    page = render([report.page for report in reports_of_lanes], title=TITLE)
    reports = root / "reports"
    for report in reports_of_lanes:
        for name, picture in report.pictures.items():
            save_png(picture, reports / f"figures/{name}.png")
        for name, contents in report.tables.items():
            write_text(reports / f"plots/{name}.csv", contents)
    write_text(reports / "index.html", page)


if __name__ == "__main__":
    run_stage("report", main)
