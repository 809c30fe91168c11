"""The report page: built from small stores, self-contained, deterministic, with the numbers of the metrics."""

import json
import re
import shutil

import numpy as np
import pytest
import xarray as xr

from pipeline.discover.records import Formula
from pipeline.impurity.records import BestLatent, Coefficient, GeneralVerdict, SpectrumVAEMetrics
from pipeline.impurity.report.latent_section import MEASURES
from pipeline.impurity.report.law_section import coefficient_table, selected_laws
from pipeline.impurity.report.page import Facts, finding, key_numbers, spectra_page
from pipeline.impurity.report.spectra_section import solver_words
from pipeline.report.page import number
from pipeline.report.report import ReportParams, build_report
from stores import kondo_temperatures, latents, spectra
from stores.kondo_temperatures import KONDO_TEMPERATURES
from stores.latents import LATENTS
from stores.manifest import read_manifest
from stores.spectra import SPECTRA
from stores.zarr_store import write_store

PARAMS = ReportParams(max_points=100)
PAGES = (spectra_page,)
NAMES = {"low_temperature": ["even 1", "odd 1"], "full": ["even 1"]}  # those of stores.latents.tiny()


def association(spearman):
    return {measure: [spearman, spearman - 0.01, spearman + 0.01] for measure in MEASURES}


CORRECTION = {
    "coefficient": 1.612,
    "low": 1.41,
    "high": 1.73,
    "low_scatter": 1.5,
    "high_scatter": 1.7,
    "expected": 1.5708,
    "contains_expected": True,
    "resolved": True,
    "bic_gain": 20.0,
}


def held_out(coordinate, value, ahead):
    return {
        "coordinate": coordinate,
        "spearman": [value, value - 0.011, value + 0.012],
        "ahead": [ahead, ahead - 0.004, ahead + 0.004],
        "n_rows": 592,
        "n_hamiltonians": 592,
    }


