"""`latentlaw`: quick help, every option with its default and range, and all that is wrong in one message."""

import os
import re
import resource
import subprocess
import sys
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Annotated, get_args, get_type_hints

import pytest
import typer
from typer.main import get_command

from models.descriptors.efficientnet import EfficientNetSettings
from models.descriptors.vgg19 import VGG19Settings
from models.physics.impurity.nrg_solver import NRGSettings
from models.physics.impurity.solver import HIGHEST_TEMPERATURE, LOWEST_TEMPERATURE
from models.training.potentials.potential_loss import PotentialLoss
from pipeline import cli
from pipeline.atoms.potential_data import SplitParams
from pipeline.atoms.potential_training import KIND
from pipeline.commands import embed_images, export_potential
from pipeline.commands.importers.images import ImportImagesOptions
from pipeline.commands.importers.importer import importers
from pipeline.commands.options.declaring import Option, Options, declared, function_of
from pipeline.commands.options.images import EmbedOptions
from pipeline.commands.options.impurity import ImpurityOptions
from pipeline.commands.options.potentials import ExportOptions, TrainOptions
from pipeline.impurity import latents
from pipeline.runtime.stage import OptionsError, run_stage
from stores.atoms import ATOMS
from stores.building import store_kind
from stores.importers import grouping
from stores.importers.images import SMALLEST_TILE_PX, ImageSettings
from stores.importers.qm9 import ENERGIES, LEVEL
from stores.micrographs import MICROGRAPHS
from tests.pipeline.commands.running import UsageError, run

ROOT = Path(__file__).parents[2]
NAMES = [*cli.COMMANDS, "import-dataset"]
KINDS = {
    name: options
    for name, options in [
        *((name, options) for name, (options, _) in cli.COMMANDS.items()),
        *((f"import-dataset {name}", known.options) for name, known in importers().items()),
    ]
}


def latentlaw(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    variables = os.environ | {"PYTHONPATH": str(ROOT), "COLUMNS": "80"} | environment
    command = [sys.executable, "-m", "pipeline.cli", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=variables)


@dataclass(frozen=True, kw_only=True)
class MadeUp(Options):
    """A command that nobody has."""

    level: Annotated[float, Option("eps_d", unit="D")]
    members: Annotated[int, Option("networks", low=1)] = 1
    share: Annotated[float, Option("a part", above=0, below=1)] = 0.5
    sizes: Annotated[list[int], Option("several", unit="px", low=8, unset="none")] = field(default_factory=list)
    key: Annotated[str, Option("of the label")] = "energy"

    def problems(self) -> list[str]:
        return [f"a cross-check of {self.members}"] if self.members == 3 else []


def read(*words: str) -> MadeUp:
    """What a command gets; raises OptionsError."""
    app, seen = typer.Typer(), []
    app.command(**declared(MadeUp))(function_of(MadeUp, seen.append))
    try:
        app(list(words), standalone_mode=False)
    except UsageError as error:
        raise OptionsError(error.format_message()) from error
    return seen[0]


def test_help_is_quick_and_lists_every_command_in_one_whole_line():
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    reply = latentlaw("--help")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert reply.returncode == 0
    lines = reply.stdout.partition("Commands:\n")[2].splitlines()
    assert sorted(line.split()[0] for line in lines) == sorted(NAMES)
    assert all(re.fullmatch(r"  [a-z-]+ +\S.*\.", line) and "..." not in line for line in lines)
    assert (
        after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime < 0.7
    )  # [s], 0.15 where nothing else runs


def test_nothing_heavy_is_imported_before_a_command_begins():
    code = (
        "import sys; from typer.main import get_command; from pipeline.cli import app; get_command(app); "
        "print({'numpy', 'torch', 'xarray', 'ase', 'dvc', 'yaml'} & set(sys.modules))"
    )
    reply = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert reply.stdout.strip() == "set()", reply.stderr


def test_every_command_leads_to_a_function_and_every_file_of_a_command_is_used():
    targets = [target for _, target in cli.COMMANDS.values()]
    for target in targets:
        module, _, function = target.partition(":")
        assert f"def {function}(" in (ROOT / "pipeline" / "commands" / f"{module}.py").read_text(), target
    files = [path for path in (ROOT / "pipeline" / "commands").glob("*.py") if "def main(options" in path.read_text()]
    assert {path.stem for path in files} <= {target.partition(":")[0] for target in targets}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["predit"], "No such command 'predit'. Did you mean 'predict'?"),
        (["import-dataset", "rmd18"], "No such command 'rmd18'. Did you mean 'rmd17'?"),
        (["predict", "m", "f", "--energi-key", "a"], "No such option: --energi-key (Possible options: --energy-key"),
        (["doctor", "now"], "found now, expected no more words"),
        (["solve-impurity"], "--temperature: found nothing, expected a value"),
    ],
)
def test_what_is_unknown_or_missing_is_answered_with_usage_and_the_nearest_names(words: list[str], said: str):
    reply = latentlaw(*words)
    assert reply.returncode == 2
    assert reply.stderr.startswith("Usage: latentlaw")
    assert said in reply.stderr
    assert "Traceback" not in reply.stderr


