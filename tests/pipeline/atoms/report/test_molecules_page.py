"""The page of the atoms lane: self-contained, with the numbers of the metrics, and no claim beyond the intervals."""

import json
import re
import shutil

import numpy as np
import pytest
from matplotlib.patches import Circle

from pipeline.atoms.records import Estimate
from pipeline.atoms.report.force_section import best_ratio, goal_table
from pipeline.atoms.report.frames import draw_cell_on
from pipeline.atoms.report.inputs import read_atoms
from pipeline.atoms.report.molecules_page import finding, molecules_page
from pipeline.atoms.report.uncertainty_section import verdict
from pipeline.report.drawing import new_figure
from pipeline.report.page import in_order, number
from pipeline.report.report import ReportParams, build_report
from tests.pipeline.atoms.report.atom_inputs import judged, write_atoms

PARAMS = ReportParams(max_points=100)
PAGES = (molecules_page,)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    root = tmp_path_factory.mktemp("root")
    write_atoms(root)
    build_report(root, PARAMS, PAGES)
    return root


@pytest.fixture
def root(built, tmp_path):
    """A copy to change."""
    shutil.copytree(built, tmp_path, dirs_exist_ok=True)
    return tmp_path


@pytest.fixture(scope="module")
def page(built):
    return (built / "reports/index.html").read_text()


def change(root, path, **changes):
    content = json.loads((root / path).read_text())
    (root / path).write_text(json.dumps(content | changes))


def test_two_builds_give_the_same_bytes(built, root):
    build_report(root, PARAMS, PAGES)
    for name in ("index.html", "figures/atoms_lane.png", "plots/learning_curve.csv"):
        assert (built / "reports" / name).read_bytes() == (root / "reports" / name).read_bytes()


def test_the_page_needs_nothing_beside_itself(page):
    assert not re.search(r"https?://|file://|<script|<link|@import|@font-face", page)
    ids = re.findall(r'\bid="([^"]+)"', page)
    targets = set(re.findall(r'href="#([^"]+)"', page)) | set(re.findall(r"url\(#([^)]+)\)", page))
    assert targets <= set(ids)
    assert len([i for i in ids if i in targets]) == len(targets)


def test_numbers_on_the_page_are_those_of_the_metrics(page):
    for section in ("labels", "errors", "forces", "uncertainty", "features"):
        assert f'<section id="atoms-{section}">' in page
    for text in (
        number(0.222, 2),
        number(0.911),
        "45.6",
        "0.61 [0.59,\u00a00.63]",
        "0.87 [0.85,\u00a00.89]",
    ):
        assert text in page
    for ratio in (2.2, 2.33, 3.4):
        assert f"<td>{ratio:.2f}</td>" in page


def test_counts_and_level_of_theory_are_those_of_the_stores(page):
    """Beside the stores lie metrics of another run: 1006 configurations, another level."""
    assert "<strong>6 + 6</strong>" in page
    assert "<td>molecules</td><td>Morse</td><td>6</td><td>0</td><td>0</td><td>H2O 6</td>" in page
    assert number(1006) not in page
    assert "level of molecules" not in page


def test_the_finding_names_the_better_model_of_each_store(built):
    said = finding(read_atoms(built))
    assert "ANI predicts forces of test molecules to 0.22 eV/Å (labels: rms 1.3) from 120 frames, and ANI" in said
    assert "costs 2.2 to 2.6 energy steps by the fastest method" in said


def test_goals_that_are_not_reached_are_marked(built):
    results = read_atoms(built).force_training.results
    rows = goal_table(results).rows
    assert [row[3].endswith("✓") for row in rows] == [True, True, True, False]  # 2.20, 2.33, 2.46, 2.59
    assert [row[4].endswith("✓") for row in rows] == [True, True, True, True]
    slow = [r.model_copy(update={"memory_ratio": 1.4}) if r.method == "forward_over_reverse" else r for r in results]
    assert all("not reached" in row[4] for row in goal_table(slow).rows)
    assert best_ratio(results) == pytest.approx((2.2, 2.59))


