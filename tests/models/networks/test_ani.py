"""ANI: the truths of every potential, and settings."""

import pytest
import torch

from models.networks.ani import ANI
from models.networks.weights import load_network, save_network
from tests.models.networks.potential_contract import PotentialContract


class TestANIWithTorchKernels(PotentialContract):
    def model(self):
        config = ANI.Config.ani1x(species=(1, 6, 8, 13), kernels="torch", energy_scale_eV=5.0)
        return ANI(config).double()


def test_settings_of_ani_1x_and_ani_al_give_their_numbers_of_features_and_weights():
    molecules, metal = ANI(ANI.Config.ani1x()), ANI(ANI.Config.ani_al())
    assert molecules.environment.n_features == 4 * 16 + 10 * 4 * 8
    assert metal.environment.n_features == 32 + 8 * 8
    widths = [96, 96, 96, 64, 1]
    assert sum(p.numel() for p in metal.parameters()) == sum((n + 1) * m for n, m in zip(widths, widths[1:]))


def test_weights_and_config_come_back_from_disk(tmp_path):
    torch.manual_seed(1)
    model = ANI(ANI.Config.ani1x(species=(1, 8), reference_energies_eV=(-13.6, -2040.0), energy_scale_eV=3.0))
    save_network(model, tmp_path)
    loaded = load_network(ANI, tmp_path, expected=model.config)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), loaded.parameters(), strict=True))


def test_impossible_settings_are_all_named():
    with pytest.raises(ValueError, match=r"reference_energies_eV.*cutoffs.*energy_scale_eV"):
        ANI.Config(
            species=(1, 8),
            cutoff_A=3.0,
            radial_eta=16.0,
            radial_shifts_A=(1.0,),
            angular_cutoff_A=4.0,
            angular_eta=8.0,
            angular_shifts_A=(1.0,),
            zeta=32.0,
            angles=(1.0,),
            hidden=((8,), (8,)),
            reference_energies_eV=(0.0,),
            energy_scale_eV=0.0,
        )