METRICS = {
    "pseudogap": {
        "n_rows": 20,
        "n_failed": 2,
        "exponents": [
            {
                "exponent": 0.3,
                "critical_coupling": 0.1401,
                "critical_moment": 0.1701,
                "critical_entropy": 0.6931,
                "inverse_nu": [0.1942, 0.1941, 0.1943],
                "nu_screened": [5.1488, 5.1487, 5.1489],
                "nu_local_moment": [None, None, None],
                "inverse_nu_near_zero": 0.255,
                "inverse_nu_near_one_half": 0.8,
            }
        ],
        "hash": "0" * 64,
    },
    "spectrum_vae": {
        "test_mae": 0.00765,
        "active_latents": 3,
        "seeds": [0, 1],
        "subsets": {
            subset: {
                "beta": 0.3,
                "seed": 1,
                "test_mae": 0.00765,
                "active_latents": 3,
                "seeds": {k: {"test_mae": 0.0081, "active_latents": 3, "epochs": 9} for k in ("0", "1")},
            }
            for subset in NAMES
        },
    },
    "latents": {
        "best_abs_spearman": {
            quantity: {
                "value": value,
                "low": value - 0.011,
                "high": value + 0.012,
                "latent": latent,
                "subset": subset,
                "linear_direction": 0.978,
                "nonlinear_r2": 0.9934,
                "n_rows": 592,
                "n_hamiltonians": 592,
                "baseline": "centroid",
                "baseline_value": 0.943,
                "ahead": [0.024, 0.012, 0.036],
            }
            for quantity, value, latent, subset in (
                ("log_T_K", 0.967, "even 1", "low_temperature"),
                ("asymmetry", 0.871, "odd 1", "low_temperature"),
                ("n_d", 0.91, "odd 1", "low_temperature"),
                ("log_max_scale", 0.955, "even 1", "full"),
            )
        },
        "subsets": {
            subset: {
                "n_rows": 77,
                "associations": {
                    name: {"log_T_K": association(0.967 - 0.5 * i), "asymmetry": association(0.3 + 0.4 * i)}
                    for i, name in enumerate(names)
                },
                "together": {},
                "meaning": [f"{name} is said to be something." for name in names],
                "held_out": {
                    "log_T_K": {
                        "test": {
                            "summaries": held_out("centroid", 0.943, 0.0),
                            "network": held_out("even 1", 0.912, -0.031),
                            "seed_0": held_out("even 1", 0.912, -0.031),
                            "untrained": held_out("latent 2", 0.301, -0.642),
                        }
                    }
                },
            }
            for subset, names in NAMES.items()
        },
    },
    "formula": {
        "results": [
            {
                "target": "nrg",
                "engine": "operon",
                "encoding": "dimensionless",
                "link": "identity",
                "latex": "",
                "loss": 1e-4,
                "has_exponent": False,
                "ratios": {},
                "equation": "-0.346574 + (1.5708)*u*x + (1.5708)*u*x**2 + (0.5)*log(u) + (1.61)*1/u",
                "complexity": 21,
                "r2_test": 0.99991,
                "r2_extrapolation": 0.99873,
                "equivalent_srbench": False,
                "matches": "haldane_corrected",
                "coefficients": {},
                "seed_stability": 0.8,
                "selected": True,
            }
        ],
        "correction_resolved": CORRECTION,
        "controls_passed": 0,
        "controls_run": 0,
        "coefficient_test": {"correction": CORRECTION | {"variants": {}}},
        "controls": [],
        "engine_choice": {"requested": "operon", "ran": "operon", "why": "chosen"},
        "rules": {"selection": "", "tolerance": 0.2, "confidence": 0.95, "intervals": "", "library": ""},
        "targets": {},
        "left_out": {},
        "general": [],
        "general_laws": [],
    },
}
FACTS = Facts(n_spectra=5, n_failed=1, solver="example", kondo_solver="example")  # of spectra.tiny()
BEST = {name: BestLatent(**found) for name, found in METRICS["latents"]["best_abs_spearman"].items()}
DETAILS = {
    "latents": ["subsets"],
    "formula": ["coefficient_test", "controls", "engine_choice", "rules", "targets", "left_out", "general_laws"],
}  # kept beside the metrics, not among them
SELECTION = {
    subset: {
        "beta": 0.3,
        "seed": 1,
        "candidates": [{"beta": 0.3, "validation_mae": 0.008, "consistency": {"0": 0.91, "1": 0.93}}],
    }
    for subset in NAMES
}
LAWS = "interaction,level,hybridization,split,measured,found,haldane,haldane_corrected\n" + "".join(
    f"0.1,-0.05,{gamma},train,{-90 * gamma},{-91 * gamma},{-100 * gamma},{-92 * gamma}\n"
    for gamma in (0.01, 0.02, 0.03)
)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A repository root with every input of the stage, and its page."""
    root = tmp_path_factory.mktemp("root")
    write_store(root / "data/spectra.zarr", SPECTRA, spectra.tiny())
    write_store(root / "data/kondo_temperatures.zarr", KONDO_TEMPERATURES, kondo_temperatures.tiny())
    write_store(root / "data/latents.zarr", LATENTS, latents.tiny())
    (root / "reports/metrics").mkdir(parents=True)
    for stage, content in METRICS.items():
        (root / f"reports/metrics/{stage}.json").write_text(json.dumps(content))
    (root / "reports/details").mkdir()
    for stage, keys in DETAILS.items():
        details = {key: METRICS[stage][key] for key in keys}
        (root / f"reports/details/{stage}.json").write_text(json.dumps(details))
        short = {key: value for key, value in METRICS[stage].items() if key not in keys}
        (root / f"reports/metrics/{stage}.json").write_text(json.dumps(short))
    folder = root / "reports/formula"
    folder.mkdir()
    equation = METRICS["formula"]["results"][0]["equation"]
    fronts = f"nrg,operon,dimensionless,1,2.0,-3.1,0\nnrg,operon,dimensionless,21,1e-4,{equation},1\n"
    (folder / "fronts.csv").write_text("target,engine,encoding,complexity,loss,equation,selected\n" + fronts)
    (folder / "laws.csv").write_text(LAWS)
    (root / "runs/spectrum_vae").mkdir(parents=True)
    (root / "runs/spectrum_vae/selection.json").write_text(json.dumps(SELECTION))
    sections = ("spectra", "kondo_temperatures", "spectrum_vae", "latents", "formula", "pseudogap")
    (root / "params.yaml").write_text("".join(f"{section}: {{seed: 1}}\n" for section in sections))
    for subset in NAMES:
        for seed in (0, 1):
            curve = root / f"runs/spectrum_vae/{subset}/seed_{seed}/live/plots/metrics/mae.tsv"
            curve.parent.mkdir(parents=True)
            curve.write_text(f"step\tmae\n10\t0.1\n20\t0.0{seed + 1}\n")
    build_report(root, PARAMS, PAGES)
    return root


@pytest.fixture(scope="module")
def page(built):
    return (built / "reports/index.html").read_text()


@pytest.fixture
def root(built, tmp_path):
    """A copy to change."""
    shutil.copytree(built, tmp_path, dirs_exist_ok=True)
    (tmp_path / "reports/index.html").unlink()
    return tmp_path


def test_two_builds_give_the_same_bytes(built, root):
    build_report(root, PARAMS, PAGES)
    for name in ("index.html", "figures/spectra_lane.png"):
        assert (built / "reports" / name).read_bytes() == (root / "reports" / name).read_bytes()


def test_tables_for_dvc_plots_hold_the_chosen_training_and_the_laws(built):
    plots = built / "reports/plots"
    assert (plots / "training_full.csv").read_text() == "step,mae\n10,0.1\n20,0.02\n"
    assert (plots / "pareto_nrg.csv").read_text() == "complexity,loss\n1,2\n21,0.0001\n"
    assert (plots / "pareto_latent.csv").read_text() == "complexity,loss\n"
    assert len((plots / "laws.csv").read_text().splitlines()) == 4
    assert (plots / "latents.csv").read_text().startswith("log10_scale,latent_scale,asymmetry,latent_asymmetry\n")


def test_the_page_needs_nothing_beside_itself(page):
    assert not re.search(r"https?://|file://|<script|<link|@import|@font-face", page)
    references = re.findall(r"""(?:src|href)\s*=\s*["']([^"']*)["']|url\(([^)]*)\)""", page)
    assert references
    assert all((a or b).startswith(("#", "data:")) for a, b in references)


def test_every_reference_inside_the_page_has_one_target(page):
    ids = re.findall(r'\bid="([^"]+)"', page)
    targets = set(re.findall(r'href="#([^"]+)"', page)) | set(re.findall(r"url\(#([^)]+)\)", page))
    assert targets <= set(ids)
    assert len([i for i in ids if i in targets]) == len(targets)


def test_numbers_on_the_page_are_those_of_the_metrics(page):
    best = METRICS["latents"]["best_abs_spearman"]
    for value in (best["log_T_K"]["value"], best["n_d"]["value"], best["log_T_K"]["nonlinear_r2"]):
        assert number(value) in page
    for text in (
        number(0.00765, 2),
        "1.612 [1.41,\u00a01.73]",
        number(0.99873, 4),
        "even\u00a01",
    ):
        assert text in page


def test_rows_and_solvers_are_those_of_the_store_not_of_the_last_run_of_the_stage(root):
    """A user's own rows: metrics of another run lie beside them, and NRG may have had no part in them."""
    message = {"n_spectra": 13266, "n_failed": 0, "hash": "0123abc"}
    (root / "reports/metrics/spectra.json").write_text(json.dumps(message))
    build_report(root, PARAMS, PAGES)
    page = (root / "reports/index.html").read_text()
    assert number(13266) not in page
    assert "0123abc" not in page
    assert read_manifest(root / "data/spectra.zarr").hash in page
    assert "From 5 impurity spectra" in page
    assert re.search(r"<strong>5</strong>\s*<span>spectra by example</span>\s*<small>1 failed", page)
    assert "Every spectrum is solved by example for its own" in page
    assert "measured by example" in page
    assert "NRG" not in page