def test_shells_complete_commands_options_and_choices():
    def completed(line: str) -> list[str]:
        words = {
            "_LATENTLAW_COMPLETE": "complete_bash",
            "COMP_WORDS": line,
            "COMP_CWORD": str(len(line.split(" ")) - 1),
        }
        code = "from pipeline.cli import main; main()"
        environment = os.environ | {"PYTHONPATH": str(ROOT)} | words
        reply = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment
        )
        return reply.stdout.split()

    assert completed("latentlaw pre") == ["predict"]
    assert completed("latentlaw predict --energy") == ["--energy-key"]
    assert completed("latentlaw train-potential --schedule ") == ["one_cycle", "plateau"]
    assert completed("latentlaw embed-images --descriptor effi") == ["efficientnet"]


@pytest.mark.parametrize("text", ["-1e-1", "-1E-1", "-.1", "-0.1", "-100e-3", "-1.e-1", "-0_0.1"])
def test_a_negative_number_may_be_written_in_any_way(text: str):
    for words in (["--level", text], [f"--level={text}"]):
        assert read(*words).level == -0.1


def test_negative_numbers_reach_the_solver():
    options = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cli, "perform", lambda name, function, given: options.append(given))
        words = "--interaction 2e-1 --level -1e-1 --hybridization 2e-2 --field -1e-2 --temperature 1e-2 --out s.npz"
        with pytest.raises(SystemExit):
            cli.app(["solve-impurity", *words.split()])
    assert (options[0].impurity().level, options[0].impurity().field) == (-0.1, -0.01)


def test_defaults_are_numbers_and_lists_take_all_that_follows():
    assert read("--level", "0") == MadeUp(level=0.0, members=1, share=0.5, sizes=[], key="energy")
    assert read("--level", "0", "--sizes", "8", "16").sizes == [8, 16]
    assert read("--sizes", "8", "--level", "0", "--sizes", "16").sizes == [8, 16]


def test_every_problem_is_in_one_message():
    with pytest.raises(OptionsError) as raised:
        read("--level", "nan", "--members", "0", "--share", "1", "--sizes", "16", "4", "2.5", "-9")
    assert str(raised.value).split("\n  ") == [
        "--level: found nan, expected a number [D]",
        "--members: found 0, expected a whole number >= 1",
        "--share: found 1, expected a number > 0 and < 1",
        "--sizes: found 4, expected a whole number >= 8 [px]",
        "--sizes: found 2.5, expected a whole number >= 8 [px]",
        "--sizes: found -9, expected a whole number >= 8 [px]",
    ]


@pytest.mark.parametrize("text", ["two", "1.5", "", "-inf", "1e3", "9" * 400, "inf"])
def test_what_is_no_whole_number_is_refused(text: str):
    with pytest.raises(OptionsError, match=r"--members: found .*expected a whole number >= 1"):
        read("--level", "0", f"--members={text}")


def test_further_checks_are_asked_where_all_numbers_are_good():
    with pytest.raises(OptionsError, match=r"^a cross-check of 3$"):
        read("--level", "0", "--members", "3")
    with pytest.raises(OptionsError, match=r"^--share: found 0, [^\n]*$"):
        read("--level", "0", "--members", "3", "--share", "0")


@pytest.mark.parametrize("name", KINDS)
def test_help_has_every_option_with_what_it_is_its_default_and_its_range(name: str):
    command = get_command(cli.app)
    for word in name.split():
        command = command.get_command(None, word)
    shown = " ".join(command.get_help(typer.Context(command, info_name=name)).split())
    hints = get_type_hints(KINDS[name], include_extras=True)
    for known in fields(KINDS[name]):
        kind, option = get_args(hints[known.name])
        assert option.help
        if not option.argument:
            words = option.words or (f"--{known.name.replace('_', '-')}",)
            assert all(re.search(f"{word}[ ,]", shown) for word in words)
        default = option.unset or known.default
        if kind is not bool and not isinstance(default, str | int | float | Path):
            assert "[required]" in shown
        elif kind is not bool:
            assert "[default: " in shown and (str(default) in shown or default is None), known.name
        assert known.default is not None or option.unset, f"{known.name}: say what holds without it"
    assert command.help


