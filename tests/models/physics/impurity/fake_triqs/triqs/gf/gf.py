"""Stand-in: one block, an array (n_w, 1, 1)."""

import numpy as np

from triqs.gf.meshes import MeshImFreq, MeshReFreq

all_meshes = (MeshImFreq, MeshReFreq)


class Gf:
    def __init__(self, mesh):
        self.data = np.zeros((len(mesh), 1, 1), dtype=complex)
