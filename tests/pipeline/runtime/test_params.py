"""A bad params file is refused before computing, with every problem named at once."""

from pathlib import Path
from typing import Annotated, Literal

import pytest
from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt

from models.settings import Range, Some, settings
from pipeline.impurity.kondo_temperatures import KondoTemperaturesParams
from pipeline.impurity.spectra import SpectraParams
from pipeline.runtime.check_params import section_kinds
from pipeline.runtime.params import ParamsError, check_sections, load_params

ROOT = Path(__file__).parents[3]


@settings
class Inner:
    rate: Annotated[float, Field(gt=0, le=1)]
    n_steps: int = 3


@settings
class Example:
    seed: NonNegativeInt
    bounds: Range[PositiveFloat]
    sizes: Some[PositiveInt]
    kind: Literal["a", "b"]
    verbose: bool
    limit: float | None = None
    inner: Inner

    def __post_init__(self) -> None:
        if self.seed > 9 and self.verbose:
            raise ValueError("found verbose with a seed above 9, expected one of them")


GOOD = "seed: 1, bounds: [1e-6, 1], sizes: [3, 4], kind: a, verbose: true, inner: {rate: 0.5}"


def load(text, tmp_path):
    file = tmp_path / "params.yaml"
    file.write_text(f"stage: {{{text}}}\n")
    return load_params(Example, "stage", file)


def test_a_good_section_becomes_a_dataclass(tmp_path):
    params = load(GOOD, tmp_path)
    assert params == Example(
        seed=1, bounds=(1e-6, 1.0), sizes=(3, 4), kind="a", verbose=True, inner=Inner(rate=0.5, n_steps=3)
    )
    assert isinstance(params.bounds[1], float)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("seed: 1", "seed: true", "stage.seed: found True (bool), expected a whole number >= 0"),
        ("seed: 1", "seed: 1.0", "stage.seed: found 1.0 (float), expected a whole number >= 0"),
        (
            "seed: 1",
            "seed: -1",
            "stage.seed: found -1 (int), expected a whole number >= 0; choose a value in that range",
        ),
        ("seed: 1", "seed: '1'", "stage.seed: found '1' (str), expected a whole number >= 0; write the number without"),
        ("seed: 1, ", "", "stage.seed: found nothing, expected a whole number >= 0; add the key"),
        ("seed: 1", "seed: 1, sed: 2", "stage.sed: found an unknown key, expected one of ['bounds', "),
        ("1e-6, 1]", "2, 1]", "stage.bounds: found [2, 1] (list), expected ascending values"),
        ("1e-6, 1]", "1]", "stage.bounds: found [1] (list), expected a list of 2"),
        ("1e-6, 1]", ".nan, 1]", "stage.bounds[0]: found nan (float), expected a number > 0; choose a finite number"),
        ("1e-6, 1]", "1, .inf]", "stage.bounds[1]: found inf (float)"),
        ("1e-6, 1]", "0, 1]", "stage.bounds[0]: found 0 (int), expected a number > 0"),
        ("sizes: [3, 4]", "sizes: []", "stage.sizes: found [] (list), expected a list"),
        ("kind: a", "kind: c", "stage.kind: found 'c' (str), expected one of ['a', 'b']"),
        ("verbose: true", "verbose: 1", "stage.verbose: found 1 (int), expected true or false"),
        ("rate: 0.5", "rate: 2", "stage.inner.rate: found 2 (int), expected a number > 0 and <= 1"),
        ("{rate: 0.5}", "3", "stage.inner: found 3 (int), expected a mapping of settings"),
        ("seed: 1", "seed: 10", "stage: found verbose with a seed above 9"),
    ],
)
def test_each_bad_value_is_reported_with_key_found_and_expected(old, new, message, tmp_path):
    with pytest.raises(ParamsError) as caught:
        load(GOOD.replace(old, new), tmp_path)
    assert message in str(caught.value)
    assert str(tmp_path / "params.yaml") in str(caught.value)


def test_all_problems_are_reported_at_once(tmp_path):
    with pytest.raises(ParamsError, match=r"5 problem\(s\)") as caught:
        load("seed: x, bounds: [2, 1], kind: c, verbose: true, inner: {rate: .inf}", tmp_path)
    for key in ("seed", "bounds", "sizes", "kind", "inner.rate"):
        assert f"stage.{key}: found" in str(caught.value)


