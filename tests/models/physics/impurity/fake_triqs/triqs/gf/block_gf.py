"""Stand-in."""

from triqs.gf.gf import Gf


class BlockGf:
    def __init__(self, names, mesh):
        self._blocks = {name: Gf(mesh) for name in names}

    def __iter__(self):
        return iter(self._blocks.items())

    def __getitem__(self, name):
        return self._blocks[name]
