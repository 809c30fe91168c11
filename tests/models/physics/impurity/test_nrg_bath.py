"""NRG in any bath against exact diagonalisation, the free level, Friedel's rule and fixed points."""

import math
import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose

from models.physics.impurity.bath import Bath, NoWeightAtFermiLevel, SpinBaths
from models.physics.impurity.density_matrix import density_matrix
from models.physics.impurity.exact import ExactChain
from models.physics.impurity.friedel import bath_integrals
from models.physics.impurity.hamiltonian import AndersonImpurity, ImpurityInBath
from models.physics.impurity.kondo import kondo_temperature
from models.physics.impurity.nrg import Truncation, chain_of, iterate
from models.physics.impurity.nrg_solver import NRGSettings, NRGSolver, binned_correlators
from models.physics.impurity.thermodynamics import thermodynamics

pytestmark = pytest.mark.physics
LOG_GRID = np.geomspace(1e-4, 1.9, 60)
OMEGA = np.concatenate([-LOG_GRID[::-1], LOG_GRID])
QUICK = NRGSettings(n_keep=80, n_z=2)
rng = np.random.default_rng(1)
NOISY = np.concatenate([-np.geomspace(1e-3, 1, 40)[::-1], np.geomspace(1e-3, 0.8, 40)])
with warnings.catch_warnings():
    warnings.simplefilter("ignore", NoWeightAtFermiLevel)
    BATHS = {
        "flat": Bath.flat(0.05),
        "semicircle": Bath.from_function(lambda w: 0.1 * np.sqrt(np.maximum(1 - w**2, 0)), -1, 1),
        "asymmetric box": Bath.flat(0.05, -0.6, 1.0),
        "pseudogap": Bath.power_law(0.05, 0.25),
        "gapped": Bath([-1, -0.1, -0.1, 0.1, 0.1, 1], [0.05, 0.05, 0, 0, 0.05, 0.05]),
        "noisy": Bath(NOISY, 0.05 * rng.uniform(0.3, 1.7, NOISY.size)),
    }
OF_SPINS = SpinBaths(up=Bath.flat(0.05, -0.6, 1.0), dn=Bath.power_law(0.08, 0.5, -1.0, 0.7))


@pytest.mark.parametrize("field", [0.0, 0.03])
@pytest.mark.parametrize("bath", [OF_SPINS, OF_SPINS.up], ids=["by spin", "one"])
def test_a_small_chain_with_site_energies_is_exact(bath, field):
    """Untruncated, 256 states, brute force beside it; one bath at zero field takes the spin-flipped path."""
    impurity = ImpurityInBath(interaction=0.3, level=-0.1, field=field, bath=bath)
    chain = chain_of(impurity, 2.5, 0.5, 3)
    oracle = ExactChain(impurity, chain.hoppings, chain.levels)
    shells = iterate(impurity, Truncation(discretization=2.5, n_keep=10_000), z=0.5, n_sites=3)
    assert_allclose(np.sort(shells[-1].energies) * shells[-1].scale, oracle.energies, atol=1e-13)
    _, up, dn, both = density_matrix(shells, 0.05, 3).impurity_weights
    names = ("n_up", "n_dn", "double_occupancy")
    assert_allclose([up + both, dn + both, both], [oracle.average(name, 0.05) for name in names], atol=1e-12)


def principal_value(bath, w):
    """P int Gamma(e) / (w - e) de by subtraction, from nothing but the values of Gamma."""
    low, high = bath.support
    near = np.geomspace(1e-12, 0.5, 60)
    cuts = np.unique([*bath.omega, w, *near, *-near, *(w + near), *(w - near), low, high])
    cuts = cuts[(cuts >= low) & (cuts <= high)]
    nodes, weights = np.polynomial.legendre.leggauss(10)
    half, middle = np.diff(cuts) / 2, (cuts[1:] + cuts[:-1]) / 2
    x = middle[:, None] + half[:, None] * nodes
    at_w = bath(np.array([w]))[0]
    smooth = half @ (((bath(x) - at_w) / (w - x)) @ weights)
    return smooth + (at_w * math.log(abs((w - low) / (high - w))) if at_w else 0.0)


