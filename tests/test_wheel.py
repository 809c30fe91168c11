"""A wheel, as others install it: one package, beside which a user's own models.py does no harm."""

import ast
import json
import subprocess
import sys
import textwrap
import zipfile
from pathlib import Path

import numpy as np
import pytest

from models.physics.impurity.hamiltonian import AndersonImpurity
from models.physics.impurity.nrg_solver import NRGSettings, NRGSolver
from pipeline.runtime import extras
from pipeline.runtime.extras import explained_by_extra, extra_of
from pipeline.runtime.wheel import rewritten

ROOT = Path(__file__).parents[1]
OURS = ("models", "stores", "pipeline")


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what pip would put into site-packages."""
    made, packages = tmp_path_factory.mktemp("made"), tmp_path_factory.mktemp("packages")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(made)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = made.iterdir()
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(packages)
    return packages


def run(installed: Path, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Python in a folder that has modules of our names."""
    for name in OURS:
        (folder / f"{name}.py").write_text("raise SystemExit('a module of the user, not ours')\n")
    environment = {"PYTHONPATH": str(installed), "PATH": "/usr/bin:/bin", "HOME": str(folder), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, *words], cwd=folder, env=environment, capture_output=True, text=True, timeout=600, check=False
    )


def test_it_holds_one_package_with_all_code_and_templates(installed: Path):
    assert [path.name for path in installed.iterdir() if not path.name.endswith(".dist-info")] == ["latentlaw"]
    wanted = {
        path.relative_to(ROOT).as_posix()
        for name in OURS
        for path in (ROOT / name).rglob("*")
        if path.is_file() and path.suffix in (".py", ".j2", ".yaml")
    }
    assert {
        path.relative_to(installed / "latentlaw").as_posix() for path in (installed / "latentlaw").rglob("*")
    } >= wanted


def test_no_module_of_it_asks_for_a_bare_name(installed: Path):
    for path in (installed / "latentlaw").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            asked = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            asked += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            assert not {name.partition(".")[0] for name in asked}.intersection(OURS), path


def test_every_module_can_be_imported_beside_a_users_own(installed: Path, tmp_path: Path):
    answer = run(
        installed,
        tmp_path,
        "-c",
        textwrap.dedent(
            """
            import importlib, json, pkgutil, sys
            import latentlaw
            names = [found.name for found in pkgutil.walk_packages(latentlaw.__path__, "latentlaw.")]
            for name in names:
                if not name.endswith(("_child", "hippynn_loader")):  # scripts of other interpreters
                    importlib.import_module(name)
            for name in latentlaw.__all__:
                assert getattr(latentlaw, name).__module__.startswith("latentlaw."), name
            print(json.dumps([len(names), sorted({"models", "stores", "pipeline"} & sys.modules.keys())]))
            """
        ),
    )
    assert answer.returncode == 0, answer.stderr
    n_modules, bare = json.loads(answer.stdout.splitlines()[-1])
    assert n_modules > 300
    assert bare == []


def test_its_solver_gives_the_numbers_of_the_repository(installed: Path, tmp_path: Path):
    script = """
from latentlaw import AndersonImpurity, NRGSettings, NRGSolver
import numpy as np
solver = NRGSolver(NRGSettings(discretization=4.0, n_keep=64, n_z=1, broadening=0.5))
impurity = AndersonImpurity(interaction=0.2, level=-0.08, hybridization=0.02)
solution = solver.solve(impurity, temperatures=np.array([1e-6]), omega=np.linspace(-0.5, 0.5, 11))
print(*solution.spectrum_up[0].tolist())
"""
    answer = run(installed, tmp_path, "-c", script)
    assert answer.returncode == 0, answer.stderr
    solver = NRGSolver(NRGSettings(discretization=4.0, n_keep=64, n_z=1, broadening=0.5))
    impurity = AndersonImpurity(interaction=0.2, level=-0.08, hybridization=0.02)
    here = solver.solve(impurity, temperatures=np.array([1e-6]), omega=np.linspace(-0.5, 0.5, 11))
    assert [float(word) for word in answer.stdout.split()] == here.spectrum_up[0].tolist()


