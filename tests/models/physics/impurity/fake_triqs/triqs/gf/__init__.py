"""Stand-in for the Green functions: what the interface takes from `triqs.gf`, imported by full name as TRIQS does."""

from triqs.gf.block_gf import BlockGf
from triqs.gf.gf import Gf
from triqs.gf.meshes import MeshImFreq, MeshReFreq

__all__ = ["BlockGf", "Gf", "MeshImFreq", "MeshReFreq"]
