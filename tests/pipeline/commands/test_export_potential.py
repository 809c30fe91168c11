import json

import numpy as np
import pytest
import torch

from models.networks.potentials.ensemble import load_potential, save_potential
from models.networks.potentials.hipnn import HIPNN
from models.networks.potentials.hipnn_ts import HIPNNTS
from models.networks.potentials.hippynn_weights import from_hippynn
from pipeline.commands.hippynn_loader import energy_node
from tests.models.networks.potentials.morse import known_to_folders, morse_members
from tests.pipeline.commands.running import run

CONFIG = HIPNN.Config(species=(1, 8), n_features=4, n_sensitivities=4, reference_energies_eV=(-13.0, -2040.0))


@pytest.fixture
def model(tmp_path):
    save_potential(tmp_path / "model", [HIPNN(CONFIG), HIPNN(CONFIG)], {})
    return tmp_path / "model"


def test_every_member_can_be_read_back_from_the_export(model, tmp_path):
    run("export-potential", str(model), "--format", "hippynn", "--out", str(tmp_path / "out"))
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        ".latentlaw.json",
        "load_hippynn.py",
        "member_0",
        "member_1",
    ]
    for number, member in enumerate(load_potential(model).members):
        folder = tmp_path / "out" / f"member_{number}"
        message = json.loads((folder / "hippynn.json").read_text())
        assert message["units"] == {"energy": "eV", "length": "A"}
        assert message["module_kwargs"]["possible_species"] == [0, 1, 8]
        state = {name: torch.from_numpy(array) for name, array in np.load(folder / "hippynn.npz").items()}
        back = from_hippynn(state, CONFIG)
        for name, value in member.state_dict().items():
            np.testing.assert_allclose(back.state_dict()[name], value, atol=1e-10)


def test_the_loader_needs_nothing_of_this_project(model, tmp_path):
    run("export-potential", str(model), "--format", "hippynn", "--out", str(tmp_path / "out"))
    text = (tmp_path / "out" / "load_hippynn.py").read_text()
    assert not any(f"from {package}" in text or f"import {package}" in text for package in ("pipeline", "models"))


@pytest.mark.parametrize(("l_max", "network"), [(1, "HipnnVec"), (2, "HipnnQuad")])
def test_tensor_sensitivities_are_exported_under_the_name_of_their_class(tmp_path, l_max, network):
    config = HIPNNTS.Config(species=(1, 8), n_features=4, n_sensitivities=4, l_max=l_max)
    save_potential(tmp_path / "model", [HIPNNTS(config)], {})
    run("export-potential", str(tmp_path / "model"), "--format", "hippynn", "--out", str(tmp_path / "out"))
    folder = tmp_path / "out/member_0"
    message = json.loads((folder / "hippynn.json").read_text())
    assert (message["network"], message["module_kwargs"]["cusp_reg"]) == (network, 1e-6)
    state = {name: torch.from_numpy(array) for name, array in np.load(folder / "hippynn.npz").items()}
    (member,) = load_potential(tmp_path / "model").members
    for name, value in from_hippynn(state, config).state_dict().items():
        np.testing.assert_allclose(value, member.state_dict()[name], atol=1e-10)


@pytest.mark.physics
@pytest.mark.filterwarnings("ignore")
def test_the_loader_builds_the_exported_network_in_hippynn(tmp_path):
    pytest.importorskip("hippynn")
    config = HIPNNTS.Config(species=(1, 8), n_features=4, n_sensitivities=4, l_max=2)
    save_potential(tmp_path / "model", [HIPNNTS(config)], {})
    run("export-potential", str(tmp_path / "model"), "--format", "hippynn", "--out", str(tmp_path / "out"))
    module = energy_node(tmp_path / "out/member_0").parents[0].torch_module
    while not hasattr(module, "interaction_layers"):
        module = module.parents[0].torch_module
    (member,) = load_potential(tmp_path / "model").members
    for layer, block in zip(module.interaction_layers, member.blocks, strict=True):
        np.testing.assert_allclose(layer.quadscales.detach(), block.interaction.quadrupole_scale.detach())
        assert layer.cusp_reg == config.cusp_regularisation


def test_only_hipnn_goes_to_hippynn_and_nothing_is_overwritten(model, tmp_path, monkeypatch):
    known_to_folders(monkeypatch)
    save_potential(tmp_path / "other", morse_members(1), {})
    with pytest.raises(ValueError, match=r"found a Morse, expected HIP-NN"):
        run("export-potential", str(tmp_path / "other"), "--format", "hippynn", "--out", str(tmp_path / "out"))
    (tmp_path / "out").mkdir()
    with pytest.raises(ValueError, match=r"--out: found .*name another one"):
        run("export-potential", str(model), "--format", "hippynn", "--out", str(tmp_path / "out"))
