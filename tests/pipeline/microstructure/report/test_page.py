"""The page of the microstructures lane, built from small stores by the stage that fills it."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from pipeline.microstructure import embedding
from pipeline.microstructure.report.inputs import read_microstructures
from pipeline.microstructure.report.page import finding, microstructures_page, series
from pipeline.report.page import number
from pipeline.report.report import ReportParams, build_report
from pipeline.runtime.params import build
from tests.pipeline.microstructure.micrograph_stores import N_PX, write_stores

SEARCH = {
    "descriptor": "efficientnet",
    "method": "mds",
    "engine": "library",
    "seed": 0,
    "n_seeds": 1,
    "max_rows": 100,
    "test_fraction": 0.2,
    "extrapolation_fraction": 0.1,
    "confidence": 0.95,
    "n_bootstrap": 20,
    "engines": {
        "operon": {"population": 50, "generations": 2, "raw_generations": 2, "max_length": 10},
        "library": {"max_power": 1, "max_total": 1, "max_terms": 2, "beam": 5},
        "pysr": {"iterations": 1, "max_size": 10, "timeout_s": 10.0},
    },
}
SETTINGS = {
    "methods": ["mds"],
    "n_axes": 20,
    "n_landmarks": 1000,
    "landmark_seed": 0,
    "n_neighbours": 8,
    "max_dimension": 5,
    "minimum_gain": 0.01,
    "seeds": [0, 1, 2],
    "n_folds": 4,
    "n_regression_neighbours": 4,
    "n_bootstrap": 20,
    "max_rows": 1000,
    "max_rows_pairs": 1000,
    "search": SEARCH,
}
BEYOND = {
    "results": [
        {
            "generator": "lamellae",
            "descriptor": "efficientnet",
            "surrogate": "phases",
            "auc": 0.97,
            "low": 0.9,
            "high": 0.99,
            "n_images": 40,
        }
    ],
    "window": {"lamellae": {"layer": "b1", "ratios": {"8": 0.3, "16": 0.1}, "recommended_px": 16}},
    "reconstruction": [
        {
            "generator": "lamellae",
            "terms": {"texture": 0.01, "two_point": 0.1, "variation": 0.0, "grey": 0.0},
            "terms_of_noise": {"texture": 1.0, "two_point": 1.0, "variation": 1.0, "grey": 1.0},
        }
    ],
}
PARAMS = ReportParams(max_points=100)
PAGES = (microstructures_page,)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("root")
    write_stores(folder)
    sections = {"microstructures": {}, "textures": {}, "embedding": SETTINGS, "reconstruction": {}}
    (folder / "params.yaml").write_text(json.dumps(sections))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        embedding.main()
    write_beyond(folder)
    build_report(folder, PARAMS, PAGES)
    return folder


def write_beyond(folder: Path) -> None:
    (folder / "reports/microstructures").mkdir()
    image = np.zeros((1, N_PX, N_PX), np.float32)
    arrays = {name: image for name in ("target", "surrogate", "image")}
    np.savez(folder / "reports/microstructures/reconstruction.npz", names=np.array(["lamellae"]), **arrays)
    (folder / "reports/metrics/beyond_two_point.json").write_text(json.dumps(BEYOND))


@pytest.fixture(scope="module")
def page(root):
    return (root / "reports/index.html").read_text()


def test_the_section_of_params_is_one_that_the_stage_takes():
    assert build(embedding.EmbeddingParams, SETTINGS, "embedding", "test").search.method == "mds"


def test_two_builds_give_the_same_bytes(root):
    names = ("index.html", "figures/microstructures_lane.png", "plots/recovery_phase_order.csv")
    before = [(root / "reports" / name).read_bytes() for name in names]
    build_report(root, PARAMS, PAGES)
    assert before == [(root / "reports" / name).read_bytes() for name in names]


def test_the_page_needs_nothing_beside_itself(page):
    assert not re.search(r"https?://|file://|<script|<link|@import|@font-face", page)
    ids = re.findall(r'\bid="([^"]+)"', page)
    targets = set(re.findall(r'href="#([^"]+)"', page)) | set(re.findall(r"url\(#([^)]+)\)", page))
    assert targets <= set(ids)
    assert len([i for i in ids if i in targets]) == len(targets)


def test_numbers_on_the_page_are_those_of_the_metrics(root, page):
    results = json.loads((root / "reports/metrics/embedding.json").read_text())["results"]
    for record in results:
        assert number(record["linear_r2"]["mean"], 2) in page
    cells = next(r for r in results if (r["generator"], r["descriptor"]) == ("phase_order", "efficientnet"))
    assert f"R² {number(cells['linear_r2']['phase_order'])}; the two-point, raw " in page
    for anchor in ("recovery", "maps", "dimensions", "laws", "beyond"):
        assert f'<section id="microstructures-{anchor}">' in page


def test_the_finding_names_every_second_order_baseline(root):
    inputs = read_microstructures(root)
    assert finding(inputs).count("the two-point, raw ") == 2


def test_the_lead_series_has_one_fourier_modulus(root):
    first, *others = (np.abs(np.fft.rfft2(image)) for image in series(read_microstructures(root)))
    for other in others:  # clipping at four standard deviations leaves the small rest
        assert np.abs(other - first)[1:].max() < 0.02 * first[1:].max()


def test_missing_inputs_are_all_named_with_their_stage(root, tmp_path):
    with pytest.raises(
        FileNotFoundError, match=r"microstructures\.zarr \(make it with `latentlaw repro microstructures`\).*"
    ):
        build_report(tmp_path, PARAMS, PAGES)
    assert not (tmp_path / "reports").exists()


def test_tables_for_dvc_plots_hold_r2_against_coordinates(root):
    lines = (root / "reports/plots/recovery_phase_order.csv").read_text().splitlines()
    assert lines[0] == "coordinates,efficientnet,two_point"
    assert len(lines) >= 3
