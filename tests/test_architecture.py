"""The three rules that hold the tree together, and the house rules a machine can check. See CONTRIBUTING.md."""

import ast
import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
import yaml

from pipeline.runtime.content_key import DAGS, MACHINERY, PACKAGES, covers, stages_of
from pipeline.runtime.dependencies import (
    check,
    imported_modules,
    module_files,
    project_files,
    stage_code,
    stage_file,
)

ROOT = Path(__file__).parents[1]
SOURCES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))
STAGES = {name: stage for dag in DAGS for name, stage in stages_of(ROOT / dag).items()}
FORBIDDEN_NAMES = {"utils.py", "common.py", "base.py", "helpers.py", "misc.py", "util.py"}
LEAF = "models.frames"  # the array carrier: models and stores may both import it, so it imports nothing of the project
FORBIDDEN_IMPORTS = {"models": {"stores", "pipeline"}, "stores": {"models", "pipeline"}, "pipeline": set()}
SCHEDULER = "pipeline/runtime/dask_workers.py"
LANES = sorted(path.parent.name for path in (ROOT / "pipeline").glob("*/report"))


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", SOURCES, ids=name)
def test_imports_flow_one_way(path: Path):
    package = name(path).partition("/")[0]
    modules = {module for module in imported_modules(path) if module != LEAF and not module.startswith(f"{LEAF}.")}
    seen = {module.partition(".")[0] for module in modules - {"models"}}
    assert not seen & FORBIDDEN_IMPORTS[package]


def test_the_carrier_of_frames_imports_numpy_alone():
    outside = {module.partition(".")[0] for module in plain_imports(ROOT / "models/frames.py")}
    assert outside - set(sys.stdlib_module_names) == {"numpy"}


def test_only_the_execution_module_imports_distributed():
    users = {name(path) for path in SOURCES if any(m.split(".")[0] == "distributed" for m in imported_modules(path))}
    users |= {name(path) for path in SOURCES if any(m.startswith("dask.distributed") for m in imported_modules(path))}
    assert users <= {SCHEDULER}


@pytest.mark.parametrize("path", [p for p in SOURCES if name(p).startswith("models/physics")], ids=name)
def test_physics_does_not_import_torch(path: Path):
    files = project_files(ROOT, name(path)) | {name(path)}
    torch_users = {file for file in files if any(m.split(".")[0] == "torch" for m in imported_modules(ROOT / file))}
    assert not torch_users


@pytest.mark.slow
def test_every_physics_module_imports_without_torch_in_the_process():
    modules = [name(p).removesuffix(".py").replace("/", ".") for p in SOURCES if name(p).startswith("models/physics")]
    modules = [module for module in modules if not module.endswith(("__init__", "_child"))]
    code = f"import sys\nsys.modules['torch'] = None\nimport {', '.join(modules)}"
    reply = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert reply.returncode == 0, reply.stderr


def test_a_stage_lists_all_code_that_it_imports_and_no_other():
    assert check(ROOT) == []


def test_what_shapes_nothing_is_a_dep_of_no_stage():
    listed = {dep for stage in STAGES.values() for dep in stage["deps"]}
    assert [dep for dep in sorted(listed) if any(covers(path, dep) or covers(dep, path) for path in MACHINERY)] == []
    assert [path for path in MACHINERY if not list(ROOT.glob(path))] == []


@pytest.mark.parametrize("stage", ["spectra", "kondo_temperatures", "spectrum_vae", "molecules", "aluminium"])
def test_what_takes_long_depends_on_no_page_and_no_other_stage(stage: str):
    others = {stage_file(ROOT, other) for other in STAGES} - {stage_file(ROOT, stage)}
    pages = {name(path) for path in SOURCES if path.parent.name == "report"}
    listed = [dep for dep in STAGES[stage]["deps"] if dep.partition("/")[0] in PACKAGES]
    assert [(dep, file) for dep in listed for file in sorted(others | pages) if covers(dep, file)] == []


@pytest.mark.parametrize(
    ("path", "at_most"),
    [("dvc.yaml", 350), ("params.yaml", 400), *((path.relative_to(ROOT), 79) for path in ROOT.glob("profiles/*.yaml"))],
    ids=str,
)
def test_what_is_read_by_people_fits_on_a_few_screens(path: Path, at_most: int):
    assert len((ROOT / path).read_text().splitlines()) <= at_most


