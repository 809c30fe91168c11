"""The bath, its star and its chain against closed forms, integrals and moments."""

import math
from itertools import pairwise

import mpmath
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from models.physics.impurity.bath import Bath, NoWeightAtFermiLevel, SpinBaths, power_law_integral
from models.physics.impurity.bath_chain import IDLE_LEVEL, bath_chain, spin_chains
from models.physics.impurity.discretization import discretized, intervals
from models.physics.impurity.hamiltonian import AndersonImpurity, ImpurityInBath, hybridization_function
from models.physics.impurity.wilson_chain import wilson_chain


def semicircle(omega):
    return 0.1 * np.sqrt(np.maximum(1 - omega**2, 0))


def noisy():
    rng = np.random.default_rng(1)
    omega = np.concatenate([-np.geomspace(1e-3, 1, 40)[::-1], np.geomspace(1e-3, 0.8, 40)])
    return Bath(omega, 0.05 * rng.uniform(0.3, 1.7, omega.size))


def gapped(edge=0.1):
    with pytest.warns(NoWeightAtFermiLevel, match="a spin stays free"):
        return Bath([-1, -edge, -edge, edge, edge, 1], [0.05, 0.05, 0, 0, 0.05, 0.05])


BATHS = {
    "flat": lambda: Bath.flat(0.05),
    "semicircle": lambda: Bath.from_function(semicircle, -1, 1),
    "asymmetric box": lambda: Bath.flat(0.05, -0.6, 1.0),
    "pseudogap": lambda: Bath.power_law(0.05, 0.25),
    "gapped": gapped,
    "noisy": noisy,
}
NAMES = pytest.mark.parametrize("name", BATHS)


def quadrature(bath, low, high, power=0):
    """int Gamma w^power from low to high by Gauss and Legendre, on nothing but the values of Gamma."""
    nodes, weights = np.polynomial.legendre.leggauss(24)
    cuts = [*bath.omega, *(s * x for s in (-1, 1) for x in np.geomspace(1e-12, 1, 80)), 0.0, low, high]
    ends = np.unique(np.clip(cuts, low, high))
    half, middle = np.diff(ends) / 2, (ends[1:] + ends[:-1]) / 2
    x = middle[:, None] + half[:, None] * nodes
    return float(half @ ((bath(x) * x**power) @ weights))


@NAMES
def test_weights_are_the_integrals_of_the_curve(name):
    bath = BATHS[name]()
    low, high = bath.support
    assert math.pi * bath.coupling_squared == pytest.approx(quadrature(bath, low, high), rel=1e-12)
    ends = np.array([-0.31, -1e-3, 0.0, 0.2, 0.77])
    expected = [quadrature(bath, low, x) for x in ends]
    assert_allclose(bath.cumulative(ends), expected, rtol=1e-11)


@pytest.mark.parametrize("hybridization", [0.02, 0.4])
def test_delta_of_a_box_is_the_logarithm(hybridization):
    omega = np.array([-3, -0.9999, -0.3, -1e-9, 0, 1e-5, 0.2, 0.99, 1.5, 1e3])
    assert_allclose(Bath.flat(hybridization).delta(omega), hybridization_function(omega, hybridization), rtol=1e-12)


def test_delta_of_a_semicircle_is_that_of_the_bethe_lattice():
    bath = BATHS["semicircle"]()
    inside, outside = np.array([-0.99, -0.3, 0, 1e-6, 0.5]), np.array([-3.0, 1.2, 20.0])
    assert_allclose(bath.delta(inside), 0.1 * (inside - 1j * np.sqrt(1 - inside**2)), atol=1e-6)
    assert_allclose(bath.delta(outside).real, 0.1 * (outside - np.sign(outside) * np.sqrt(outside**2 - 1)), atol=1e-6)
    assert bath.coupling_squared == pytest.approx(0.05, rel=1e-5)
    assert bath.steps.size == 0


@pytest.mark.parametrize("exponent", [0.25, 0.5, 1.0, 1.5, 2.0, 2.75])
def test_principal_values_of_powers_equal_their_quadrature(exponent):
    for u in (-30.0, -1.0, -0.4, -1e-3, 1e-3, 0.3, 0.999, 7.0):
        if 0 < u < 1:
            smooth = mpmath.quad(lambda x: (x**exponent - u**exponent) / (u - x), [0, u / 2, u, (1 + u) / 2, 1])  # noqa: B023
            expected = smooth + u**exponent * mpmath.log(u / (1 - u))
        else:
            expected = mpmath.quad(lambda x: x**exponent / (u - x), [0, 1e-4, 1e-2, 0.5, 1])  # noqa: B023
        assert power_law_integral(np.array([u]), exponent, 1.0)[0] == pytest.approx(float(expected), rel=1e-9)


