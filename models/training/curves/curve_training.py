"""Training of the curve VAE: negative evidence lower bound with nested dropout, on one core.

    loss = N_POINTS mean_W (x - y)^2 + beta sum_l KL_l           x standardised, y = decode(m * z), z ~ q(z|x)

(the mean over points, not their sum, so that a finer axis changes nothing; N_POINTS = 256). With probability
`nested_dropout` only the first latents of each symmetry sector are kept (mask m): the first must reconstruct as much as
one number can, the next what is left, as principal components do, but nonlinear (Rippel, Gelbart, Adams,
arXiv:1402.0915). beta rises from 0 over the first half. The best weights are those of the lowest validation objective
after it. Everything random is a function of (seed, step): the same seed gives the same network.

Suffixes: B batch, W points, L latent.
"""

import copy
import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor

from models.networks.curves.curve_vae import CurveVAE
from models.settings import Fraction, settings
from models.training.batches import EpochBatches, check_rows
from models.training.spectra.elbo import kl_per_latent, nested_mask, ramp

__all__ = ["CurveTraining", "TrainedCurveVAE", "train_curve_vae"]

N_POINTS = 256
N_VALIDATIONS = 25


@settings
class CurveTraining:
    """How to train; the network's shape is CurveVAE.Config."""

    beta: NonNegativeFloat
    nested_dropout: Fraction
    learning_rate: PositiveFloat
    weight_decay: Fraction
    batch_size: PositiveInt
    n_steps: PositiveInt


@dataclass(frozen=True, kw_only=True)
class TrainedCurveVAE:
    """In evaluation mode. `validation_error`: root mean square over rows and points, in units of the data's scale."""

    model: CurveVAE
    validation_error: float
    best_step: int


def train_curve_vae(
    config: CurveVAE.Config,
    training: CurveTraining,
    *,
    train_BW: NDArray[np.float64],
    validation_BW: NDArray[np.float64],
    seed: int,
) -> TrainedCurveVAE:
    """Raises ValueError for rows of the wrong shape, FloatingPointError where the objective is not finite."""
    check_rows("curves", config.n_points, train_BW, validation_BW)
    train, validation = (torch.from_numpy(np.ascontiguousarray(rows)).float() for rows in (train_BW, validation_BW))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = CurveVAE(config)
    model.standardise(train)
    optimizer = torch.optim.AdamW(model.parameters(), lr=training.learning_rate, weight_decay=training.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=training.learning_rate, total_steps=training.n_steps + 1, pct_start=0.1
    )
    batches = EpochBatches(len(train), training.batch_size, seed=seed)
    every = max(1, training.n_steps // N_VALIDATIONS)
    best, best_step, weights, step = math.inf, 0, copy.deepcopy(model.state_dict()), 0
    while step < training.n_steps:
        batches.set_epoch(step // len(batches))
        for rows in batches:
            optimizer.zero_grad(set_to_none=True)
            beta = training.beta * ramp(step, training.n_steps // 2)
            loss = _objective(model, train[rows], beta, training.nested_dropout, _generator(seed, step))
            if not torch.isfinite(loss):
                raise FloatingPointError(f"step {step}: the objective is not finite; lower learning_rate")
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 10.0)
            optimizer.step()
            schedule.step()
            step += 1
            if step >= training.n_steps // 2 and (step % every == 0 or step == training.n_steps):
                with torch.inference_mode():
                    objective = float(_objective(model, validation, training.beta, 0.0, _generator(seed, -1)))
                if objective < best:
                    best, best_step, weights = objective, step, copy.deepcopy(model.state_dict())
            if step == training.n_steps:
                break
    model.load_state_dict(weights)
    model.eval()
    with torch.inference_mode():
        error = float(((model(validation) - validation) / model.scale).square().mean().sqrt())
    return TrainedCurveVAE(model=model, validation_error=error, best_step=best_step)


def _objective(
    model: CurveVAE, curve_BW: Tensor, beta: float, nested_dropout: float, generator: torch.Generator
) -> Tensor:
    mean_BL, logvar_BL = model.encode(curve_BW)
    noise_BL = torch.randn(mean_BL.shape, generator=generator)
    z_BL = mean_BL + torch.exp(logvar_BL / 2) * noise_BL
    if nested_dropout > 0:
        z_BL = z_BL * nested_mask(len(z_BL), model.sectors, nested_dropout, like_L=model.sign_L, generator=generator)
    squared = ((curve_BW - model.decode(z_BL)) / model.scale).square().mean()
    return N_POINTS * squared + beta * kl_per_latent(mean_BL, logvar_BL).sum(-1).mean()


def _generator(seed: int, step: int) -> torch.Generator:
    state = np.random.SeedSequence(seed, spawn_key=(1, step + 1)).generate_state(1)
    return torch.Generator().manual_seed(int(state[0]))
