"""What all command lines have in common: numbers, ranges, help, one message."""

import argparse
import importlib
import json
import re
from pathlib import Path

import pytest

from pipeline.commands import solve_impurity
from pipeline.impurity import latents
from pipeline.runtime.command_line import CommandParser, OptionsError
from pipeline.runtime.stage import run_stage

MODULES = [
    f"pipeline.{path.parent.name}.{path.stem}"
    for path in sorted((Path(__file__).parents[3] / "pipeline").glob("*/*.py"))
    if "CommandParser(" in path.read_text() and path.stem != "command_line"
]


def parser_of(module: str) -> CommandParser:
    found = importlib.import_module(module)
    return found.parser() if module == "pipeline.commands.solve_impurity" else found._parser()


def all_parsers(parser: argparse.ArgumentParser) -> list[argparse.ArgumentParser]:
    below = [a for a in parser._actions if isinstance(a, argparse._SubParsersAction)]
    return [parser, *(inner for action in below for choice in action.choices.values() for inner in all_parsers(choice))]


@pytest.fixture
def parser() -> CommandParser:
    made = CommandParser(description="made up")
    made.add_number("--level", float, "eps_d", unit="D", required=True)
    made.add_number("--members", int, "networks", default=1, low=1)
    made.add_number("--share", float, "a part", default=0.5, above=0, below=1)
    made.add_number("--sizes", int, "several", nargs="+", unit="px", low=8, unset="none")
    made.add_argument("--key", default="energy", help="of the label")
    return made


def test_the_commands_are_found():
    assert len(MODULES) >= 7


@pytest.mark.parametrize("text", ["-1e-1", "-1E-1", "-.1", "-0.1", "-100e-3", "-1.e-1", "-0_0.1"])
def test_a_negative_number_may_be_written_in_any_way(parser: CommandParser, text: str):
    for words in (["--level", text], [f"--level={text}"]):
        assert parser.read(words).level == -0.1


def test_negative_numbers_reach_the_solver(tmp_path: Path, capsys):
    words = "--interaction 2e-1 --level -1e-1 --hybridization 2e-2 --field -1e-2 --temperature 1e-2 --n-keep 16 --n-z 1"
    assert solve_impurity.main([*words.split(), "--out", str(tmp_path / "s.npz")]) == 0
    impurity = json.loads(capsys.readouterr().out)["impurity"]
    assert (impurity["level"], impurity["field"]) == (-0.1, -0.01)


def test_defaults_are_numbers_and_lists_stay_lists(parser: CommandParser):
    options = parser.read(["--level", "0"])
    assert vars(options) == {"level": 0.0, "members": 1, "share": 0.5, "sizes": None, "key": "energy"}
    assert parser.read(["--level", "0", "--sizes", "8", "16"]).sizes == [8, 16]


def test_every_problem_is_in_one_message(parser: CommandParser):
    with pytest.raises(OptionsError) as raised:
        parser.read(["--level", "nan", "--members", "0", "--share", "1", "--sizes", "16", "4", "2.5", "-9"])
    assert str(raised.value).split("\n  ") == [
        "--level: found nan, expected a number [D]",
        "--members: found 0, expected a whole number >= 1",
        "--share: found 1, expected a number > 0 and < 1",
        "--sizes: found 4, expected a whole number >= 8 [px]",
        "--sizes: found 2.5, expected a whole number >= 8 [px]",
        "--sizes: found -9, expected a whole number >= 8 [px]",
    ]


@pytest.mark.parametrize("text", ["two", "1.5", "", "-inf", "1e3", "9" * 400, "inf"])
def test_what_is_no_whole_number_is_told(parser: CommandParser, text: str):
    with pytest.raises(OptionsError, match=r"--members: found .*expected a whole number >= 1"):
        parser.read(["--level", "0", f"--members={text}"])


