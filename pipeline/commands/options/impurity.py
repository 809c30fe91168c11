"""What `latentlaw solve-impurity` is asked: the Hamiltonian, the accuracy, the files."""

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pipeline.commands.options.declaring import Option, Options, message_of

if TYPE_CHECKING:
    from models.physics.impurity.bath import Bath, SpinBaths
    from models.physics.impurity.hamiltonian import AndersonImpurity
    from models.physics.impurity.nrg_solver import NRGSettings

__all__ = ["ImpurityOptions"]

HIGHEST = 1e6  # [D] of any energy: where all is outside the band, squares are still finite
BATH_COLUMNS = (("omega", "gamma_up", "gamma_dn"), ("omega", "gamma"))
FARTHEST = 10.0  # [D] from 0 that a bath may reach, and
LEAST_REACH = 0.1  # at least does: chain, frequencies and temperatures are made for a band of about [-1, 1]
MOST_SITES = 260  # the exact arithmetic of a chain takes 17 CPU seconds there, and grows with the third power


@dataclass(frozen=True, kw_only=True)
class ImpurityOptions(Options):
    """Spectrum of one Anderson impurity, by NRG.

    H = eps_d n + U n_up n_dn - B S_z + bath; energies in units of the half bandwidth D. The bath is a flat band, of
    --hybridization, or any other, of --bath. Prints one JSON object: occupations, double occupancy, weight within the
    band, how well Friedel's sum rule is kept, the definitions of T_K, notes, CPU seconds, settings. The NPZ holds omega
    (n,) [D], spectrum_up (n,) and spectrum_dn (n,) [1/D].
    """

    interaction: Annotated[float, Option("U", unit="D", low=-HIGHEST, high=HIGHEST)]
    level: Annotated[float, Option("eps_d", unit="D", low=-HIGHEST, high=HIGHEST)]
    hybridization: Annotated[
        float | None, Option("Gamma of a flat band", unit="D", above=0, high=HIGHEST, unset="that of --bath")
    ] = None
    bath: Annotated[
        Path | None,
        Option(
            "file of another bath: columns omega and Gamma(omega), or omega, Gamma_up and Gamma_dn, all [D], in text, "
            "CSV or NPZ (omega, gamma or gamma_up, gamma_dn)",
            metavar="FILE",
            read=True,
            unset="a flat band",
        ),
    ] = None
    temperature: Annotated[float, Option("T", unit="D", low=1e-20, high=1.0)]
    field: Annotated[float, Option("B, in H = ... - B S_z", unit="D", low=-HIGHEST, high=HIGHEST)] = 0.0
    out: Annotated[Path, Option("NPZ file to write", metavar="FILE.npz", suffixes=(".npz",))]
    plot: Annotated[
        Path | None,
        Option("picture to write", metavar="FILE.png", suffixes=(".png", ".svg", ".pdf"), unset="none"),
    ] = None
    overwrite: Annotated[bool, Option("replace output files that are there already")] = False
    discretization: Annotated[float, Option("Lambda > 1 of the logarithmic grid")] = 4.0
    n_keep: Annotated[int, Option("states kept, from 16 on")] = 256
    n_z: Annotated[int, Option("shifted grids to average over, from 1 on")] = 3
    broadening: Annotated[float, Option("alpha > 0, width of the logarithmic Gaussian")] = 0.35
    symmetry: Annotated[
        Literal["u1", "su2"],
        Option("u1 (S_z), or su2: spin multiplets, the same numbers faster where up and dn are alike"),
    ] = "u1"

    def problems(self) -> list[str]:
        if (self.hybridization is None) == (self.bath is None):
            which = "neither" if self.bath is None else "both"
            given = [f"--hybridization, --bath: found {which} of them, expected one: a flat band or a file of another"]
            return [*given, *message_of(self.settings)]
        problems = [*message_of(self.check_symmetry), *message_of(self.settings)]
        return problems or self._chain_problems(self.impurity().reach)

    def _chain_problems(self, reach: float) -> list[str]:
        from models.physics.impurity.nrg import last_site

        n_sites = last_site(min(self.temperature / reach, 1.0), self.discretization)
        if n_sites <= MOST_SITES:
            return []
        return [
            f"--temperature, --discretization: found a chain of {n_sites} sites, which would take minutes, expected at "
            f"most {MOST_SITES}; raise one of them"
        ]

    def impurity(self) -> "AndersonImpurity":
        """Raises ValueError that lists what is wrong, with the lines of a file of a bath."""
        from models.physics.impurity.hamiltonian import AndersonImpurity, ImpurityInBath

        if self.bath is not None:
            return ImpurityInBath(
                interaction=self.interaction, level=self.level, field=self.field, bath=bath_from(self.bath)
            )
        if self.hybridization is None:
            raise ValueError("found no --hybridization and no --bath, expected one")
        return AndersonImpurity(
            interaction=self.interaction, level=self.level, hybridization=self.hybridization, field=self.field
        )

    def check_symmetry(self) -> None:
        """Raises ValueError, also for an impurity that cannot be."""
        from models.physics.impurity.multiplets.iteration import check_spin_symmetry

        impurity = self.impurity()
        if self.symmetry == "su2":
            check_spin_symmetry(impurity)

    def settings(self) -> "NRGSettings":
        """Raises ValueError."""
        from models.physics.impurity.nrg_solver import NRGSettings

        return NRGSettings(
            discretization=self.discretization, n_keep=self.n_keep, n_z=self.n_z, broadening=self.broadening
        )


def bath_from(path: Path) -> "Bath | SpinBaths":
    """Raises ValueError that lists what is wrong with the file."""
    from models.physics.impurity.bath import Bath, NoWeightAtFermiLevel, SpinBaths
    from pipeline.commands.columns import read_columns

    try:
        columns = read_columns(path, BATH_COLUMNS)
    except ValueError as error:
        raise ValueError(f"--bath: {error}") from None
    omega = columns.pop("omega")
    problems, baths = [], []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NoWeightAtFermiLevel)  # becomes a note of the command
        for name, gamma in columns.items():
            try:
                baths.append(Bath(omega, gamma))
            except ValueError as error:
                problems.append(f"--bath: {path}: {name}: {error}")
    problems += [
        f"--bath: {path}: found a bath from {bath.support[0]:g} to {bath.support[1]:g}, expected one that reaches "
        f"between {LEAST_REACH:g} and {FARTHEST:g} from 0; energies are in units of the half bandwidth: divide by it"
        for bath in baths
        if not LEAST_REACH <= bath.reach <= FARTHEST
    ]
    if problems:
        raise ValueError("\n  ".join(problems))
    return baths[0] if len(baths) == 1 else SpinBaths(up=baths[0], dn=baths[1])
