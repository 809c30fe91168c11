"""A cheap method beneath a network: the network learns what is left over, and whoever uses it gets the sum.

    E = E_baseline(r) + sum_i e0(Z_i) + E_network(r)            forces and stress likewise
    (delta learning: Ramakrishnan, Dral, Rupp, von Lilienfeld, J. Chem. Theory Comput. 11, 2087, 2015)

A baseline is an ASE calculator in eV and A, or the folder of another trained potential, a copy of which goes with the
new one. The folder of a potential tells in plain JSON what its baseline is:

    {"calculator": "tblite.ase:TBLite", "arguments": {"method": "GFN1-xTB"}, "version": "tblite 0.8.0"}
    {"potential": "<sha256 of its files>"}                      in the folder `baseline`

To import what a file names is to run it. So a folder gets a calculator of `KNOWN` with scalar arguments listed there;
any other is imported only where the caller names it as the one that is allowed.

Structures reach a baseline bare: elements, positions, and a cell where a direction is periodic. It is reset before each
one, so that no answer depends on those before.
"""

import hashlib
import importlib
import json
import re
import threading
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import ase
import numpy as np
from ase.stress import voigt_6_to_full_3x3_stress
from numpy.typing import NDArray

from models.physics.atoms.calculator_folder import own_folder

__all__ = [
    "FOLDER",
    "KNOWN",
    "Baseline",
    "BaselineFailed",
    "BaselineLabel",
    "BaselineRefused",
    "baseline_of_record",
    "named_baseline",
    "potential_files",
    "potential_hash",
]

FloatArray = NDArray[np.float64]
SCALARS = (str, int, float, bool, type(None))
POTENTIAL = "models.networks.potentials.calculator:PotentialCalculator"
FOLDER = "baseline"
EXAMPLE = "ase.calculators.emt:EMT or tblite.ase:TBLite"
NETWORK = ("config.json", "model.safetensors")  # of a member
N_BENEATH = 8  # potentials, each the baseline of the one above; a folder may hold more to no good end
N_KEPT = 4  # calculators of a thread


@dataclass(frozen=True, kw_only=True)
class Known:
    """A calculator that computes from its arguments alone, and those of them that name no file and no code."""

    arguments: tuple[str, ...]
    quiet: Mapping[str, Any] = field(default_factory=dict)  # arguments without which it prints


KNOWN = {
    "ase.calculators.emt:EMT": Known(arguments=("asap_cutoff",)),
    "ase.calculators.lj:LennardJones": Known(arguments=("sigma", "epsilon", "rc", "ro", "smooth")),
    "ase.calculators.morse:MorsePotential": Known(arguments=("epsilon", "rho0", "r0", "rcut1", "rcut2")),
    "tblite.ase:TBLite": Known(
        arguments=(
            "method",
            "charge",
            "multiplicity",
            "accuracy",
            "electronic_temperature",
            "max_iterations",
            "mixer_damping",
            "spin_polarization",
            "verbosity",
        ),
        quiet={"verbosity": 0},
    ),
    "dftd3.ase:DFTD3": Known(arguments=("method", "damping")),
    "dftd4.ase:DFTD4": Known(arguments=("method",)),
}


class BaselineRefused(ValueError):
    """This baseline is not there, not a calculator, or must not be imported."""


class BaselineFailed(ValueError):
    """A baseline gave nothing for a structure; `row` is its place among those asked for."""

    row = 0


