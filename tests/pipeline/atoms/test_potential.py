import json

import numpy as np
import pytest
import yaml

from models.networks.potentials.ensemble import load_potential
from pipeline.atoms import potential, potential_training
from pipeline.atoms.potential_params import PotentialParams
from pipeline.runtime.params import ParamsError, load_params
from stores.building import OutputRefused
from tests.pipeline.atoms.atom_stores import write_clusters

HIPNN = {
    "cutoff_A": 4.0,
    "soft_min_A": 0.75,
    "soft_max_A": 3.0,
    "n_features": 4,
    "n_sensitivities": 5,
    "n_interactions": 1,
    "n_onsite": 1,
}
STORE = {
    "n_members": 1,
    "held_out": None,
    "loss": {"energy": 1.0, "forces": 1.0, "stress": 0.0, "hierarchicality": 0.0, "kind": "squared"},
    "hipnn": HIPNN,
    "hipnn_steps": {"steps": 8, "batch_size": 8, "learning_rate": 0.01},
    "ani": {"preset": "ani1x", "cutoff_A": 4.0, "angular_cutoff_A": 3.0, "hidden": [8]},
    "ani_steps": {"steps": 4, "batch_size": 8, "learning_rate": 0.01},
}
PARAMS = {
    "seed": 0,
    "max_points": 10,
    "split": {"validation_fraction": 0.2, "test_fraction": 0.2, "seed": 0, "by": "group"},
    "training": {
        "method": "double_backward",
        "dtype": "float32",
        "ema_decay": 0.9,
        "gradient_clip": 10.0,
        "l2": 0.0,
        "n_validations": 2,
    },
    "molecules": STORE | {"n_members": 2, "held_out": "odd"},
    "aluminium": STORE,
    "learning_curve": {"store": "molecules", "model": "hipnn", "fractions": [0.5]},
}


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LATENTLAW_SCHEDULER", "serial")
    (tmp_path / "data").mkdir()
    write_clusters(tmp_path / "data" / "molecules.zarr", 40)
    write_clusters(tmp_path / "data" / "aluminium.zarr", 24, seed=1)
    (tmp_path / "params.yaml").write_text(yaml.safe_dump({"potential": PARAMS}))
    return tmp_path


def test_potentials_of_others_in_its_folder_are_left_alone(place):
    (place / "runs/potential/mine").mkdir(parents=True)
    (place / "runs/potential/mine/potential.json").write_text("{}")
    with pytest.raises(OutputRefused, match="something that is no folder of potentials made here"):
        potential.main()
    assert (place / "runs/potential/mine/potential.json").read_text() == "{}"
    assert not (place / ".cache").exists()


@pytest.mark.slow
def test_the_stage_trains_both_networks_on_both_stores_and_a_learning_curve(place):
    potential.main()
    metrics = json.loads((place / "reports/metrics/potential.json").read_text())["stores"]
    assert {store: set(models) for store, models in metrics.items()} == {
        "molecules": {"hipnn", "ani"},
        "aluminium": {"hipnn", "ani"},
    }
    told = metrics["molecules"]["hipnn"]
    assert told["n_members"] == 2 and len(told["members"]) == 2
    assert told["n_train"] + told["n_validation"] + told["n_test"] == 20
    assert told["held_out"]["force_mae_eV_A"] > 0
    assert "held_out" not in metrics["aluminium"]["ani"]
    details = json.loads((place / "reports/details/potential.json").read_text())
    points = details["learning_curve"]["points"]
    assert [point["n_train"] for point in points] == [round(0.5 * told["n_train"]), told["n_train"]]
    assert points[-1]["force_mae_eV_A"] == pytest.approx(told["force_mae_eV_A"])
    parity = details["parity"]["molecules_ani"]
    assert len(parity["force_eV_A"]["label"]) == len(parity["force_eV_A"]["predicted"]) == 10
    assert set(details["parity"]) == {f"{store}_{model}" for store in metrics for model in metrics[store]}
    assert len(details["history"]["molecules_hipnn"]) == 2
    for name, n_members in (("molecules_hipnn", 2), ("aluminium_ani", 1)):
        assert len(load_potential(place / "runs/potential" / name).members) == n_members
    split = np.load(place / "runs/potential/molecules_hipnn/split.npy")
    assert set(split[np.arange(40) // 2 % 2 == 1]) == {-1}
    assert {file.suffix for file in place.glob(".cache/generation/potential_*/*")} == {".task"}
    before = {file: file.read_bytes() for file in (place / "runs").rglob("*") if file.is_file()}
    with (
        pytest.MonkeyPatch.context() as patch
    ):  # as after an edited comment: DVC runs the stage, and nothing is trained
        patch.setattr(potential_training, "train_member", lambda task, **_: pytest.fail("a network was trained"))
        potential.main()
    assert before == {file: file.read_bytes() for file in (place / "runs").rglob("*") if file.is_file()}


def test_wrong_params_are_told_together(place):
    wrong = PARAMS | {"max_points": 0, "learning_curve": PARAMS["learning_curve"] | {"fractions": [0.5, 1.5]}}
    (place / "params.yaml").write_text(yaml.safe_dump({"potential": wrong}))
    with pytest.raises(ParamsError) as told:
        load_params(PotentialParams, "potential")
    assert "potential.max_points: found 0" in str(told.value)
    assert "potential.learning_curve.fractions[1]: found 1.5" in str(told.value)
