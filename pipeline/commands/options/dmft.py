"""What `latentlaw dmft` is asked: the model, the lattice, the accuracy, the files."""

import functools
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pipeline.commands.options.declaring import Option, Options, message_of

if TYPE_CHECKING:
    from models.physics.dmft.hubbard import MeanFieldSettings
    from models.physics.dmft.lattice import Lattice
    from pipeline.commands.kept_iterations import KeptIterations

__all__ = ["DMFTOptions"]

FARTHEST = 3.0  # [D] from 0 that a band may reach: the grid of frequencies ends there beyond the Hubbard bands
NARROWEST = 0.2  # [D] of a band


@dataclass(frozen=True, kw_only=True)
class DMFTOptions(Options):
    """Solve the Hubbard model by DMFT with NRG.

    Dynamical mean-field theory, paramagnetic, one band, on the real axis; energies in units of the half bandwidth D.
    Prints one JSON object: whether it converged, fillings, chemical potential, quasiparticle weight, double occupancy,
    A(0) and what Luttinger's rule expects, sum rule, notes, CPU seconds, settings. The NPZ holds omega (n,) [D],
    spectrum (n,) [1/D], self_energy (n,) complex [D], bath (n,) [D], the hybridization Gamma(omega), and
    chemical_potential [D]. A run that was stopped, or did not converge, keeps its iterations in FILE.npz.iterations:
    the same command goes on from there.
    """

    interaction: Annotated[float, Option("U", unit="D", low=0, high=20)]
    temperature: Annotated[float, Option("T", unit="D", low=1e-9, high=0.5)]
    filling: Annotated[float, Option("electrons per site, both spins", low=0.01, high=1.99)] = 1.0
    lattice: Annotated[
        str,
        Option(
            "bethe (infinite connectivity), cubic, or a file of a density of states: columns energy [D] and density "
            "in text, CSV or NPZ",
            metavar="bethe|cubic|FILE",
        ),
    ] = "bethe"
    start: Annotated[
        Literal["metal", "insulator"], Option("metal or insulator: the solution that is begun from, where both are")
    ] = "metal"
    out: Annotated[Path, Option("NPZ file to write", metavar="FILE.npz", suffixes=(".npz",))]
    plot: Annotated[
        Path | None,
        Option("picture to write", metavar="FILE.png", suffixes=(".png", ".svg", ".pdf"), unset="none"),
    ] = None
    overwrite: Annotated[bool, Option("replace output files that are there already")] = False
    tolerance: Annotated[
        float, Option("largest change of Gamma(omega), and of mu, in an iteration", unit="D/2", low=1e-6, high=0.1)
    ] = 2e-3
    max_iterations: Annotated[int, Option("after which it gives up", low=1, high=9000)] = 60
    mixing: Annotated[float, Option("share of the new bath", above=0, high=1)] = 0.8
    n_mixed: Annotated[int, Option("iterations that Anderson's mixing looks back on", low=1, high=50)] = 4
    discretization: Annotated[float, Option("Lambda > 1 of the logarithmic grid")] = 4.0
    n_keep: Annotated[int, Option("states kept, from 16 on")] = 256
    n_z: Annotated[int, Option("shifted grids to average over, from 1 on")] = 2
    broadening: Annotated[float, Option("alpha > 0, width of the logarithmic Gaussian")] = 0.4
    symmetry: Annotated[
        Literal["u1", "su2"], Option("u1 (S_z), or su2: spin multiplets, the same numbers faster from n_keep 250 on")
    ] = "u1"

    def problems(self) -> list[str]:
        problems = [*message_of(self.check_model), *message_of(self.settings), *message_of(self.lattice_model)]
        problems += [
            f"--{name}: found {path}, the file of --lattice; name another one"
            for name, path in (("out", self.out), ("plot", self.plot))
            if path is not None and self.lattice_file is not None and path.resolve() == self.lattice_file.resolve()
        ]
        return problems or [f"--out: {problem}" for problem in self.kept_iterations().problems()]

    def check_model(self) -> None:
        """Raises ValueError."""
        from models.physics.dmft.hubbard import check_model

        check_model(self.interaction, self.temperature, self.filling)

    def settings(self) -> "MeanFieldSettings":
        """Raises ValueError."""
        from models.physics.dmft.hubbard import MeanFieldSettings
        from models.physics.impurity.nrg_solver import NRGSettings

        nrg = NRGSettings(
            discretization=self.discretization, n_keep=self.n_keep, n_z=self.n_z, broadening=self.broadening
        )
        return MeanFieldSettings(
            nrg=nrg, tolerance=self.tolerance, max_iterations=self.max_iterations, mixing=self.mixing,
            n_mixed=self.n_mixed,
        )  # fmt: skip

    @property
    def lattice_file(self) -> Path | None:
        return None if self.lattice in ("bethe", "cubic") else Path(self.lattice)

    def lattice_model(self) -> "Lattice":
        """Raises ValueError that lists what is wrong with the file."""
        import numpy as np

        from models.physics.dmft.lattice import BetheLattice, DensityOfStates
        from pipeline.commands.columns import read_columns

        if self.lattice_file is None:
            return BetheLattice() if self.lattice == "bethe" else smooth_cubic_lattice()
        try:
            read = read_columns(self.lattice_file, [("energy", "density")])
        except ValueError as error:
            raise ValueError(f"--lattice: {error}") from None
        try:
            made = DensityOfStates(read["energy"], read["density"])
        except ValueError as error:
            raise ValueError(f"--lattice: {self.lattice_file}: {error}") from None
        used = np.flatnonzero((made.density[1:] > 0) | (made.density[:-1] > 0))  # intervals
        low, high = float(made.energy[used[0]]), float(made.energy[used[-1] + 1])
        if max(-low, high) > FARTHEST or high - low < NARROWEST:
            raise ValueError(
                f"--lattice: {self.lattice_file}: found a band from {low:g} to {high:g}, expected one at least "
                f"{NARROWEST:g} wide between {-FARTHEST:g} and {FARTHEST:g}; energies are in units of the half "
                "bandwidth: divide them by it, and the density is scaled by itself"
            )
        return made

    def kept_iterations(self) -> "KeptIterations":
        """Raises ValueError for a file of a lattice that cannot be used."""
        import hashlib

        from models.physics.dmft.lattice import DensityOfStates
        from pipeline.commands.kept_iterations import KeptIterations

        settings, lattice, name = asdict(self.settings()), self.lattice_model(), self.lattice
        if self.lattice_file is not None and isinstance(lattice, DensityOfStates):
            digest = hashlib.sha256(lattice.energy.tobytes() + lattice.density.tobytes()).hexdigest()
            name = f"of sha256 {digest[:16]}"
        model = {name: getattr(self, name) for name in ("interaction", "temperature", "filling", "start", "symmetry")}
        shaping = {name: settings[name] for name in ("mixing", "n_mixed")} | settings["nrg"]
        return KeptIterations(self.out, model | {"lattice": name} | shaping)


@functools.cache
def smooth_cubic_lattice() -> "Lattice":
    """With 96 wave vectors a side, rho is uneven by 2 % from point to point; with 200 by 0.1 %."""
    from models.physics.dmft.lattice import cubic_lattice

    return cubic_lattice(n_k=200)
