"""Three ways to the gradient of a force loss, one result."""

import numpy as np
import pytest
import torch

from models.networks.potentials.ani import ANI
from models.networks.potentials.hipnn import HIPNN
from models.networks.potentials.hipnn_ts import HIPNNTS
from models.networks.potentials.potential import PotentialNetwork
from models.training.potentials.forces import accumulate_gradients, step_sizes
from models.training.potentials.labelled import Labelled
from models.training.potentials.potential_loss import PotentialLoss
from tests.models.networks.potentials.potential_contract import aluminium, graph_of, methanol, water

SPECIES = (1, 6, 8, 13)
FORCES_ONLY = PotentialLoss(energy=0.0, forces=1.0)
ALL = PotentialLoss(energy=1.0, forces=0.5, stress=0.3, hierarchicality=0.1)


SIZES = {"species": SPECIES, "cutoff_A": 4.5, "soft_max_A": 4.0, "n_features": 8, "n_sensitivities": 6, "n_onsite": 1}


def hipnn() -> HIPNN:
    torch.manual_seed(0)
    return with_readouts(HIPNN(HIPNN.Config(**SIZES)).double())


def vectors() -> HIPNNTS:
    torch.manual_seed(0)
    return with_readouts(HIPNNTS(HIPNNTS.Config(**SIZES)).double())


def quadrupoles() -> HIPNNTS:
    torch.manual_seed(0)
    return with_readouts(HIPNNTS(HIPNNTS.Config(**SIZES, l_max=2)).double())


def with_readouts(model: HIPNN) -> HIPNN:
    with torch.no_grad():
        for readout in model.readouts:
            readout.weight.normal_()
    return model


def ani() -> ANI:
    torch.manual_seed(0)
    return ANI(ANI.Config.ani1x(species=SPECIES)).double()


def labelled(model: PotentialNetwork) -> Labelled:
    """Two molecules and a crystal with random labels; some are missing."""
    graph, vectors = graph_of(model, methanol(), water(), aluminium())
    generator = torch.Generator().manual_seed(4)
    draw = lambda *shape: torch.randn(*shape, generator=generator, dtype=vectors.dtype)  # noqa: E731
    energy, forces, stress = draw(graph.n_configs), draw(graph.n_atoms, 3), 0.1 * draw(graph.n_configs, 3, 3)
    energy[1] = torch.nan
    forces[2] = torch.nan
    stress[:2] = torch.nan
    return Labelled(graph=graph, vectors_H3=vectors, energy_M=energy, forces_N3=forces, stress_M33=stress)


def gradient(model: PotentialNetwork, batch: Labelled, loss: PotentialLoss, **options) -> torch.Tensor:
    model.zero_grad()
    accumulate_gradients(model, batch, loss, **options)
    return flat_gradient(model)


def flat_gradient(model: PotentialNetwork) -> torch.Tensor:
    """A weight that the loss does not know, such as a bias where only forces count, may have none: zero."""
    return torch.cat(
        [torch.zeros_like(w).flatten() if w.grad is None else w.grad.flatten() for w in model.parameters()]
    )


def distance(found: torch.Tensor, wanted: torch.Tensor) -> float:
    return float((found - wanted).norm() / wanted.norm())


@pytest.mark.parametrize("make", [hipnn, vectors, quadrupoles, ani])
def test_double_backward_is_the_derivative_of_the_loss(make):
    model = make()
    batch = labelled(model)
    found = gradient(model, batch, ALL)
    weights = list(model.parameters())
    generator = torch.Generator().manual_seed(9)
    directions = [torch.randn(w.shape, generator=generator, dtype=w.dtype) for w in weights]
    slope = float(found @ torch.cat([d.flatten() for d in directions]))

    def moved(step: float) -> float:
        with torch.no_grad():
            for w, d in zip(weights, directions, strict=True):
                w.add_(d, alpha=step)
        return float(accumulate_gradients(model, batch, ALL).total)

    step = 1e-6
    up = moved(step)
    down = moved(-2 * step)
    assert slope == pytest.approx((up - down) / (2 * step), rel=2e-6)


@pytest.mark.parametrize("make", [hipnn, vectors, quadrupoles, ani])
@pytest.mark.parametrize("loss", [FORCES_ONLY, ALL])
def test_forward_over_reverse_is_exact(make, loss):
    model = make()
    batch = labelled(model)
    wanted = gradient(model, batch, loss)
    # PyTorch's second derivative of CELU holds its parameter in float32, wherever it is used.
    tolerance = 1e-7 if isinstance(model, ANI) else 1e-12
    assert distance(gradient(model, batch, loss, method="forward_over_reverse"), wanted) < tolerance


