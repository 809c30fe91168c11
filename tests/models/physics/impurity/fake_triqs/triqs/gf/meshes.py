"""Stand-in."""


class MeshImFreq:
    pass


class MeshReFreq:
    pass