def test_further_checks_are_asked_where_all_numbers_are_good(parser: CommandParser):
    def check(options: argparse.Namespace) -> list[str]:
        return [f"a cross-check of {options.members}"]

    with pytest.raises(OptionsError, match=r"^a cross-check of 3$"):
        parser.read(["--level", "0", "--members", "3"], check)
    with pytest.raises(OptionsError, match=r"^--members: found 0, [^\n]*$"):
        parser.read(["--level", "0", "--members", "0"], check)


@pytest.mark.parametrize("module", MODULES)
def test_every_option_tells_its_default_and_every_number_its_kind(module: str):
    for parser in all_parsers(parser_of(module)):
        for action in parser._actions:
            if not action.option_strings or action.dest == "help":
                continue
            told = action.help or ""
            assert re.search(r"\((required|default: .+)\)$", told), action.option_strings
            assert action.default is not None or "%(default)s" not in told, action.option_strings
            assert action.type in (None, Path), f"{action.option_strings}: numbers by add_number, which tells ranges"
            if action.dest in parser.numbers:
                assert "number" in told
        assert parser.format_help()


@pytest.mark.parametrize("module", MODULES)
def test_every_argument_says_what_it_is(module: str):
    for parser in all_parsers(parser_of(module)):
        for action in parser._actions:
            if not isinstance(action, argparse._SubParsersAction):
                assert action.help, (module, action.dest)


@pytest.mark.parametrize(
    ("module", "words", "said"),
    [
        ("train_potential", "--members 0 --batch-size 0 --epochs -1 --features 0", 4),
        ("train_potential", "--minutes 0 --cutoff -1e0 --ema-decay 1 --n-train 0 --learning-rate 0", 5),
        ("train_potential", "--seed -1 --split-seed -1 --validation-fraction 0 --patience -1", 4),
        ("train_potential", "--energy-weight -1 --force-weight -1 --termination-patience -1 --test-fraction 1", 4),
        ("predict", "--batch-atoms 0 --chunk -1", 2),
    ],
)  # fmt: skip
def test_counts_and_sizes_out_of_range_are_told_before_anything_is_read(module: str, words: str, said: int, tmp_path):
    first = "nowhere nothing.xyz" if module == "predict" else "--store nowhere --model hipnn"
    out = tmp_path / ("p.xyz" if module == "predict" else "p")
    with pytest.raises(OptionsError) as raised:
        importlib.import_module(f"pipeline.commands.{module}").main([*first.split(), *words.split(), "--out", str(out)])
    assert str(raised.value).count("expected a") == said
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "words",
    ["images FOLDER --tile 0 --stride 0 --crop-bottom -1 --pixel-size-um 0", "qm9 --n-molecules 0 --seed -1"],
)
def test_imports_tell_counts_and_sizes_out_of_range(words: str, tmp_path: Path):
    from pipeline.commands.import_dataset import main

    with pytest.raises(OptionsError) as raised:
        main([*words.split(), "--out", str(tmp_path / "a.zarr")])
    assert str(raised.value).count(": expected") + str(raised.value).count(", expected") == len(
        re.findall("--[a-z-]+ [0-9-]", words)
    )


def test_a_stride_of_zero_is_not_taken_for_none(tmp_path: Path):
    from pipeline.commands.embed_images import main

    with pytest.raises(OptionsError, match="stride_px = 0: expected a whole number >= 1"):
        main([str(tmp_path), "--stride", "0", "--out", str(tmp_path.with_name("map"))])


@pytest.mark.parametrize(("words", "status", "said"), [(["--help"], 0, "Stage `latents`"), (["--seed", "1"], 2, "")])
def test_a_stage_has_no_options_and_does_not_begin_when_given_some(words, status, said, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["latents", *words])
    with pytest.raises(SystemExit) as left:
        run_stage("latents", latents.main)
    told = capsys.readouterr()
    assert left.value.code == status
    assert said in told.out
    assert ("found --seed 1, expected no options; its settings stand in params.yaml" in told.err) == (status == 2)
