"""The command: properties of any ASE calculator in one file; bad input is refused before anything runs."""

import json
from pathlib import Path

import pytest
from ase.calculators.calculator import Calculator

from models.physics.atoms.properties.suite import BenchmarkSettings
from pipeline.commands.benchmark_potential import families_of
from tests.pipeline.commands.running import run

EMT = ["--calculator", "ase.calculators.emt:EMT"]


class OnlyEnergy(Calculator):
    implemented_properties = ["energy"]  # noqa: RUF012


@pytest.fixture(autouse=True)
def serial(monkeypatch, tmp_path):
    monkeypatch.setenv("LATENTLAW_SCHEDULER", "serial")
    monkeypatch.chdir(tmp_path)


def test_the_file_has_each_property_beside_its_references(capsys):
    Path("out").mkdir()
    run(
        "benchmark-potential",
        *EMT,
        "--oracle",
        "ase.calculators.lj:LennardJones",
        "--oracle-args",
        '{"sigma": 2.6, "epsilon": 0.4}',
        "--properties",
        "c44",
        "equation_of_state",
        "--out",
        "out/emt.json",
    )
    records = json.loads(Path("out/emt.json").read_text())
    assert list(records)[-3:] == ["c11", "c12", "c44"]
    record = records["bulk_modulus"]
    assert record["experiment"]["value"] == 77.136
    assert record["relative_deviation"]["oracle"] == pytest.approx(record["value"] / record["oracle"] - 1)
    assert "7 properties, 0 of them failed" in capsys.readouterr().out


def test_a_property_that_cannot_be_measured_is_in_the_file_with_its_reason(capsys):
    run(
        "benchmark-potential",
        *["--calculator", "ase.calculators.lj:LennardJones", "--properties", "elastic", "--out", "lj.json"],
    )
    record = json.loads(Path("lj.json").read_text())["c11"]
    assert record["value"] is None
    assert "no fcc crystal to measure it in" in record["failure"]
    assert record["failure"] in capsys.readouterr().out


def test_settings_come_from_a_file(tmp_path):
    (tmp_path / "s.yaml").write_text("families: [elastic]\nelastic: {strain: 0.002}\n")
    run("benchmark-potential", *EMT, "--settings", "s.yaml", "--out", "o.json", "--element", "Cu")
    records = json.loads(Path("o.json").read_text())
    assert records["c11"]["settings"]["strain"] == 0.002
    assert records["c11"]["experiment"] is None
    assert "vacancy_formation" not in records


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--calculator", "nowhere.at_all:EMT"], r"--calculator: cannot import 'nowhere.at_all'"),
        (["--calculator", "ase.calculators.emt:EMTT"], r"'ase.calculators.emt' has no factory 'EMTT'"),
        (["--calculator", "ase.calculators.emt"], r"expected module:factory, such as ase.calculators.emt:EMT"),
        ([*EMT, "--calculator-args", "[1]"], r"--calculator-args: expected a JSON object"),
        (
            ["--calculator", "builtins:int", "--calculator-args", '{"no": 1}'],
            r"--calculator: .* failed \(.*correct its arguments",
        ),
        ([*EMT, "--properties", "elastc"], r"found unknown \['elastc'\], expected some of \['equation_of_state'"),
        ([*EMT, "--element", "Fe"], r"element: found 'Fe', expected an fcc element"),
        ([*EMT, "--element", "Ca"], r"cannot compute fcc Ca \(NotImplementedError: No EMT-potential for Ca\)"),
        ([*EMT, "--settings", "none.yaml"], r"--settings: found no file none.yaml"),
        (["--calculator", f"{__name__}:OnlyEnergy"], r"expected energy and forces at least|cannot import"),
        ([*EMT, "--oracle", "ase.calculators.emt:X"], r"--oracle: 'ase.calculators.emt' has no factory 'X'"),
    ],
)
def test_bad_input_is_reported_before_anything_runs(arguments, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        run("benchmark-potential", *arguments, "--out", "never.json")
    assert not (tmp_path / "never.json").exists()


def test_all_problems_come_at_once():
    with pytest.raises(ValueError) as expected_message:
        run("benchmark-potential", "--calculator", "nowhere:X", "--oracle", "also.nowhere:Y", "--out", "never.json")
    assert "--calculator: cannot import" in str(expected_message.value)
    assert "--oracle: cannot import" in str(expected_message.value)


def test_a_property_stands_for_its_family_and_long_ones_wait_to_be_asked():
    settings = BenchmarkSettings()
    assert families_of(["c44", "melting_point"], settings) == ("equation_of_state", "elastic", "melting_point")
    assert "melting_point" not in families_of([], settings)
    assert "melting_point" in families_of([], settings, long=True)
