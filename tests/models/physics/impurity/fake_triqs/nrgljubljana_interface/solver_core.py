"""Stand-in for the solver itself: U = 0 exactly (Sigma = 0, n_d by quadrature over the band that it was given).

It is as strict as the real one: an unknown keyword is a TypeError, a missing model parameter a RuntimeError, the mesh
holds both signs without 0, only the hybridization of the first block inside |w| <= bandrescale counts, at least 1e-8,
and the tools have to run from PATH. An environment variable makes it misbehave, FAKE_TRIQS = crash | hang |
hang_in_grandchild | killed | garbage | nan; a level at zero is solved none the less, so that one Hamiltonian fails and
not the installation. With FAKE_TRIQS = wrong every level is.
"""

import math
import os
import subprocess
import sys
import time
from pathlib import Path

import h5._h5py  # noqa: F401 - the real extension module imports it
import numpy as np
import triqs.gf

from nrgljubljana_interface.mesh_refreq_pts import MeshReFreqPts

SCRIPTS = {
    "discretize": ("adapt P", "adapt N"),
    "instantiate": ("perl instantiate", "nrgchain", "matrix", "diag -B", "unitary -B"),
    "process": ("perl process", "broaden", "kk"),
}


def _error(text):
    """An exception of the C++ side, in the words in which it arrives."""
    return RuntimeError(
        ".. Error  calling C++ overload\n.. solve(...)\n in implementation of method SolverCore.solve\n"
        f".. C++ error was : \nTriqs runtime error\n    at solver_core.cpp : 215\n\n{text}\n"
        "Exception was thrown on node \n"
    )


class SolverCore:
    def __init__(self, *, model, symtype, mesh_max=10.0, mesh_min=1e-4, mesh_ratio=1.05):
        if (model, symtype) not in {("SIAM", "QS"), ("SIAM", "QSZ")}:
            raise _error(f"no template for {model} {symtype}")
        positive = mesh_max * mesh_ratio ** -np.arange(math.ceil(math.log(mesh_max / mesh_min) / math.log(mesh_ratio)))
        self._points = np.concatenate([-positive, positive[::-1]])
        self._names = ["imp"] if symtype == "QS" else ["up", "dn"]
        self.log_mesh = MeshReFreqPts(self._points)
        self.Delta_w = triqs.gf.BlockGf(self._names, self.log_mesh)
        self._bins = None

    def set_nrg_params(self, *, bins=1000):
        self._bins = bins

    def solve(
        self,
        *,
        T,
        Lambda=2.0,
        Nz=1,
        Tmin=1e-4,
        keep=100,
        keepenergy=-1.0,
        keepmin=0,
        alpha=0.3,
        gamma=0.2,
        method="fdm",
        bandrescale=-1.0,
        model_parameters,
    ):
        behaviour = os.environ.get("FAKE_TRIQS", "") if model_parameters.get("eps1") else ""
        if behaviour == "crash":
            os.kill(os.getpid(), 11)
        if behaviour == "hang":
            with open(os.environ["FAKE_TRIQS_PID_FILE"], "w") as file:
                file.write(str(os.getpid()))
            time.sleep(600)
        if behaviour == "killed":
            os.kill(os.getpid(), 9)
        if behaviour == "hang_in_grandchild":
            with open(os.environ["FAKE_TRIQS_PID_FILE"], "w") as file:
                child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
                file.write(str(child.pid))
            child.wait()
        needed = {"U1", "eps1"} | ({"B1"} if self._names == ["up", "dn"] else set())
        if set(model_parameters) != needed:
            raise _error(f"model parameters {sorted(model_parameters)}, needed {sorted(needed)}")
        for script, commands in SCRIPTS.items():
            if any(os.system(command) for command in commands):
                raise _error(f"Failure running NRGLjubljana_interface script: ./{script}")
        if abs(model_parameters["U1"]) > 1e-12:
            raise _error("this stand-in solves U = 0 only")
        if method != "fdm":
            raise _error("currently only method=fdm is supported")
        if Tmin >= T or keep < 1:
            raise _error("chain too short for this temperature")
        scale = bandrescale if bandrescale > 0 else self._points[-1]
        gamma_w = np.maximum(-self.Delta_w[self._names[0]].data[:, 0, 0].imag, 1e-8)
        self.Sigma_w = triqs.gf.BlockGf(self._names, self.log_mesh)
        # The noise that a real run shows far below T: Im Sigma > 0.
        for _, block in self.Sigma_w:
            block.data[np.abs(self._points) < 1e-7, 0, 0] = 1e-4j
        if behaviour == "nan":
            self.Sigma_w[self._names[0]].data[3] = np.nan
        up, dn = (
            _occupation(
                model_parameters["eps1"] + s * model_parameters.get("B1", 0.0) / 2, self._points, gamma_w, scale, T
            )
            for s in (1, -1)
        )
        if os.environ.get("FAKE_TRIQS") == "wrong":
            up /= 2
        self.expv = {"n_d": up + dn, "n_d^2": up + dn + 2 * up * dn}
        if self._names == ["up", "dn"]:
            self.expv["SZd"] = (up - dn) / 2
        if behaviour == "garbage":
            print("Segmentation fault in the Fortran library, continuing")
            np.savez = lambda path, **arrays: Path(path).write_bytes(b"PK\x03\x04 not a zip")


def _occupation(level, points, gamma, scale, temperature):
    """Of the free level in the band that is linear between the points and ends sharply at +-scale."""
    edges = np.concatenate([[-scale], points[np.abs(points) < scale], [scale]])
    values = np.interp(edges, points, gamma)
    low, high, width, slope = edges[:-1], edges[1:], np.diff(edges), np.diff(values) / np.diff(edges)
    w = (low + high) / 2
    line = values[:-1] + slope * (w[:, None] - low)
    real = np.sum(line * np.log(np.abs((w[:, None] - low) / (w[:, None] - high))) - slope * width, axis=1) / np.pi
    imaginary = (values[1:] + values[:-1]) / 2
    spectrum = imaginary / np.pi / ((w - level - real) ** 2 + imaginary**2)
    return float(np.sum(spectrum * width * np.exp(-np.logaddexp(0, w / temperature))))
