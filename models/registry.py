"""One registry per contract: a new solver, engine, potential, descriptor or generator is one file in its folder.

    SYMBOLIC_ENGINES = Registry[SymbolicEngine]("symbolic engine", package="models.laws.engines")

    @SYMBOLIC_ENGINES.register("operon", settings=OperonSettings)      # in models/laws/engines/operon.py
    class OperonEngine: ...                                            # made as OperonEngine(settings, ...)

Without `settings` the class is its own settings (a settings class that fulfils the contract), or a function needs none.
A choice in params is a tagged union, `{name: operon, population: 500}`; `operon` alone where all settings are stated by
nobody. A params class declares it as `Annotated[Chosen, SYMBOLIC_ENGINES]`, and `SYMBOLIC_ENGINES.make(params.engine)`
makes the object. Several choices are a mapping, `{operon: {population: 500}, library: {beam: 100}}`, declared as
`Annotated[dict[str, Any], SYMBOLIC_ENGINES.by_name]`. All modules of the folder are imported at the first look-up, but
for those of other interpreters, `*_child`: no table names them.
"""

import importlib
import json
import pkgutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar, cast

from pydantic import TypeAdapter, create_model
from pydantic_core import CoreSchema, core_schema

__all__ = ["Chosen", "Entry", "NamedSettings", "Registry"]

C = TypeVar("C")
Made = TypeVar("Made", bound=Callable[..., Any])


@dataclass(frozen=True)
class Chosen:
    """An entry of a registry and its settings: an instance of its settings class, None for an entry without."""

    name: str
    settings: Any = None


@dataclass(frozen=True)
class Entry:
    """What makes the object, and the class of its settings (None: there are none to choose)."""

    make: Callable[..., Any]
    settings: type | None


class NamedSettings:
    """In params a mapping, name -> settings; in Python the same, `dict[str, Any]`. At least one.

    `kind_of` gives the settings class of a name as it is known when params are read, or raises ValueError.
    """

    def __init__(self, kind_of: Callable[[str], type]) -> None:
        self.kind_of = kind_of

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> CoreSchema:  # noqa: ANN401 - pydantic's types
        return core_schema.no_info_plain_validator_function(self.read)

    def read(self, given: object) -> dict[str, Any]:
        """Raises ValueError for unknown names, pydantic's ValidationError for settings that do not fit."""
        if not isinstance(given, Mapping) or not given:
            raise ValueError(f"found {given!r}, expected a mapping of names to their settings")
        kinds: dict[str, Any] = {str(name): self.kind_of(str(name)) for name in given}
        if all(isinstance(value, kinds[name]) for name, value in given.items()):
            return dict(given)
        fields: dict[str, Any] = {name: (kind, ...) for name, kind in kinds.items()}
        return dict(create_model("settings", **fields).model_validate_json(json.dumps(given)))


@dataclass(eq=False)
class Registry(Generic[C]):
    """The named implementations of the contract C; `package` is the folder whose modules register them."""

    contract: str
    package: str | None = None
    _entries: dict[str, Entry] = field(default_factory=dict, repr=False)
    _walked: bool = field(default=False, repr=False)

    def register(self, name: str, *, settings: type | None = None) -> Callable[[Made], Made]:
        """Decorator. Raises ValueError for a name that is taken."""

        def decorate(made: Made) -> Made:
            if name in self._entries:
                raise ValueError(f"{self.contract}: found two entries {name!r}, expected distinct names; rename one")
            settings_class = made if isinstance(made, type) and hasattr(made, "__dataclass_fields__") else None
            self._entries[name] = Entry(make=made, settings=settings or cast(type | None, settings_class))
            return made

        return decorate

    @contextmanager
    def registered(self, name: str, made: Callable[..., Any], *, settings: type | None = None) -> Iterator[None]:
        """An entry for the time of a `with` block."""
        self.register(name, settings=settings)(made)
        try:
            yield
        finally:
            del self._entries[name]

    def names(self) -> list[str]:
        """Valid names, sorted."""
        if self.package is not None and not self._walked:
            folder = importlib.import_module(self.package)
            for module in sorted(m.name for m in pkgutil.iter_modules(folder.__path__, f"{self.package}.")):
                if not module.endswith("_child"):
                    importlib.import_module(module)
            self._walked = True
        return sorted(self._entries)

    def __getitem__(self, name: str) -> Entry:
        names = self.names()
        if name not in names:
            raise ValueError(f"{self.contract}: found {name!r}, expected one of {names}; choose one of them")
        return self._entries[name]

    @property
    def by_name(self) -> NamedSettings:
        return NamedSettings(self._settings_of)

    def _settings_of(self, name: str) -> type:
        kind = self[name].settings
        if kind is None:
            raise ValueError(f"{self.contract} {name!r}: found settings, expected none; it has none")
        return kind

    def choose(self, name: str, **settings: Any) -> Chosen:  # noqa: ANN401 - the fields of any settings class
        """The entry `name` with these settings. Raises ValueError for an unknown name or settings that do not fit."""
        kind = self[name].settings
        return Chosen(name, None if kind is None else kind(**settings))

    def make(self, chosen: Chosen, *arguments: Any, **options: Any) -> C:  # noqa: ANN401 - of the contract
        """The object of a choice: entry(settings, ...), or the settings themselves where they fulfil the contract."""
        entry = self[chosen.name]
        if entry.settings is entry.make:
            return cast(C, chosen.settings)
        given = () if entry.settings is None else (chosen.settings,)
        return cast(C, entry.make(*given, *arguments, **options))

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> CoreSchema:  # noqa: ANN401 - pydantic's types
        return core_schema.no_info_plain_validator_function(self._read)

    def _read(self, given: object) -> Chosen:
        """A choice as params state it: `{name: ..., settings}` or the name alone."""
        if isinstance(given, Chosen):
            return given
        stated = {"name": given} if isinstance(given, str) else given
        if not isinstance(stated, Mapping) or not isinstance(stated.get("name"), str):
            raise ValueError(f"found {given!r}, expected {{name: one of {self.names()}, and its settings}}; name one")
        settings = {key: value for key, value in stated.items() if key != "name"}
        kind = self[stated["name"]].settings
        if kind is None and settings:
            raise ValueError(f"{stated['name']}: found settings {sorted(settings)}, expected none; remove them")
        return Chosen(stated["name"], None if kind is None else TypeAdapter(kind).validate_json(json.dumps(settings)))
