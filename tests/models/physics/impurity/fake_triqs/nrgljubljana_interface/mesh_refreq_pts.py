"""Stand-in: both signs, ascending, without 0."""

import triqs.gf  # noqa: F401 - the real extension module imports it


class MeshReFreqPts:
    def __init__(self, points):
        self._points = points

    def __len__(self):
        return len(self._points)

    def values(self):
        return iter(self._points)
