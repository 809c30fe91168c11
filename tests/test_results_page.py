"""docs/results.md says what `reports/metrics` of the published run holds."""

import json
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "results.md").read_text()
ALUMINIUM = {
    "a0": ("lattice constant", 3),
    "bulk_modulus": ("bulk modulus, strain to 3 %", 1),
    "local_bulk_modulus": ("bulk modulus, strain to 0.5 %", 1),
    "c11": ("C11", 1),
    "c12": ("C12", 1),
    "c44": ("C44", 1),
    "bcc_minus_fcc": ("bcc above fcc", 3),
    "phonon_lowest": ("lowest phonon", 1),
    "phonon_L_longitudinal": ("longitudinal phonon at L", 2),
    "surface_111": ("surface 111", 3),
    "surface_100": ("surface 100", 3),
    "surface_110": ("surface 110", 3),
    "vacancy_formation": ("vacancy formation", 3),
    "intrinsic_stacking_fault": ("stacking fault", 1),
}
BOXES = {"default": "fresh seeds", "shifted": "shifted box"}
MAPS = {
    "EfficientNet-Lite0, pretrained": "efficientnet",
    "EfficientNet-Lite0, random weights": "random_efficientnet",
    "two-point function, raw": "two_point",
    "two-point function, centred": "two_point_centred",
    "log power spectrum": "log_power_spectrum",
}


def metrics(name: str) -> dict:
    return json.loads((ROOT / "reports" / "metrics" / f"{name}.json").read_text())


def row(begin: str) -> str:
    """The row of a table that begins so; there is one."""
    (found,) = [line for line in PAGE.splitlines() if line.startswith(f"| {begin}")]
    return found


@pytest.mark.parametrize("name", ALUMINIUM)
def test_every_property_of_aluminium_is_the_measured_one_misses_among_them(name: str):
    words, digits = ALUMINIUM[name]
    assert f"{metrics('aluminium_properties')[name]['value']:.{digits}f}" in row(words)


def test_the_migration_of_a_vacancy_is_reported_to_fail_while_it_does():
    record = metrics("aluminium_properties")["vacancy_migration"]
    assert (record["value"] is None) == ("**none**" in row("vacancy migration"))


@pytest.mark.parametrize("words", MAPS)
def test_raw_pair_statistics_stand_beside_centred_ones(words: str):
    results = metrics("embedding")["results"]
    for generator, parameter in (("lamellae", "mean"), ("phase_order", "phase_order")):
        best = max(
            r["linear_r2"][parameter] for r in results if (r["generator"], r["descriptor"]) == (generator, MAPS[words])
        )
        assert f"{best:.3f}" in row(words)


@pytest.mark.parametrize(
    ("begin", "claim", "digits"),
    [
        ("log T_K |", "log_T_K_test", 3),
        ("log T_K, local", "log_T_K_local_moment", 3),
        ("occupation", "odd_unmirrored_test", 3),
        ("asymmetry", "asymmetry_unmirrored_test", 3),
        ("largest scale, all", "max_scale_full_test", 3),
        ("largest scale, local", "max_scale_full_local_moment", 3),
        ("field", "field_full_test", 3),
        ("exponent", "exponent_of_latent", 2),
    ],
)
@pytest.mark.parametrize(("box", "words"), BOXES.items())
def test_claims_on_fresh_seeds_are_the_measured_ones(begin: str, claim: str, digits: int, box: str, words: str):
    (found,) = [one for one in metrics("replication")["claims"] if (one["claim"], one["box"]) == (claim, box)]
    value, low, high, lowest = (f"{found[key]:.{digits}f}" for key in ("value", "low", "high", "lowest"))
    line = row(f"{words}: {begin}")
    assert f"{value} [{low}, {high}], {lowest}" in line
    assert f"{found['baseline_value']:.{digits}f}" in line


@pytest.mark.parametrize(("box", "words"), BOXES.items())
def test_the_number_of_active_latents_is_said_for_all_trainings(box: str, words: str):
    for claim in ("active_latents_low", "active_latents_full"):
        values = [
            round(one["value"])
            for of in metrics("replication")["measurements"]
            for one in of["measured"]
            if (one["claim"], of["box"]) == (claim, box)
        ]
        assert len(values) == 15
        for value in set(values):
            assert f"{value} in {values.count(value)}" in row(f"{words}: active latents")


def test_the_control_that_fails_in_the_shifted_box_is_named():
    claims = {(one["claim"], one["box"]): one for one in metrics("replication")["claims"]}
    untrained = claims["control_exponent_untrained", "shifted"]
    said = f"{untrained['value']:.2f} [{untrained['low']:.2f}, {untrained['high']:.2f}]"
    assert f"untrained network has the same exponent**, {said}" in PAGE
    assert said in (ROOT / "docs" / "protocol.md").read_text()


def test_how_often_the_general_engine_found_the_law_is_the_measured_number():
    claims = {(one["claim"], one["box"]): one["value"] for one in metrics("replication")["claims"]}
    counts = {
        name: [round(5 * claims[name if "agrees" in name else f"{name}_general_engine", box]) for box in BOXES]
        for name in ("exponent_rate", "prefactor_rate", "correction_agrees_rate")
    }
    assert counts == {"exponent_rate": [5, 5], "prefactor_rate": [5, 5], "correction_agrees_rate": [3, 1]}
    assert "fifteen of fifteen" in " ".join(PAGE.split()) and "eight of fifteen" in " ".join(PAGE.split())