def test_no_file_imports_itself_by_way_of_others():
    """No cycle, also not by an import inside a function."""
    imports = {
        name(path): {
            file
            for module in plain_modules(path)
            for file in module_files(ROOT, module)
            if not file.endswith("__init__.py") and file != name(path)
        }
        for path in SOURCES
    }
    while leaves := [file for file, below in imports.items() if not below]:
        for file in leaves:
            del imports[file]
        imports = {file: below - set(leaves) for file, below in imports.items()}
    assert imports == {}, "each of these files is in a cycle, or imports one that is"


def plain_modules(path: Path) -> set[str]:
    """Every dotted name that a file imports, a name taken from a module as if it were one too."""
    nodes = list(ast.walk(ast.parse(path.read_text())))
    found = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    froms = [node for node in nodes if isinstance(node, ast.ImportFrom) and node.module]
    return found | {name for node in froms for name in (node.module, *(f"{node.module}.{a.name}" for a in node.names))}


def test_nothing_lies_directly_in_pipeline_but_the_command_line():
    assert {path.name for path in (ROOT / "pipeline").iterdir() if path.is_file()} <= {"__init__.py", "cli.py"}


@pytest.mark.parametrize("path", [path for path in SOURCES if name(path).startswith("pipeline/")], ids=name)
def test_lanes_know_neither_each_other_nor_what_is_above_them(path: Path):
    """Of the folders of pipeline/, each file imports its own and those below it."""
    folder = path.relative_to(ROOT / "pipeline").parts[0]
    page = name(path).startswith(("pipeline/discover/page.py", *(f"pipeline/{lane}/report/" for lane in LANES)))
    allowed = {
        "runtime": {"runtime"},
        "report": {"runtime", "report"},
        **dict.fromkeys(["discover", *LANES], {"runtime", "discover"} | ({"report"} if page else set())),
    }
    if folder in allowed:
        seen = {module.split(".")[1] for module in plain_modules(path) if module.startswith("pipeline.")}
        assert seen <= allowed[folder] | {folder}


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_lists_every_data_path_and_params_section_it_names(stage: str):
    """What its pipeline files name as data/..., runs/..., reports/... or as a section must stand in dvc.yaml."""
    entry = STAGES[stage]
    outs = [*entry["outs"], *entry.get("metrics", [])]
    listed = [*entry["deps"], *(path for out in outs for path in ([out] if isinstance(out, str) else out))]
    files = [ROOT / file for file in stage_code(ROOT, stage) if file.startswith("pipeline/") and file.endswith(".py")]
    words = {word for file in files for word in strings(file) if re.fullmatch(r"(data|runs|reports)(/[\w.-]+)+", word)}
    heads = listed if "@" in stage else []  # of a stage for each name, a file holds the path up to the name
    assert [
        word
        for word in sorted(words)
        if not any(word == p or word.startswith(f"{p}/") for p in listed) and not any(p.startswith(word) for p in heads)
    ] == []
    assert sections(ROOT / stage_file(ROOT, stage)) <= set(entry["params"])


def strings(path: Path) -> set[str]:
    nodes = ast.walk(ast.parse(path.read_text()))
    return {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}


def sections(path: Path) -> set[str]:
    """The sections of params.yaml that a file loads: second argument of `load_params`."""
    calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
    named = [call for call in calls if isinstance(call.func, ast.Name) and call.func.id == "load_params"]
    return {call.args[1].value for call in named if isinstance(call.args[1], ast.Constant)}


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_runs_the_file_of_its_name(stage: str):
    name, at, item = stage.partition("@")
    module = stage_file(ROOT, name).removesuffix(".py").replace("/", ".")
    assert STAGES[stage]["cmd"] == f"python -m {module}{' ' if at else ''}{item}"


def test_stages_on_demand_keep_nothing_in_the_cache_of_dvc():
    """`dvc pull` without a target reads every dvc.yaml, and fails on cached outputs that were never made."""
    for dag in DAGS[1:]:
        for stage in yaml.safe_load((ROOT / dag).read_text())["stages"].values():
            assert all(isinstance(out, dict) and out[path]["cache"] is False for out in stage["outs"] for path in out)


@pytest.mark.parametrize("path", SOURCES, ids=name)
def test_no_stage_is_imported(path: Path):
    stages = {stage_file(ROOT, stage).removesuffix(".py").replace("/", ".") for stage in STAGES}
    assert not imported_modules(path) & stages


