"""The dozen numbers that a run is remembered by, gathered from the metrics and details of the stages.

    n_spectra              spectra of impurities in the store
    friedel_99             99th percentile of the difference between pi Gamma A(0) and Friedel's sum rule
    T_K_corr               |Spearman| of one latent variable and log T_K, low temperatures
    asymmetry_corr         |Spearman| of another and the asymmetry
    T_K_exponent           coefficient of eps_d (eps_d + U) / (U Gamma) in log T_K; Haldane: pi/2
    T_K_prefactor          coefficient of log(U / Gamma); Haldane: 1/2
    T_K_correction         coefficient of Gamma / U, which Haldane's law lacks; Bethe ansatz: pi/2
    hidden_order_R2        linear R2 of the hidden order of cells, by the pretrained network
    lamellae_R2            mean linear R2 of the parameters of lamellae, by the pretrained network
    molecules_force_eV_A   force RMSE of HIP-NN on test frames of molecules [eV/A]
    active_force_eV_A      force RMSE on the frozen test set of aluminium after the last round of active learning [eV/A]
    random_force_eV_A      the same with as many labels drawn at random [eV/A]

What was not made, such as a kind of micrograph that params.yaml leaves out, is null. Times are left out: they differ
from run to run.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.microstructure.embedding_goals import NETWORK, best
from pipeline.microstructure.targets import HIDDEN

__all__ = ["headline", "lines"]

DIGITS = 5
CELLS, LAMELLAE = "phase_order", "lamellae"


def headline(root: Path) -> dict[str, int | float | None]:
    """Name -> number, in the order above."""
    spectra = _read(root / "reports/metrics/spectra.json")
    latents = _read(root / "reports/metrics/latents.json")["best_abs_spearman"]
    law = _read(root / "reports/details/formula.json")["coefficient_test"]
    maps = _read(root / "reports/metrics/embedding.json")["results"]
    molecules = _read(root / "reports/metrics/potential.json")["stores"]["molecules"]["hipnn"]
    rounds = _read(root / "reports/metrics/active_learning.json")
    told = {
        "n_spectra": spectra["n_spectra"],
        "friedel_99": spectra["friedel"]["percentile_99"],
        "T_K_corr": latents.get("log_T_K", {}).get("value"),
        "asymmetry_corr": latents.get("asymmetry", {}).get("value"),
        "T_K_exponent": law["exponent"]["coefficient"],
        "T_K_prefactor": law["prefactor"]["coefficient"],
        "T_K_correction": law["correction"]["coefficient"],
        "hidden_order_R2": _r2(maps, CELLS, HIDDEN),
        "lamellae_R2": _r2(maps, LAMELLAE, "mean"),
        "molecules_force_eV_A": molecules["force_rmse_eV_A"],
        "active_force_eV_A": _last_force_error(rounds["rounds"]),
        "random_force_eV_A": _last_force_error(rounds["random"]),
    }
    return {name: float(f"{value:.{DIGITS}g}") if isinstance(value, float) else value for name, value in told.items()}


def lines(told: Mapping[str, int | float | None]) -> list[str]:
    """One number a line, for the terminal."""
    width = max(map(len, told))
    return [f"  {name:<{width}}  {'not made' if value is None else value}" for name, value in told.items()]


def _read(path: Path) -> Any:  # noqa: ANN401 - JSON
    return json.loads(path.read_text())


def _r2(maps: Sequence[Mapping[str, Any]], generator: str, parameter: str) -> float | None:
    """Of the best map of the pretrained network."""
    record = best(maps, generator, NETWORK, parameter)
    return None if record is None else record["linear_r2"][parameter]


def _last_force_error(rounds: Sequence[Mapping[str, Any]]) -> float | None:
    return rounds[-1]["force_rmse"] if rounds else None
