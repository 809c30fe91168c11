"""Stand-in."""


class Base:
    def __init__(self, **parameters):
        self.__dict__.update(parameters)


class Function(Base):
    pass
