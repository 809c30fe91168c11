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
    scale_of_latent                      what log Gamma explains, out of fold, of the variance that ratios leave
    control_scale_permuted               the same with the parameters of other Hamiltonians: must be near 0
    control_scale_untrained, control_exponent_untrained     of the network before its training
    control_exponent_free_level          the exponent that the latent gives for spectra of U = 0 with the same Gamma, in
                                         closed form, level at 0: must be 0
    control_exponent_hartree             the same with the level at eps_d + U/2: must not be Haldane's

The baseline of a latent is the strongest of all sets that are not this network: summaries of the curve, principal
components, the network before training, a plain autoencoder, a plain beta-VAE; the strongest on the test rows, which is
the hardest choice for the claim.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray

from models.laws.energy_scale import CalibratedScale, NoScale, calibrated_scale
from models.laws.held_out import LEAST_CHOSEN_ON, LEAST_SCORED
from pipeline.impurity.encoding import Encoded, encode
from pipeline.impurity.latent_evaluation import untrained_latents
from pipeline.impurity.records import FormulaMetrics, GeneralVerdict, LatentsDetails, SpectrumVAEMetrics
from pipeline.impurity.targets import holds_moment
from pipeline.runtime.protocol import ProtocolError
from pipeline.runtime.replication import Measured, replicated
from stores.outcome import OK
from stores.spectra import SPECTRA
from stores.zarr_store import open_store

__all__ = ["LocalMoments", "exponent", "free_spectra", "latent_claim", "measure_impurity"]

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
        "formula": {"seed": data_seed, "n_seeds": 1, "general": {"seed": data_seed}},  # claims read `general` alone
    }


@replicated("impurity", stages=STAGES, changes=changes)
def measure_impurity(folder: Path, data_seed: int) -> list[Measured]:
    subsets = LatentsDetails.read(folder).subsets
    trainings = SpectrumVAEMetrics.read(folder).subsets
    spectra = open_store(folder / "data/spectra.zarr", SPECTRA).load()
    lines = {
        claim: subsets[subset].held_out.get(quantity, {}).get(rows, {})
        for claim, (subset, quantity, rows) in LATENT_CLAIMS.items()
    }
    if empty := [claim for claim, line in lines.items() if not line]:
        raise ProtocolError(
            f"{', '.join(empty)}: found too few held-out Hamiltonians of this kind for an interval, expected at least "
            f"{LEAST_SCORED} to test on and {LEAST_CHOSEN_ON} to choose a coordinate on; raise spectra.n_held_out and "
            "spectra.n_hamiltonians in params.yaml, then run it again"
        )
    measured: list[Measured] = []
    for claim, line in lines.items():
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
    followers = subsets[LOW].held_out["log_T_K"]["test"]
    for number, seed in enumerate(trainings[LOW].seeds):
        encoded = encode(spectra, folder / f"runs/spectrum_vae/{LOW}/seed_{seed}", LOW)
        moments = local_moments(spectra, encoded.rows)
        column = encoded.names.index(followers[f"seed_{seed}"].coordinate)
        measured += scale_claims(encoded, moments, spectra["omega"].values, column, int(seed))
        if number == 0:  # of no training
            x_MW = spectra["spectrum"].values[encoded.rows[moments.rows_N]]
            measured += control_claims(encoded, moments, x_MW, column, followers["untrained"].coordinate, data_seed)
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
    trainings = {name: of for name, of in line.items() if name.startswith("seed_")}
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
        for name, of in trainings.items()
    ]


@dataclass(frozen=True)
class LocalMoments:
    """Rows of the low-temperature subset that hold a local moment, T_K far above T, no mirror images."""

    rows_N: NDArray[np.bool_]
    gamma_M: Array
    ratio_M: Array  # U / Gamma
    position_M: Array  # eps_d / U
    kondo_M: Array

    @property
    def words(self) -> str:
        return f"{len(self.gamma_M)} spectra of local moments, T_K > {FAR_ABOVE:g} T"

    def scale(self, z_M: Array) -> CalibratedScale | None:
        """The energy that z follows; None where it follows none."""
        ratios = np.column_stack([self.ratio_M, self.position_M])
        try:
            return calibrated_scale(z_M, np.log(self.gamma_M), ratios, **SCALE)
        except NoScale:
            return None

    def exponent(self, z_M: Array) -> float | None:
        scale = self.scale(z_M)
        return None if scale is None else exponent(scale, self.ratio_M, self.position_M)

    def permuted(self, seed: int) -> Self:
        """The same spectra beside the parameters of others."""
        order = np.random.default_rng(seed).permutation(len(self.gamma_M))
        return replace(
            self, gamma_M=self.gamma_M[order], ratio_M=self.ratio_M[order], position_M=self.position_M[order]
        )