@pytest.mark.parametrize("name", BATHS)
def test_a_free_level_has_the_exact_spectrum(name):
    """A = -Im 1/(w - eps_d - Delta) / pi through the self-energy; the raw weights of the NRG follow it.

    How far they are off is what the discretisation with two z leaves: 1.5 % of the cumulative weight.
    """
    bath, level = BATHS[name], -0.02
    impurity = ImpurityInBath(interaction=0.0, level=level, bath=bath)
    found = NRGSolver(QUICK).solve(impurity, temperatures=np.array([1e-4]), omega=OMEGA)
    gamma = bath(OMEGA)
    real = np.array([principal_value(bath, w) for w in OMEGA]) / math.pi
    expected = gamma / ((OMEGA - level - real) ** 2 + gamma**2) / math.pi
    assert_allclose(found.spectrum_up[0], expected, atol=1e-6 / bath.mean)
    raw = binned_correlators(impurity, QUICK, np.array([1e-4]))
    cumulative = np.cumsum(raw.histograms[0, 0, 0])
    near, beyond = np.geomspace(1e-9, 0.1, 800), np.geomspace(1e-10, 3, 600)
    low, high = bath.support
    edges = [edge + s * beyond[:500] for edge in bath.steps for s in (-1, 1)]
    whole = np.concatenate([np.linspace(low, high, 4001), -near, near, low - beyond, high + beyond, *edges])
    mesh = np.setdiff1d(whole, bath.steps)
    inverse = mesh - level - bath.delta(mesh)
    inverse = inverse.real + 1j * np.maximum(inverse.imag, 0)
    weight = -(np.diff(np.log(inverse)) / np.diff(inverse)).imag / np.pi * np.diff(mesh)
    exact = np.interp(raw.bins.centres, mesh, np.concatenate([[0], np.cumsum(weight)]))
    seen = (np.abs(raw.bins.centres) > 3e-3) & (np.abs(raw.bins.centres) < 0.5)
    assert np.sqrt(np.mean((cumulative - exact)[seen] ** 2)) < 0.025
    assert found.n_up[0] == pytest.approx(weight[mesh[1:] <= 0].sum(), abs=5e-3)


def test_a_flat_bath_gives_the_spectra_of_the_number():
    parameters = {"interaction": 0.2, "level": -0.06}
    number = AndersonImpurity(**parameters, hybridization=0.02)
    bath = ImpurityInBath(**parameters, bath=Bath.flat(0.02))
    a, b = (NRGSolver(QUICK).solve(x, temperatures=np.array([1e-4, 1e-2]), omega=OMEGA) for x in (number, bath))
    for name in ("spectrum_up", "n_up", "double_occupancy", "weight_up", "clipped_up"):
        assert_allclose(getattr(b, name), getattr(a, name), rtol=1e-3, atol=2e-4)
    assert_allclose(b.displaced_charge_up, a.displaced_charge_up, atol=1e-4)


def test_units_are_free():
    """All energies doubled, the band edges too: A halves."""
    one = ImpurityInBath(interaction=0.2, level=-0.06, field=0.01, bath=Bath.flat(0.03, -0.6, 1.0))
    two = ImpurityInBath(interaction=0.4, level=-0.12, field=0.02, bath=Bath.flat(0.06, -1.2, 2.0))
    settings, omega = NRGSettings(n_keep=80, n_z=1), np.array([-0.2, -0.01, 1e-3, 0.07])
    a = NRGSolver(settings).solve(one, temperatures=np.array([1e-3]), omega=omega)
    b = NRGSolver(settings).solve(two, temperatures=np.array([2e-3]), omega=2 * omega)
    assert_allclose(2 * b.spectrum_up, a.spectrum_up, rtol=0.02)  # bins lie elsewhere
    assert_allclose([b.n_up, b.n_dn], [a.n_up, a.n_dn], atol=1e-9)


def test_mirror_and_flip_hold_in_a_bath_of_each_spin():
    impurity = ImpurityInBath(interaction=0.2, level=-0.06, field=1e-2, bath=OF_SPINS)
    settings, temperatures = NRGSettings(n_keep=80, n_z=1), np.array([1e-3])
    a = binned_correlators(impurity, settings, temperatures).histograms
    b = binned_correlators(impurity.spin_flipped(), settings, temperatures).histograms
    assert_allclose(a, b[:, ::-1], atol=1e-12)
    g, f, i = np.moveaxis(binned_correlators(impurity.particle_hole_mirror(), settings, temperatures).histograms, 2, 0)
    mirrored = np.stack([g, g - f, g - 2 * f + i], axis=2)[..., ::-1]
    assert_allclose(a, mirrored, atol=1e-11)


@pytest.mark.parametrize("level", [-0.02, 0.3])
@pytest.mark.parametrize("name", ["flat", "semicircle", "asymmetric box", "noisy"])
def test_friedels_charge_of_a_free_level_is_its_phase(name, level):
    """U = 0: N = 1 - arg(1/G(0)) / pi whatever the bath; the charge on the level alone misses it."""
    bath = BATHS[name]

    def inverse(omega):
        return omega - level - bath.delta(omega)

    below = np.array([-100.0, 0.0])
    _, displaced = bath_integrals(inverse, bath, lowest=1e-9, omega=below)
    n, _ = bath_integrals(inverse, Bath(bath.omega, bath.gamma), lowest=1e-9, omega=below)
    low = bath.support[0]
    beyond = low - np.geomspace(1e-13, 30, 40_000)[::-1]
    edge = inverse(beyond).real
    crossing = np.flatnonzero((edge[:-1] < 0) & (edge[1:] >= 0))
    n += sum((beyond[i + 1] - beyond[i]) / (edge[i + 1] - edge[i]) for i in crossing)
    phase = 1 - np.angle(inverse(np.zeros(1))[0]) / math.pi
    assert n + displaced == pytest.approx(phase, abs=2e-3)


