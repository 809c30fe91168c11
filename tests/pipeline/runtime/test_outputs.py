"""Every command that writes, beside files of the user: after each call, refused or not, they are as they were."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import ase.io
import numpy as np
import pytest
from skimage.io import imsave

from models.networks.potentials.ensemble import save_potential
from models.networks.potentials.hipnn import HIPNN
from pipeline.runtime import outputs
from pipeline.runtime.outputs import OutputFile, output_problems, writing
from tests.pipeline.atoms.atom_stores import write_clusters
from tests.pipeline.commands.running import run as run_command
from tests.stores.importers.frames import frames

ROOT = Path(__file__).parents[3]


@dataclass(frozen=True)
class Command:
    """`words` without --out, of files in the folder `inputs`; `reads` is what nothing may be written into."""

    words: str
    suffix: str = ""  # of a file
    reads: str = ""

    @property
    def writes_file(self) -> bool:
        return self.suffix not in ("", ".zarr")


QUICK = "--epochs 1 --features 4 --cutoff 4 --batch-size 8"
IMPURITY = "--interaction 0.2 --level -0.06 --hybridization 0.02 --temperature 1e-2 --n-keep 16 --n-z 1"
MODEL = "--interaction 1 --temperature 0.1 --n-keep 16 --n-z 1 --tolerance 0.1"
COMMANDS = {
    "solve_impurity": Command(f"solve-impurity {IMPURITY}", ".npz"),
    "dmft": Command(f"dmft {MODEL} --lattice dos.txt", ".npz"),
    "embed_images": Command("embed-images images --tile 32 --descriptor power_spectrum", reads="images"),
    "import_dataset": Command("import-dataset extxyz frames.xyz", ".zarr", reads="frames.xyz"),
    "import_images": Command("import-dataset images images --tile 32", ".zarr", reads="images"),
    "train_potential": Command(f"train-potential --store a.zarr --model hipnn {QUICK}", reads="a.zarr"),
    "predict": Command("predict model frames.xyz", ".extxyz", reads="model"),
    "export_potential": Command("export-potential model --format hippynn", reads="model"),
    "benchmark_potential": Command("benchmark-potential --calculator ase.calculators.emt:EMT --properties a0", ".json"),
}


@pytest.fixture(scope="module")
def inputs(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("inputs")
    (folder / "images").mkdir()
    rng = np.random.default_rng(0)
    for name in "abc":
        imsave(folder / "images" / f"{name}.png", rng.integers(0, 255, (70, 70), dtype=np.uint8), check_contrast=False)
    ase.io.write(folder / "frames.xyz", frames(), format="extxyz")
    (folder / "dos.txt").write_text("-1 0\n0 1\n1 0\n")
    write_clusters(folder / "a.zarr", 12)
    config = HIPNN.Config(species=(1, 6, 7, 8), n_features=4, n_sensitivities=4, reference_energies_eV=(0.0,) * 4)
    save_potential(folder / "model", [HIPNN(config)], {})
    return folder


@pytest.fixture
def workplace(inputs: Path, tmp_path: Path, monkeypatch) -> Path:
    """The inputs, and folder and files of the user; commands run in the folder."""
    shutil.copytree(inputs, tmp_path, dirs_exist_ok=True)
    (tmp_path / "mine" / "below").mkdir(parents=True)
    for name in ("map.html", "potential.json", "notes.txt", "below/embedding.csv"):
        (tmp_path / "mine" / name).write_text("mine")
    for suffix in (".npz", ".extxyz", ".json", ".zarr", ".png"):
        (tmp_path / f"mine{suffix}").write_text("mine")
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to("mine")
    (tmp_path / "link.zarr").symlink_to("mine")
    for suffix in (".npz", ".extxyz", ".json"):
        (tmp_path / f"link{suffix}").symlink_to(f"mine{suffix}")
        (tmp_path / f"dangling{suffix}").symlink_to("nowhere")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LATENTLAW_SCHEDULER", "serial")
    return tmp_path


def contents(folder: Path) -> dict[str, bytes | str | None]:
    """Everything in a folder but the scratch of trainings."""
    return {
        path.relative_to(folder).as_posix(): f"-> {os.readlink(path)}"
        if path.is_symlink()
        else (path.read_bytes() if path.is_file() else None)
        for path in sorted(folder.rglob("*"))
        if ".cache" not in path.parts
    }


def run(command: Command, out: str, *more: str) -> tuple[int, str]:
    """Exit status and message; 2 where options are refused."""
    words = [*command.words.split(), "--out", out, *more]
    try:
        run_command(*words)
    except outputs.OutputRefused as error:
        return 1, str(error)
    except ValueError as error:
        return (2 if type(error).__name__ == "OptionsError" else 1), str(error)
    return 0, ""


@pytest.mark.parametrize("name", COMMANDS)
def test_what_is_there_is_refused_before_anything_is_computed(name: str, workplace: Path, capsys):
    command = COMMANDS[name]
    before = contents(workplace)
    suffix = command.suffix
    cases = {
        ".": "",
        "..": "",
        "mine": "",
        "empty": "",
        "/": "",
        "runs/../mine": "",
        f"mine{suffix or '.json'}": "",
        f"link{suffix}": "a link to mine",
        f"nowhere/out{suffix}": "the folder nowhere does not exist; mkdir -p nowhere",
        f"mine.npz/out{suffix}": "the folder mine.npz is no folder",
    }
    if command.writes_file:
        cases |= {
            f"dangling{suffix}": "a link to nowhere",
            "out": "expected a name that ends in",
            "out.doc": "rename it",
        }
    if suffix == ".zarr":
        cases["out.xyz"] = "expected a name that ends in .zarr"
    if command.reads:
        cases[f"{command.reads}/out{suffix}"] = "" if command.reads == "frames.xyz" else "which is read"
        cases[command.reads] = "the file that is read"
    for out, said in cases.items():
        status, message = run(command, out)
        message += capsys.readouterr().err
        assert status == 2, (out, message)
        assert "--out: found" in message and said in message, (out, message)
        assert contents(workplace) == before, out


@pytest.mark.parametrize("name", COMMANDS)
def test_a_result_goes_to_a_new_place_and_only_there(name: str, workplace: Path, capsys):
    command = COMMANDS[name]
    before = contents(workplace)
    out = f"out{command.suffix}"
    assert run(command, out) == (0, "")
    made = contents(workplace)
    assert before.items() <= made.items()
    assert {key.partition("/")[0] for key in made.keys() - before.keys()} == {out}
    if command.writes_file:
        status, message = run(command, out)
        assert status == 2 and "which exists already" in message + capsys.readouterr().err
        assert contents(workplace) == made
        (workplace / out).write_text("older")
        assert run(command, out, "--overwrite") == (0, "")
        assert (workplace / out).read_bytes() != b"older"
        assert contents(workplace).keys() == made.keys()
        assert run(command, f"link{command.suffix}", "--overwrite")[0] == 2
        assert run(command, "mine", "--overwrite")[0] == 2
    else:
        assert run(command, out) == (0, "")  # its own former output
        assert contents(workplace).keys() == made.keys()
        (workplace / out / "notes.txt").write_text("mine")
        status, message = run(command, out)
        assert status == 2 and "files that were not made with it (notes.txt)" in message
        assert (workplace / out / "notes.txt").read_text() == "mine"
    assert before.items() <= contents(workplace).items()


@pytest.mark.parametrize("name", ["embed_images", "import_dataset", "import_images", "predict"])
def test_where_no_input_can_be_used_nothing_is_left(name: str, workplace: Path):
    for file in [*(workplace / "images").iterdir(), workplace / "frames.xyz"]:
        file.write_bytes(b"\x89PNG but no more\n")
    before = contents(workplace)
    status, _ = run(COMMANDS[name], f"out{COMMANDS[name].suffix}")
    assert status == 1
    assert contents(workplace) == before


def test_nothing_is_written_over_what_came_meanwhile(workplace: Path):
    with pytest.raises(outputs.OutputRefused), writing(workplace / "new.npz") as path:
        path.write_text("result")
        (workplace / "new.npz").write_text("mine")
    assert (workplace / "new.npz").read_text() == "mine"
    assert not [name for name in contents(workplace) if "building" in name]


def test_what_a_killed_run_left_beside_a_file_is_cleared_and_what_others_left_is_not(workplace: Path):
    before = contents(workplace)
    left = workplace / ".new.npz.building"
    left.mkdir()
    (left / "latentlaw_new.npz").write_text("half")
    with pytest.raises(KeyboardInterrupt), writing(workplace / "new.npz"):
        raise KeyboardInterrupt
    assert contents(workplace) == before
    left.mkdir()
    (left / "notes.txt").write_text("mine")
    problems = output_problems(workplace / "new.npz", OutputFile(suffixes=(".npz",)))
    assert len(problems) == 1 and "where it would be built and which was not made here" in problems[0]
    with pytest.raises(outputs.OutputRefused), writing(workplace / "new.npz"):
        pytest.fail("writing began")
    assert (left / "notes.txt").read_text() == "mine"


def test_a_picture_is_refused_like_a_result_and_all_is_reported_at_once(workplace: Path):
    before = contents(workplace)
    status, message = run(COMMANDS["solve_impurity"], "spectrum.txt", "--plot", "x.xyz")
    assert status == 2
    assert "--out: found spectrum.txt, expected a name that ends in .npz" in message
    assert "--plot: found x.xyz, expected a name that ends in .png or .svg or .pdf" in message
    status, message = run(COMMANDS["solve_impurity"], "new.npz", "--plot", "mine.png")
    assert status == 2
    assert "--plot: found mine.png, which exists already" in message
    assert contents(workplace) == before


@pytest.mark.parametrize("name", ["data/spectra.zarr", "data", "runs/potential/mine", "reports/metrics/latents.json"])
def test_what_a_stage_makes_is_not_the_place_of_a_command(name: str):
    """DVC deletes the outputs of a stage before it runs."""
    problems = output_problems(ROOT / name, OutputFile(suffixes=()))
    assert any("which the stage" in problem for problem in problems)
    assert not any("which the stage" in p for p in output_problems(ROOT / "runs" / "mine", OutputFile(suffixes=())))


def test_a_folder_that_cannot_be_written_to_is_reported(workplace: Path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may write anywhere
    assert output_problems(workplace / "new.npz", OutputFile(suffixes=(".npz",))) == [
        f"found {workplace / 'new.npz'}, but the folder {workplace} cannot be written to; name another one"
    ]


def test_a_refused_output_is_exit_status_2_without_a_traceback(workplace: Path):
    before = contents(workplace)
    words = [
        "pipeline.cli",
        "train-potential",
        "--store",
        "a.zarr",
        "--model",
        "hipnn",
        "--out",
        "mine",
        "--members",
        "0",
    ]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    reply = subprocess.run(
        [sys.executable, "-m", *words], cwd=workplace, env=environment, capture_output=True, text=True, check=False
    )
    assert reply.returncode == 2
    assert "--members: found 0, expected a whole number >= 1" in reply.stderr
    assert "--out: found something that is no potential made here" in reply.stderr
    assert "Traceback" not in reply.stderr
    assert contents(workplace) == before