def test_what_is_stated_for_the_sake_of_quick_help_agrees_with_what_it_describes():
    solver, images, loss, split = NRGSettings(), ImageSettings(), PotentialLoss(), SplitParams()
    for name in ("discretization", "n_keep", "n_z", "broadening"):
        assert ImpurityOptions.__dataclass_fields__[name].default == getattr(solver, name)
    temperature = get_args(get_type_hints(ImpurityOptions, include_extras=True)["temperature"])[1]
    assert (temperature.low, temperature.high) == (LOWEST_TEMPERATURE, HIGHEST_TEMPERATURE)
    tiling = EmbedOptions.__dataclass_fields__
    assert (tiling["tile"].default, tiling["crop_bottom"].default) == (images.tile_px, images.crop_bottom)
    assert option_of(EmbedOptions, "windows").low == SMALLEST_TILE_PX
    assert option_of(EmbedOptions, "layer").unset == (
        f"{EfficientNetSettings().layers[0]} of efficientnet, {VGG19Settings().layers[0]} of vgg19"
    )
    train = TrainOptions.__dataclass_fields__
    assert (train["force_weight"].default, train["loss"].default) == (loss.forces, loss.kind)
    assert train["validation_fraction"].default == split.validation_fraction
    qm9, label = importers()["qm9"].options, importers()["extxyz"].options
    assert qm9.__dataclass_fields__["level"].default == LEVEL
    assert get_args(get_args(get_type_hints(qm9, include_extras=True)["energy"])[0]) == tuple(ENERGIES)
    assert option_of(label, "group").help.endswith(": " + ", ".join(grouping.POLICIES))
    assert {option_of(kind, "out").kind for kind in (label, ImportImagesOptions)} == set(
        map(store_kind, (ATOMS, MICROGRAPHS))
    )
    assert option_of(TrainOptions, "out").kind == KIND
    assert option_of(ExportOptions, "out").kind == export_potential.KIND
    assert option_of(EmbedOptions, "out").kind == embed_images.KIND


def option_of(options: type[Options], name: str) -> Option:
    return get_args(get_type_hints(options, include_extras=True)[name])[1]


@pytest.mark.parametrize(
    ("command", "words", "said"),
    [
        ("train-potential", "--members 0 --batch-size 0 --epochs -1 --features 0", 4),
        ("train-potential", "--minutes 0 --cutoff -1e0 --ema-decay 1 --n-train 0 --learning-rate 0", 5),
        ("train-potential", "--seed -1 --split-seed -1 --validation-fraction 0 --patience -1", 4),
        ("train-potential", "--energy-weight -1 --force-weight -1 --termination-patience -1 --test-fraction 1", 4),
        ("train-potential", "--epochs 1.5 --split nothing --dtype float16", 1),
        ("predict", "--batch-atoms 0 --chunk -1", 2),
    ],
)
def test_counts_and_sizes_out_of_range_are_refused_before_anything_is_read(command, words, said, tmp_path):
    first = "nowhere nothing.xyz" if command == "predict" else "--store nowhere --model hipnn"
    out = tmp_path / ("p.xyz" if command == "predict" else "p")
    with pytest.raises(OptionsError) as raised:
        run(command, *first.split(), *words.split(), "--out", out)
    assert str(raised.value).count("expected a") == said
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_name_of_a_registry_lists_those_there_are():
    with pytest.raises(OptionsError, match="--model: found 'hipn', expected one of ani, hipnn"):
        run("train-potential", "--store", "a", "--out", "b", "--model", "hipn")


@pytest.mark.parametrize(
    "words",
    [
        "images FOLDER --tile 0 --stride 0 --crop-bottom -1",
        "images FOLDER --pixel-size-um 0",
        "qm9 --n-molecules 0 --seed -1",
    ],
)
def test_imports_refuse_counts_and_sizes_out_of_range(words: str, tmp_path: Path):
    with pytest.raises(OptionsError) as raised:
        run("import-dataset", *words.split(), "--out", tmp_path / "a.zarr")
    assert str(raised.value).count(": expected") + str(raised.value).count(", expected") == len(
        re.findall("--[a-z-]+ [0-9-]", words)
    )


def test_a_stride_of_zero_is_not_taken_for_none(tmp_path: Path):
    with pytest.raises(OptionsError, match="stride_px = 0: expected a whole number >= 1"):
        run("embed-images", tmp_path, "--stride", "0", "--out", tmp_path.with_name("map"))


@pytest.mark.parametrize(("words", "status", "said"), [(["--help"], 0, "Stage `latents`"), (["--seed", "1"], 2, "")])
def test_a_stage_has_no_options_and_does_not_begin_when_given_some(words, status, said, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["latents", *words])
    with pytest.raises(SystemExit) as left:
        run_stage("latents", latents.main)
    printed = capsys.readouterr()
    assert left.value.code == status
    assert said in printed.out
    assert ("found --seed 1, expected no options; its settings stand in params.yaml" in printed.err) == (status == 2)


@pytest.mark.parametrize(
    ("error", "status"),
    [(ValueError("the reason"), 1), (OptionsError("the reason"), 2), (FileNotFoundError("the reason"), 1)],
)
def test_an_error_that_is_explained_is_one_message_and_another_keeps_its_traceback(error, status, capsys):
    def fails(options: Options) -> None:
        raise error

    assert cli.perform("predict", fails, Options()) == status
    assert capsys.readouterr().err == "predict: the reason\n"
    with pytest.raises(ZeroDivisionError):
        cli.perform("predict", lambda options: 1 // 0, Options())
