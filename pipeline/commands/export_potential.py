"""Write a trained HIP-NN or HIP-NN-TS so that hippynn, and LAMMPS through it, can use it.

latentlaw export-potential MODEL_DIR --format hippynn --out DIR

DIR/member_<i>/hippynn.npz    weights under hippynn's names, float64, energies in eV with reference energies
DIR/member_<i>/hippynn.json   settings of the network, elements, units, where it came from
DIR/load_hippynn.py           builds the network in an environment with hippynn; see docs/how-to/export.md
"""

import json
import shutil
from pathlib import Path

import numpy as np

from models.networks.potentials.ensemble import Ensemble, about_potential, load_potential
from models.networks.potentials.hipnn import HIPNN
from models.networks.potentials.hippynn_weights import hippynn_network, hippynn_settings, to_hippynn
from pipeline.commands.options.potentials import ExportOptions
from stores.building import building

__all__ = ["main"]

KIND = "export for hippynn"
LOADER = "hippynn_loader.py"
UNITS = {"energy": "eV", "length": "A"}


def main(options: ExportOptions) -> None:
    if (baseline := about_potential(options.model).get("baseline")) is not None:
        raise ValueError(
            f"{options.model}: found a baseline, {json.dumps(baseline)}, expected none, for hippynn would run the "
            "network without it; use the potential in ASE (models.networks.potentials.calculator) or LAMMPS "
            "(models.interfaces.lammps), which add it"
        )
    members = _hipnn(load_potential(options.model), options.model)
    with building(options.out, KIND) as workplace:
        for number, member in enumerate(members):
            folder = workplace / f"member_{number}"
            folder.mkdir(parents=True)
            np.savez(folder / "hippynn.npz", **{name: t.numpy() for name, t in to_hippynn(member).items()})  # type: ignore[arg-type]
            description = {
                "network": hippynn_network(member.config),
                "module_kwargs": hippynn_settings(member.config),
                "species": list(member.config.species),
                "units": UNITS,
                "origin": {"folder": str(options.model), "member": number},
            }
            (folder / "hippynn.json").write_text(json.dumps(description, indent=2) + "\n")
        shutil.copy(Path(__file__).with_name(LOADER), workplace / "load_hippynn.py")
    print(
        f"{options.out}: {len(members)} members; python {options.out}/load_hippynn.py --help in the other environment"
    )


def _hipnn(ensemble: Ensemble, folder: Path) -> list[HIPNN]:
    members = [member for member in ensemble.members if isinstance(member, HIPNN)]
    if len(members) < len(ensemble.members):
        name = type(ensemble.members[0]).__name__
        raise ValueError(
            f"{folder}: found a {name}, expected HIP-NN or HIP-NN-TS, which hippynn has too; for other programs use "
            "models.networks.potentials.calculator.PotentialCalculator through ASE"
        )
    return members