def test_an_estimate_leads_beyond_the_intervals_only_where_they_do_not_overlap():
    def said(spread, hierarchicality):
        ranks = {"spread": spread, "hierarchicality": hierarchicality}
        entry = {name: Estimate(scale=1.0, held_out=judged(rank)) for name, rank in ranks.items()}
        return verdict({"forces": entry})

    assert "ensemble spread leads, beyond the intervals." in said(0.6, 0.5)
    assert "ensemble spread leads, but not beyond the intervals." in said(0.6, 0.57)
    assert "hierarchicality R leads, beyond" in said(0.3, 0.5)


def test_the_tables_for_dvc_plots_hold_the_curves(built):
    lines = (built / "reports/plots/learning_curve.csv").read_text().splitlines()
    assert lines == ["n_train,energy_rmse_meV_atom,force_rmse_eV_A", "30,5.23,0.6", "60,5.23,0.4", "120,5.23,0.3"]
    assert (built / "reports/plots/gradient_error.csv").read_text().splitlines()[1] == "1e-05,0.01,3.001e-08"


def test_missing_inputs_are_all_named_with_their_stage(root):
    (root / "reports/details/hierarchy.json").unlink()
    (root / "reports/metrics/potential.json").unlink()
    with pytest.raises(
        FileNotFoundError,
        match=r"potential\.json \(make it with `latentlaw repro potential`\).*repro hierarchy`",
    ):
        molecules_page(root, 100)


def test_parts_that_were_not_run_are_reported(root):
    change(root, "reports/details/hierarchy.json", latents={})
    change(root, "reports/details/force_training.json", gradient_errors=[], equal_time=[])
    change(
        root, "reports/details/potential.json", learning_curve={"store": "molecules", "model": "hipnn", "points": []}
    )
    build_report(root, PARAMS, PAGES)
    page = (root / "reports/index.html").read_text()
    for words in ("Too few held-out trajectories", "No trainings of equal time", "No learning curve was trained"):
        assert words in page


def test_a_cell_is_drawn_with_all_its_atoms_and_the_images_that_lie_near(built):
    axes = new_figure(3, 3).subplots()
    cell = np.eye(3) * 6.0
    inside = np.array([[3.0, 3.0, 3.0], [0.5, 3.0, 3.0]])
    draw_cell_on(axes, np.array([13, 13]), inside + np.array([6.0, 0.0, 0.0]), cell)
    balls = [p for p in axes.patches if isinstance(p, Circle)]
    assert sum(ball.get_alpha() == 1 for ball in balls) == 2
    assert sum(ball.get_alpha() < 1 for ball in balls) == 1  # the second, beyond the far face; no other is within 2 A
    draw_cell_on(other := new_figure(3, 3).subplots(), np.array([13, 13]), inside, cell, images=False)
    assert len(other.patches) == 2


def test_without_an_unseen_source_nothing_is_said_of_strange_molecules(root):
    path = root / "reports/metrics/hierarchy.json"
    metrics = json.loads(path.read_text())
    del metrics["sets"]["out_of_distribution"]
    for quantity in ("energy", "forces"):
        for estimate in metrics[quantity].values():
            del estimate["out_of_distribution"], estimate["told_apart"]
    path.write_text(json.dumps(metrics))
    details = json.loads((root / "reports/details/hierarchy.json").read_text())
    for quantity in ("energy", "forces"):
        for estimate in details[quantity].values():
            del estimate["out_of_distribution"]
    change(root, "reports/details/hierarchy.json", **details)
    build_report(root, PARAMS, PAGES)
    page = (root / "reports/index.html").read_text()
    assert "nothing is said of strange molecules" in page
    assert "AUROC, unseen against held out" not in page


def test_known_names_come_first_in_their_order():
    assert in_order({"x": 0, "ani": 0, "hipnn": 0}, ("hipnn", "ani")) == ["hipnn", "ani", "x"]
