"""What `latentlaw discover` does with a table of curves: latents, what each of them knows, formulas of each.

1. Rows are split by group: a seventh each for validation and test.
2. Curve VAEs are trained over a few seeds and values of beta; the one that agrees best with its siblings is taken
   (models.laws.consistency), so no label takes part in any choice of a network.
3. A latent is active where it carries more than ACTIVE_NATS in the mean over training rows.
4. For every input and known quantity each set of coordinates sends the one that follows it best on validation rows; it
   is scored on test rows (models.laws.held_out). Beside the network: principal components, and summaries of the curve
   that need no learning.
5. A general engine looks for a formula of each active latent by the inputs (models.laws.discovery). It sees training
   rows, without those of the largest values of the input that the latent follows most. On validation rows the simplest
   formula is taken that is good enough: within LOSS_SLACK of the best, or off by less than the latent is uncertain, or
   than UNEXPLAINED of its variance.

Suffixes: N rows, L latents, S steps, W points.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.decomposition import PCA

from models.laws.associations import explained
from models.laws.canonical import Equation
from models.laws.consistency import Candidate, most_consistent
from models.laws.correlation import spearman
from models.laws.discovery import Finding, Problem, Rules, discover, score
from models.laws.engines.library import LibraryEngine
from models.laws.engines.operon import OperonEngine
from models.laws.groups import split_by_group
from models.laws.held_out import LEAST_SCORED, Coordinates, HeldOut, held_out_associations
from models.laws.symbolic_engine import EngineError, SymbolicEngine, choose_engine
from models.networks.curves.curve_vae import CurveVAE
from models.training.curves.curve_training import CurveTraining, TrainedCurveVAE, train_curve_vae
from models.training.spectra.elbo import kl_per_latent
from stores.importers.curves import CurveTable

__all__ = [
    "FULL",
    "NETWORK",
    "PCA_SET",
    "QUICK",
    "SUMMARIES",
    "TRAVERSAL",
    "Budget",
    "Formula",
    "Quantity",
    "Study",
    "result",
    "study",
]

Array = NDArray[np.float64]
SHARE = 1 / 7  # of the groups, for validation and for test
ACTIVE_NATS = 0.05
ERROR_SLACK = 1.25
LOSS_SLACK, UNEXPLAINED = 1.5, 0.01
KEPT_BACK = 0.15  # of the rows, from the search of a formula
N_LATENT, N_ODD, HIDDEN = 6, 2, (192, 96)
BATCH, LEARNING_RATE, WEIGHT_DECAY, NESTED_DROPOUT = 128, 3e-3, 1e-4, 0.3
N_FOLDS, N_NEIGHBOURS, N_BOOTSTRAP = 5, 10, 200
TRAVERSAL = np.linspace(-2.0, 2.0, 7)
NETWORK, PCA_SET, SUMMARIES = "network", "principal components", "summaries"
LEAST_GROUPS = 7 * LEAST_SCORED


@dataclass(frozen=True, kw_only=True)
class Budget:
    betas: tuple[float, ...]
    n_seeds: int
    n_steps: int
    n_engine_seeds: int
    generations: int


QUICK = Budget(betas=(0.3,), n_seeds=2, n_steps=3000, n_engine_seeds=1, generations=25)
FULL = Budget(betas=(0.1, 0.3, 1.0), n_seeds=3, n_steps=12000, n_engine_seeds=3, generations=50)


@dataclass(frozen=True, kw_only=True)
class Quantity:
    """How the coordinates follow one input or known quantity, on test rows; `problem` says why there is no number."""

    held_out: Mapping[str, HeldOut]  # set of coordinates -> what its coordinate reaches
    linear_direction: float | None
    nonlinear_r2: float | None
    problem: str | None


@dataclass(frozen=True, kw_only=True)
class Formula:
    latent: str
    engine: str
    nearest: str  # the input whose largest values are kept for extrapolation
    finding: Finding | None
    front: Sequence[tuple[Equation, float]]  # simple ones first, with R2 on validation rows
    problem: str | None


@dataclass(frozen=True, kw_only=True)
class Study:
    """`errors` are root mean squares in units of the data's scale, by set of coordinates."""

    table: CurveTable
    split_N: NDArray[np.int64]
    beta: float
    seed: int
    names: tuple[str, ...]  # of the active latents
    mean_NL: Array
    std_NL: Array
    kl_L: Array
    active_by_seed: Mapping[int, int]
    consistency: float  # of the chosen training with its siblings, 0 to 1
    errors: Mapping[str, float]
    quantities: Mapping[str, Quantity]
    formulas: Sequence[Formula]
    traversals_LSW: Array
    reconstructed_NW: Array