def test_the_solver_loads_neither_torch_nor_dvc_nor_dask_nor_a_store(installed: Path, tmp_path: Path):
    heavy = "{'torch', 'dvc', 'dask', 'zarr', 'pandas', 'xarray'}"
    script = f"import sys; from latentlaw import NRGSolver; print(sorted({heavy} & sys.modules.keys()))"
    assert run(installed, tmp_path, "-c", script).stdout.strip() == "[]"


def test_a_command_that_lacks_its_packages_names_the_extra(installed: Path, tmp_path: Path):
    script = """
import sys
sys.modules["torch"] = None  # as where it is not installed
sys.argv = ["latentlaw", "discover", "curves.csv", "--array", "x_*", "--inputs", "a"]
from latentlaw.__main__ import main
main()
"""
    (tmp_path / "curves.csv").touch()
    answer = run(installed, tmp_path, "-c", script)
    assert answer.returncode == 1
    assert answer.stderr == (
        "latentlaw: found no package torch, expected the extra `potentials`; pip install 'latentlaw[potentials]'\n"
    )


def test_the_command_line_runs(installed: Path, tmp_path: Path):
    words = (
        "solve-impurity --interaction 0.2 --level -0.1 --hybridization 0.02 --temperature 1e-4 --n-keep 60 --out a.npz"
    )
    answer = run(installed, tmp_path, "-m", "latentlaw", *words.split())
    assert answer.returncode == 0, answer.stderr
    assert json.loads(answer.stdout)["n_up"] == pytest.approx(0.5)
    assert "found no dvc.yaml" in run(installed, tmp_path, "-m", "latentlaw", "repro").stderr


@pytest.mark.parametrize(
    ("source", "inside"),
    [
        ("from models.frames import Frames\n", "from latentlaw.models.frames import Frames\n"),
        ("if x:\n    import pipeline.cli\n", "if x:\n    import latentlaw.pipeline.cli\n"),
        ('"""See models.physics.impurity."""\n', '"""See latentlaw.models.physics.impurity."""\n'),
        ('x = f"stores.{name}"\n', 'x = f"latentlaw.stores.{name}"\n'),
        ('x = "pipeline.cli:main"\n', 'x = "latentlaw.pipeline.cli:main"\n'),
        ("stores = models.physics.impurity\n", None),
        ('"""models/frames.py, of all models. Then\nthe stores."""\n', None),
    ],
)
def test_names_of_modules_are_rewritten_and_other_words_are_not(source: str, inside: str | None):
    assert rewritten(source) == (inside or source)


def test_the_smallest_extra_is_named_and_a_package_of_nobody_is_not(monkeypatch: pytest.MonkeyPatch):
    lines = [
        "numpy>=2",
        "ase>=3; extra == 'all'",
        "zarr; extra == 'all'",
        "ase>=3 ; extra == 'few'",
        "ruff; extra == 'dev'",
    ]
    monkeypatch.setattr(extras, "requires", lambda name: lines)
    assert [extra_of(name) for name in ("ase", "zarr", "ruff", "numpy", "elsewhere")] == [
        "few",
        "all",
        None,
        None,
        None,
    ]
    assert explained_by_extra(ModuleNotFoundError("no", name="elsewhere.part")) is None


def test_public_names_are_those_that_the_types_say():
    import latentlaw

    tree = ast.parse((ROOT / "latentlaw/__init__.py").read_text())
    (typed,) = [node for node in tree.body if isinstance(node, ast.If)]
    declared = {(node.module, alias.name) for node in typed.body for alias in node.names}
    assert declared == {(module, name) for module, names in latentlaw.PUBLIC.items() for name in names}
    with pytest.raises(AttributeError, match="expected one of"):
        _ = latentlaw.NoSuchThing