def test_spectra_latents_and_the_fit_are_the_measured_ones():
    spectra, headline = metrics("spectra"), metrics("headline")
    assert f"{spectra['n_spectra']:,}" in row("spectra |") and f", {spectra['n_failed']} failed" in row("spectra |")
    friedel = row("Friedel's sum rule")
    assert f"{spectra['friedel']['percentile_99']:.4f}" in friedel and f"{spectra['friedel']['worst']:.4f}" in friedel
    assert f"{spectra['friedel']['n_rows']:,}" in friedel
    latents = metrics("latents")["best_abs_spearman"]
    for begin, measured in (
        ("one latent against log T_K", latents["log_T_K"]),
        ("the same for local moments |", latents["log_T_K"]["local_moment"]),
        ("another latent against the occupation", latents["n_d"]),
        ("the same latent against the asymmetry", latents["asymmetry"]),
        ("all T and B: one latent", latents["log_max_scale"]),
        ("the same for local moments, all T and B", latents["log_max_scale"]["local_moment"]),
    ):
        assert f"{measured['value']:.3f} [{measured['low']:.3f}, {measured['high']:.3f}]" in row(begin)
        assert f"{measured['baseline'].replace('_', ' ')} " in row(begin)
        assert f"alone {measured['baseline_value']:.3f}" in row(begin)
        assert str(measured["n_hamiltonians"]) in row(begin)
    accuracy = row("a second, finer setting")
    assert f"{spectra['accuracy']['mean_median']:.4f}" in accuracy
    assert f"{spectra['accuracy']['mean_worst']:.4f}" in accuracy
    assert f"{headline['T_K_exponent']:.4f}" in row("exponent")
    assert f"{headline['T_K_prefactor']:.3f}" in row("power of the prefactor")
    correction = metrics("formula")["correction_resolved"]
    assert f"{correction['coefficient']:.2f} [{correction['low']:.2f}, {correction['high']:.2f}]" in row("term Gamma/U")


def test_force_errors_and_rounds_are_the_measured_ones():
    stores = metrics("potential")["stores"]
    for begin, errors in (
        ("molecules, held-out", [stores["molecules"][name] for name in ("hipnn", "ani")]),
        ("a molecule that is in no", [stores["molecules"][name]["held_out"] for name in ("hipnn", "ani")]),
        ("aluminium, held-out", [stores["aluminium"][name] for name in ("hipnn", "ani")]),
    ):
        assert all(f"{found['force_rmse_eV_A']:.3f} eV/A" in row(begin) for found in errors)
        assert f"{errors[0]['force_rms_eV_A']:.3f} eV/A" in row(begin)
    learning = metrics("active_learning")
    for begin, rounds in (("force RMSE, three rounds", "rounds"), ("the same with labels drawn", "random")):
        first, last = (learning[rounds][k]["force_rmse"] for k in (0, -1))
        assert f"{first:.3f} to {last:.3f} eV/A" in row(begin)


def test_the_report_beside_the_page_has_the_same_two_point_control():
    cells = [
        r for r in metrics("beyond_two_point")["results"]
        if (r["generator"], r["descriptor"], r["surrogate"]) == ("phase_order", "efficientnet", "phases")
    ]  # fmt: skip
    assert f"AUC {cells[0]['auc']:.2f} [{cells[0]['low']:.2f}, {cells[0]['high']:.2f}] for cells" in PAGE


def test_the_hubbard_model_and_the_pseudogap_are_the_measured_ones():
    hubbard, mott, found = metrics("hubbard"), metrics("mott"), metrics("discover_hubbard")
    solutions = row("solutions of the mean-field theory")
    assert f"{hubbard['n_rows']} at {hubbard['n_points']} points, {hubbard['n_not_converged']} did not" in solutions
    luttinger = hubbard["luttinger"]
    assert f"{luttinger['median']:.4f} in the median, {luttinger['worst']:.4f}" in row("filling by Luttinger")
    for begin, name in (
        ("one latent against the quasi", "matsubara_weight"),
        ("one latent against the fil", "filling"),
    ):
        best = found["best"][name]
        assert f"{best['abs_spearman']:.3f} [{best['low']:.3f}, {best['high']:.3f}]" in row(begin)
        assert all(f"{one['coordinate']} {one['abs_spearman']:.3f}" in row(begin) for one in best["baseline"].values())
    laws = {law["name"]: law for law in mott["laws"]}
    for begin, name in (
        ("formula of Z(U)", "found"),
        ("law of Brinkman", "brinkman_rice"),
        ("straight line", "straight_line"),
    ):
        beyond = laws[name]["r2_extrapolation"]
        assert f"at larger U {'R2 ' if name == 'straight_line' else ''}{beyond:.3f}" in row(begin)
    assert f"{mott['control_r2_test']:.3f}" in row("the same search on weights")
    line = laws["straight_line"]
    assert f"{line['critical_interaction']:.2f} [{line['low']:.2f}, {line['high']:.2f}] D" in row("straight line")
    for one in metrics("pseudogap")["exponents"]:
        value, low, high = one["inverse_nu"]
        assert f"{value:.4f} +- {(high - low) / 2:.4f}" in row(f"{one['exponent']:g} |")
        assert f"{one['nu_screened'][0]:.3f} | {one['nu_local_moment'][0]:.3f}" in row(f"{one['exponent']:g} |")