def test_files_that_cannot_be_read_are_reported(tmp_path):
    file = tmp_path / "params.yaml"
    with pytest.raises(ParamsError, match=r"not found, expected a params file"):
        load_params(Example, "stage", file)
    file.write_text("stage: {a: 1, a: 2}\n")
    with pytest.raises(ParamsError, match="cannot be read as YAML"):
        load_params(Example, "stage", file)
    file.write_text("other: {}\n")
    with pytest.raises(ParamsError, match=r"found sections \['other'\], expected 'stage'"):
        load_params(Example, "stage", file)


@pytest.mark.parametrize(
    ("kind", "section"), [(SpectraParams, "spectra"), (KondoTemperaturesParams, "kondo_temperatures")]
)
def test_the_params_of_the_repository_are_good(kind, section):
    assert isinstance(load_params(kind, section, ROOT / "params.yaml"), kind)


def test_every_senseless_physical_value_of_the_spectra_is_reported_at_once(tmp_path):
    text = (ROOT / "params.yaml").read_text()
    for old, new in (
        ("hybridization: [0.005, 0.06]", "hybridization: [0, 0.06]"),
        ("temperature: [1.0e-6, 0.1]", "temperature: [-1.0, 0.1]"),
        ("interaction: [0.05, 0.5]", "interaction: ['0.05', .nan]"),
        ("discretization: 4.0", "discretization: 1.0"),
        ("solver: nrg", "solver: ctqmc"),
    ):
        assert old in text
        text = text.replace(old, new, 1)
    (tmp_path / "params.yaml").write_text(text)
    with pytest.raises(ParamsError) as caught:
        load_params(SpectraParams, "spectra", tmp_path / "params.yaml")
    for message in (
        "sampling.hybridization[0]: found 0 (int), expected a number > 0",
        "sampling.temperature[0]: found -1.0",
        "sampling.interaction[0]: found '0.05' (str)",
        "sampling.interaction[1]: found nan",
        "spectra.nrg.discretization: found 1.0 (float), expected a number >= 1.2 and <= 20",
        "spectra.solver: impurity solver: found 'ctqmc', expected one of ['nrg', 'triqs']",
    ):
        assert message in str(caught.value), caught.value


def test_a_whole_file_states_also_what_has_a_default_in_code(tmp_path):
    (tmp_path / "params.yaml").write_text(f"stage: {{{GOOD}}}\n")
    with pytest.raises(ParamsError, match=r"2 problem\(s\)") as caught:
        check_sections({"stage": Example}, tmp_path / "params.yaml")
    assert "stage.limit: found nothing, expected a number; add the key" in str(caught.value)
    assert "stage.inner.n_steps: found nothing, expected a whole number; add the key" in str(caught.value)


def test_keys_of_an_older_version_are_reported_with_their_new_home(tmp_path):
    text = (ROOT / "params.yaml").read_text()
    old = text.replace(
        "&bath {time_step_fs: 4.0, friction_1_fs: 0.005}", "&bath {timestep_fs: 4.0, friction_per_ps: 5.0}"
    )
    old = old.replace("    {name: tblite, method", "    {name: tblite, tblite: {}, method")
    assert old != text
    (tmp_path / "params.yaml").write_text(old)
    with pytest.raises(ParamsError) as caught:
        check_sections(section_kinds(), tmp_path / "params.yaml")
    for message in (
        "melt.dynamics.timestep_fs: found a key of an older version, expected it as time_step_fs beside it",
        "melt.dynamics.friction_per_ps: found a key of an older version, expected it as friction_1_fs beside it",
        "molecules.driver.tblite: found a key of an older version, expected it as driver: {name: tblite",
    ):
        assert message in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "spectra: !!python/object/apply:os.mkdir [FOLDER]\n",
        "spectra: !!python/name:os.mkdir\n",
        "!!python/object/new:os.mkdir [FOLDER]\n",
        "[" * 20000,
    ],
)
def test_tags_of_python_and_endless_brackets_are_refused_and_run_nothing(tmp_path, text):
    path = tmp_path / "params.yaml"
    path.write_text(text.replace("FOLDER", str(tmp_path / "ran")))
    with pytest.raises(ParamsError, match=r"params\.yaml: (cannot be read as YAML|found brackets)"):
        check_sections({}, path)
    assert not (tmp_path / "ran").exists()
