"""What `latentlaw solve-impurity` is asked: the Hamiltonian, the accuracy, the files."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pipeline.commands.options.declaring import Option, Options, message_of

if TYPE_CHECKING:
    from models.physics.impurity.hamiltonian import AndersonImpurity
    from models.physics.impurity.nrg_solver import NRGSettings

__all__ = ["ImpurityOptions"]

HIGHEST = 1e6  # [D] of any energy: where all is outside the band, squares are still finite
MOST_SITES = 260  # the exact arithmetic of a chain takes 17 CPU seconds there, and grows with the third power


@dataclass(frozen=True, kw_only=True)
class ImpurityOptions(Options):
    """Spectrum of one Anderson impurity, by NRG.

    H = eps_d n + U n_up n_dn - B S_z + bath; energies in units of the half bandwidth D. Prints one JSON object:
    occupations, double occupancy, weight within the band, how well Friedel's sum rule is kept, the definitions of T_K,
    notes, CPU seconds, settings. The NPZ holds omega (n,) [D], spectrum_up (n,) and spectrum_dn (n,) [1/D].
    """

    interaction: Annotated[float, Option("U", unit="D", low=-HIGHEST, high=HIGHEST)]
    level: Annotated[float, Option("eps_d", unit="D", low=-HIGHEST, high=HIGHEST)]
    hybridization: Annotated[float, Option("Gamma", unit="D", above=0, high=HIGHEST)]
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

    def problems(self) -> list[str]:
        problems = [*message_of(self.impurity), *message_of(self.settings)]
        return problems or self._chain_problems()

    def _chain_problems(self) -> list[str]:
        from models.physics.impurity.nrg import last_site

        n_sites = last_site(self.temperature, self.discretization)
        if n_sites <= MOST_SITES:
            return []
        return [
            f"--temperature, --discretization: found a chain of {n_sites} sites, which would take minutes, expected at "
            f"most {MOST_SITES}; raise one of them"
        ]

    def impurity(self) -> "AndersonImpurity":
        """Raises ValueError."""
        from models.physics.impurity.hamiltonian import AndersonImpurity

        return AndersonImpurity(
            interaction=self.interaction, level=self.level, hybridization=self.hybridization, field=self.field
        )

    def settings(self) -> "NRGSettings":
        """Raises ValueError."""
        from models.physics.impurity.nrg_solver import NRGSettings

        return NRGSettings(
            discretization=self.discretization, n_keep=self.n_keep, n_z=self.n_z, broadening=self.broadening
        )
