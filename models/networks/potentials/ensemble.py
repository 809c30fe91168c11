"""Several potentials trained alike on different data or from different seeds: their mean, and how far they disagree.

The mean is the prediction. The spread is the population standard deviation over members, zero for a single one; for the
energy of n atoms it is also given in the two scales that decide what is labelled next,

    E_s = sd(E) / n             per atom, for cells            (Smith et al., Nat. Commun. 12, 1257, 2021)
    rho = sd(E) / sqrt(n)       for molecules                  (Smith et al., J. Chem. Phys. 148, 241733, 2018)

and the spread of forces per component, its mean and maximum over all components of a configuration. Beside it stands
what a single hierarchical member says of itself, the hierarchicality (models.networks.potentials.hierarchicality),
averaged over members.

Where the members were trained on what a baseline leaves over (models.networks.potentials.baseline), the prediction is
the sum: energies and forces of every member and their means have the baseline's, so that no spread changes. Terms have
none. Energies of atoms are NaN where the baseline does not divide its own, stresses where it has none.

A trained potential is a folder: `potential.json` tells the architecture, the number of members and how they were
trained, `member_0`, `member_1` ... hold the networks (models.networks.weights), `baseline` a potential beneath them.

Shape suffixes: E members, M configurations, N atoms, H pairs, T energy terms, 3 Cartesian.
"""

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import ase
import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from models.networks.potentials.baseline import (
    FOLDER,
    Baseline,
    BaselineFailed,
    BaselineLabel,
    baseline_of_record,
    potential_files,
)
from models.networks.potentials.graph import Graph
from models.networks.potentials.hierarchicality import hierarchicality_N
from models.networks.potentials.potential import POTENTIALS, PotentialNetwork, Prediction, evaluate
from models.networks.weights import CONFIG, WEIGHTS, load_network, save_network

__all__ = [
    "SPREADS",
    "Ensemble",
    "EnsemblePrediction",
    "about_potential",
    "combine",
    "load_potential",
    "save_potential",
    "with_baseline",
]

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
    terms_ENT: Tensor  # without reference energies and baseline
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

    def __init__(
        self,
        members: Sequence[PotentialNetwork],
        info: Mapping[str, Any] | None = None,
        baseline: Baseline | None = None,
    ) -> None:
        """Raises ValueError for no members, or members that differ in architecture, elements or cutoff."""
        _check_members(members)
        self.members = tuple(member.eval() for member in members)
        self.info = dict(info or {})
        self.baseline = baseline
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

    def evaluate(self, graph: Graph, vectors_H3: Tensor, atoms: Sequence[ase.Atoms] = ()) -> EnsemblePrediction:
        """Mean and spread of a batch in the dtype of the members.

        `atoms`: the structures of the batch, which a baseline needs. Raises ValueError for an unknown element, and
        where structures are missing, BaselineFailed for one that the baseline does not serve.
        """
        predictions = [evaluate(member, graph, vectors_H3) for member in self.members]
        prediction = combine(predictions, graph.config_N, graph.n_atoms_M)
        if self.baseline is None:
            return prediction
        return with_baseline(prediction, self.baseline, atoms, graph.config_N, graph.volume_M)