def local_moments(spectra: xr.Dataset, rows_N: NDArray[np.int64]) -> LocalMoments:
    """Of these rows of the store, those from which the exponent is read."""
    columns = {
        name: spectra[name].values[rows_N]
        for name in ("interaction", "level", "hybridization", "temperature", "kondo_temperature", "mirrored", "status")
    }
    u, level, gamma = columns["interaction"], columns["level"], columns["hybridization"]
    with np.errstate(invalid="ignore"):
        visible = columns["kondo_temperature"] > FAR_ABOVE * columns["temperature"]
    kept = visible & ~columns["mirrored"] & (columns["status"] == OK) & holds_moment(u, level, gamma, MOMENT_DEPTH)
    u, level, gamma, kondo = u[kept], level[kept], gamma[kept], columns["kondo_temperature"][kept]
    return LocalMoments(rows_N=kept, gamma_M=gamma, ratio_M=u / gamma, position_M=level / u, kondo_M=kondo)


def scale_claims(encoded: Encoded, of: LocalMoments, omega: Array, column: int, seed: int) -> list[Measured]:
    """The energy that a latent of one training follows, calibrated by units; and controls of U = 0."""
    scale, measured = of.scale(encoded.mean[of.rows_N][:, column]), of.exponent(np.log(of.kondo_M))
    if scale is None or measured is None:
        return []
    numbers: dict[str, float | None] = {"scale_of_latent": scale.explained}
    hartree_M = of.gamma_M * of.ratio_M * (of.position_M + 0.5)  # eps_d + U/2
    for claim, level_M in (("free_level", np.zeros_like(of.gamma_M)), ("hartree", hartree_M)):
        with torch.inference_mode():
            posterior = encoded.model.encode(torch.from_numpy(free_spectra(omega, of.gamma_M, level_M)))
        free_M = posterior.mean_BL.numpy()[:, encoded.active[column]]
        numbers[f"control_exponent_{claim}"] = of.exponent(free_M.astype(np.float64))
    of_latent = Measured(
        claim="exponent_of_latent",
        rows=of.words,
        kind="number",
        value=exponent(scale, of.ratio_M, of.position_M),
        training_seed=seed,
        baseline="log T_K as measured, by the same fit",
        baseline_value=measured,
    )
    return [of_latent, *_numbers(numbers, of.words, seed)]


def control_claims(
    encoded: Encoded, of: LocalMoments, x_MW: NDArray[np.float32], column: int, untrained: str, data_seed: int
) -> list[Measured]:
    """The same calibration where it must fail, or where nothing was learnt."""
    raw = untrained_latents(x_MW, encoded.model.config)
    raw_M = raw.z_NL[:, raw.names.index(untrained)]
    permuted, scale = of.permuted(data_seed).scale(encoded.mean[of.rows_N][:, column]), of.scale(raw_M)
    numbers = {
        "control_scale_permuted": None if permuted is None else permuted.explained,
        "control_scale_untrained": None if scale is None else scale.explained,
        "control_exponent_untrained": of.exponent(raw_M),
    }
    return _numbers(numbers, of.words, None)


def _numbers(values: Mapping[str, float | None], rows: str, training_seed: int | None) -> list[Measured]:
    return [
        Measured(claim=claim, rows=rows, kind="number", value=value, training_seed=training_seed)
        for claim, value in values.items()
        if value is not None
    ]


def free_spectra(omega: Array, gamma_M: Array, level_M: Array) -> NDArray[np.float32]:
    """pi Gamma A(omega) (M, W) at U = 0 and T = 0 in a flat band of half width 1.

    Gamma^2 / ((omega - eps_d - Re Delta)^2 + Gamma^2), Re Delta = Gamma/pi log |(1 + omega)/(1 - omega)|.
    """
    shift_W = np.log(np.abs((1 + omega) / (1 - omega))) / np.pi
    distance_MW = omega - level_M[:, None] - gamma_M[:, None] * shift_W
    return (gamma_M[:, None] ** 2 / (distance_MW**2 + gamma_M[:, None] ** 2)).astype(np.float32)


def exponent(scale: CalibratedScale, ratio_N: Array, position_N: Array) -> float:
    """Least-squares coefficient of (U/Gamma) xi (1 + xi), xi = eps_d/U, beside log(U/Gamma), Gamma/U and a constant."""
    terms = np.column_stack(
        [ratio_N * position_N * (1 + position_N), np.log(ratio_N), 1 / ratio_N, np.ones_like(ratio_N)]
    )
    return float(np.linalg.lstsq(terms, scale.log_ratio, rcond=None)[0][0])
