import ase.build
import numpy as np
import pytest
import torch

from models.networks.potentials.ani import ANI
from models.networks.potentials.chunked import evaluate_in_chunks, n_layers
from models.networks.potentials.ensemble import Ensemble
from models.networks.potentials.hipnn import HIPNN
from models.networks.potentials.hipnn_ts import HIPNNTS
from tests.models.networks.potentials.morse import batch, morse_members

SPECIES = (1, 6, 8, 13)
REFERENCE = (-13.0, -1030.0, -2040.0, -540.0)


SIZES = {"n_features": 4, "n_sensitivities": 5, "n_onsite": 1, "cutoff_A": 4.5, "soft_max_A": 4.0}
SIZES |= {"species": SPECIES, "reference_energies_eV": REFERENCE}


def hipnn(n_interactions):
    return HIPNN(HIPNN.Config(n_interactions=n_interactions, **SIZES))


def hipnn_ts(n_interactions, l_max):
    """With readouts of usual size: fresh ones would hide errors of the later terms."""
    torch.manual_seed(0)
    model = HIPNNTS(HIPNNTS.Config(n_interactions=n_interactions, l_max=l_max, **SIZES)).double()
    for readout in model.readouts:
        torch.nn.init.normal_(readout.weight)
    return model


MODELS = {
    "morse": lambda: morse_members(2),
    "ani": lambda: [ANI(ANI.Config.ani1x(species=SPECIES, reference_energies_eV=REFERENCE)).double()],
    "hipnn, one layer": lambda: [hipnn(1).double()],
    "hipnn, two layers": lambda: [hipnn(2).double()],
    "hipnn, three layers": lambda: [hipnn(3).double()],
    "hipnn_ts, one layer": lambda: [hipnn_ts(1, 2)],
    "hipnn_ts, two layers": lambda: [hipnn_ts(2, 1)],
    "hipnn_ts, three layers": lambda: [hipnn_ts(3, 2)],
}


def alloy(repeats, pbc=True):
    atoms = ase.build.bulk("Al", cubic=True) * repeats
    rng = np.random.default_rng(0)
    atoms.positions += 0.15 * rng.normal(size=atoms.positions.shape)
    atoms.numbers[rng.random(len(atoms)) < 0.2] = 8
    atoms.pbc = pbc
    return atoms


def sheared():
    atoms = alloy((2, 3, 1))
    atoms.set_cell(atoms.cell.array @ np.array([[1, 0, 0], [0.4, 1, 0], [0.3, -0.2, 1]]), scale_atoms=True)
    atoms.positions += (30.0, -17.0, 4.0)  # outside the cell
    return atoms


def slab():
    atoms = alloy((2, 2, 1), pbc=(True, True, False))
    atoms.center(vacuum=3.0, axis=2)
    return atoms


SYSTEMS = {
    "crystal": lambda: alloy((3, 2, 2)),
    "sheared cell smaller than the cutoff": sheared,
    "slab": slab,
    "cluster": lambda: alloy((2, 2, 2), pbc=False),
}


def whole(members, atoms):
    graph, vectors = batch([atoms], Ensemble(members).cutoff_A)
    return Ensemble(members).evaluate(graph, vectors)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize("chunk_atoms", [7, 10_000])
def test_chunks_add_up_to_the_whole(system, model, chunk_atoms):
    atoms, members = SYSTEMS[system](), MODELS[model]()
    expected = whole(members, atoms)
    found = evaluate_in_chunks(
        Ensemble(members), atoms.numbers, atoms.positions, atoms.cell.array, atoms.pbc, chunk_atoms=chunk_atoms
    )
    for name, value in vars(expected).items():
        if name == "stress_M33" and not atoms.pbc.all():
            assert bool(torch.isnan(found.stress_M33).all())
        else:
            np.testing.assert_allclose(getattr(found, name), value, rtol=1e-10, atol=1e-11, err_msg=name)


def test_forces_reach_beyond_one_cutoff_with_two_layers():
    """An atom that is felt through another one only: chunks of single atoms still add up."""
    atoms = ase.Atoms("O3", positions=[[0, 0, 0], [4.0, 0.3, 0], [8.0, 0, 0.1]])
    for layers, reaches in ((1, False), (2, True)):
        members = [hipnn(layers).double()]
        with torch.no_grad():
            for readout in members[0].readouts[1:]:
                readout.weight.mul_(1e3)
        shorter = atoms[:2]
        felt = (whole(members, atoms).energy_N[0] - whole(members, shorter).energy_N[0]).abs() > 1e-9
        assert bool(felt) is reaches
        found = evaluate_in_chunks(
            Ensemble(members), atoms.numbers, atoms.positions, atoms.cell.array, atoms.pbc, chunk_atoms=1
        )
        np.testing.assert_allclose(found.forces_N3, whole(members, atoms).forces_N3, rtol=1e-10, atol=1e-12)
        assert n_layers(Ensemble(members)) == layers


def test_single_precision_stays_close_and_progress_counts_atoms():
    atoms, members = alloy((3, 3, 2)), MODELS["hipnn, two layers"]()
    reported = []
    expected = whole(members, atoms)
    found = evaluate_in_chunks(
        Ensemble(members),
        atoms.numbers,
        atoms.positions,
        atoms.cell.array,
        atoms.pbc,
        chunk_atoms=20,
        dtype=torch.float32,
        progress=reported.append,
    )
    assert reported == sorted(reported) and reported[-1] == len(atoms) and len(reported) >= 4
    scale = float(expected.forces_N3.abs().max())
    assert float((found.forces_N3 - expected.forces_N3).abs().max()) < 1e-4 * scale
    assert found.energy_M.dtype == found.forces_N3.dtype == torch.float64


def test_bad_input_is_refused_at_once():
    atoms = alloy((1, 1, 1))
    ensemble = Ensemble(morse_members(1))
    nan = atoms.positions * np.nan
    with pytest.raises(
        ValueError, match=r"chunk_atoms: found 0.*positions: found shape \(4, 3\).*cell: found volume 0"
    ):
        evaluate_in_chunks(ensemble, atoms.numbers, nan, np.zeros((3, 3)), atoms.pbc, chunk_atoms=0)
    close = atoms.positions.copy()
    close[3] = close[1] + (0.1, 0, 0)
    with pytest.raises(ValueError, match=r"atoms 1 and 3 0\.1 A apart"):
        evaluate_in_chunks(ensemble, atoms.numbers, close, atoms.cell.array, atoms.pbc, chunk_atoms=1)
    with pytest.raises(ValueError, match=r"atomic numbers \[92\]"):
        evaluate_in_chunks(ensemble, atoms.numbers * 0 + 92, atoms.positions, atoms.cell.array, atoms.pbc)