@dataclass(frozen=True, kw_only=True)
class BaselineLabel:
    """Of one structure; the energy is the one whose negative gradient the forces are."""

    energy_eV: float
    forces_eV_A: FloatArray  # (n_atoms, 3)
    stress_eV_A3: FloatArray | None  # (3, 3); None where it gives none, or not all directions are periodic
    energies_eV: FloatArray | None  # (n_atoms,); None where it does not divide its energy among atoms


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """Plain values, so that it can be copied and sent to workers; a thread makes the calculator when it needs it.

    `version`: "ase 3.29.0", or the sha256 of the module's file where no distribution holds it. Of a potential,
    `folder` is where it lies, `files` the sha256 of what is in it, and `allowed` what its own baseline may be.
    """

    calculator: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    version: str = ""
    folder: Path | None = None
    files: str = ""
    allowed: str = ""

    @property
    def record(self) -> dict[str, Any]:
        """What potential.json says of it."""
        if self.folder is not None:
            return {"potential": self.files}
        return {"calculator": self.calculator, "arguments": dict(self.arguments), "version": self.version}

    @property
    def name(self) -> str:
        if self.folder is not None:
            return f"the potential in {self.folder}"
        words = ", ".join(f"{key}={value!r}" for key, value in self.arguments.items() if key != "verbosity")
        return f"{self.calculator}({words})"

    @property
    def offers(self) -> frozenset[str]:
        """Properties by the names of ASE."""
        return frozenset(_calculator(self).implemented_properties)

    def lacks(self, wanted: Sequence[str]) -> list[str]:
        """Those of these properties that it does not give."""
        return [name for name in wanted if name not in self.offers]

    def label(self, atoms: ase.Atoms) -> BaselineLabel:
        """Raises BaselineFailed where the calculator does, or gives what is not finite."""
        bare = ase.Atoms(
            numbers=atoms.numbers,
            positions=atoms.positions,
            cell=atoms.cell.array if atoms.pbc.any() else None,
            pbc=atoms.pbc,
        )
        calculator = _calculator(self)
        if callable(reset := getattr(calculator, "reset", None)):
            reset()
        try:
            with own_folder(calculator):
                label = self._asked(calculator, bare)
        except Exception as error:
            raise BaselineFailed(
                f"{bare.get_chemical_formula()}: found {type(error).__name__}: {error} of the baseline {self.name}, "
                "expected energy and forces; leave the structure out, or choose a baseline that serves it"
            ) from error
        for what, values in (
            ("energy", label.energy_eV),
            ("forces", label.forces_eV_A),
            ("stress", label.stress_eV_A3),
        ):
            if values is not None and not np.isfinite(values).all():
                raise BaselineFailed(
                    f"{bare.get_chemical_formula()}: found {what} of the baseline {self.name} that is not finite, "
                    "expected numbers; leave the structure out, or choose a baseline that serves it"
                )
        return label

    def _asked(self, calculator: Any, atoms: ase.Atoms) -> BaselineLabel:  # noqa: ANN401 - any ASE calculator
        forces = np.array(calculator.get_property("forces", atoms), dtype=np.float64).reshape(len(atoms), 3)
        energy = float(calculator.get_property("energy", atoms))
        if "free_energy" in self.offers:
            energy = float(calculator.get_property("free_energy", atoms))
        stress = energies = None
        if "stress" in self.offers and atoms.pbc.all():
            given = np.array(calculator.get_property("stress", atoms), dtype=np.float64)
            stress = given if given.shape == (3, 3) else voigt_6_to_full_3x3_stress(given)
        if "energies" in self.offers:
            energies = np.array(calculator.get_property("energies", atoms), dtype=np.float64)
            if energies.shape != (len(atoms),) or not np.isclose(energies.sum(), energy, rtol=1e-10, atol=1e-8):
                energies = None  # of something else than this energy
        return BaselineLabel(energy_eV=energy, forces_eV_A=forces, stress_eV_A3=stress, energies_eV=energies)


def named_baseline(name: str, arguments: Mapping[str, Any], *, allowed: str = "") -> Baseline:
    """What a user names, who thereby allows it: "module:calculator" with keyword arguments, or a potential's folder.

    `allowed`: what the baseline of such a folder may be besides those of KNOWN. Raises BaselineRefused.
    """
    if ":" not in name:
        folder = Path(name)
        if not (folder / "potential.json").is_file():
            raise BaselineRefused(
                f"found {name!r}, expected module:calculator, such as {EXAMPLE}, or the folder of a trained potential"
            )
        if arguments:
            raise BaselineRefused(f"{name}: found arguments {dict(arguments)}, expected none: a potential has none")
        return _checked(_of_folder(folder, allowed))
    known = KNOWN.get(name)
    given = {**(known.quiet if known else {}), **arguments}
    return _checked(Baseline(calculator=name, arguments=given, version=_version(name)))


def baseline_of_record(record: Any, folder: Path, *, allowed: str = "") -> Baseline:  # noqa: ANN401 - JSON
    """What the potential.json of `folder` says, which comes from anybody.

    A calculator outside of KNOWN is not imported unless `allowed` is its name; the one of another version is taken
    with a warning. Raises BaselineRefused.
    """
    where = f"{folder}: baseline"
    match record:
        case {"potential": str(files), **other} if not other:
            inside = folder / FOLDER
            if folder.parts[-N_BENEATH:] == (FOLDER,) * N_BENEATH:
                raise BaselineRefused(f"{where}: found more than {N_BENEATH} potentials beneath, expected fewer")
            if inside.is_symlink() or not (inside / "potential.json").is_file():
                raise BaselineRefused(f"{where}: found no potential in {inside.name}/, expected one; copy it whole")
            baseline = _of_folder(inside, allowed)
            if baseline.files != files:
                raise BaselineRefused(
                    f"{where}: found files with sha256 {baseline.files[:16]} in {inside.name}/, expected {files[:16]}, "
                    "which the network was trained with; copy the folder again"
                )
            return _checked(baseline)
        case {"calculator": str(name), "arguments": dict(arguments), "version": str(trained), **other} if not other:
            _require_allowed(name, arguments, allowed, where)
            present = _version(name, where)
            if present != trained:
                warnings.warn(
                    f"{where}: found {present}, expected {trained}, whose energies the network was trained to "
                    "complete; install that version, or compare errors before you use this one",
                    stacklevel=3,
                )
            return _checked(Baseline(calculator=name, arguments=arguments, version=present), where)
    raise BaselineRefused(
        f"{where}: found {json.dumps(record)[:200]}, expected calculator, arguments and version, or potential; "
        "train it again"
    )


