"""The page of aluminium by active learning: rounds beside random selection, properties beside what others say."""

import re
from dataclasses import replace

import pytest

from pipeline.atoms.records import Control, Gain
from pipeline.atoms.report.aluminium_page import aluminium_page, finding
from pipeline.atoms.report.inputs import read_aluminium
from pipeline.atoms.report.property_section import (
    FURTHEST,
    draw_deviations_on,
    percent,
    properties_section,
    sources_of,
)
from pipeline.atoms.report.round_section import control_words
from pipeline.report.drawing import new_figure
from pipeline.report.report import ReportParams, build_report
from tests.pipeline.atoms.report.atom_inputs import SECTIONS, write_aluminium

PARAMS = ReportParams(max_points=100)
PAGES = (aluminium_page,)


def make(root, **changes):
    write_aluminium(root, **changes)
    (root / "params.yaml").write_text("".join(f"{section}: {{seed: 1}}\n" for section in SECTIONS))
    build_report(root, PARAMS, PAGES)
    return root


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return make(tmp_path_factory.mktemp("root"))


@pytest.fixture(scope="module")
def page(root):
    return (root / "reports/index.html").read_text()


def test_two_builds_give_the_same_bytes(root):
    names = ("index.html", "figures/aluminium_lane.png", "plots/labels_active.csv")
    before = [(root / "reports" / name).read_bytes() for name in names]
    build_report(root, PARAMS, PAGES)
    assert before == [(root / "reports" / name).read_bytes() for name in names]


def test_the_page_needs_nothing_beside_itself(page):
    assert not re.search(r"https?://|file://|<script|<link|@import|@font-face", page)
    ids = re.findall(r'\bid="([^"]+)"', page)
    targets = set(re.findall(r'href="#([^"]+)"', page)) | set(re.findall(r"url\(#([^)]+)\)", page))
    assert targets <= set(ids)
    assert len([i for i in ids if i in targets]) == len(targets)


def test_numbers_on_the_page_are_those_of_the_metrics(page):
    for section in ("rounds", "selection", "properties"):
        assert f'<section id="aluminium-{section}">' in page
    for text in (
        "<td>0.213</td>",
        "<td>21.3</td>",
        "0.44 to 0.213 eV/Å by active rounds, to 0.287 by random",
        "4.04 [1]",
    ):
        assert text in page
    assert "+2.0\u00a0%" in page  # of a0, from its oracle
    assert "Not measured. vacancy: it does not relax." in page


def test_the_level_of_theory_is_that_of_the_store(page):
    assert "labels by Morse:" in page
    assert "level of the last run" not in page


def test_the_finding_gives_the_gain_with_its_interval(root, tmp_path):
    assert "saves 17 [7,\u00a027] % of the force error against frames drawn at random from the same" in finding(
        read_aluminium(root)
    )
    write_aluminium(tmp_path, gain=0.05)
    (tmp_path / "params.yaml").write_text((root / "params.yaml").read_text())
    unresolved = finding(read_aluminium(tmp_path))
    assert "which is not resolved from nothing" in unresolved


def test_a_gain_whose_interval_holds_zero_is_called_unresolved():
    def words(low, high):
        return control_words(Control(force_gain=Gain(mean=(low + high) / 2, low=low, high=high)))

    assert "not resolved" in words(-0.1, 0.2)
    assert "not resolved" not in words(0.1, 0.2)
    assert "not resolved" not in words(-0.2, -0.1)


def test_each_control_and_the_share_of_uncertain_trajectories_are_told():
    gain = Gain(mean=0.15, low=0.1, high=0.2)
    words = control_words(Control(force_gain=gain, force_gain_over_plain=gain, uncertain=(0.5, 0.04)))
    assert "against random, paired by seed: forces, after the last round: 15" in words
    assert "against plain dynamics, paired by seed: forces, after the last round: 15" in words
    assert "Uncertain trajectories in the rounds: 50, 4 %." in words


def test_without_a_control_the_page_says_so(tmp_path):
    page = (make(tmp_path, seeds=0) / "reports/index.html").read_text()
    assert "No control over seeds was run" in page


def test_far_deviations_stand_at_the_edge_with_their_number(root):
    records = read_aluminium(root).properties
    axes = new_figure(5, 3).subplots()
    draw_deviations_on(axes, records, ["a0", "bulk_modulus"])
    assert [text.get_text() for text in axes.texts] == ["+200, +208 %"]
    assert axes.get_xlim() == (-FURTHEST, FURTHEST)
    assert all(abs(x) <= FURTHEST for line in axes.lines for x in line.get_xdata())


def test_every_published_number_points_to_its_source(root, page):
    assert sources_of(read_aluminium(root).properties) == ["A. Author (2001)", "B. Other (1999)"]
    assert "<td>4.022 [2]</td>" in page
    assert "PBE ± 1" in page


def test_percents_have_signs_and_nothing_is_a_dash():
    assert (percent(0.0123), percent(-0.5), percent(None)) == ("+1.2\u00a0%", "\u221250.0\u00a0%", "\u2013")


def test_tables_for_dvc_plots_hold_the_error_against_labels(root):
    assert (root / "reports/plots/labels_active.csv").read_text() == "n_labels,force_rmse\n10,0.44\n18,0.33\n26,0.213\n"
    assert len((root / "reports/plots/labels_random.csv").read_text().splitlines()) == 4


def test_missing_inputs_are_all_named_with_their_stage(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"repro active_learning`\).*latentlaw repro aluminium_benchmark`\)"):
        aluminium_page(tmp_path, 100)


def test_properties_without_any_comparison_make_no_figure(root):
    inputs = read_aluminium(root)
    few = replace(inputs, properties={"melt_temperature": inputs.properties["melt_temperature"]}, curves={})
    (block,) = properties_section(few).blocks
    assert block.rows[0][:3] == ["melt temperature", "K", "950"]
    assert (
        len(properties_section(replace(inputs, curves={})).blocks) == 5
    )  # figure, table, failures, sources, compression
