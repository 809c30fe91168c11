"""The headline is a dozen numbers in one file, the only metrics of DVC, and null where nothing was made."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from pipeline.report.report import HEADLINE, headline, lines
from pipeline.runtime.records import write_json
from tests.pipeline.atoms.report.atom_inputs import trained, write_aluminium

ROOT = Path(__file__).parents[3]


def record(generator: str, descriptor: str, **r2: float) -> dict[str, object]:
    known = {"generator": generator, "descriptor": descriptor, "linear_r2": r2, "knn_r2": r2}
    return known | {"method": "mds", "dimension": 3, "trustworthiness": 0.9, "low": 0.0, "high": 1.0}


def latent(value: float) -> dict[str, object]:
    known = {"value": value, "low": 0.0, "high": 1.0, "latent": "even 1", "subset": "low_temperature"}
    known |= {"n_rows": 592, "n_hamiltonians": 592, "baseline": "centroid", "baseline_value": 0.99}
    return known | {"ahead": [0.001, -0.001, 0.003], "linear_direction": 0.9, "nonlinear_r2": 0.9}


def coefficient(value: float) -> dict[str, object]:
    numbers = dict.fromkeys(("low", "high", "low_scatter", "high_scatter", "expected", "bic_gain"), 1.0)
    return numbers | {"coefficient": value, "contains_expected": True, "resolved": True}


MAPS = [
    record("phase_order", "efficientnet", phase_order=0.94, mean=0.94),
    record("phase_order", "efficientnet", phase_order=0.9501234, mean=0.95),
    record("phase_order", "two_point", phase_order=-0.3, mean=-0.3),
    record("phase_order", "log_power_spectrum", phase_order=-0.06, mean=-0.06),
    record("phase_order", "scattering", phase_order=0.93, mean=0.93),
    record("lamellae", "efficientnet", mean=0.892),
    record("lamellae", "two_point", mean=0.99),
]
FRIEDEL = {"n_rows": 9, "median": 0.001, "percentile_99": 0.0036, "worst": 0.005}
CLIPPING = {"share_of_rows": 0.5, "percentile_99": 0.003, "worst": 0.005}
ACCURACY = {
    "n_hamiltonians": 3,
    "n_rows": 9,
    "largest_median": 0.01,
    "largest_worst": 0.02,
    "mean_median": 0.001,
    "mean_worst": 0.003,
    "n_kondo_temperatures": 3,
    "kondo_temperature_median": 0.002,
    "kondo_temperature_worst": 0.004,
}
INPUTS = {
    "metrics/spectra": {
        "n_spectra": 13266,
        "n_failed": 0,
        "friedel": FRIEDEL,
        "clipping": CLIPPING,
        "accuracy": ACCURACY,
        "hash": "x",
    },
    "metrics/latents": {
        "best_abs_spearman": {"log_T_K": latent(0.991), "n_d": latent(0.986), "asymmetry": latent(0.943)}
    },
    "details/formula": {
        "coefficient_test": {
            name: coefficient(value)
            for name, value in (("exponent", 1.57129876), ("prefactor", 0.498), ("correction", 1.54))
        },
        "controls": [],
        "engine_choice": {"requested": "operon", "ran": "operon", "why": "chosen"},
        "rules": {"selection": "", "tolerance": 0.2, "confidence": 0.95, "intervals": "", "library": ""},
        "targets": {},
        "left_out": {},
        "general_laws": [],
    },
    "metrics/embedding": {"results": MAPS},
    "metrics/potential": {"stores": {"molecules": {"hipnn": trained(0.31)}}},
}
EXPECTED = {
    "n_spectra": 13266,
    "friedel_99": 0.0036,
    "T_K_corr": 0.991,
    "n_d_corr": 0.986,
    "T_K_exponent": 1.5713,
    "T_K_prefactor": 0.498,
    "T_K_correction": 1.54,
    "hidden_order_R2": 0.95012,
    "lamellae_R2": 0.892,
    "molecules_force_eV_A": 0.31,
    "active_force_eV_A": 0.213,
    "random_force_eV_A": 0.287,
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, content in INPUTS.items():
        write_json(tmp_path / f"reports/{name}.json", content)
    write_aluminium(tmp_path)
    return tmp_path


def test_every_number_is_the_one_of_its_stage_to_five_digits(folder: Path):
    assert list(headline(folder).items()) == list(EXPECTED.items())


def test_what_was_not_made_is_null(folder: Path):
    write_json(folder / "reports/metrics/embedding.json", {"results": MAPS[:1]})
    write_json(folder / "reports/metrics/latents.json", {"best_abs_spearman": {}})
    nothing = {"level": "", "units": {}, "rounds": [], "random": [], "final": None, "oracle_control": {}}
    write_json(folder / "reports/metrics/active_learning.json", nothing)
    numbers = headline(folder)
    empty = [name for name, value in numbers.items() if value is None]
    assert empty == [
        "T_K_corr",
        "n_d_corr",
        "lamellae_R2",
        "active_force_eV_A",
        "random_force_eV_A",
    ]
    assert numbers["hidden_order_R2"] == 0.94
    assert sum("not made" in line for line in lines(numbers)) == len(empty)


def test_one_file_of_at_most_a_dozen_numbers_is_all_that_dvc_calls_metrics():
    dag = yaml.safe_load((ROOT / "dvc.yaml").read_text())
    metrics = [path for stage in dag["stages"].values() for metric in stage.get("metrics", []) for path in metric]
    assert metrics == [HEADLINE.as_posix()]
    assert len(EXPECTED) <= 12
    assert not [path for path in dag.get("metrics", []) if path != HEADLINE.as_posix()]


@pytest.mark.slow
def test_dvc_shows_it_one_below_the_other_in_80_columns(folder: Path):
    """`dvc metrics show` prints one row, `dvc metrics diff --all --no-path` one line for each number."""
    shutil.copytree(ROOT / ".dvc", folder / ".dvc", ignore=shutil.ignore_patterns("tmp", "cache", "config.local"))
    outs = {"cmd": "true", "metrics": [{HEADLINE.as_posix(): {"cache": False}}]}
    (folder / "dvc.yaml").write_text(yaml.safe_dump({"stages": {"report": outs}}))
    identity = ["-c", "user.name=tests", "-c", "user.email=tests@localhost"]
    write_json(folder / HEADLINE, headline(folder) | {"n_spectra": 13000})
    for command in (["init", "-q"], ["add", "-A"], [*identity, "commit", "-qm", "first"]):
        subprocess.run(["git", *command], cwd=folder, check=True)
    write_json(folder / HEADLINE, headline(folder))
    shown = dvc(folder, "metrics", "show", "--json")
    assert json.loads(shown)[""]["data"][HEADLINE.as_posix()]["data"] == EXPECTED
    rows = dvc(folder, "metrics", "show").splitlines()
    assert len(rows) == 2 and len(rows[0].split()) == 1 + len(EXPECTED)
    assert max(map(len, rows)) <= 2 * 120
    below = dvc(folder, "metrics", "diff", "--all", "--no-path").rstrip().splitlines()
    assert [line.split()[0] for line in below[1:]] == sorted(EXPECTED)
    assert max(map(len, below)) <= 80
    assert next(line.split() for line in below if "n_spectra" in line) == ["n_spectra", "13000", "13266", "266"]


def dvc(folder: Path, *arguments: str) -> str:
    environment = os.environ | {"DVC_NO_ANALYTICS": "1"}
    command = [sys.executable, "-m", "dvc", *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=True).stdout