@pytest.mark.parametrize("name", ["semicircle", "asymmetric box", "by spin"])
def test_friedels_rule_holds_with_interaction(name):
    """pi Gamma(0) A_s(0) = sin^2(pi N_s) with the bath's own Gamma(0) and slope integral."""
    by_spin = SpinBaths(up=Bath.flat(0.05, -0.6, 1.0), dn=Bath.from_function(lambda w: 0.03 * (1 + w), -0.9, 0.8))
    bath = by_spin if name == "by spin" else BATHS[name]
    impurity = ImpurityInBath(interaction=0.2, level=-0.06, bath=bath)
    found = NRGSolver(NRGSettings(n_keep=120, n_z=2)).solve(
        impurity, temperatures=np.array([1e-6]), omega=np.array([-0.5, 0.0, 0.5])
    )
    for spin, spectrum, charge in (
        (1, found.spectrum_up, found.displaced_charge_up), (-1, found.spectrum_dn, found.displaced_charge_dn),
    ):  # fmt: skip
        height = math.pi * impurity.of_spin(spin).at_fermi_level * spectrum[0, 1]
        assert height == pytest.approx(math.sin(math.pi * charge[0]) ** 2, abs=0.01)


def test_pseudogap_fixed_points():
    """r = 1/4 at particle-hole symmetry: Gonzalez-Buxton and Ingersent, Phys. Rev. B 57, 14254 (1998).

    Symmetric strong coupling: S = 2 r ln 2, T chi = r / 8; local moment: ln 2 and 1/4. The first follows from the free
    level: G ~ |w|^-r puts r states per spin at w = 0, each with entropy ln 2 and <S_z^2> = 1/16.
    """
    r, temperatures = 0.25, np.array([1e-6, 1e-8])
    strong = ImpurityInBath(interaction=0.1, level=-0.05, bath=Bath.power_law(0.3, r))
    found = thermodynamics(strong, QUICK, temperatures)
    assert_allclose(found.entropy / math.log(2), 2 * r, atol=0.02)
    assert_allclose(found.effective_moment, r / 8, atol=1e-3)
    moment = ImpurityInBath(interaction=0.5, level=-0.25, bath=Bath.power_law(0.005, r))
    found = thermodynamics(moment, NRGSettings(n_keep=200, n_z=1), temperatures)
    assert_allclose(found.entropy / math.log(2), 1, atol=0.02)
    assert_allclose(found.effective_moment, 0.25, atol=3e-3)
    assert_allclose(found.n_up, 0.5, atol=1e-9)


def test_a_spin_in_a_gap_stays_free():
    gap = ImpurityInBath(interaction=0.2, level=-0.1, bath=BATHS["gapped"])
    found = thermodynamics(gap, QUICK, np.array([1e-4]))
    assert found.entropy[0] == pytest.approx(math.log(2), abs=1e-6)
    assert found.effective_moment[0] == pytest.approx(0.25, abs=1e-6)


def test_half_a_metal_keeps_its_rules():
    """A gap for one spin alone: its chain goes on with sites that stay empty; sum rule and norm hold."""
    half = ImpurityInBath(interaction=0.2, level=-0.06, bath=SpinBaths(up=BATHS["flat"], dn=BATHS["gapped"]))
    raw = binned_correlators(half, NRGSettings(n_keep=80, n_z=1), np.array([1e-4]))
    assert_allclose(raw.histograms[:, :, 0].sum(axis=-1), 1, atol=1e-10)
    free = ImpurityInBath(interaction=0.0, level=-0.06, bath=half.bath)
    alone = ImpurityInBath(interaction=0.0, level=-0.06, bath=BATHS["gapped"])
    both = [
        binned_correlators(x, NRGSettings(n_keep=80, n_z=1), np.array([1e-4])).impurity_weights for x in (free, alone)
    ]
    n_dn = [w[0, 2] + w[0, 3] for w in both]
    assert n_dn[0] == pytest.approx(n_dn[1], abs=2e-3)


def test_requests_and_labels_know_the_bath():
    impurity = ImpurityInBath(interaction=0.2, level=-0.1, bath=Bath.flat(0.05, -0.6, 1.0))
    with pytest.raises(ValueError, match="steps of the bath"):
        NRGSolver(QUICK).solve(impurity, temperatures=np.array([1e-3]), omega=np.array([-0.6, 0.0]))
    with pytest.raises(ValueError, match="one bath for both spins"):
        kondo_temperature(ImpurityInBath(interaction=0.2, level=-0.1, bath=OF_SPINS), QUICK)
