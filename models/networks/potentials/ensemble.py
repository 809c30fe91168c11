"""Several potentials trained alike on different data or from different seeds: their mean, and how far they disagree.

The mean is the prediction. The spread is the population standard deviation over members, zero for a single one; for the
energy of n atoms it is also given in the two scales that decide what is labelled next,

    E_s = sd(E) / n             per atom, for cells            (Smith et al., Nat. Commun. 12, 1257, 2021)
    rho = sd(E) / sqrt(n)       for molecules                  (Smith et al., J. Chem. Phys. 148, 241733, 2018)

and the spread of forces per component, its mean and maximum over all components of a configuration. Beside it stands
what a single hierarchical member says of itself, the hierarchicality (models.networks.potentials.hierarchicality),
averaged over members.

A trained potential is a folder: `potential.json` tells the architecture, the number of members and how they were
trained, `member_0`, `member_1` ... hold the networks (models.networks.weights).

Shape suffixes: E members, M configurations, N atoms, H pairs, T energy terms, 3 Cartesian.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from models.networks.potentials.graph import Graph
from models.networks.potentials.hierarchicality import hierarchicality_N
from models.networks.potentials.potential import POTENTIALS, PotentialNetwork, Prediction, evaluate
from models.networks.weights import CONFIG, WEIGHTS, load_network, save_network

__all__ = ["SPREADS", "Ensemble", "EnsemblePrediction", "combine", "load_potential", "save_potential"]

SPREADS = ("energy_eV_atom", "force_mean_eV_A", "force_max_eV_A")  # standard deviations over members, of one frame
ABOUT = "potential.json"
TRAIN = "train it: latentlaw train-potential --store PATH --model hipnn|hipnn_ts|ani --out MODEL_DIR"


@dataclass(frozen=True, kw_only=True)
class EnsemblePrediction:
    """Of one batch, in eV and A; means without a name, everything else says what it is. Energies are float64."""

    energy_M: Tensor
    energy_N: Tensor
    forces_N3: Tensor
    stress_M33: Tensor  # NaN where the configuration is not periodic in all directions
    energy_EM: Tensor  # of each member
    forces_EN3: Tensor
    terms_ENT: Tensor  # without reference energies
    energy_spread_M: Tensor
    energy_spread_per_atom_M: Tensor  # E_s
    energy_rho_M: Tensor
    energy_spread_N: Tensor  # of the atomic energies
    forces_spread_N3: Tensor
    forces_spread_mean_M: Tensor  # over the components of all atoms
    forces_spread_max_M: Tensor
    hierarchicality_N: Tensor  # mean over members; zero for a model of one term
    hierarchicality_M: Tensor  # mean over atoms

    @property
    def spreads(self) -> tuple[Tensor, Tensor, Tensor]:
        """What decides whether a frame is labelled, (M,) each, in the order of `SPREADS`."""
        return self.energy_spread_per_atom_M, self.forces_spread_mean_M, self.forces_spread_max_M


class Ensemble:
    """One or more potentials which know the same elements within the same cutoff. `info` is what the folder tells."""

    def __init__(self, members: Sequence[PotentialNetwork], info: Mapping[str, Any] | None = None) -> None:
        """Raises ValueError for no members, or members that differ in architecture, elements or cutoff."""
        _check_members(members)
        self.members = tuple(member.eval() for member in members)
        self.info = dict(info or {})
        for member in self.members:
            member.requires_grad_(False)

    @property
    def species(self) -> tuple[int, ...]:
        """Atomic numbers."""
        return tuple(self.members[0].config.species)

    @property
    def cutoff_A(self) -> float:
        return float(self.members[0].config.cutoff_A)

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> "Ensemble":
        """Move the members; reference energies stay float64."""
        for member in self.members:
            reference = member.reference_S
            member.to(device=device, dtype=dtype)
            member.reference_S = reference.to(device=device)
        return self

    def evaluate(self, graph: Graph, vectors_H3: Tensor) -> EnsemblePrediction:
        """Mean and spread of a batch in the dtype of the members; raises ValueError for an unknown element."""
        found = [evaluate(member, graph, vectors_H3) for member in self.members]
        return combine(found, graph.config_N, graph.n_atoms_M)


def combine(found: Sequence[Prediction], config_N: Tensor, n_atoms_M: Tensor) -> EnsemblePrediction:
    """Mean and spread of what the members predict of one batch; `config_N` is the configuration of each atom."""

    def mean_over_atoms(values_N: Tensor) -> Tensor:
        return values_N.new_zeros(len(n_atoms_M)).index_add(0, config_N, values_N) / n_atoms_M.to(values_N.dtype)

    energy_EM = torch.stack([p.energy_M for p in found])
    energy_EN = torch.stack([p.energy_N for p in found])
    forces_EN3 = torch.stack([p.forces_N3 for p in found])
    terms_ENT = torch.stack([p.terms_NT for p in found])
    spread_M, spread_N3 = _sd(energy_EM), _sd(forces_EN3)
    largest_M = spread_N3.new_zeros(len(n_atoms_M)).scatter_reduce(0, config_N, spread_N3.amax(dim=1), "amax")
    hierarchicality = _mean(torch.stack([hierarchicality_N(terms_NT) for terms_NT in terms_ENT]))
    return EnsemblePrediction(
        energy_M=_mean(energy_EM),
        energy_N=_mean(energy_EN),
        forces_N3=_mean(forces_EN3),
        stress_M33=_mean(torch.stack([p.stress_M33 for p in found])),
        energy_EM=energy_EM,
        forces_EN3=forces_EN3,
        terms_ENT=terms_ENT,
        energy_spread_M=spread_M,
        energy_spread_per_atom_M=spread_M / n_atoms_M,
        energy_rho_M=spread_M / n_atoms_M.sqrt(),
        energy_spread_N=_sd(energy_EN),
        forces_spread_N3=spread_N3,
        forces_spread_mean_M=mean_over_atoms(spread_N3.mean(dim=1)),
        forces_spread_max_M=largest_M,
        hierarchicality_N=hierarchicality,
        hierarchicality_M=mean_over_atoms(hierarchicality),
    )


def save_potential(folder: Path | str, members: Sequence[PotentialNetwork], info: Mapping[str, Any]) -> None:
    """Write the folder of a trained potential; `info` is added to potential.json, which is written last.

    Raises ValueError for members that do not belong together, an architecture without a name, and keys of `info` that
    the folder writes itself.
    """
    _check_members(members)
    name = _architecture_of(members[0])
    about = {"model": name, "n_members": len(members)}
    if clash := {key for key in about.keys() & info.keys() if info[key] != about[key]}:
        raise ValueError(f"info: found {sorted(clash)}, which the folder tells itself; leave them out")
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / ABOUT).unlink(missing_ok=True)  # a folder without it is not finished
    for number, member in enumerate(members):
        save_network(member, folder / f"member_{number}")
    (folder / ABOUT).write_text(json.dumps({**info, **about}, indent=2, sort_keys=True) + "\n")


def load_potential(folder: Path | str) -> Ensemble:
    """The ensemble in a folder that `save_potential` wrote, on the CPU.

    Raises FileNotFoundError with everything that is missing, ValueError for an unknown architecture or a broken
    potential.json, ArchitectureMismatch (a ValueError) for members that do not fit it.
    """
    folder = Path(folder)
    if not (folder / ABOUT).is_file():
        found = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else "no such folder"
        raise FileNotFoundError(
            f"{folder}: found {found}, expected {ABOUT} and member_0 of a trained potential; "
            f"give the folder that training wrote, or {TRAIN}"
        )
    info = _about(folder / ABOUT)
    parts = [folder / f"member_{number}" for number in range(info["n_members"])]
    missing = [f"{part.name}/{name}" for part in parts for name in (CONFIG, WEIGHTS) if not (part / name).is_file()]
    if missing:
        raise FileNotFoundError(f"{folder}: {', '.join(missing)} missing; copy the folder whole, or {TRAIN}")
    kind = POTENTIALS[info["model"]].make
    assert isinstance(kind, type)
    return Ensemble([_member(kind, part) for part in parts], info)


def _member(kind: type[PotentialNetwork], folder: Path) -> PotentialNetwork:
    """The network in the precision of its weights: load_network rounds float64 to the default dtype."""
    member = load_network(kind, folder)
    weights = load_file(folder / WEIGHTS)
    if any(tensor.dtype == torch.float64 for tensor in weights.values()):
        reference = member.reference_S
        member.double().load_state_dict(weights)
        member.reference_S = reference
    return member


def _about(path: Path) -> dict[str, Any]:
    try:
        info = json.loads(path.read_text())
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}: not JSON ({error}); {TRAIN}") from error
    found = info if isinstance(info, dict) else {}
    problems = []
    if found.get("model") not in POTENTIALS.names():
        problems.append(f"model: found {found.get('model')!r}, expected one of {POTENTIALS.names()}")
    if not isinstance(found.get("n_members"), int) or found["n_members"] < 1:
        problems.append(f"n_members: found {found.get('n_members')!r}, expected at least 1")
    if problems:
        raise ValueError(f"{path}: {'; '.join(problems)}; correct it, or {TRAIN}")
    return found


def _architecture_of(member: PotentialNetwork) -> str:
    for name in POTENTIALS.names():
        if POTENTIALS[name].make is type(member):
            return name
    kind = f"{type(member).__module__}.{type(member).__qualname__}"
    raise ValueError(f"found {kind}, expected one of {POTENTIALS.names()}; register it: @POTENTIALS.register(name)")


def _check_members(members: Sequence[PotentialNetwork]) -> None:
    if not members:
        raise ValueError("ensemble: found no members, expected at least one")
    kinds = {(type(m).__name__, tuple(m.config.species), float(m.config.cutoff_A)) for m in members}
    if len(kinds) > 1:
        raise ValueError(
            f"ensemble: found members with (architecture, elements, cutoff in A) {sorted(kinds)}, expected them equal; "
            "train all members with the same settings"
        )


def _mean(values_E: Tensor) -> Tensor:
    return values_E.mean(dim=0) if len(values_E) > 1 else values_E[0]


def _sd(values_E: Tensor) -> Tensor:
    return values_E.std(dim=0, correction=0) if len(values_E) > 1 else torch.zeros_like(values_E[0])