def study(
    table: CurveTable,
    inputs: Mapping[str, Array],
    *,
    budget: Budget,
    symmetry: Literal["none", "mirror"],
    seed: int,
    report: Callable[[str], None] = lambda line: None,
) -> Study:
    """`inputs`: the columns (N,) that formulas are made of. `report` is called with how far it is.

    Raises ValueError where there are too few groups.
    """
    n_groups = len(np.unique(table.groups))
    if n_groups < LEAST_GROUPS:
        raise ValueError(
            f"found {n_groups} groups of independent rows, expected at least {LEAST_GROUPS}: a seventh of them "
            "is the test set, which has to give an interval"
        )
    split_N = split_by_group(table.groups, validation=SHARE, test=SHARE, seed=seed)
    networks = _train(table, split_N, budget, symmetry, seed, report)
    latents = {key: _latents(trained.model, table.curves, split_N) for key, trained in networks.items()}
    candidates = [
        Candidate(
            setting=beta,
            latents=[latents[beta, k].mean_NL[split_N == 1] for k in range(budget.n_seeds)],
            error=float(np.mean([networks[beta, k].validation_error for k in range(budget.n_seeds)])),
        )
        for beta in budget.betas
    ]
    choice = most_consistent(candidates, error_slack=ERROR_SLACK)
    beta, member = choice.setting, choice.member
    chosen, model = latents[beta, member], networks[beta, member].model
    sets = {
        NETWORK: Coordinates(z_NL=chosen.mean_NL, names=chosen.names),
        PCA_SET: _principal(table.curves, split_N == 0, model.config.n_latent),
        SUMMARIES: _summaries(table),
    } | {
        f"seed {k}": Coordinates(z_NL=latents[beta, k].mean_NL, names=latents[beta, k].names)
        for k in range(budget.n_seeds)
    }
    report("what the latents know")
    quantities = {name: _quantity(values, sets, table, split_N, seed) for name, values in table.columns.items()}
    formulas = [
        _formula(name, z_N, std_N, inputs, split_N, budget, seed, report)
        for name, z_N, std_N in zip(chosen.names, chosen.mean_NL.T, chosen.std_NL.T, strict=True)
        if inputs
    ]
    with torch.inference_mode():
        reconstructed_NW = model(torch.from_numpy(table.curves).float()).double().numpy()
    return Study(
        table=table,
        split_N=split_N,
        beta=beta,
        seed=member,
        names=chosen.names,
        mean_NL=chosen.mean_NL,
        std_NL=chosen.std_NL,
        kl_L=chosen.kl_L,
        active_by_seed={k: len(latents[beta, k].names) for k in range(budget.n_seeds)},
        consistency=choice.consistency[budget.betas.index(beta)][member],
        errors=_errors(table, split_N, reconstructed_NW, sets, len(chosen.names)),
        quantities=quantities,
        formulas=formulas,
        traversals_LSW=_traversals(model, chosen),
        reconstructed_NW=reconstructed_NW,
    )


@dataclass(frozen=True, kw_only=True)
class Latents:
    """Active ones of one network, of all rows."""

    names: tuple[str, ...]
    numbers: tuple[int, ...]
    mean_NL: Array
    std_NL: Array
    kl_L: Array


def _train(
    table: CurveTable,
    split_N: NDArray[np.int64],
    budget: Budget,
    symmetry: Literal["none", "mirror"],
    seed: int,
    report: Callable[[str], None],
) -> dict[tuple[float, int], TrainedCurveVAE]:
    config = CurveVAE.Config(
        n_points=table.curves.shape[1],
        n_latent=N_LATENT,
        n_odd=N_ODD if symmetry == "mirror" else 0,
        hidden=HIDDEN,
        symmetry=symmetry,
    )
    networks: dict[tuple[float, int], TrainedCurveVAE] = {}
    for beta in budget.betas:
        training = CurveTraining(
            beta=beta,
            nested_dropout=NESTED_DROPOUT,
            learning_rate=LEARNING_RATE,
            weight_decay=WEIGHT_DECAY,
            batch_size=BATCH,
            n_steps=budget.n_steps,
        )
        for k in range(budget.n_seeds):
            report(f"training {len(networks) + 1} of {len(budget.betas) * budget.n_seeds}, beta {beta:g}, seed {k}")
            networks[beta, k] = train_curve_vae(
                config,
                training,
                train_BW=table.curves[split_N == 0],
                validation_BW=table.curves[split_N == 1],
                seed=1000 * seed + k,
            )
    return networks


def _latents(model: CurveVAE, curves_NW: Array, split_N: NDArray[np.int64]) -> Latents:
    with torch.inference_mode():
        posterior = model.encode(torch.from_numpy(curves_NW).float())
        kl_L = kl_per_latent(*posterior)[torch.from_numpy(split_N == 0)].mean(0).double().numpy()
    active = np.flatnonzero(kl_L > ACTIVE_NATS)
    return Latents(
        names=tuple(model.names[i] for i in active),
        numbers=tuple(int(i) for i in active),
        mean_NL=posterior.mean_BL.double().numpy()[:, active],
        std_NL=np.exp(posterior.logvar_BL.double().numpy() / 2)[:, active],
        kl_L=kl_L[active],
    )


