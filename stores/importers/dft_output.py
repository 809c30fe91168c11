"""Output files of DFT programs as ASE reads them, one record per ionic step, in eV and A, stress with ASE's sign.

    VASP                OUTCAR (vasp-out), vasprun.xml (vasp-xml); pressures in kB become stresses
    Quantum ESPRESSO    output of pw.x (espresso-out); Ry and Bohr become eV and A
    FHI-aims, Gaussian, NWChem, ORCA, CASTEP, Abinit    aims-output, gaussian-out, ...

With smeared occupations forces are the gradient of the free energy, which is the energy of the store then. The energy
extrapolated to zero smearing stands under the key ZERO_SMEARING. ASE leaves out a step whose energy is not there, as
the last one of a run that was cut off.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from stores.importers.extxyz import fill_from_frames, frame_of
from stores.importers.foreign_files import readable
from stores.importers.frame_keys import Frame, FrameKeys
from stores.importers.labelled import Reading

__all__ = ["PROGRAM_FORMATS", "ZERO_SMEARING", "read_dft_output"]

PROGRAM_FORMATS = (
    *("vasp-out", "vasp-xml", "espresso-out", "aims-output", "gaussian-out", "nwchem-out", "orca-output"),
    *("castep-castep", "abinit-out"),
)
ZERO_SMEARING = "energy_zero_smearing"
CURE = "the file is damaged, cut off or of another format; name it: --program-format NAME"


def read_dft_output(files: Sequence[Path], keys: FrameKeys, *, program_format: str | None = None) -> Reading:
    """All steps of all files. `program_format` is one of PROGRAM_FORMATS, by default the one that each file is in.

    Raises FileNotFoundError, ValueError with file and step where one cannot be read or its labels are unclear.
    """
    reading = Reading(usual_units="eV", keys={}, origin={"format": program_format or "dft-output"})
    fill_from_frames(reading, files, partial(_steps, program_format=program_format), keys)
    return reading


def _steps(file: Path, program_format: str | None) -> Iterator[Frame]:
    from ase.io import iread
    from ase.io.formats import filetype

    index = -1
    with readable(file, "output of a DFT program", lambda: f"{file}, step {index + 1}", CURE):
        name = program_format or filetype(str(file))
        if name not in PROGRAM_FORMATS:
            raise ValueError(f"found a file of the format {name}, expected one of {', '.join(PROGRAM_FORMATS)}")
        for index, atoms in enumerate(iread(str(file), index=":", format=name)):
            labels = {} if atoms.calc is None else {key: v for key, v in atoms.calc.results.items() if v is not None}
            if "free_energy" in labels and "energy" in labels:
                labels[ZERO_SMEARING] = labels.pop("energy")
            yield frame_of(f"step {index}", atoms, labels)