@pytest.mark.parametrize(("solver", "words"), [("nrg", "full-density-matrix NRG"), ("triqs", "NRG Ljubljana through")])
def test_solvers_of_the_project_are_called_by_their_names(solver, words):
    assert solver_words(solver, in_full=True).startswith(words)
    assert solver_words("exact diagonalisation") == "exact diagonalisation"


GENERAL = {
    "engine": "operon",
    "encoding": "raw",
    "equation": "x",
    "link": "log",
    "n_rows": 133,
    "r2_report": 0.99,
    "exponent": True,
    "prefactor": True,
    "constant_agrees": False,
    "correction_resolved": True,
    "correction_agrees": False,
    "problem": None,
}


def test_the_finding_is_reported_by_the_metrics_and_by_nothing_else():
    def message(**changes):
        return finding(FACTS, BEST, [GeneralVerdict(**(GENERAL | changes))], Coefficient(**CORRECTION))

    assert "on 133 Kondo temperatures measured by " in message()
    assert (
        ", symbolic regression (operon), given energies and their units alone, finds Haldane's exponent, the prefactor "
        "sqrt(U Gamma); does not find its constant, a term Gamma/U that agrees with the Bethe ansatz; a fit of the "
    ) in message()
    nothing = dict.fromkeys(("exponent", "prefactor", "constant_agrees", "correction_agrees"), False)
    assert "alone, does not find Haldane's exponent" in message(**nothing)
    assert "no general engine searched for a formula" in finding(FACTS, BEST, [], Coefficient(**CORRECTION))
    assert "0.967" in message()
    assert "1.61 [1.41,\u00a01.73]" in message()
    assert (
        "latent that follows log T_K (|Spearman| 0.967 on test Hamiltonians, where the centroid of the curve alone has "
        "0.943), and another that follows the occupation (0.91)"
    ) in message()


