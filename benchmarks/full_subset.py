"""Does one latent follow the largest energy at all temperatures and fields? What each idea moves, without labels.

    python benchmarks/full_subset.py STORE [--seeds 2] [--out FILE]

STORE is a spectra.zarr of a development seed. Every variant is trained as stage spectrum_vae trains the subset `full`,
with one thing changed, and judged on the same test Hamiltonians, one of each mirror pair. Columns:

    test, moments    |Spearman| with log max(T_K, T, |B|) of the latent that follows it best on validation Hamiltonians:
                     all test rows; local moments, U > 2 Gamma and |U + 2 eps_d| < 0.6 U
    direction        of the best linear combination of all active latents, fitted with the labels of training rows
    R2               of nearest neighbours over all active latents, out of fold
    active           mean KL above 0.05 nats

and beside them the mean absolute error of the reconstruction. Variants:

    as params        params.yaml
    no distance, weight, beta 1, three latents, plain      settings of the training
    log              log(x + 0.003) in place of x
    moments alone    trained on local moments alone
    first edges      distance of where x changes along log |w|, outwards, as a share of all its changes
    scaling          H -> s H shifts x along log |w|: of a shifted spectrum the first even latent must shift in
                     proportion, the others must stay; a term of the objective
    rotated          independent components (FastICA) of the even and of the odd latents of `as params`

A second table has what needs no learning: where the plateau around w = 0 ends, |log (x + 0.003) - its value at 0|
above a threshold, against the same scale, over all rows and where T, T_K or |B| is the largest of the three. Offsets
are medians of log edge - log scale: unequal ones mix the order of spectra of different kinds, however exact each is.
"""

import argparse
import datetime
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.decomposition import FastICA
from torch import Tensor

from models.laws.associations import explained
from models.laws.correlation import spearman
from models.networks.spectra import geometry
from models.networks.spectra.geometry import departure
from models.networks.spectra.spectrum_vae import SpectrumVAE
from models.training.spectra import spectrum_module
from models.training.spectra.elbo import latent_activity
from models.training.spectra.spectrum_module import SpectrumModule, TrainingSettings, train_spectrum_vae
from pipeline.impurity.spectrum_vae import SpectrumVAEParams
from pipeline.impurity.subsets import quantities, split_by_hamiltonian, subset_rows
from pipeline.runtime.params import load_params
from pipeline.runtime.protocol import require_development
from stores.spectra import SPECTRA
from stores.zarr_store import open_store

Array = NDArray[np.float64]
COLUMNS = ("test", "moments", "direction", "R2", "active", "MAE")
FLOOR = 0.003
THRESHOLDS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5)
LARGEST_SHIFT = 20  # points of the grid: a factor of 5 in energy
SCALING_WEIGHT, SCALING_SLOPE = 30.0, 0.03  # of the term; latent per point of the grid


@dataclass(frozen=True, kw_only=True)
class Data:
    """Spectra of the subset and what is known of them. N rows."""

    x_NW: NDArray[np.float32]
    split_N: NDArray[np.int64]
    mirrored_N: NDArray[np.bool_]
    hamiltonian_N: NDArray[np.int64]
    judged_N: NDArray[np.bool_]  # one of each mirror pair, interacting
    moment_N: NDArray[np.bool_]
    log_scale_N: Array  # NaN where not judged
    largest_N: NDArray[np.str_]  # which of T, T_K, |B|
    omega_W: Array


@dataclass(frozen=True, kw_only=True)
class Variant:
    """What differs from params.yaml."""

    settings: tuple[tuple[str, Any], ...] = ()
    config: tuple[tuple[str, Any], ...] = ()
    rows: Callable[[Data], NDArray[np.bool_]] | None = None
    transform: Callable[[NDArray[np.float32]], NDArray[np.float32]] | None = None
    module: type[SpectrumModule] = SpectrumModule
    geometry: Callable[[Tensor], Tensor] = departure  # stands in for `departure`
    rotated: bool = False


