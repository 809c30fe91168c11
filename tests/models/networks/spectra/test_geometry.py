import pytest
import torch

from models.networks.spectra.geometry import GEOMETRIES, cumulative_weight, departure


def bump(position, n_side=200, width=6.0):
    k = torch.arange(n_side, dtype=torch.float64)
    side = torch.exp(-(((k - position) / width) ** 2))
    return torch.cat([side.flip(-1), torch.zeros(1), side])[None]


def test_ends_of_the_branches_add_up_to_all_weight():
    x = torch.rand(5, 21, dtype=torch.float64)
    f = cumulative_weight(x)
    torch.testing.assert_close(f[:, 0] + f[:, -1], torch.ones(5).double())
    assert (f[:, 10] == 0).all()
    assert (f[:, 11:].diff() >= 0).all()


def test_amplitude_drops_out_and_the_mirror_exchanges_the_branches():
    x = torch.rand(5, 21, dtype=torch.float64)
    torch.testing.assert_close(cumulative_weight(3 * x), cumulative_weight(x))
    torch.testing.assert_close(cumulative_weight(x.flip(-1)), cumulative_weight(x).flip(-1))


def test_distance_grows_with_the_shift_of_a_peak_long_after_the_overlap_is_gone():
    def distance(shift):
        return ((cumulative_weight(bump(60.0)) - cumulative_weight(bump(60.0 + shift))) ** 2).sum().item()

    assert distance(80.0) / distance(40.0) == pytest.approx(2.0, rel=0.15)
    overlap = [((bump(60.0) - bump(60.0 + shift)) ** 2).sum().item() for shift in (40.0, 80.0)]
    assert overlap[1] == pytest.approx(overlap[0], rel=1e-3)


def test_a_grid_without_zero_has_no_middle():
    x = torch.rand(2, 10, dtype=torch.float64)
    f = cumulative_weight(x)
    torch.testing.assert_close(f[:, 0] + f[:, -1], torch.ones(2).double())
    torch.testing.assert_close(cumulative_weight(x.flip(-1)), f.flip(-1))


def plateau(scale, n_side=200, depth=3.0):
    """1 up to |omega| = scale (in steps of the logarithmic grid), falling on from there."""
    k = torch.arange(n_side, dtype=torch.float64)
    side = torch.exp(-depth * torch.sigmoid((k - scale) / 2))
    return torch.cat([side.flip(-1), torch.ones(1), side])[None]


def test_departure_moves_with_the_end_of_the_plateau_whatever_stands_beyond():
    """A high peak far out changes little; the weight of such a spectrum lies there."""
    beyond = plateau(60.0) + 5 * bump(170.0)
    shifted = plateau(100.0) + 5 * bump(170.0)
    inner = [((departure(x) - departure(plateau(60.0))) ** 2).sum().item() for x in (beyond, shifted)]
    assert inner[0] < 0.05 * inner[1]

    def distance(shift):
        return ((departure(plateau(60.0)) - departure(plateau(60.0 + shift))) ** 2).sum().item()

    assert distance(80.0) / distance(40.0) == pytest.approx(2.0, rel=0.1)


def test_departure_rises_outwards_and_the_mirror_exchanges_its_branches():
    x = torch.rand(5, 21, dtype=torch.float64)
    f = departure(x)
    assert (f[:, 10] == 0).all()
    assert (f[:, 11:].diff() >= 0).all()
    assert (f[:, :10].diff() <= 0).all()
    assert f.max() < 1
    torch.testing.assert_close(departure(x.flip(-1)), f.flip(-1))


def test_a_constant_spectrum_never_departs_and_gradients_are_finite_at_zero():
    assert (departure(torch.full((1, 21), 0.3)) == 0).all()
    x = torch.zeros(1, 21, requires_grad=True)
    departure(x).sum().backward()
    assert torch.isfinite(x.grad).all()


def test_departure_asks_for_omega_zero():
    with pytest.raises(ValueError, match="found 10 frequencies, expected an odd number"):
        departure(torch.rand(2, 10))


def test_every_geometry_keeps_the_shape_of_the_grid():
    x = torch.rand(3, 21)
    assert all(outwards(x).shape == x.shape for outwards in GEOMETRIES.values())
