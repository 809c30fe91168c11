"""Stage `report`: one self-contained page with the pictures and the numbers of every lane.

reads   data/*.zarr, reports/metrics/*.json, reports/details, reports/formula, params.yaml
writes  reports/index.html              opens anywhere, needs no network and nothing beside it
        reports/figures/*.png           the pictures of the README
        reports/plots/*.csv             for `dvc plots show`
        reports/metrics/headline.json   for `dvc metrics show`: the dozen numbers that a run is remembered by

Pages and headline numbers are those that the modules in `pipeline/<lane>/report/` register: pipeline/report/page.py.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

from pydantic import Field

from models.settings import settings
from pipeline.report.drawing import save_png
from pipeline.report.layout import render
from pipeline.report.registry import HEADLINES, PAGES, Page, registered
from pipeline.runtime.params import load_params
from pipeline.runtime.records import write_json
from pipeline.runtime.stage import run_stage
from stores.atomic import write_text

__all__ = ["HEADLINE", "ReportParams", "build_report", "headline", "main"]

HEADLINE = Path("reports/metrics/headline.json")
TITLE = "Latentlaw: simulated physics in, laws out"
DIGITS = 5


@settings
class ReportParams:
    """`max_points`: points drawn in a scatter plot at most; more make the page heavier, not clearer."""

    max_points: Annotated[int, Field(ge=100)]


def main() -> None:
    params = load_params(ReportParams, "report")
    numbers = headline(Path.cwd())
    build_report(Path.cwd(), params, registered(PAGES))
    write_json(HEADLINE, numbers)
    print("report: reports/index.html", *lines(numbers), sep="\n")


def headline(root: Path) -> dict[str, int | float | None]:
    """Name -> number, null where it was not made. Times are left out: they differ from run to run."""
    numbers = {name: value for of_lane in registered(HEADLINES) for name, value in of_lane(root).items()}
    return {
        name: float(f"{value:.{DIGITS}g}") if isinstance(value, float) else value for name, value in numbers.items()
    }


def lines(numbers: Mapping[str, int | float | None]) -> list[str]:
    """One number a line, for the terminal."""
    width = max(map(len, numbers))
    return [f"  {name:<{width}}  {'not made' if value is None else value}" for name, value in numbers.items()]


def build_report(root: Path, params: ReportParams, pages: Sequence[Page]) -> None:
    """Everything is drawn before the first file is written, and the page comes last."""
    lanes = [page(root, params.max_points) for page in pages]
    text = render([lane.page for lane in lanes], title=TITLE)
    reports = root / "reports"
    for lane in lanes:
        for name, figure in lane.pictures.items():
            save_png(figure, reports / f"figures/{name}.png")
        for name, contents in lane.tables.items():
            write_text(reports / f"plots/{name}.csv", contents)
    write_text(reports / "index.html", text)


if __name__ == "__main__":
    run_stage("report", main)
