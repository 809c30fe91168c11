"""What `latentlaw replicate` measures of the impurity lane: latents on test Hamiltonians, the law that one follows.

Of every training of every data seed, on test Hamiltonians, one of each mirror pair (latent_evaluation):

    log_T_K_test, log_T_K_local_moment   |Spearman| of one latent with log T_K; lowest temperature, no field, T_K > T
    odd_unmirrored_test                  of one latent with the occupation n_d, the same rows
    asymmetry_unmirrored_test            of one latent with (U + 2 eps_d) / Gamma, the same rows
    max_scale_full_test, ..._local_moment      of one latent with log max(T_K, T, |B|), all temperatures and fields
    field_full_test                      of one latent with B / (|B| + T + T_K) where |B| is the largest
    active_latents_low, ..._full         how many latents are active
    exponent_of_latent                   coefficient of eps_d (eps_d + U) / (U Gamma) in the energy that the latent
                                         follows, over that of log Gamma, which units make one. Haldane: pi/2;
                                         the measured T_K, in the same box: the baseline
    exponent_rate_general_engine         the expansion of the formula that the engine found for T_K/D has Haldane's
                                         exponent; and prefactor_rate_..., correction_resolved_rate, ..._agrees_rate:
                                         sqrt(U Gamma), a term Gamma/U, and that of the Bethe ansatz
    scale_of_latent                      share of the variance of log Gamma that this calibration explains, out of fold

The baseline of a latent is the strongest of all sets that are not this network: summaries of the curve, principal
components, the network before training, a plain autoencoder, a plain beta-VAE; the strongest on the test rows, which is
the hardest choice for the claim.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from models.laws.energy_scale import CalibratedScale, NoScale, calibrated_scale
from pipeline.impurity.encoding import encode
from pipeline.impurity.records import FormulaMetrics, GeneralVerdict, LatentsDetails, SpectrumVAEMetrics
from pipeline.impurity.targets import holds_moment
from pipeline.runtime.replication import Measured, replicated
from stores.outcome import OK
from stores.spectra import SPECTRA
from stores.zarr_store import open_store

__all__ = ["measure_impurity"]

Array = NDArray[np.float64]
STAGES = (
    "impurity.spectra",
    "impurity.spectrum_vae",
    "impurity.latents",
    "impurity.kondo_temperatures",
    "impurity.formula",
)
RATES = {  # claim -> verdict of the general engine
    "exponent_rate_general_engine": "exponent",
    "prefactor_rate_general_engine": "prefactor",
    "correction_resolved_rate": "correction_resolved",
    "correction_agrees_rate": "correction_agrees",
}
LOW, FULL = "low_temperature", "full"
LATENT_CLAIMS = {  # claim -> subset, quantity, scored rows
    "log_T_K_test": (LOW, "log_T_K", "test"),
    "log_T_K_local_moment": (LOW, "log_T_K", "local_moment"),
    "odd_unmirrored_test": (LOW, "n_d", "test"),
    "asymmetry_unmirrored_test": (LOW, "asymmetry", "test"),
    "max_scale_full_test": (FULL, "log_max_scale", "test"),
    "max_scale_full_local_moment": (FULL, "log_max_scale", "local_moment"),
    "field_full_test": (FULL, "field_share", "test"),
}
MOMENT_DEPTH = 2.0  # Gamma; the laws expand in pi Gamma over the charge gaps
FAR_ABOVE = 30.0  # T_K / T; nearer to T the spectrum follows two energies, and units calibrate one
SCALE = {"n_spline": 8, "degree": 4, "n_folds": 5, "seed": 0}


def changes(data_seed: int, training_seeds: Sequence[int]) -> dict[str, Any]:
    return {
        "spectra": {"seed": data_seed},
        "spectrum_vae": {"seeds": list(training_seeds), "split_seed": data_seed},
        "latents": {"bootstrap_seed": data_seed},
        "kondo_temperatures": {"seed": data_seed},
        "formula": {"seed": data_seed, "general": {"seed": data_seed}},
    }


@replicated("impurity", stages=STAGES, changes=changes)
def measure_impurity(folder: Path, data_seed: int) -> list[Measured]:
    subsets = LatentsDetails.read(folder).subsets
    trainings = SpectrumVAEMetrics.read(folder).subsets
    spectra = open_store(folder / "data/spectra.zarr", SPECTRA).load()
    measured: list[Measured] = []
    for claim, (subset, quantity, rows) in LATENT_CLAIMS.items():
        line = subsets[subset].held_out.get(quantity, {}).get(rows, {})
        measured += latent_claim(claim, {name: of.model_dump() for name, of in line.items()})
    for subset, of in trainings.items():
        claim = f"active_latents_{'low' if subset == LOW else 'full'}"
        measured += [
            Measured(
                claim=claim,
                rows="training rows",
                kind="number",
                value=float(training.active_latents),
                training_seed=int(seed),
            )
            for seed, training in of.seeds.items()
        ]
    for seed in trainings[LOW].seeds:
        held_out = subsets[LOW].held_out["log_T_K"]["test"][f"seed_{seed}"]
        measured += scale_claims(folder, spectra, int(seed), held_out.coordinate)
    return measured + law_claims(FormulaMetrics.read(folder).general)


def law_claims(verdicts: Sequence[GeneralVerdict]) -> list[Measured]:
    """What the general engine found of T_K/D, from energies and their units, in the first encoding."""
    verdict = verdicts[0]
    rows = f"{verdict.n_rows} Hamiltonians; {verdict.engine}, {verdict.encoding}"
    return [
        Measured(claim=claim, rows=rows, kind="rate", value=float(getattr(verdict, field)))
        for claim, field in RATES.items()
    ]


def latent_claim(claim: str, line: Mapping[str, Mapping[str, Any]]) -> list[Measured]:
    """Every training beside the strongest of the other sets on the same rows."""
    others = {name: of for name, of in line.items() if name != "network" and not name.startswith("seed_")}
    if not others:
        return []
    strongest = max(others, key=lambda name: others[name]["spearman"][0])
    own = {name: of for name, of in line.items() if name.startswith("seed_")}
    return [
        Measured(
            claim=claim,
            rows=f"{of['n_hamiltonians']} test Hamiltonians, {of['n_rows']} spectra",
            kind="correlation",
            value=of["spearman"][0],
            training_seed=int(name.removeprefix("seed_")),
            baseline=f"{strongest.replace('_', ' ')}: {others[strongest]['coordinate'].replace('_', ' ')}",
            baseline_value=others[strongest]["spearman"][0],
        )
        for name, of in own.items()
    ]


def scale_claims(folder: Path, spectra: xr.Dataset, seed: int, coordinate: str) -> list[Measured]:
    """The energy that the latent follows, calibrated by units on rows that hold a local moment, no mirror images."""
    encoded = encode(spectra, folder / f"runs/spectrum_vae/{LOW}/seed_{seed}", LOW)
    columns = {
        name: spectra[name].values[encoded.rows]
        for name in ("interaction", "level", "hybridization", "temperature", "kondo_temperature", "mirrored", "status")
    }
    u, level, gamma = columns["interaction"], columns["level"], columns["hybridization"]
    with np.errstate(invalid="ignore"):
        visible = columns["kondo_temperature"] > FAR_ABOVE * columns["temperature"]
    rows = visible & ~columns["mirrored"] & (columns["status"] == OK) & holds_moment(u, level, gamma, MOMENT_DEPTH)
    z_N = encoded.mean[rows][:, encoded.names.index(coordinate)]
    ratio, position = (u / gamma)[rows], (level / u)[rows]
    log_kondo = np.log(columns["kondo_temperature"][rows])
    try:
        scale, reference = (
            calibrated_scale(of_N, np.log(gamma[rows]), np.column_stack([ratio, position]), **SCALE)
            for of_N in (z_N, log_kondo)
        )
    except NoScale:
        return []
    words = f"{int(rows.sum())} spectra of local moments, T_K > {FAR_ABOVE:g} T"
    return [
        Measured(
            claim="exponent_of_latent",
            rows=words,
            kind="number",
            value=exponent(scale, ratio, position),
            training_seed=seed,
            baseline="log T_K as measured, by the same fit",
            baseline_value=exponent(reference, ratio, position),
        ),
        Measured(claim="scale_of_latent", rows=words, kind="number", value=scale.explained, training_seed=seed),
    ]


def exponent(scale: CalibratedScale, ratio_N: Array, position_N: Array) -> float:
    """Least-squares coefficient of (U/Gamma) xi (1 + xi), xi = eps_d/U, beside log(U/Gamma), Gamma/U and a constant."""
    terms = np.column_stack(
        [ratio_N * position_N * (1 + position_N), np.log(ratio_N), 1 / ratio_N, np.ones_like(ratio_N)]
    )
    return float(np.linalg.lstsq(terms, scale.log_ratio, rcond=None)[0][0])
