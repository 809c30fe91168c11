"""What the documentation names is there: pages, pictures, make targets, modules, profiles, stages."""

import re
from pathlib import Path

import pytest
import yaml
from typer.core import TyperGroup
from typer.main import get_command

from pipeline import cli
from pipeline.runtime.dependencies import DAGS

ROOT = Path(__file__).parents[1]
STAGES = {name for dag in DAGS for name in yaml.safe_load((ROOT / dag).read_text())["stages"]}
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_link_leads_somewhere(page: Path):
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if link.startswith(("http://", "https://", "mailto:")):
            continue
        file, _, anchor = link.partition("#")
        target = (page.parent / file).resolve() if file else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_named_command_exists(page: Path):
    text = page.read_text()
    targets = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    spoken = {"it"}  # prose
    assert set(re.findall(r"`make ([a-z][a-z-]*)", text)) | set(re.findall(r"^make ([a-z-]+)", text, re.MULTILINE)) <= (
        targets | spoken
    )
    for module in re.findall(r"python -m ((?:pipeline|stores|models)[\w.]*)", text):
        assert (ROOT / (module.replace(".", "/") + ".py")).is_file(), module
    for profile in re.findall(r"profiles/([a-z]\w*)\.yaml", text):
        assert (ROOT / "profiles" / f"{profile}.yaml").is_file(), profile
    assert set(re.findall(r"STAGE=(\w+)", text)) <= STAGES


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_command_line_of_latentlaw_has_a_command_and_options_that_exist(page: Path):
    app = get_command(cli.app)
    for line in re.findall(r"(?<!from )\blatentlaw ((?:-|[a-z])[^`\n#|]*)", page.read_text().replace("\\\n", " ")):
        words = line.split()
        command, *rest = [app, *words]
        while rest and isinstance(command, TyperGroup) and not rest[0].startswith("-"):
            named = command.get_command(None, rest[0])
            if named is None and rest[0].isupper():  # FORMAT
                break
            command, *rest = named, *rest[1:]
            assert command is not None, line
        known = {option for known in command.params for option in known.opts} | {"--help"}
        asked = {word.partition("=")[0].strip("[](),.") for word in rest if word.lstrip("[").startswith("--")}
        free = command.name in ("repro", "experiments")
        assert free or asked <= known, line


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_named_source_file_exists(page: Path):
    for path in re.findall(r"`((?:pipeline|stores|models|tests|benchmarks|docs)/[\w/]+\.(?:py|md))`", page.read_text()):
        assert (ROOT / path).is_file(), path


def test_every_page_is_in_the_navigation_and_every_entry_is_a_page():
    listed = set(re.findall(r"[\w\-/]+\.md", (ROOT / "mkdocs.yml").read_text().partition("nav:")[2]))
    assert listed == {path.relative_to(ROOT / "docs").as_posix() for path in PAGES if ROOT / "docs" in path.parents}


def test_the_readme_names_every_stage():
    text = (ROOT / "README.md").read_text()
    assert [stage for stage in sorted(STAGES) if stage not in text] == []


def test_the_tests_of_optional_backends_are_named_as_not_exercised():
    text = (ROOT / "README.md").read_text()
    assert "**not** exercised live" in text
    assert "PySR" in text and "TRIQS" in text


def test_no_sentence_of_the_readme_has_more_than_35_words():
    text = re.sub(r"```.*?```", "", (ROOT / "README.md").read_text(), flags=re.DOTALL)
    lines = [line for line in text.splitlines() if not line.startswith(("|", "#", "<!--", "!["))]
    sentences = re.split(r"(?<=[.:!?])\s+", re.sub(r"\]\([^)]*\)", "]", " ".join(lines)))
    assert [sentence for sentence in sentences if len(sentence.split()) > 35] == []


def test_every_test_that_a_promise_names_exists():
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", (ROOT / "docs/promises.md").read_text())
    assert len(named) > 20
    for file, test in named:
        assert re.search(rf"^def {test}\(", (ROOT / file).read_text(), re.MULTILINE), f"{file}::{test}"


def test_every_promise_has_a_test():
    rows = [line for line in (ROOT / "docs/promises.md").read_text().splitlines() if line.startswith("|")][2:]
    assert [row for row in rows if "::test_" not in row] == []
