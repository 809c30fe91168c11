"""The terms of the loss, its gradient, and that minimising it finds the statistics again."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from models.descriptors.reconstruction import (
    ReconstructionSettings,
    reconstruct,
    statistics_distance,
    total_variation,
    two_point,
)
from models.descriptors.surrogates import phase_surrogate

SHIFTS = [(0, 0), (0, 1), (1, 0), (1, 1)]
WEIGHTS = {"texture": 1.0, "two_point": 0.3, "variation": 1.0, "grey": 1.0}


class SmallNetwork:
    """Two smooth layers with strides, in the dtype of the image: for gradients in double precision."""

    layers = ("first", "second")

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(0)
        self.first = torch.randn(8, 1, 3, 3, generator=generator, dtype=torch.float64)
        self.second = torch.randn(8, 8, 3, 3, generator=generator, dtype=torch.float64) / 5

    def channels(self, layer: str) -> int:
        return 8

    def steps(self, layer: str) -> list[tuple[int, int]]:
        return [(3, 2)] * (1 + self.layers.index(layer))

    def __call__(self, images_BHW: Tensor, layers: Sequence[str]) -> list[Tensor]:
        first = torch.tanh(functional.conv2d(images_BHW[:, None], self.first.to(images_BHW), stride=2, padding=1))
        second = torch.tanh(functional.conv2d(first, self.second.to(images_BHW), stride=2, padding=1))
        return [{"first": first, "second": second}[layer] for layer in layers]


def cells(size: int = 64) -> np.ndarray:
    rng = np.random.default_rng(0)
    seeds, pixels = rng.random((size * size // 150, 2)) * size, np.argwhere(np.ones((size, size)))
    apart = np.abs(pixels[:, None] - seeds[None])
    distance = np.sort(np.hypot(*np.moveaxis(np.minimum(apart, size - apart), -1, 0)), axis=1)
    return 1 - np.exp(-(((distance[:, 1] - distance[:, 0]) / 2) ** 2)).reshape(size, size)


def settings(**changes: object) -> ReconstructionSettings:
    plain = {"layers": ("first", "second"), "weights": WEIGHTS, "n_levels": 1, "n_iterations": 60, "n_restarts": 3}
    return ReconstructionSettings(**(plain | changes))


def test_the_total_variation_of_a_constant_image_is_zero():
    assert total_variation(torch.full((9, 7), 0.3)).item() == 0


def test_the_total_variation_of_a_stripe_is_its_two_edges():
    stripe = torch.zeros(10, 8, dtype=torch.float64)
    stripe[3:6] = 1
    assert total_variation(stripe).item() == pytest.approx(2 * 8 / 80, rel=0.01)


def test_the_two_point_term_is_the_correlation_by_its_definition():
    image = torch.rand(6, 5, dtype=torch.float64)
    deviation = image - image.mean()
    found = two_point(image)
    for lag in [(0, 0), (1, 2), (5, 4)]:
        wanted = (deviation * torch.roll(deviation, lag, (0, 1))).mean()
        assert found[lag].item() == pytest.approx(wanted.item())


def test_every_term_vanishes_for_the_target_itself():
    target = torch.from_numpy(cells(32))
    terms = statistics_distance(target, SmallNetwork(), SmallNetwork.layers, SHIFTS)(target)
    assert {name: value.item() for name, value in terms.items()} == dict.fromkeys(terms, 0.0)


def test_pair_statistics_do_not_see_a_surrogate_and_textures_do():
    target = cells(64)
    surrogate = torch.from_numpy(phase_surrogate(target, np.random.default_rng(0)))
    terms = statistics_distance(torch.from_numpy(target), SmallNetwork(), SmallNetwork.layers, SHIFTS)(surrogate)
    assert terms["two_point"].item() < 1e-20
    assert terms["texture"].item() > 1e-3


@pytest.mark.parametrize("name", WEIGHTS)
def test_the_gradient_of_each_term_is_its_derivative(name: str):
    target = torch.from_numpy(cells(32)[:12, :16])
    distance = statistics_distance(target, SmallNetwork(), SmallNetwork.layers, SHIFTS)
    image = (target + 0.2 * torch.rand(12, 16, dtype=torch.float64)).requires_grad_(True)
    assert torch.autograd.gradcheck(lambda u: distance(u)[name], (image,), eps=1e-7, atol=1e-5)


def test_the_gradient_passes_through_the_network_of_the_stage():
    from models.descriptors.efficientnet import random_efficientnet

    network = random_efficientnet(("stem", "b0", "b2"), 0).double().requires_grad_(False)
    target = torch.from_numpy(cells(32))
    distance = statistics_distance(target, network, ("stem", "b0", "b2"), SHIFTS)
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(32, 32, dtype=torch.float64, generator=generator).requires_grad_(True)
    direction = torch.randn(32, 32, dtype=torch.float64, generator=generator)
    (slope,) = torch.autograd.grad(distance(image)["texture"], image)
    step = 1e-8  # small enough that hardly a rectifier of the network switches on the way
    values = [distance((image + sign * step * direction).detach())["texture"].item() for sign in (1, -1)]
    assert (slope * direction).sum().item() == pytest.approx((values[0] - values[1]) / (2 * step), rel=1e-4)


def test_a_reconstruction_has_the_statistics_and_is_not_the_image():
    target = cells(64)
    found = reconstruct(target, SmallNetwork(), settings(n_levels=2))
    assert found.image.shape == target.shape
    assert target.min() - 1e-6 <= found.image.min() and found.image.max() <= target.max() + 1e-6
    assert found.terms["texture"] < 0.02 * found.terms_of_noise["texture"]
    assert found.terms["two_point"] < 0.1 and found.terms["grey"] < 0.01
    assert abs(np.corrcoef(found.image.ravel(), target.ravel())[0, 1]) < 0.5


def test_the_same_seed_gives_the_same_image():
    target = cells(32)
    first, again, other = (
        reconstruct(target, SmallNetwork(), settings(seed=seed, n_iterations=6)) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first.image, again.image)
    assert not np.array_equal(first.image, other.image)


def test_layers_that_do_not_fit_a_coarse_level_join_at_the_finer_one():
    class Wide(SmallNetwork):
        def steps(self, layer: str) -> list[tuple[int, int]]:
            return [(3, 2)] if layer == "first" else [(43, 1)]

    assert reconstruct(cells(64), Wide(), settings(n_levels=2, n_iterations=3)).terms["texture"] >= 0


@pytest.mark.parametrize(
    ("target", "change", "said"),
    [
        (np.full((64, 64), 0.5), {}, "one value only"),
        (np.full((64, 64), np.nan), {}, "NaN"),
        (cells(64)[:50], {"n_levels": 2}, "found an image of 50 x 64 pixels and n_levels 2, expected multiples of 4"),
        (cells(64), {"layers": ("third",)}, r"unknown layers \['third'\], expected some of \['first', 'second'\]"),
    ],
)
def test_what_cannot_be_reconstructed_is_refused(target: np.ndarray, change: dict, said: str):
    with pytest.raises(ValueError, match=said):
        reconstruct(target, SmallNetwork(), settings(**change))


@pytest.mark.parametrize(
    ("change", "said"),
    [({"weights": {"texture": 1.0}}, "two_point"), ({"n_restarts": 0}, "n_restarts"), ({"n_iterations": 1}, "1")],
)
def test_settings_out_of_range_are_refused(change: dict, said: str):
    with pytest.raises(ValueError, match=said):
        settings(**change)
