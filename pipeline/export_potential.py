"""Write a trained HIP-NN so that hippynn, and LAMMPS through it, can use it.

python -m pipeline.export_potential MODEL_DIR --format hippynn --out DIR

DIR/member_<i>/hippynn.npz    weights under hippynn's names, float64, energies in eV with reference energies
DIR/member_<i>/hippynn.json   settings of the network, elements, units, where it came from
DIR/load_hippynn.py           builds the network in an environment with hippynn; see docs/how-to/export.md
"""

import argparse
import json
import shutil
from pathlib import Path

import numpy as np

from models.networks.ensemble import Ensemble, load_potential
from models.networks.hipnn import HIPNN
from models.networks.hippynn_weights import hippynn_settings, to_hippynn
from pipeline.stage import run_stage
from stores.zarr_store import building

__all__ = ["main"]

LOADER = "hippynn_loader.py"
UNITS = {"energy": "eV", "length": "A"}


def main(arguments: list[str] | None = None) -> None:
    options = _parser().parse_args(arguments)
    members = _hipnn(load_potential(options.model), options.model)
    if options.out.exists():
        raise ValueError(f"--out: found {options.out}, expected a folder that is not there yet; name another one")
    with building(options.out) as workplace:
        for number, member in enumerate(members):
            folder = workplace / f"member_{number}"
            folder.mkdir(parents=True)
            np.savez(folder / "hippynn.npz", **{name: t.numpy() for name, t in to_hippynn(member).items()})  # type: ignore[arg-type]
            told = {
                "module_kwargs": hippynn_settings(member.config),
                "species": list(member.config.species),
                "units": UNITS,
                "origin": {"folder": str(options.model), "member": number},
            }
            (folder / "hippynn.json").write_text(json.dumps(told, indent=2) + "\n")
        shutil.copy(Path(__file__).with_name(LOADER), workplace / "load_hippynn.py")
    print(
        f"{options.out}: {len(members)} members; python {options.out}/load_hippynn.py --help in the other environment"
    )


def _hipnn(ensemble: Ensemble, folder: Path) -> list[HIPNN]:
    found = [member for member in ensemble.members if isinstance(member, HIPNN)]
    if len(found) < len(ensemble.members):
        name = type(ensemble.members[0]).__name__
        raise ValueError(
            f"{folder}: found a {name}, expected HIP-NN, the only network that hippynn has; for other programs use "
            "models.networks.calculator.PotentialCalculator through ASE"
        )
    return found


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="A trained potential for other programs.")
    parser.add_argument("model", type=Path, metavar="MODEL_DIR")
    parser.add_argument("--format", choices=("hippynn",), required=True)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    return parser


if __name__ == "__main__":
    run_stage("export_potential", main)
