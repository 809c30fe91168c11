"""A contract's implementations are found by name; a new one needs no other edit."""

import sys
from pathlib import Path
from typing import Annotated, Protocol

import pytest
from pydantic import PositiveInt, TypeAdapter, ValidationError

from models.registry import Chosen, Registry
from models.settings import settings


class Greeting(Protocol):
    def greet(self) -> str: ...


@settings
class LoudSettings:
    volume: PositiveInt


class Loud:
    def __init__(self, settings: LoudSettings, who: str) -> None:
        self.settings, self.who = settings, who

    def greet(self) -> str:
        return f"HELLO {self.who}" + "!" * self.settings.volume


@settings
class Polite:
    title: str

    def greet(self) -> str:
        return f"good morning, {self.title}"


def silent() -> Greeting:
    class Silent:
        def greet(self) -> str:
            return ""

    return Silent()


@pytest.fixture
def greetings() -> Registry[Greeting]:
    registry: Registry[Greeting] = Registry("greeting")
    registry.register("loud", settings=LoudSettings)(Loud)
    registry.register("polite")(Polite)
    registry.register("silent")(silent)
    return registry


def chosen(registry: Registry[Greeting], given: object) -> Chosen:
    return TypeAdapter(Annotated[Chosen, registry]).validate_python(given)


def test_a_choice_is_a_name_with_the_settings_of_that_entry(greetings):
    loud = chosen(greetings, {"name": "loud", "volume": 2})
    assert loud == Chosen("loud", LoudSettings(volume=2)) == greetings.choose("loud", volume=2)
    assert greetings.make(loud, "you").greet() == "HELLO you!!"
    assert greetings.make(chosen(greetings, {"name": "polite", "title": "Sir"})).greet() == "good morning, Sir"
    assert greetings.make(chosen(greetings, "silent")).greet() == ""


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"name": "rude"}, r"greeting: found 'rude', expected one of \['loud', 'polite', 'silent'\]"),
        ({"name": "loud", "volume": 0}, "greater than 0"),
        ({"name": "loud"}, "volume\n.*required"),
        ({"name": "loud", "volume": 1, "pitch": 2}, "pitch\n.*Unexpected"),
        ({"name": "silent", "volume": 1}, r"silent: found settings \['volume'\], expected none"),
        ({"volume": 1}, "expected {name: one of"),
        (3, "expected {name: one of"),
    ],
)
def test_a_wrong_choice_is_refused(greetings, given, message):
    with pytest.raises(ValidationError, match=message):
        chosen(greetings, given)


def test_an_entry_may_come_and_go(greetings):
    with greetings.registered("again", Polite):
        assert "again" in greetings.names()
        with pytest.raises(ValueError, match="two entries 'again'"):
            greetings.register("again")(Polite)
    with pytest.raises(ValueError, match="found 'again'"):
        greetings["again"]


def test_a_file_in_the_folder_of_the_contract_is_found(tmp_path: Path, monkeypatch):
    folder = tmp_path / "folder_of_greetings"
    folder.mkdir()
    (folder / "__init__.py").touch()
    (folder / "contract.py").write_text(
        "from models.registry import Registry\nGREETINGS = Registry('greeting', package='folder_of_greetings')\n"
    )
    (folder / "shy.py").write_text(
        "from folder_of_greetings.contract import GREETINGS\n@GREETINGS.register('shy')\ndef shy():\n    return 'hm'\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    from folder_of_greetings.contract import GREETINGS  # type: ignore[import-not-found]

    assert "folder_of_greetings.shy" not in sys.modules
    assert GREETINGS.names() == ["shy"]
    assert GREETINGS.make(Chosen("shy")) == "hm"
