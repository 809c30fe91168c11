"""Stand-in."""

from triqs.gf.descriptor_base import Base, Function
from triqs.gf.meshes import MeshImFreq, MeshReFreq

from nrgljubljana_interface.mesh_refreq_pts import MeshReFreqPts

MESHES = (MeshImFreq, MeshReFreq, MeshReFreqPts)


class SemiCircular(Base):
    pass


class Flat(Function):
    pass


class Omega(Base):
    pass