def _principal(curves_NW: Array, train_N: NDArray[np.bool_], n: int) -> Coordinates:
    n = min(n, int(train_N.sum()), curves_NW.shape[1])
    fitted = PCA(n, svd_solver="full").fit(curves_NW[train_N])
    return Coordinates(z_NL=fitted.transform(curves_NW), names=tuple(f"component {i + 1}" for i in range(n)))


def _summaries(table: CurveTable) -> Coordinates:
    """Without learning: mean, spread, largest value, where it stands, and the centroid of what lies above the least."""
    curves_NW, place_W = table.curves, np.arange(table.curves.shape[1], dtype=float)
    above_NW = curves_NW - curves_NW.min(1, keepdims=True)
    centroid_N = (above_NW @ place_W) / np.maximum(above_NW.sum(1), 1e-300)
    columns = (curves_NW.mean(1), curves_NW.std(1), curves_NW.max(1), curves_NW.argmax(1).astype(float), centroid_N)
    return Coordinates(z_NL=np.column_stack(columns), names=("mean", "spread", "height", "peak", "centroid"))


def _errors(
    table: CurveTable,
    split_N: NDArray[np.int64],
    reconstructed_NW: Array,
    sets: Mapping[str, Coordinates],
    n_active: int,
) -> dict[str, float]:
    """Of reconstruction on test rows; of principal components with as many of them as latents are active."""
    test_N, train_N = split_N == 2, split_N == 0
    mean_W = table.curves[train_N].mean(0)
    scale = float(np.sqrt(((table.curves[train_N] - mean_W) ** 2).mean()))
    n = max(1, min(n_active, len(sets[PCA_SET].names)))
    fitted = PCA(n, svd_solver="full").fit(table.curves[train_N])
    linear_NW = fitted.inverse_transform(fitted.transform(table.curves[test_N]))
    return {
        NETWORK: float(np.sqrt(((reconstructed_NW[test_N] - table.curves[test_N]) ** 2).mean())) / scale,
        PCA_SET: float(np.sqrt(((linear_NW - table.curves[test_N]) ** 2).mean())) / scale,
    }


def _quantity(
    values_N: Array, sets: Mapping[str, Coordinates], table: CurveTable, split_N: NDArray[np.int64], seed: int
) -> Quantity:
    test_N = split_N == 2
    try:
        held_out = held_out_associations(
            sets,
            values_N,
            table.groups,
            choose_N=split_N == 1,
            score_N=test_N,
            against=PCA_SET,
            n_bootstrap=N_BOOTSTRAP,
            seed=seed,
        )
    except ValueError as error:  # too few groups, or a constant quantity
        return Quantity(held_out={}, linear_direction=None, nonlinear_r2=None, problem=str(error))
    z_NL = sets[NETWORK].z_NL[test_N]
    if z_NL.shape[1] == 0:
        return Quantity(held_out=held_out, linear_direction=None, nonlinear_r2=None, problem="no latent is active")
    whole = explained(
        z_NL, values_N[test_N], table.groups[test_N], n_folds=N_FOLDS, n_neighbours=N_NEIGHBOURS, seed=seed
    )
    return Quantity(
        held_out=held_out,
        linear_direction=whole.linear_direction,
        nonlinear_r2=whole.nonlinear_r2,
        problem=None,
    )


def _kept_back(columns_NV: Array, z_N: Array, split_N: NDArray[np.int64]) -> tuple[int, NDArray[np.bool_]]:
    """The input that the latent follows most, and the rows without its largest values.

    One of which many rows share the largest value has no rows to keep back: the next one is taken.
    """
    follows = [abs(spearman(column[split_N != 2], z_N[split_N != 2])) for column in columns_NV.T]
    order = sorted(range(len(follows)), key=lambda i: -follows[i])
    inside = {i: columns_NV[:, i] <= np.quantile(columns_NV[:, i], 1 - KEPT_BACK) for i in order}
    nearest = next((i for i in order if not inside[i].all()), order[0])
    return nearest, inside[nearest]