@pytest.mark.parametrize("path", [path for path in SOURCES if path.name == "__init__.py"], ids=name)
def test_init_files_are_empty(path: Path):
    assert path.read_bytes() == b""


def test_every_package_folder_has_an_init_file():
    folders = {path.parent for path in SOURCES}
    assert [name(folder) for folder in sorted(folders) if not (folder / "__init__.py").exists()] == []


@pytest.mark.parametrize("path", SOURCES, ids=name)
def test_no_relative_imports(path: Path):
    nodes = ast.walk(ast.parse(path.read_text()))
    assert not [node.lineno for node in nodes if isinstance(node, ast.ImportFrom) and node.level]


@pytest.mark.parametrize("path", SOURCES, ids=name)
def test_a_file_is_a_chapter(path: Path):
    """It has a name of its own, says at its head what it is about."""
    text = path.read_text()
    assert path.name not in FORBIDDEN_NAMES
    assert not text or ast.get_docstring(ast.parse(text))


@pytest.mark.parametrize("path", [path for path in SOURCES if path.name != "__init__.py"], ids=name)
def test_no_error_is_swallowed_and_nothing_is_left_as_a_stub(path: Path):
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.ExceptHandler):
            assert node.type is not None, f"line {node.lineno}: bare except"
            silent = all(isinstance(statement, ast.Pass) for statement in node.body)
            wide = isinstance(node.type, ast.Name) and node.type.id in ("Exception", "BaseException")
            assert not (silent and wide), f"line {node.lineno}: swallows every error"
        raised = node.exc if isinstance(node, ast.Raise) else None
        called = raised.func if isinstance(raised, ast.Call) else raised
        assert not (isinstance(called, ast.Name) and called.id == "NotImplementedError"), f"line {node.lineno}: stub"


def test_every_imported_distribution_is_declared():
    """What the packages import stands in pyproject.toml: nothing works only by luck of what another package needs."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = project["dependencies"] + [line for extra in project["optional-dependencies"].values() for line in extra]
    declared = {canonical(re.split(r"[\[<>=~!; ]", line)[0]) for line in lines}
    own_interpreter = {"triqs", "nrgljubljana_interface", "triqs_nrgljubljana_interface", "h5"}
    imported = {module.partition(".")[0] for path in SOURCES for module in plain_imports(path)}
    outside = imported - set(sys.stdlib_module_names) - set(PACKAGES) - own_interpreter
    distributions = packages_distributions()
    missing = [
        module for module in sorted(outside) if not declared & set(map(canonical, distributions.get(module, [module])))
    ]
    assert missing == []


def canonical(distribution: str) -> str:
    return re.sub(r"[-_.]+", "-", distribution).lower()


def plain_imports(path: Path) -> set[str]:
    nodes = list(ast.walk(ast.parse(path.read_text())))
    found = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    return found | {node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module}


def test_every_declared_distribution_is_pinned():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = project["dependencies"] + [line for extra in project["optional-dependencies"].values() for line in extra]
    wanted = {canonical(re.split(r"[\[<>=~!; ]", line)[0]) for line in lines} - {project["name"]}  # extras name extras
    pinned = {canonical(line.partition("==")[0]) for line in (ROOT / "constraints.txt").read_text().splitlines()}
    assert wanted - pinned == set()


def test_the_import_walk_follows_nested_imports_child_modules_and_neighbours(tmp_path: Path):
    package = tmp_path / "pipeline" / "lane"
    package.mkdir(parents=True)
    (tmp_path / "models").mkdir()
    (tmp_path / "pipeline" / "__init__.py").touch()
    (package / "__init__.py").touch()
    (tmp_path / "models" / "__init__.py").touch()
    (package / "first.py").write_text("def f():\n    from pipeline.lane import second\n    return second\n")
    (package / "second.py").write_text("CHILD = 'models.child'\nPAGE = 'page.html.j2'\n")
    (package / "page.html.j2").write_text("<html>")
    (package / "unrelated.py").write_text("import pipeline.lane.first\n")
    (tmp_path / "models" / "child.py").write_text("import numpy\n")
    expected = ["pipeline/lane/first.py", "models/child.py", "pipeline/lane/page.html.j2", "pipeline/lane/second.py"]
    assert stage_code(tmp_path, "first") == expected
    assert module_files(tmp_path, "numpy") == []