@NAMES
def test_kramers_and_kronig_agree_with_a_subtracted_quadrature(name):
    """P int Gamma(e)/(w - e) = int (Gamma(e) - Gamma(w))/(w - e) + Gamma(w) ln((w - a)/(b - w))."""
    bath = BATHS[name]()
    low, high = bath.support
    for w in (-0.37, 0.0123, 0.55):
        cuts = np.unique([*bath.omega, w, *(s * x for s in (-1, 1) for x in np.geomspace(1e-12, 0.5, 80)), low, high])
        cuts = cuts[(cuts >= low) & (cuts <= high)]
        nodes, weights = np.polynomial.legendre.leggauss(16)
        half, middle = np.diff(cuts) / 2, (cuts[1:] + cuts[:-1]) / 2
        x = middle[:, None] + half[:, None] * nodes
        at_w = bath(np.array([w]))[0]
        smooth = half @ (((bath(x) - at_w) / (w - x)) @ weights)
        expected = (smooth + at_w * math.log((w - low) / (high - w))) / math.pi
        assert bath.delta(np.array([w])).real[0] == pytest.approx(expected, abs=2e-9)


def test_a_function_is_resolved_to_its_tolerance():
    bath = Bath.from_function(lambda w: 0.05 * np.abs(w) ** 0.25, -1, 1, exponent=0.25)
    exact = Bath.power_law(0.05, 0.25)
    omega = np.array([-0.7, -0.1, -1e-3, -1e-7, 0, 1e-9, 1e-4, 0.3, 0.95, 2.0])
    assert_allclose(bath.delta(omega), exact.delta(omega), atol=1e-6)
    box = Bath.from_function(lambda w: np.where(w < 0.2, 0.1, 0.3), -0.5, 0.9, breakpoints=[0.2])
    assert_allclose(box.steps, [-0.5, 0.2, 0.9])
    assert math.pi * box.coupling_squared == pytest.approx(0.07 + 0.21, rel=1e-9)


def test_delta_has_no_value_at_a_step():
    with pytest.raises(ValueError, match="avoids the steps"):
        Bath.flat(0.1).delta(np.array([0.0, 1.0]))


@pytest.mark.parametrize("lambda_", [1.8, 3.0, 8.0])
@pytest.mark.parametrize("z", [1 / 3, 1.0])
def test_a_flat_grid_gives_the_chain_of_the_closed_form(lambda_, z):
    """Two points, or a hundred: the same integrals, so the same chain, without energies of the sites."""
    points = np.concatenate([-np.geomspace(1e-4, 1, 50)[::-1], np.geomspace(1e-4, 1, 50)])
    for bath in (Bath.flat(0.02), Bath(points, np.full(100, 0.02))):
        chain = bath_chain(bath, lambda_, z, 30)
        assert_allclose(chain.hoppings, wilson_chain(lambda_, z, 30), rtol=1e-10)
        assert_allclose(chain.levels, 0, atol=1e-14)
        assert_allclose(chain.scales, lambda_ ** (-np.arange(30) / 2), rtol=1e-12)
        assert chain.coupling == pytest.approx(math.sqrt(2 * 0.02 / math.pi), rel=1e-14)


@NAMES
def test_the_star_holds_the_weight_of_each_interval(name):
    bath = BATHS[name]()
    for sign in (-1, 1):
        for interval in intervals(bath, sign, 2.5, 0.4, 6):
            ends = sorted((sign * interval.low, sign * interval.high))
            assert interval.weight == pytest.approx(quadrature(bath, *ends), rel=1e-11)
    star = discretized(bath, 2.5, 0.4, 60)
    assert math.fsum(star.weights) == pytest.approx(math.pi * bath.coupling_squared, rel=1e-12)
    assert all(abs(a) >= abs(b) for a, b in pairwise(star.energies))


@NAMES
def test_the_average_over_z_is_the_bath_itself(name):
    """Levels of all z together have the density Gamma: the cumulative weights agree, within the step in z."""
    bath, n_z = BATHS[name](), 16
    probes = np.array([-0.85, -0.5, -0.2, -0.03, 0.03, 0.2, 0.5, 0.75])
    found = np.zeros(probes.size)
    for k in range(n_z):
        star = discretized(bath, 3.0, (k + 0.5) / n_z, 12)
        found += np.array([star.weights[star.energies <= x].sum() for x in probes]) / n_z
    assert_allclose(found, bath.cumulative(probes), atol=0.03 * math.pi * bath.coupling_squared)


@NAMES
@pytest.mark.parametrize("z", [0.4, 1.0])
def test_the_chain_has_the_moments_of_its_star(name, z):
    """<0|H^k|0> = sum w E^k / sum w; a chain of n sites holds the first 2 n - 1 moments."""
    bath = BATHS[name]()
    chain, star = bath_chain(bath, 2.5, z, 24), discretized(bath, 2.5, z, 70)
    matrix = np.diag(chain.levels) + np.diag(chain.hoppings, 1) + np.diag(chain.hoppings, -1)
    vector = np.eye(chain.levels.size)[0]
    for k in range(1, 2 * min(chain.levels.size, 12)):
        vector = matrix @ vector
        scale = float(star.weights @ np.abs(star.energies) ** k) / star.weights.sum()
        expected = float(star.weights @ star.energies**k) / star.weights.sum()
        assert vector[0] == pytest.approx(expected, abs=1e-12 * max(scale, 1e-3))