@pytest.mark.parametrize("make", [hipnn, vectors, quadrupoles])
@pytest.mark.parametrize("loss", [FORCES_ONLY, ALL])
def test_finite_differences_converge_with_the_square_of_the_displacement(make, loss):
    model = make()
    batch = labelled(model)
    wanted = gradient(model, batch, loss)
    options = {"method": "finite_difference"}
    largest = 4e-3 if make is hipnn else 2e-3  # lengths of vectors bend more sharply than what has no directions
    steps = [largest, largest / 2, largest / 4]
    errors = [distance(gradient(model, batch, loss, **options, displacement=d), wanted) for d in steps]
    orders = np.log2(np.array(errors[:-1]) / np.array(errors[1:]))
    np.testing.assert_allclose(orders, 2.0, atol=0.1)


def test_the_curvature_of_celu_jumps_so_finite_differences_of_ani_want_small_steps():
    model = ani()
    batch = labelled(model)
    wanted = gradient(model, batch, ALL)
    errors = {
        d: distance(gradient(model, batch, ALL, method="finite_difference", displacement=d), wanted)
        for d in (1e-2, 1e-6)
    }
    assert errors[1e-2] < 0.1
    assert errors[1e-6] < 1e-6


@pytest.mark.parametrize("make", [hipnn, vectors, quadrupoles])
def test_the_default_step_is_good_to_five_parts_in_ten_thousand_in_float32(make):
    model = make()
    batch = labelled(model)
    wanted = gradient(model, batch, FORCES_ONLY)
    model, batch = model.float(), batch.to(dtype=torch.float32)
    found = gradient(model, batch, FORCES_ONLY, method="finite_difference")
    assert distance(found.double(), wanted) < 5e-4


def test_forward_over_reverse_is_exact_to_rounding_in_float32():
    model = ani()
    batch = labelled(model)
    wanted = gradient(model, batch, FORCES_ONLY)
    model, batch = model.float(), batch.to(dtype=torch.float32)
    found = gradient(model, batch, FORCES_ONLY, method="forward_over_reverse")
    assert distance(found.double(), wanted) < 2e-5


@pytest.mark.parametrize("method", ["double_backward", "forward_over_reverse", "finite_difference"])
def test_gradients_add_to_what_is_there(method):
    model = hipnn()
    batch = labelled(model)
    once = gradient(model, batch, ALL, method=method)
    accumulate_gradients(model, batch, ALL, method=method)
    torch.testing.assert_close(flat_gradient(model), 2 * once)


def test_nothing_moves_further_than_asked():
    config = torch.tensor([0, 0, 1, 2])
    direction = torch.tensor([[1.0, -3.0], [2.0, 0.0], [0.0, 0.0], [0.0, 1e-6]])
    steps = step_sizes(3, config, direction, 1e-3)
    moved = (steps[config, None] * direction).abs()
    np.testing.assert_allclose(moved.amax(dim=1), [1e-3, 2e-3 / 3, 0.0, 1e-3], rtol=1e-6)


def test_missing_labels_pull_at_nothing():
    model = hipnn()
    batch = labelled(model)
    wanted = gradient(model, batch, ALL)
    other = labelled(model)
    assert torch.isnan(other.energy_M[1])
    loss = accumulate_gradients(model, other, ALL)
    assert torch.isfinite(loss.total)
    assert torch.isfinite(wanted).all()


def test_an_energy_step_needs_no_forces():
    model = hipnn()
    batch = labelled(model)
    loss = PotentialLoss(energy=1.0, forces=0.0)
    methods = ("double_backward", "forward_over_reverse", "finite_difference")
    gradients = [gradient(model, batch, loss, method=method) for method in methods]
    assert torch.equal(gradients[0], gradients[1])
    assert torch.equal(gradients[0], gradients[2])


def test_unknown_methods_and_steps_are_refused():
    model = hipnn()
    batch = labelled(model)
    with pytest.raises(ValueError, match="method: found 'magic'"):
        accumulate_gradients(model, batch, ALL, method="magic")
    with pytest.raises(ValueError, match="displacement: found 0"):
        accumulate_gradients(model, batch, ALL, method="finite_difference", displacement=0.0)


@pytest.mark.parametrize("kind", ["squared", "huber", "rmse_mae"])
def test_losses_of_one_known_error(kind):
    model = hipnn()
    batch = labelled(model)
    graph = batch.graph
    terms = torch.zeros(graph.n_atoms, 1, dtype=torch.float64)
    forces = torch.where(torch.isnan(batch.forces_N3), 0, batch.forces_N3) + 0.3
    loss = PotentialLoss(energy=0.0, forces=1.0, kind=kind, huber_delta=0.1)
    wanted = {"squared": 0.09, "huber": 0.1 * (2 * 0.3 - 0.1), "rmse_mae": 0.6}[kind]
    assert float(loss.parts(batch, terms, forces, None).total) == pytest.approx(wanted)
