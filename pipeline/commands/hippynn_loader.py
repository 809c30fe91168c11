"""Load an exported member in an environment with hippynn; needs nothing of the project it came from.

    python load_hippynn.py MEMBER --check FILE.xyz              energy of each frame, by hippynn's ASE calculator
    python load_hippynn.py MEMBER --lammps OUT.pt --elements C H O   for LAMMPS, pair_style mliap unified OUT.pt 0

MEMBER holds hippynn.npz (weights) and hippynn.json (settings of the network, units eV and A). In Python,
`energy_node(MEMBER)` is an HEnergyNode: give it to hippynn's own interfaces. LAMMPS must be built with ML-IAP and
Python.
"""

import argparse
import json
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch

__all__ = ["energy_node"]


def energy_node(member: Path | str, dtype: torch.dtype = torch.float64) -> Any:  # noqa: ANN401 - a node of hippynn
    """The energy [eV] as a node of hippynn for open and periodic systems whose pairs its interfaces bring."""
    graphs = import_module("hippynn.graphs")
    about = json.loads((Path(member) / "hippynn.json").read_text())
    kind = getattr(graphs.networks, about.get("network", "Hipnn"))  # exports made before HIP-NN-TS do not say
    weights = {name: torch.from_numpy(array) for name, array in np.load(Path(member) / "hippynn.npz").items()}
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        species = graphs.inputs.SpeciesNode(db_name="Z")
        positions = graphs.inputs.PositionsNode(db_name="R")
        network = kind("HIPNN", (species, positions), module_kwargs=about["module_kwargs"])
        energy = graphs.targets.HEnergyNode("HEnergy", network, db_name="E")
    finally:
        torch.set_default_dtype(before)
    state = network.torch_module.state_dict()
    network.torch_module.load_state_dict(state | {k: v.to(dtype) for k, v in weights.items() if k in state})
    readouts = {k.removeprefix("energy."): v.to(dtype) for k, v in weights.items() if k.startswith("energy.")}
    energy.torch_module.load_state_dict(readouts)
    return energy


def main(arguments: list[str] | None = None) -> None:
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.lammps is not None:
        if not options.elements:
            parser.error("--lammps needs --elements, those of the atom types of LAMMPS in their order")
        if options.lammps.exists() or options.lammps.is_symlink():
            parser.error(f"--lammps: found {options.lammps}, which exists already; name another file")
    if options.check is not None:
        node = energy_node(options.member)
        calculator = import_module("hippynn.interfaces.ase_interface").HippynnCalculator(node, en_unit=1.0)
        calculator.to(torch.float64)
        for number, atoms in enumerate(import_module("ase.io").iread(options.check, index=":")):
            atoms.calc = calculator
            print(f"{number} {atoms.get_potential_energy():.10f} {np.abs(atoms.get_forces()).max():.10f}")
    if options.lammps is not None:
        interface = import_module("hippynn.interfaces.lammps_interface").MLIAPInterface
        node = energy_node(options.member)
        torch.save(interface(node, options.elements, compute_dtype=torch.float64), options.lammps)
        print(f"pair_style mliap unified {options.lammps} 0\npair_coeff * * {' '.join(options.elements)}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="An exported HIP-NN or HIP-NN-TS in hippynn.")
    parser.add_argument("member", type=Path, metavar="MEMBER", help="folder with hippynn.npz and hippynn.json")
    parser.add_argument(
        "--check", type=Path, metavar="FILE.xyz", help="frames whose energies [eV] are printed (default: none)"
    )
    parser.add_argument("--lammps", type=Path, metavar="OUT.pt", help="file to write, a new one (default: none)")
    parser.add_argument(
        "--elements", nargs="+", metavar="SYMBOL", help="of the atom types of LAMMPS, in their order (default: none)"
    )
    return parser


if __name__ == "__main__":
    main()