def test_the_variants_of_the_fit_are_counted():
    variant = {"coefficient": 1.6, "low": 1.5, "high": 1.7}
    term = Coefficient(**CORRECTION, variants=dict.fromkeys("abc", variant))
    assert "span 3 variants of the fit" in coefficient_table({"correction": term}).caption


def test_latents_that_could_not_be_judged_are_not_praised():
    assert "found no active latent that could be scored on test Hamiltonians" in finding(
        FACTS, {}, [], Coefficient(**CORRECTION)
    )
    vae = SpectrumVAEMetrics(**METRICS["spectrum_vae"])
    assert len(key_numbers(FACTS, vae, {}, [])) == len(key_numbers(FACTS, vae, BEST, [])) - 2


def test_goals_that_were_not_reached_are_marked_as_such(page):
    assert "0.967 [0.956,\u00a00.979] ✓\u00a0≥\u00a00.95" in page
    assert "0.871 [0.86,\u00a00.883] (goal ≥ 0.9 not reached)" in page


def test_text_from_data_is_escaped_and_a_formula_that_cannot_be_drawn_is_written(root):
    record = METRICS["formula"]["results"][0] | {"engine": "<b>engine</b>", "selected": False, "equation": "u +* x < 1"}
    path = root / "reports/metrics/formula.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"results": [record]}))
    build_report(root, PARAMS, PAGES)
    page = (root / "reports/index.html").read_text()
    assert "<b>engine</b>" not in page
    assert "<code>u +* x &lt; 1</code>" in page