def combine(predictions: Sequence[Prediction], config_N: Tensor, n_atoms_M: Tensor) -> EnsemblePrediction:
    """Mean and spread of what the members predict of one batch; `config_N` is the configuration of each atom."""

    def mean_over_atoms(values_N: Tensor) -> Tensor:
        return values_N.new_zeros(len(n_atoms_M)).index_add(0, config_N, values_N) / n_atoms_M.to(values_N.dtype)

    energy_EM = torch.stack([p.energy_M for p in predictions])
    energy_EN = torch.stack([p.energy_N for p in predictions])
    forces_EN3 = torch.stack([p.forces_N3 for p in predictions])
    terms_ENT = torch.stack([p.terms_NT for p in predictions])
    spread_M, spread_N3 = _sd(energy_EM), _sd(forces_EN3)
    largest_M = spread_N3.new_zeros(len(n_atoms_M)).scatter_reduce(0, config_N, spread_N3.amax(dim=1), "amax")
    hierarchicality = _mean(torch.stack([hierarchicality_N(terms_NT) for terms_NT in terms_ENT]))
    return EnsemblePrediction(
        energy_M=_mean(energy_EM),
        energy_N=_mean(energy_EN),
        forces_N3=_mean(forces_EN3),
        stress_M33=_mean(torch.stack([p.stress_M33 for p in predictions])),
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


def with_baseline(
    prediction: EnsemblePrediction,
    baseline: Baseline,
    atoms: Sequence[ase.Atoms],
    config_N: Tensor,
    volume_M: Tensor,
) -> EnsemblePrediction:
    """`prediction`, of the networks alone, and the baseline of the same structures; spreads stay what they are.

    The virial of the baseline, V stress or - sum_i r_i F_i of an open structure, is divided by `volume_M`, that of the
    graph. Raises ValueError where structures are missing, BaselineFailed with its row.
    """
    n_atoms = [len(one) for one in atoms]
    if len(n_atoms) != len(volume_M) or n_atoms != torch.bincount(config_N, minlength=len(volume_M)).tolist():
        raise ValueError(
            f"found {len(n_atoms)} structures for {len(volume_M)} configurations of a potential with the baseline "
            f"{baseline.name}, expected each: it completes what the network says; pass `atoms`, or use "
            "PotentialCalculator"
        )
    labels = []
    for row, one in enumerate(atoms):
        try:
            labels.append(baseline.label(one))
        except BaselineFailed as error:
            error.row = row
            raise
    none = [np.full(n, np.nan) for n in n_atoms]
    per_atom = [none[row] if label.energies_eV is None else label.energies_eV for row, label in enumerate(labels)]
    virials = [_virial_eV(one, label) for one, label in zip(atoms, labels, strict=True)]

    def like(values: Any, target: Tensor) -> Tensor:  # noqa: ANN401 - arrays
        return torch.as_tensor(np.asarray(values, dtype=np.float64), device=target.device)

    energy_M = like([label.energy_eV for label in labels], prediction.energy_M)
    forces_N3 = like(np.concatenate([label.forces_eV_A for label in labels]), prediction.forces_N3)
    stress_M33 = like(virials, prediction.stress_M33) / volume_M.double()[:, None, None]
    return replace(
        prediction,
        energy_M=prediction.energy_M + energy_M,
        energy_N=prediction.energy_N + like(np.concatenate(per_atom), prediction.energy_N),
        forces_N3=prediction.forces_N3.double() + forces_N3,
        stress_M33=prediction.stress_M33.double() + stress_M33,
        energy_EM=prediction.energy_EM + energy_M,
        forces_EN3=prediction.forces_EN3.double() + forces_N3,
    )


def _virial_eV(atoms: ase.Atoms, label: BaselineLabel) -> Any:  # noqa: ANN401 - an array
    """dE/dstrain (3, 3); NaN where it is not known."""
    if label.stress_eV_A3 is not None:
        return label.stress_eV_A3 * abs(np.linalg.det(atoms.cell.array))
    if atoms.pbc.any():
        return np.full((3, 3), np.nan)
    product = -atoms.positions.T @ label.forces_eV_A
    return (product + product.T) / 2


def save_potential(
    folder: Path | str,
    members: Sequence[PotentialNetwork],
    info: Mapping[str, Any],
    baseline: Baseline | None = None,
) -> None:
    """Write the folder of a trained potential; `info` is added to potential.json, which is written last.

    Raises ValueError for members that do not belong together, an architecture without a name, and keys of `info` that
    the folder writes itself.
    """
    _check_members(members)
    name = _architecture_of(members[0])
    about = {"model": name, "n_members": len(members)} | ({"baseline": baseline.record} if baseline else {})
    if "baseline" in info and baseline is None:
        raise ValueError("info: found a baseline, expected the baseline itself beside it; pass `baseline`")
    if clash := {key for key in about.keys() & info.keys() if info[key] != about[key]}:
        raise ValueError(f"info: found {sorted(clash)}, which the folder tells itself; leave them out")
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / ABOUT).unlink(missing_ok=True)  # a folder without it is not finished
    for number, member in enumerate(members):
        save_network(member, folder / f"member_{number}")
    if baseline is not None and baseline.folder is not None:
        for path in potential_files(baseline.folder):
            (folder / FOLDER / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(baseline.folder / path, folder / FOLDER / path)
    (folder / ABOUT).write_text(json.dumps({**info, **about}, indent=2, sort_keys=True) + "\n")


def load_potential(folder: Path | str, *, allow_baseline: str = "") -> Ensemble:
    """The ensemble in a folder that `save_potential` wrote, on the CPU.

    `allow_baseline`: the "module:calculator" that may be imported as its baseline, where it is none of
    models.networks.potentials.baseline.KNOWN. Raises FileNotFoundError with everything that is missing, ValueError for
    an unknown architecture or a broken potential.json, ArchitectureMismatch (a ValueError) for members that do not fit
    it, BaselineRefused (a ValueError) for a baseline that is missing or not allowed; warns of another version of it.
    """
    folder = Path(folder)
    info = about_potential(folder)
    parts = [folder / f"member_{number}" for number in range(info["n_members"])]
    missing = [f"{part.name}/{name}" for part in parts for name in (CONFIG, WEIGHTS) if not (part / name).is_file()]
    if missing:
        raise FileNotFoundError(f"{folder}: {', '.join(missing)} missing; copy the folder whole, or {TRAIN}")
    kind = POTENTIALS[info["model"]].make
    assert isinstance(kind, type)
    members = [_member(kind, part) for part in parts]
    record = info.get("baseline")
    baseline = None if record is None else baseline_of_record(record, folder, allowed=allow_baseline)
    return Ensemble(members, info, baseline)


def about_potential(folder: Path) -> dict[str, Any]:
    """What potential.json of a folder says; raises as `load_potential` where there is none, or it says nonsense."""
    if not (folder / ABOUT).is_file():
        names = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else "no such folder"
        raise FileNotFoundError(
            f"{folder}: found {names}, expected {ABOUT} and member_0 of a trained potential; "
            f"give the folder that training wrote, or {TRAIN}"
        )
    return _about(folder / ABOUT)


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
    about = info if isinstance(info, dict) else {}
    problems = []
    if about.get("model") not in POTENTIALS.names():
        problems.append(f"model: found {about.get('model')!r}, expected one of {POTENTIALS.names()}")
    if not isinstance(about.get("n_members"), int) or about["n_members"] < 1:
        problems.append(f"n_members: found {about.get('n_members')!r}, expected at least 1")
    if problems:
        raise ValueError(f"{path}: {'; '.join(problems)}; correct it, or {TRAIN}")
    return about


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