def potential_files(folder: Path) -> list[Path]:
    """The files of a trained potential that shape its predictions, relative to `folder`, those of its baseline too."""
    names = ["potential.json", *sorted(f"{m.name}/{n}" for m in folder.glob("member_*") for n in NETWORK)]
    paths = [Path(name) for name in names if (folder / name).is_file()]
    inside = folder / FOLDER
    if inside.is_dir() and not inside.is_symlink():
        paths += [FOLDER / path for path in potential_files(inside)]
    return paths


def potential_hash(folder: Path) -> str:
    """sha256 of `potential_files`, their names and contents."""
    total = hashlib.sha256()
    for path in potential_files(folder):
        total.update(f"{path.as_posix()} {hashlib.sha256((folder / path).read_bytes()).hexdigest()}\n".encode())
    return total.hexdigest()


def _of_folder(folder: Path, allowed: str) -> Baseline:
    return Baseline(calculator=POTENTIAL, folder=folder, files=potential_hash(folder), allowed=allowed)


def _require_allowed(name: str, arguments: Mapping[str, Any], allowed: str, where: str) -> None:
    if name == allowed:
        return
    known = KNOWN.get(name)
    if known is None:
        raise BaselineRefused(
            f"{where}: found {name}, expected one of {', '.join(KNOWN)}; importing another runs its code: if you trust "
            f"it, allow it by name (--allow-baseline {name}, in Python allow_baseline={name!r})"
        )
    strange = [key for key, value in arguments.items() if key not in known.arguments or not isinstance(value, SCALARS)]
    if strange:
        raise BaselineRefused(
            f"{where}: found arguments {', '.join(map(repr, strange))} of {name}, expected scalars among "
            f"{', '.join(known.arguments)}; others may reach files or code: if you trust them, allow the calculator by "
            f"name (--allow-baseline {name}, in Python allow_baseline={name!r})"
        )


def _version(name: str, where: str = "baseline") -> str:
    """Of the distribution that holds this calculator; finds its module without importing it."""
    module, _, factory = name.partition(":")
    if not re.fullmatch(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", module) or not factory.isidentifier():
        raise BaselineRefused(f"{where}: found {name!r}, expected module:calculator, such as {EXAMPLE}")
    top = module.partition(".")[0]
    try:
        spec = find_spec(top)
    except ValueError:  # of __main__, which nobody can import again
        spec = None
    if spec is None:
        raise BaselineRefused(
            f"{where}: found no module {top!r}, expected it for {name}; install its package, or put its folder on "
            "PYTHONPATH"
        )
    try:
        return f"{top} {version(top)}"
    except PackageNotFoundError:
        holders = packages_distributions().get(top)
    if holders:
        return f"{holders[0]} {version(holders[0])}"
    inside = [Path(root, *module.split(".")[1:]).with_suffix(".py") for root in spec.submodule_search_locations or ()]
    files = [file for file in (*inside, Path(spec.origin or "")) if file.is_file()]
    return f"sha256 {hashlib.sha256(files[0].read_bytes()).hexdigest()[:32]}" if files else "unknown"


def _checked(baseline: Baseline, where: str = "baseline") -> Baseline:
    """Imports it. Raises BaselineRefused for what is no calculator of energy and forces."""
    try:
        calculator = _calculator(baseline)
    except BaselineRefused as error:
        raise BaselineRefused(f"{where}: {error}") from error
    offered = getattr(calculator, "implemented_properties", None)
    if offered is None or not callable(getattr(calculator, "get_property", None)):
        raise BaselineRefused(
            f"{where}: found {type(calculator).__name__} of {baseline.name}, expected an ASE calculator, such as "
            f"{EXAMPLE}"
        )
    if lacking := [name for name in ("energy", "forces") if name not in offered]:
        raise BaselineRefused(
            f"{where}: found {baseline.name} with {', '.join(sorted(offered)) or 'no properties'}, expected also "
            f"{' and '.join(lacking)}; choose a calculator that gives them"
        )
    return baseline


_MADE = threading.local()


def _calculator(baseline: Baseline) -> Any:  # noqa: ANN401 - any ASE calculator
    """The one of this thread: calculators are neither shared between threads nor pickled."""
    kept: dict[str, Any] = _MADE.__dict__.setdefault("kept", {})
    key = repr(baseline)
    if key not in kept:
        if len(kept) >= N_KEPT:
            del kept[next(iter(kept))]
        kept[key] = _new_calculator(baseline)
    return kept[key]


def _new_calculator(baseline: Baseline) -> Any:  # noqa: ANN401 - any ASE calculator
    module, _, factory = baseline.calculator.partition(":")
    arguments = dict(baseline.arguments)
    if baseline.folder is not None:
        arguments = {"potential": baseline.folder, "allow_baseline": baseline.allowed}
    try:
        make = getattr(importlib.import_module(module), factory)
    except ImportError as error:
        raise BaselineRefused(
            f"found {type(error).__name__}: {error}, expected the module {module!r}; install its package or correct "
            "the name"
        ) from error
    except AttributeError as error:
        raise BaselineRefused(f"found no {factory!r} in {module}, expected a calculator; correct the name") from error
    try:
        return make(**arguments)
    except Exception as error:
        raise BaselineRefused(
            f"found {type(error).__name__}: {error} of {baseline.name}, expected a calculator; correct its arguments"
        ) from error
