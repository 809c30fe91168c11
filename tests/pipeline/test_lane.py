"""A lane is a folder: its stage, section of params, deps and page are found there, with no other edit."""

import importlib
import json
import sys
from pathlib import Path

import pytest

import pipeline
from pipeline.report.registry import PAGES, registered
from pipeline.report.report import ReportParams, build_report
from pipeline.runtime import check_params
from pipeline.runtime.dependencies import check, stage_code
from pipeline.runtime.params import check_sections

STAGE = """
from models.settings import settings
from pipeline.runtime.params import load_params
from pipeline.runtime.records import write_json
from pipeline.runtime.stage import run_stage
from pathlib import Path
from pydantic import PositiveFloat


@settings
class PeriodsParams:
    length_m: PositiveFloat


def main():
    params = load_params(PeriodsParams, "periods")
    write_json(Path("reports/metrics/periods.json"), {"period_s": 6.2831853 * (params.length_m / 9.81) ** 0.5})


if __name__ == "__main__":
    run_stage("periods", main)
"""
PAGE = """
import json

from pipeline.report.page import KeyNumber, LanePage, LaneReport, Notice
from pipeline.report.registry import report_page


@report_page("pendulums", order=90)
def pendulums(root, max_points):
    period = json.loads((root / "reports/metrics/periods.json").read_text())["period_s"]
    page = LanePage(
        name="pendulums",
        title="Pendulums",
        finding=f"One metre swings in {period:.2f} seconds.",
        key_numbers=[KeyNumber(value=f"{period:.2f}", label="period [s]")],
        lead=Notice(text="No picture."),
        sections=[],
        provenance=[],
    )
    return LaneReport(page=page, pictures={}, tables={})
"""
DAG = """
stages:
  periods:
    cmd: python -m pipeline.pendulum.periods
    deps: [pipeline/pendulum/periods.py]
    params: [periods]
    outs:
      - reports/metrics/periods.json: {cache: false}
"""


@pytest.fixture
def tree(tmp_path: Path, monkeypatch) -> Path:
    """A tree that holds the lane `pendulum` alone, found beside the lanes of the project."""
    lane = tmp_path / "pipeline" / "pendulum"
    (lane / "report").mkdir(parents=True)
    (tmp_path / "pipeline/atoms").mkdir()
    files = {
        "__init__.py": "",
        "periods.py": STAGE,
        "report/__init__.py": "",
        "report/page.py": PAGE,
        "../atoms/dvc.yaml": "stages: {}\n",
        "../../dvc.yaml": DAG,
        "../../params.yaml": "periods: {length_m: 1.0}\n",
    }
    for name, text in files.items():
        (lane / name).write_text(text)
    monkeypatch.setattr(pipeline, "__path__", [*pipeline.__path__, str(tmp_path / "pipeline")])
    monkeypatch.setattr(check_params, "CODE", tmp_path)
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    for module in [name for name in sys.modules if name.startswith("pipeline.pendulum")]:
        del sys.modules[module]


def test_a_new_lane_runs_is_checked_and_is_reported(tree: Path):
    assert stage_code(tree, "periods") == ["pipeline/pendulum/periods.py"]
    assert check(tree) == []
    check_sections(check_params.section_kinds(), tree / "params.yaml")
    importlib.import_module("pipeline.pendulum.periods").main()
    assert json.loads((tree / "reports/metrics/periods.json").read_text())["period_s"] == pytest.approx(2.006, abs=1e-3)
    known = registered(PAGES)
    try:
        importlib.import_module("pipeline.pendulum.report.page")
        page = registered(PAGES)[-1]
        assert page not in known
        build_report(tree, ReportParams(max_points=100), [page])
    finally:
        del PAGES["pendulums"]
    assert "One metre swings in 2.01 seconds." in (tree / "reports/index.html").read_text()