@pytest.mark.parametrize("name", ["asymmetric box", "pseudogap", "noisy"])
def test_long_chains_settle(name):
    """t_n / omega_n of a long chain goes round with period two, or the recursion has run out of digits."""
    chain = bath_chain(BATHS[name](), 2.5, 0.5, 56)
    ratio = chain.hoppings / chain.scales[:-1]
    assert_allclose(ratio[40:-2], ratio[42:], rtol=1e-5)


def test_a_gap_ends_the_chain_and_an_inner_one_is_left_out():
    chain = bath_chain(gapped(), 3.0, 1.0, 40)
    assert chain.levels.size == 6  # three intervals of each sign down to 0.1
    inner = Bath([-1, -0.5, -0.5, -1e-3, -1e-3, 1], [0.05, 0.05, 0, 0, 0.05, 0.05])
    star = discretized(inner, 3.0, 1.0, 30)
    assert not np.any((star.energies > -0.5) & (star.energies < -1e-3))
    assert bath_chain(inner, 3.0, 1.0, 30).levels.size == 30


def test_a_band_on_one_side_alone_falls_twice_as_fast():
    chain = bath_chain(Bath.flat(0.05, 0.0, 1.0), 3.0, 0.5, 20)
    assert_allclose(chain.scales, 3.0 ** -np.arange(20.0), rtol=1e-12)
    assert_allclose((chain.hoppings / chain.scales[:-1])[12:], chain.hoppings[-1] / chain.scales[-2], rtol=1e-6)


def test_the_shorter_chain_of_two_spins_goes_on_with_empty_sites():
    chains = spin_chains(SpinBaths(up=Bath.flat(0.05), dn=gapped()), 3.0, 1.0, 12)
    assert chains.up.levels.size == chains.dn.levels.size == 12
    assert_array_equal(chains.dn.hoppings[5:], 0)
    assert_allclose(chains.dn.levels[6:], IDLE_LEVEL * chains.scales[6:])
    with pytest.raises(ValueError, match="2 and 1 sides"):
        spin_chains(SpinBaths(up=Bath.flat(0.05), dn=Bath.flat(0.05, 0.0, 1.0)), 3.0, 1.0, 12)


def test_mirror_and_equality():
    bath = noisy()
    mirror = bath.mirrored()
    omega = np.array([-0.7, -0.013, 0.0, 0.31])
    assert_allclose(mirror(omega), bath(-omega), rtol=1e-14)
    assert_allclose(mirror.delta(omega), -bath.delta(-omega).conj(), atol=1e-15)
    assert mirror.mirrored() == bath
    assert hash(mirror.mirrored()) == hash(bath)
    assert mirror != bath


@pytest.mark.parametrize(
    ("omega", "gamma", "exponent", "message"),
    [
        ([], [], None, "at least 2"),
        ([0.0], [1.0], None, "at least 2"),
        ([0.0, 1.0], [1.0], None, "same length"),
        ([-1, 0.5, 0.2], [1, 1, 1], None, "ascending"),
        ([-1, 0, 0, 0, 1], [1, 1, 2, 1, 1], None, "twice"),
        ([-1, 0, 1], [1, -1e-3, 1], None, r"gamma\(0\) = -0.001"),
        ([-1, 0, 1], [1, math.inf, 1], None, r"not finite at points \[1\]"),
        ([-1, math.nan, 1], [1, 1, 1], None, "omega is not finite"),
        ([-1, 0, 1], [0, 0, 0], None, "zero everywhere"),
        ([-1, 1], [1, 1], -0.5, "exponent = -0.5"),
        ([-1, 0, 1], [1, 1, 1], 0.5, "leave exponent out"),
    ],
)
def test_bad_baths_are_refused(omega, gamma, exponent, message):
    with pytest.raises(ValueError, match=message):
        Bath(omega, gamma, exponent)


@pytest.mark.parametrize(("low", "high"), [(1.0, -1.0), (-math.inf, 1.0)])
def test_bad_supports_are_refused(low, high):
    with pytest.raises(ValueError, match="support"):
        Bath.from_function(semicircle, low, high)


def test_an_impurity_in_a_bath_checks_its_numbers_and_refuses_a_number_for_a_bath():
    with pytest.raises(ValueError, match="flat band"):
        ImpurityInBath(interaction=0.1, level=0.0, bath=0.05)
    with pytest.raises(ValueError, match="level"):
        ImpurityInBath(interaction=0.1, level=math.nan, bath=Bath.flat(0.05))
    impurity = ImpurityInBath(interaction=0.1, level=-0.02, bath=Bath.flat(0.05))
    assert isinstance(impurity, AndersonImpurity)
    assert impurity.hybridization == pytest.approx(0.05)
    assert impurity.particle_hole_mirror().level == pytest.approx(-0.08)