def test_missing_inputs_are_all_named_with_their_stage_and_nothing_is_written(root):
    (root / "reports/metrics/latents.json").unlink()
    shutil.rmtree(root / "data/spectra.zarr")
    with pytest.raises(
        FileNotFoundError, match=r"spectra\.zarr \(make it with `latentlaw repro spectra`\).*latentlaw repro latents"
    ):
        build_report(root, PARAMS, PAGES)
    assert not (root / "reports/index.html").exists()


def test_a_part_without_rows_says_so_instead_of_failing(page):
    assert "No spectrum in the Kondo regime" in page
    assert "No controls are recorded" in page


def test_a_dataset_of_many_rows_shows_the_melting_of_the_kondo_peak(root):
    rng = np.random.default_rng(1)
    example = spectra.tiny()
    n, positive = 60, np.geomspace(1e-5, 2, 30)
    omega = np.concatenate([-positive[::-1], [0.0], positive])
    kondo, field = 1e-3 * np.ones(n), np.where(np.arange(n) % 2, 0.0, 10.0 ** rng.uniform(-4, -1, n))
    temperature = np.where(field == 0, 10.0 ** rng.uniform(-5, -1, n), 1e-5)
    height = 1 / (1 + temperature / kondo + (field / kondo) ** 2)
    columns = {
        "spectrum": (height[:, None] / (1 + (omega / 1e-3) ** 2)).astype(np.float32),
        "interaction": np.full(n, 0.2),
        "hybridization": np.full(n, 0.02),
        "level": np.full(n, -0.1),
        "field": field,
        "temperature": temperature,
        "n_d": np.ones(n),
        "s_z": np.zeros(n),
        "double_occupancy": np.full(n, 0.1),
        "spectral_weight": np.full(n, 0.9),
        "friedel_residual": np.where(temperature < kondo / 30, 1e-3, np.nan),
        "clipped_self_energy": np.zeros(n),
        "spectrum_error_max": np.full(n, np.nan),
        "spectrum_error_mean": np.full(n, np.nan),
        "kondo_temperature_error": np.full(n, np.nan),
        "held_out": np.zeros(n, bool),
        "kondo_temperature": kondo,
        "hamiltonian": np.where(field == 0, 0, 1 + np.arange(n)),
        "mirrored": np.zeros(n, bool),
        "status": np.zeros(n, np.int8),
        "failure": np.full(n, "", object),
    }
    dataset = xr.Dataset(
        {name: (example[name].dims, values, example[name].attrs) for name, values in columns.items()},
        coords={"omega": ("omega", omega, example["omega"].attrs)},
        attrs=example.attrs,
    )
    write_store(root / "data/spectra.zarr", SPECTRA, dataset)
    build_report(root, PARAMS, PAGES)
    page = (root / "reports/index.html").read_text()
    assert "one impurity at 30 temperatures" in page
    assert f"applies to {np.sum(temperature < kondo / 30)} spectra" in page
    assert "0.0010 in the median" in page
    assert "height at ω = 0 of 30 and 30 spectra" in page


def test_every_seed_is_on_the_page_and_the_chosen_one_is_marked(page):
    seeds = re.search(r'<section id="spectra-seeds">(.*?)</section>', page, re.DOTALL)[1]
    rows = re.findall(r"<tr( class=.highlighted.)?><td>lowest temperature, no field</td><td>([01])</td>", seeds)
    assert [(bool(mark), seed) for mark, seed in rows] == [(False, "0"), (True, "1")]
    assert "0.912\u00a0(even\u00a01)" in seeds


def test_the_law_of_the_page_is_the_one_of_the_chosen_engine():
    first = METRICS["formula"]["results"][0]
    results = [Formula(**(first | {"engine": engine})) for engine in ("library", "operon")]
    assert selected_laws(results, "operon")[0].engine == "operon"
    assert selected_laws(results, "library")[0].engine == "library"
    assert selected_laws([], "operon") == []
