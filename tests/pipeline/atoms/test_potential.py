import json
from dataclasses import dataclass

import numpy as np
import pytest
import torch
import yaml
from pydantic import PositiveFloat

from models.networks.potentials.ensemble import load_potential
from models.networks.potentials.potential import POTENTIALS, ArchitectureSettings, PotentialNetwork
from models.settings import settings
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
    "networks": {
        "hipnn": HIPNN,
        "ani": {"preset": "ani1x", "cutoff_A": 4.0, "angular_cutoff_A": 3.0, "hidden": [8]},
    },
    "steps": {
        "hipnn": {"steps": 8, "batch_size": 8, "learning_rate": 0.01},
        "ani": {"steps": 4, "batch_size": 8, "learning_rate": 0.01},
    },
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
def workplace(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LATENTLAW_SCHEDULER", "serial")
    (tmp_path / "data").mkdir()
    write_clusters(tmp_path / "data" / "molecules.zarr", 40)
    write_clusters(tmp_path / "data" / "aluminium.zarr", 24, seed=1)
    (tmp_path / "params.yaml").write_text(yaml.safe_dump({"potential": PARAMS}))
    return tmp_path


def test_potentials_of_others_in_its_folder_are_left_alone(workplace):
    (workplace / "runs/potential/mine").mkdir(parents=True)
    (workplace / "runs/potential/mine/potential.json").write_text("{}")
    with pytest.raises(OutputRefused, match="something that is no folder of potentials made here"):
        potential.main()
    assert (workplace / "runs/potential/mine/potential.json").read_text() == "{}"
    assert not (workplace / ".cache").exists()


@pytest.mark.slow
def test_the_stage_trains_both_networks_on_both_stores_and_a_learning_curve(workplace):
    potential.main()
    metrics = json.loads((workplace / "reports/metrics/potential.json").read_text())["stores"]
    assert {store: set(models) for store, models in metrics.items()} == {
        "molecules": {"hipnn", "ani"},
        "aluminium": {"hipnn", "ani"},
    }
    trained = metrics["molecules"]["hipnn"]
    assert trained["n_members"] == 2 and len(trained["members"]) == 2
    assert trained["n_train"] + trained["n_validation"] + trained["n_test"] == 20
    assert trained["held_out"]["force_mae_eV_A"] > 0
    assert "held_out" not in metrics["aluminium"]["ani"]
    details = json.loads((workplace / "reports/details/potential.json").read_text())
    points = details["learning_curve"]["points"]
    assert [point["n_train"] for point in points] == [round(0.5 * trained["n_train"]), trained["n_train"]]
    assert points[-1]["force_mae_eV_A"] == pytest.approx(trained["force_mae_eV_A"])
    parity = details["parity"]["molecules_ani"]
    assert len(parity["force_eV_A"]["label"]) == len(parity["force_eV_A"]["predicted"]) == 10
    assert set(details["parity"]) == {f"{store}_{model}" for store in metrics for model in metrics[store]}
    assert len(details["history"]["molecules_hipnn"]) == 2
    for name, n_members in (("molecules_hipnn", 2), ("aluminium_ani", 1)):
        assert len(load_potential(workplace / "runs/potential" / name).members) == n_members
    split = np.load(workplace / "runs/potential/molecules_hipnn/split.npy")
    assert set(split[np.arange(40) // 2 % 2 == 1]) == {-1}
    kept = [file for file in workplace.glob(".cache/generation/potential_*/**/*") if file.is_file()]
    assert {file.suffix for file in kept if "live" not in file.parts} == {".task"}
    before = {file: file.read_bytes() for file in (workplace / "runs").rglob("*") if file.is_file()}
    with (
        pytest.MonkeyPatch.context() as patch
    ):  # as after an edited comment: DVC runs the stage, and nothing is trained
        patch.setattr(potential_training, "train_member", lambda task, **_: pytest.fail("a network was trained"))
        potential.main()
    assert before == {file: file.read_bytes() for file in (workplace / "runs").rglob("*") if file.is_file()}


def test_wrong_params_are_reported_together(workplace):
    wrong = PARAMS | {"max_points": 0, "learning_curve": PARAMS["learning_curve"] | {"fractions": [0.5, 1.5]}}
    (workplace / "params.yaml").write_text(yaml.safe_dump({"potential": wrong}))
    with pytest.raises(ParamsError) as raised:
        load_params(PotentialParams, "potential")
    assert "potential.max_points: found 0" in str(raised.value)
    assert "potential.learning_curve.fractions[1]: found 1.5" in str(raised.value)


@settings
class SpringsSettings(ArchitectureSettings):
    cutoff_A: PositiveFloat

    def config(self, species, references, scale_eV):
        return Springs.Config(species=species, cutoff_A=self.cutoff_A, reference_energies_eV=references)

    @classmethod
    def suited(cls, *, metal, cutoff_A, width):
        return cls(cutoff_A=cutoff_A or 3.0)


class Springs(PotentialNetwork):
    """One repulsion for all pairs, with one weight."""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        species: tuple[int, ...]
        cutoff_A: float
        reference_energies_eV: tuple[float, ...]

    def __init__(self, config):
        super().__init__(config)
        self.stiffness = torch.nn.Parameter(torch.tensor(1.0))

    def energy_terms(self, graph, vectors_H3):
        depth_H = (self.config.cutoff_A - vectors_H3.norm(dim=1)).clamp(min=0) ** 3
        half_H = self.stiffness * depth_H / 2
        energy_N = half_H.new_zeros(graph.n_atoms)
        return energy_N.index_add(0, graph.first_H, half_H).index_add(0, graph.second_H, half_H)[:, None]


def test_a_potential_defined_elsewhere_runs_the_stage_once_it_is_registered(workplace):
    store = STORE | {
        "networks": {"springs": {"cutoff_A": 3.0}},
        "steps": {"springs": {"steps": 8, "batch_size": 8, "learning_rate": 0.1}},
    }
    curve = {"store": "molecules", "model": "springs", "fractions": [0.5]}
    chosen = PARAMS | {"molecules": store, "aluminium": store, "learning_curve": curve}
    (workplace / "params.yaml").write_text(yaml.safe_dump({"potential": chosen}))
    with pytest.raises(ParamsError, match=r"found 'springs', expected one of \['ani', 'hipnn', 'hipnn_ts'\]"):
        potential.main()
    with POTENTIALS.registered("springs", Springs, settings=SpringsSettings):
        potential.main()
        trained = load_potential(workplace / "runs/potential/aluminium_springs")
    assert float(trained.members[0].stiffness) != 1.0
    metrics = json.loads((workplace / "reports/metrics/potential.json").read_text())["stores"]
    assert set(metrics["molecules"]) == {"springs"}


def test_a_learning_curve_is_of_a_network_that_is_trained(workplace):
    curve = PARAMS["learning_curve"] | {"model": "springs"}
    (workplace / "params.yaml").write_text(yaml.safe_dump({"potential": PARAMS | {"learning_curve": curve}}))
    with pytest.raises(ParamsError, match=r"learning_curve.model: found 'springs', expected one of the networks"):
        load_params(PotentialParams, "potential")
