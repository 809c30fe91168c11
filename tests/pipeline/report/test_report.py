"""Pages register themselves: a new one is a function in a lane's folder, and it appears in its place."""

from pathlib import Path

from pipeline.report.page import KeyNumber, LanePage, LaneReport, Notice
from pipeline.report.registry import HEADLINES, PAGES, RESULTS, registered, report_page
from pipeline.report.report import ReportParams, build_report


def small_page(name: str) -> LaneReport:
    page = LanePage(
        name=name,
        title=f"The lane {name}",
        finding="Nothing was found.",
        key_numbers=[KeyNumber(value="1", label="number")],
        lead=Notice(text="No picture."),
        sections=[],
        provenance=[],
    )
    return LaneReport(page=page, pictures={}, tables={f"{name}_table": "x\n1\n"})


def test_a_page_that_a_test_defines_is_built_in_its_place_with_no_other_edit(tmp_path: Path):
    before = registered(PAGES)
    try:
        for name, order in (("second", 2), ("first", 1)):

            @report_page(name, order=order)
            def page(root: Path, max_points: int, name: str = name) -> LaneReport:
                return small_page(name)

        first, second, *others = registered(PAGES)
        assert others == before
        build_report(tmp_path, ReportParams(max_points=100), [first, second])
    finally:
        for name in ("first", "second"):
            del PAGES[name]
    text = (tmp_path / "reports/index.html").read_text()
    assert text.index("The lane first") < text.index("The lane second")
    assert (tmp_path / "reports/plots/second_table.csv").read_text() == "x\n1\n"


def test_every_lane_has_a_page_and_no_two_share_a_place():
    registered(PAGES)
    for entries in (PAGES, HEADLINES, RESULTS):
        orders = [order for order, _ in entries.values()]
        assert len(orders) == len(set(orders)) > 0
    assert sorted(PAGES, key=lambda name: PAGES[name][0]) == [
        "spectra",
        "hubbard",
        "atoms",
        "aluminium",
        "microstructures",
    ]
