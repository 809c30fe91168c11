import json

import pytest
import torch

from models.networks.spectra.spectrum_vae import SpectrumVAE
from models.networks.weights import ArchitectureMismatch, load_network, save_network

CONFIG = SpectrumVAE.Config(n_omega=11, n_latent=3, n_odd=1, hidden=(8,))


@pytest.fixture
def folder(tmp_path):
    torch.manual_seed(0)
    save_network(SpectrumVAE(CONFIG), tmp_path)
    return tmp_path


def test_weights_survive_the_round_trip_bit_for_bit(folder):
    torch.manual_seed(0)
    original, loaded = SpectrumVAE(CONFIG), load_network(SpectrumVAE, folder, expected=CONFIG)
    assert loaded.config == CONFIG
    assert not loaded.training
    for name, value in original.state_dict().items():
        assert torch.equal(value, loaded.state_dict()[name])


def test_nothing_is_pickled(folder):
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", "model.safetensors"]
    assert b"pickle" not in (folder / "model.safetensors").read_bytes()


def test_another_configuration_is_refused_naming_the_difference(folder):
    other = SpectrumVAE.Config(architecture="plain", n_omega=11, n_latent=4, n_odd=1, hidden=(8,))
    with pytest.raises(
        ArchitectureMismatch, match=r"architecture: found 'mirror', expected 'plain'; n_latent: found 3"
    ):
        load_network(SpectrumVAE, folder, expected=other)


def test_another_class_is_refused(folder):
    described = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**described, "class": "TextureCNN"}))
    with pytest.raises(ArchitectureMismatch, match=r"class 'TextureCNN', expected 'SpectrumVAE'"):
        load_network(SpectrumVAE, folder)


def test_weights_of_another_shape_are_refused(folder):
    described = json.loads((folder / "config.json").read_text())
    described["config"]["hidden"] = [9]
    (folder / "config.json").write_text(json.dumps(described))
    with pytest.raises(ArchitectureMismatch, match=r"encoder.0.bias: found shape \(8,\), expected \(9,\)"):
        load_network(SpectrumVAE, folder)


def test_unknown_configuration_keys_are_refused(folder):
    described = json.loads((folder / "config.json").read_text())
    described["config"]["depth"] = 9
    (folder / "config.json").write_text(json.dumps(described))
    with pytest.raises(ArchitectureMismatch, match="config keys"):
        load_network(SpectrumVAE, folder)


def test_truncated_weights_and_config_are_refused(folder):
    weights = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(weights[: len(weights) // 2])
    with pytest.raises(ArchitectureMismatch, match="cannot be read"):
        load_network(SpectrumVAE, folder)
    (folder / "config.json").write_text("{")
    with pytest.raises(ArchitectureMismatch, match="not JSON"):
        load_network(SpectrumVAE, folder)


def test_missing_files_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"model\.safetensors and config\.json missing"):
        load_network(SpectrumVAE, tmp_path)