class Scaling(SpectrumModule):
    """With the term of `scaling` in the objective."""

    def training_step(self, batch: Tensor, index: int) -> Tensor:
        loss = super().training_step(batch, index)
        generator = torch.Generator().manual_seed(1_000_003 * self.seed + self.global_step)
        steps = int(torch.randint(1, LARGEST_SHIFT + 1, (1,), generator=generator))
        steps *= 1 if torch.rand(1, generator=generator) < 0.5 else -1
        move_BL = self.model.encode(shifted(batch, steps)).mean_BL - self.model.encode(batch).mean_BL
        expected_L = torch.zeros(move_BL.shape[1])
        expected_L[0] = SCALING_SLOPE * steps
        ramp = min(1.0, self.global_step / max(1, self.n_steps // 4))
        return loss + SCALING_WEIGHT * ramp * ((move_BL - expected_L) ** 2).sum(-1).mean()


def shifted(x_BW: Tensor, steps: int) -> Tensor:
    """Along log |w| by so many points, outwards where positive; the ends are repeated."""
    middle = x_BW.shape[1] // 2
    index = (torch.arange(middle) - steps).clamp(0, middle - 1)  # 0 is the point nearest to w = 0
    right = x_BW[:, middle + 1 :][:, index]
    left = x_BW[:, :middle].flip(-1)[:, index].flip(-1)
    return torch.cat([left, x_BW[:, middle : middle + 1], right], dim=-1)


def first_edges(x_BW: Tensor) -> Tensor:
    """Share of the changes of x that lie nearer to w = 0, on either side; 0 at w = 0."""
    middle = x_BW.shape[1] // 2
    change_BW = x_BW.diff(dim=-1).abs() + 1e-6
    left_BK, right_BK = change_BW[:, :middle].flip(-1), change_BW[:, middle:]
    total_B1 = (left_BK.sum(-1) + right_BK.sum(-1))[:, None]
    left_BK, right_BK = (left_BK / total_B1).cumsum(-1), (right_BK / total_B1).cumsum(-1)
    return torch.cat([left_BK.flip(-1), torch.zeros_like(x_BW[:, :1]), right_BK], dim=-1)


TRAINED: dict[tuple[Variant, int], SpectrumVAE] = {}


def variants() -> dict[str, Variant]:
    no_distance = (("cramer_weight", 0.0), ("geometry", "weight"))
    return {
        "as params": Variant(),
        "rotated": Variant(rotated=True),
        "no distance": Variant(settings=no_distance),
        "distance of the weight, 10": Variant(settings=(("cramer_weight", 10.0), ("geometry", "weight"))),
        "departure, weight 3": Variant(settings=(("cramer_weight", 3.0),)),
        "beta 1": Variant(settings=(("beta", 1.0),)),
        "three latents, one odd": Variant(config=(("n_latent", 3), ("n_odd", 1))),
        "plain": Variant(settings=(*no_distance, ("nested_dropout", 0.0)), config=(("architecture", "plain"),)),
        "log": Variant(transform=lambda x_NW: np.log(np.maximum(x_NW, 0) + FLOOR) - np.float32(np.log(FLOOR))),
        "moments alone": Variant(rows=lambda data: data.moment_N),
        "first edges, 3": Variant(settings=(("cramer_weight", 3.0),), geometry=first_edges),
        "scaling": Variant(module=Scaling),
        "scaling, first edges": Variant(module=Scaling, settings=(("cramer_weight", 3.0),), geometry=first_edges),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store", type=Path)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    params = load_params(SpectrumVAEParams, "spectrum_vae")
    data = read(arguments.store, params)
    lines = [
        "# One latent for the largest energy at all temperatures and fields: what each idea moves",
        "",
        f"`PYTHONPATH=. python benchmarks/full_subset.py STORE --seeds {arguments.seeds}`, {datetime.date.today()}, "
        f"torch {torch.__version__}. {len(np.unique(data.hamiltonian_N))} Hamiltonians, {len(data.x_NW)} spectra; "
        f"judged on {int((data.judged_N & (data.split_N == 2)).sum())} test spectra, "
        f"{int((data.judged_N & data.moment_N & (data.split_N == 2)).sum())} of local moments. Mean of the trainings, "
        "and in brackets the smallest and the largest.",
        "",
        f"| variant | {' | '.join(COLUMNS)} |",
        f"|{'---|' * (len(COLUMNS) + 1)}",
    ]
    print("\n".join(lines), flush=True)
    for name, variant in variants().items():
        if arguments.only and name not in arguments.only:
            continue
        rows = np.array([measured(data, params, variant, seed) for seed in range(arguments.seeds)])
        cells = [
            f"{of.mean():.3f} [{of.min():.3f}, {of.max():.3f}]" if column in COLUMNS[:2] else f"{of.mean():.3g}"
            for column, of in zip(COLUMNS, rows.T, strict=True)
        ]
        lines.append(f"| {name} | {' | '.join(cells)} |")
        print(lines[-1], flush=True)
    lines += ["", *edge_table(data)]
    print("\n".join(lines[-len(THRESHOLDS) - 3 :]), flush=True)
    if arguments.out:
        arguments.out.write_text("\n".join(lines) + "\n")


def read(store: Path, params: SpectrumVAEParams) -> Data:
    spectra = open_store(store, SPECTRA).load()
    require_development(spectra, "what the objective is made of")
    rows = subset_rows(spectra, "full")
    column = {name: spectra[name].values[rows] for name in ("interaction", "level", "hybridization", "mirrored")}
    compared_N, known = quantities(spectra, rows, "full")
    log_scale_N = np.full(len(rows), np.nan)
    log_scale_N[compared_N] = known["log_max_scale"]
    energies_N3 = np.abs([spectra[name].values[rows] for name in ("temperature", "kondo_temperature", "field")]).T
    energies_N3 = np.nan_to_num(energies_N3, nan=0.0)
    depth_N = np.abs(column["interaction"] + 2 * column["level"])
    return Data(
        x_NW=np.asarray(spectra["spectrum"].values[rows], dtype=np.float32),
        split_N=split_by_hamiltonian(spectra, rows, **params.split),
        mirrored_N=column["mirrored"],
        hamiltonian_N=spectra["hamiltonian"].values[rows],
        judged_N=compared_N & ~column["mirrored"],
        moment_N=(column["interaction"] > 2 * column["hybridization"]) & (depth_N < 0.6 * column["interaction"]),
        log_scale_N=log_scale_N,
        largest_N=np.array(["T", "T_K", "B"])[np.argmax(energies_N3, axis=1)],
        omega_W=spectra["omega"].values,
    )


def edge_table(data: Data) -> list[str]:
    """|Spearman| of the plateau's edge with the scale, and its offset from it, by threshold."""
    moments_N = data.judged_N & data.moment_N
    parts = {f"{name} largest": moments_N & (data.largest_N == name) for name in ("T", "T_K", "B")}
    rows = {"all": data.judged_N, "others": data.judged_N & ~data.moment_N, "moments": moments_N} | parts
    lines = [
        f"| edge at | {' | '.join(rows)} | offsets of {', '.join(parts)} |",
        f"|{'---|' * (len(rows) + 2)}",
    ]
    for threshold in THRESHOLDS:
        edge_N = edges(data.x_NW, data.omega_W, threshold)
        cells = [f"{abs(spearman(edge_N[of], data.log_scale_N[of])):.3f}" for of in rows.values()]
        offsets = [f"{np.median(edge_N[of] - data.log_scale_N[of]):.2f}" for of in parts.values()]
        lines.append(f"| {threshold:g} | {' | '.join(cells)} | {', '.join(offsets)} |")
    return lines


def edges(x_NW: NDArray[np.float32], omega_W: Array, threshold: float) -> Array:
    """log |w| (N,) where log (x + FLOOR) is first so far from its value at w = 0, on either side; interpolated."""
    middle = len(omega_W) // 2
    log_NW = np.log(np.maximum(x_NW, 0).astype(np.float64) + FLOOR)
    away_NW = np.abs(log_NW - log_NW[:, middle : middle + 1])
    away_NK = np.maximum.accumulate(np.maximum(away_NW[:, middle + 1 :], away_NW[:, :middle][:, ::-1]), axis=1)
    log_K = np.log(omega_W[middle + 1 :])
    return np.array([np.interp(threshold, away_K, log_K) for away_K in away_NK])


def measured(data: Data, params: SpectrumVAEParams, variant: Variant, seed: int) -> list[float]:
    """COLUMNS of one training."""
    x_NW = data.x_NW if variant.transform is None else variant.transform(data.x_NW)
    kept_N = np.ones(len(x_NW), dtype=bool) if variant.rows is None else variant.rows(data)
    config = replace(params.network(beta=0.1, n_omega=x_NW.shape[1]), **dict(variant.config))
    training_N = kept_N & (data.split_N == 0) & ~(data.mirrored_N & (config.architecture == "mirror"))
    settings = replace(
        params.training(subset="full", beta=params.betas[0], n_rows=int(training_N.sum())), **dict(variant.settings)
    )
    if (replace(variant, rotated=False), seed) not in TRAINED:  # rotated or not, it is one training
        model = _trained(config, settings, variant, x_NW, training_N, kept_N & (data.split_N == 1), seed)
        TRAINED[replace(variant, rotated=False), seed] = model
    model = TRAINED[replace(variant, rotated=False), seed]
    with torch.inference_mode():
        posterior = model.encode(torch.from_numpy(x_NW))
        error = float((model(torch.from_numpy(x_NW)) - torch.from_numpy(x_NW)).abs()[data.split_N == 2].mean())
        activity_L = latent_activity(posterior, variational=True)[torch.from_numpy(training_N)].mean(0).numpy()
    active_L = activity_L > params.active_nats
    z_NL = posterior.mean_BL.numpy().astype(np.float64)
    even_L = model.sign_L.numpy() > 0
    z_NL = _independent(z_NL, active_L, even_L, training_N) if variant.rotated else z_NL[:, active_L]
    judged = {part: data.judged_N & kept_N & (data.split_N == part) for part in (0, 1, 2)}
    single = []
    for rows in (np.ones(len(x_NW), dtype=bool), data.moment_N):
        choose, score = judged[1] & rows, judged[2] & rows
        best = max(range(z_NL.shape[1]), key=lambda j: abs(spearman(z_NL[choose, j], data.log_scale_N[choose])))
        single.append(abs(spearman(z_NL[score, best], data.log_scale_N[score])))
    everything = judged[0] | judged[1] | judged[2]
    together = explained(
        z_NL[everything],
        data.log_scale_N[everything],
        data.hamiltonian_N[everything],
        n_folds=5,
        n_neighbours=8,
        seed=0,
    )
    return [*single, together.linear_direction, together.nonlinear_r2, float(active_L.sum()), error]


def _trained(
    config: SpectrumVAE.Config,
    settings: TrainingSettings,
    variant: Variant,
    x_NW: NDArray[np.float32],
    training_N: NDArray[np.bool_],
    validation_N: NDArray[np.bool_],
    seed: int,
) -> SpectrumVAE:
    spectrum_module.SpectrumModule = variant.module  # type: ignore[misc]
    geometry.GEOMETRIES["departure"] = variant.geometry  # type: ignore[index]
    try:
        with tempfile.TemporaryDirectory() as scratch:
            return train_spectrum_vae(
                config,
                settings,
                train_BW=x_NW[training_N],
                validation_BW=x_NW[validation_N],
                seed=seed,
                checkpoints=Path(scratch),
            ).model
    finally:
        spectrum_module.SpectrumModule = SpectrumModule  # type: ignore[misc]
        geometry.GEOMETRIES["departure"] = departure  # type: ignore[index]


def _independent(
    z_NL: Array, active_L: NDArray[np.bool_], even_L: NDArray[np.bool_], training_N: NDArray[np.bool_]
) -> Array:
    """Independent components of the active latents, of even and odd ones apart: a mirror image keeps its mirror."""
    parts = []
    for sector in (even_L, ~even_L):
        columns = np.flatnonzero(active_L & sector)
        if len(columns) > 1:
            turned = FastICA(len(columns), random_state=0, whiten="unit-variance", max_iter=2000)
            parts.append(turned.fit(z_NL[training_N][:, columns]).transform(z_NL[:, columns]))
        elif len(columns):
            parts.append(z_NL[:, columns])
    return np.concatenate(parts, axis=1)


if __name__ == "__main__":
    main()
