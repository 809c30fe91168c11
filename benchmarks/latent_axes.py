"""Which ingredients make one latent log T_K and another one the asymmetry? An ablation on data/spectra.zarr.

    python benchmarks/latent_axes.py [--seeds 2] [--steps 2000] [--beta 0.1]

Trains on the low-temperature subset and prints, per variant and averaged over seeds: mean absolute error on held-out
Hamiltonians, agreement of the seeds (no label), and with labels |Spearman| of the best single latent and R2 of nearest
neighbours over all active latents, where T_K > T. Variants:

    plain      beta-VAE                         mirror     even and odd latents
    nested dropout                              Cramer distance of cumulated spectra in the objective
"""

import argparse
import tempfile
from itertools import combinations
from pathlib import Path

import numpy as np
import torch

from models.laws.associations import explained
from models.laws.consistency import agreement
from models.laws.correlation import spearman
from models.networks.spectra.spectrum_vae import SpectrumVAE
from models.training.spectra.elbo import latent_activity
from models.training.spectra.spectrum_module import TrainingSettings, train_spectrum_vae
from pipeline.impurity.subsets import quantities, split_by_hamiltonian, subset_rows
from pipeline.runtime.protocol import require_development
from stores.spectra import SPECTRA
from stores.zarr_store import open_store

VARIANTS = {
    "plain": ("plain", 0.0, 0.0),
    "plain + nested dropout + Cramer": ("plain", 0.3, 10.0),
    "mirror": ("mirror", 0.0, 0.0),
    "mirror + nested dropout": ("mirror", 0.3, 0.0),
    "mirror + Cramer": ("mirror", 0.0, 10.0),
    "mirror + nested dropout + Cramer": ("mirror", 0.3, 10.0),
}
COLUMNS = ("MAE", "agreement", "log_T_K", "asymmetry", "R2 log_T_K", "R2 asymmetry")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--beta", type=float, default=0.1)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    spectra = open_store("data/spectra.zarr", SPECTRA).load()
    require_development(spectra, "what the objective is made of")
    rows = subset_rows(spectra, "low_temperature")
    hamiltonian = spectra["hamiltonian"].values[rows]
    split = split_by_hamiltonian(spectra, rows, validation=0.1, test=0.1, seed=0)
    x = spectra["spectrum"].values[rows]
    mirrored = spectra["mirrored"].values[rows]
    judged, known = quantities(spectra, rows, "low_temperature")
    print(f"{len(np.unique(hamiltonian))} Hamiltonians, {len(rows)} spectra, {judged.sum()} with T_K > T")
    print(f"{'':30}" + "".join(f"{column:>14}" for column in COLUMNS))
    for name, (architecture, nested_dropout, cramer_weight) in VARIANTS.items():
        training = (split == 0) & ~(mirrored & (architecture == "mirror"))
        config = SpectrumVAE.Config(architecture=architecture, n_omega=x.shape[1], n_latent=6, n_odd=2)
        epochs = max(1, arguments.steps // max(1, int(training.sum()) // 128))
        settings = TrainingSettings(
            beta=arguments.beta,
            nested_dropout=nested_dropout,
            cramer_weight=cramer_weight,
            learning_rate=3e-3,
            batch_size=128,
            max_epochs=epochs,
            patience=epochs,
            validate_every=max(1, epochs // 20),
        )
        found, latents = [], []
        for seed in range(arguments.seeds):
            with tempfile.TemporaryDirectory() as scratch:
                model = train_spectrum_vae(
                    config,
                    settings,
                    train_BW=x[training],
                    validation_BW=x[split == 1],
                    seed=seed,
                    checkpoints=Path(scratch),
                ).model
            with torch.inference_mode():
                posterior = model.encode(torch.from_numpy(x))
                error = (model(torch.from_numpy(x)) - torch.from_numpy(x)).abs().numpy()[split == 2].mean()
                active = latent_activity(posterior, variational=True)[split == 0].mean(0).numpy() > 0.05
            z = posterior.mean_BL.numpy().astype(float)[:, active]
            latents.append(z[split == 1])
            single = [max(abs(spearman(z_N, known[q])) for z_N in z[judged].T) for q in ("log_T_K", "asymmetry")]
            together = [
                explained(z[judged], known[q], hamiltonian[judged], n_folds=5, n_neighbours=8, seed=0).nonlinear_r2
                for q in ("log_T_K", "asymmetry")
            ]
            found.append([error, np.nan, *single, *together])
        line = np.mean(found, axis=0)
        line[1] = np.mean([agreement(a, b) for a, b in combinations(latents, 2)]) if len(latents) > 1 else np.nan
        print(f"{name:30}" + "".join(f"{value:14.3f}" for value in line), flush=True)


if __name__ == "__main__":
    main()