def _formula(
    latent: str,
    z_N: Array,
    std_N: Array,
    inputs: Mapping[str, Array],
    split_N: NDArray[np.int64],
    budget: Budget,
    seed: int,
    report: Callable[[str], None],
) -> Formula:
    report(f"formula of {latent}")
    rules = Rules(
        tolerance=0.0, confidence=0.95, n_bootstrap=100, n_seeds=budget.n_engine_seeds, max_rows=300, seed=seed
    )
    names, columns_NV = tuple(inputs), np.column_stack(list(inputs.values()))
    nearest, inside = _kept_back(columns_NV, z_N, split_N)
    shuffled = np.random.default_rng(seed).permutation(np.flatnonzero(split_N == 0))
    problem = Problem(
        target=latent,
        encoding="inputs",
        names=names,
        inputs=columns_NV,
        units=(0,) * len(names),
        values=z_N,
        train=np.sort(shuffled[inside[shuffled]][: rules.max_rows]),
        test=np.flatnonzero((split_N == 2) & inside),
        extrapolation=np.flatnonzero(~inside),
        laws={},
        exponent=None,
    )
    engines: list[SymbolicEngine] = [
        OperonEngine(population=500, generations=budget.generations, raw_generations=budget.generations, max_length=25),
        LibraryEngine(max_power=2, max_total=3, max_terms=5, beam=100),
    ]
    engine = choose_engine("auto", engines).engine
    try:
        front = discover(problem, engine, rules).front
    except (EngineError, ValueError) as error:
        return Formula(
            latent=latent, engine=engine.name, nearest=names[nearest], finding=None, front=(), problem=str(error)
        )
    rows = np.flatnonzero((split_N == 1) & inside)
    with np.errstate(all="ignore"):
        losses = np.array([np.mean((e.predict(columns_NV[rows]) - z_N[rows]) ** 2) for e in front])
    losses = np.where(np.isfinite(losses), losses, np.inf)  # a pole between training rows is seen on validation rows
    enough = max(LOSS_SLACK * losses.min(), float(np.mean(std_N[rows] ** 2)), UNEXPLAINED * float(z_N[rows].var()))
    chosen = min(np.flatnonzero(losses <= enough), key=lambda i: front[i].complexity)
    return Formula(
        latent=latent,
        engine=engine.name,
        nearest=names[nearest],
        finding=score(front[chosen], problem, rules),
        front=[(e, 1 - float(loss / z_N[rows].var())) for e, loss in zip(front, losses, strict=True) if loss < np.inf],
        problem=None,
    )


def _traversals(model: CurveVAE, chosen: Latents) -> Array:
    """Curves decoded along each active latent, in standard deviations of its mean, the others at their mean."""
    centre_L, spread_L = chosen.mean_NL.mean(0), chosen.mean_NL.std(0)
    moved = []
    for i, number in enumerate(chosen.numbers):
        z_SL = torch.zeros(len(TRAVERSAL), model.config.n_latent)
        z_SL[:, list(chosen.numbers)] = torch.from_numpy(centre_L).float()
        z_SL[:, number] = torch.from_numpy(centre_L[i] + TRAVERSAL * spread_L[i]).float()
        with torch.inference_mode():
            moved.append(model.decode(z_SL).double().numpy())
    return np.array(moved).reshape(len(moved), len(TRAVERSAL), model.config.n_points)


def result(study: Study) -> dict[str, Any]:
    """The content of discover.json."""
    best = {
        name: {
            "latent": of.held_out[NETWORK].coordinate,
            "abs_spearman": of.held_out[NETWORK].spearman.value,
            "low": of.held_out[NETWORK].spearman.low,
            "high": of.held_out[NETWORK].spearman.high,
            "linear_direction": of.linear_direction,
            "nonlinear_r2": of.nonlinear_r2,
            "baseline": {
                key: {"coordinate": of.held_out[key].coordinate, "abs_spearman": of.held_out[key].spearman.value}
                for key in (PCA_SET, SUMMARIES)
            },
        }
        if NETWORK in of.held_out
        else {"problem": of.problem or "no latent is active"}
        for name, of in study.quantities.items()
    }
    return {
        "n_rows": len(study.table.curves),
        "n_dropped": study.table.n_dropped,
        "n_groups": len(np.unique(study.table.groups)),
        "n_test_rows": int((study.split_N == 2).sum()),
        "test_error": study.errors[NETWORK],
        "test_error_principal_components": study.errors[PCA_SET],
        "active_latents": len(study.names),
        "active_latents_of_seeds": list(study.active_by_seed.values()),
        "agreement_of_seeds": study.consistency,
        "beta": study.beta,
        "best": best,
        "formulas": [
            {
                "latent": formula.latent,
                "equation": formula.finding.equation.text,
                "complexity": formula.finding.equation.complexity,
                "r2_test": formula.finding.r2_test,
                "r2_extrapolation": formula.finding.r2_extrapolation,
                "beyond": formula.nearest,
                "engine": formula.engine,
                "front": [
                    {"equation": e.text, "complexity": e.complexity, "r2_validation": r2} for e, r2 in formula.front
                ],
            }
            if formula.finding
            else {"latent": formula.latent, "problem": formula.problem}
            for formula in study.formulas
        ],
    }
