"""The iteration, the operators and the density matrix against brute-force exact diagonalisation and symmetries."""

import math

import numpy as np
import pytest
from numpy.testing import assert_allclose

from models.physics.impurity.density_matrix import density_matrix, needs_discarded_pairs
from models.physics.impurity.exact import ExactChain
from models.physics.impurity.hamiltonian import AndersonImpurity
from models.physics.impurity.nrg import Truncation, iterate
from models.physics.impurity.nrg_solver import NRGSettings, binned_correlators
from models.physics.impurity.operators import IMPURITY_OPERATORS, carry
from models.physics.impurity.shell import SPIN_DN, SPIN_UP, links
from models.physics.impurity.thermodynamics import static_susceptibility
from models.physics.impurity.wilson_chain import wilson_chain

TEMPERATURE, N_SITES, LAMBDA, Z = 0.05, 3, 2.5, 0.5
WHOLE = Truncation(discretization=LAMBDA, n_keep=10_000)


def impurity(field: float) -> AndersonImpurity:
    return AndersonImpurity(interaction=0.3, level=-0.1, hybridization=0.05, field=field)


def exact(field: float) -> ExactChain:
    hoppings = [math.sqrt(2 * 0.05 / math.pi), *wilson_chain(LAMBDA, Z, N_SITES)]
    return ExactChain(impurity(field), np.array(hoppings))


@pytest.fixture(scope="module", params=[0.0, 0.04, -0.04], ids=["zero field", "field up", "field down"])
def chain(request):
    """An untruncated chain of three sites (256 states) by both routes; zero field takes the spin-flipped path."""
    shells = iterate(impurity(request.param), WHOLE, z=Z, n_sites=N_SITES)
    return shells, density_matrix(shells, TEMPERATURE, N_SITES), exact(request.param)


def test_energies_are_exact(chain):
    shells, _, oracle = chain
    assert_allclose(np.sort(shells[-1].energies) * shells[-1].scale, oracle.energies, atol=1e-13)


def test_occupations_are_exact(chain):
    _, density, oracle = chain
    empty, up, dn, both = density.impurity_weights
    assert_allclose(
        [empty + up + dn + both, up + both, dn + both, both],
        [1, *(oracle.average(name, TEMPERATURE) for name in ("n_up", "n_dn", "double_occupancy"))],
        atol=1e-12,
    )


@pytest.mark.parametrize(("left", "right"), [("d_up", "d_up"), ("q_up", "d_up"), ("q_dn", "q_dn"), ("d_dn", "d_dn")])
def test_correlators_of_a_small_chain_are_exact(chain, left, right):
    """Poles and residues before any binning, summed at Matsubara frequencies."""
    shells, density, oracle = chain
    frequencies = np.pi * TEMPERATURE * np.array([1.0, 3.0, 9.0])
    found = matsubara_from_blocks(shells, density, left, right, frequencies)
    assert_allclose(found, oracle.matsubara(left, right, TEMPERATURE, frequencies), atol=1e-10)


def matsubara_from_blocks(shells, density, left, right, frequencies):
    """Where nothing is discarded before the last shell, all pairs are discarded pairs of the last one."""
    shell, charge = shells[-1], SPIN_UP if left.endswith("up") else SPIN_DN
    want = np.ones(len(shells), bool)
    a, b = (carry(shells, IMPURITY_OPERATORS[name], want)[-1] for name in (left, right))
    link, weights = links(shell, charge), density.weights[-1]
    total = np.zeros(len(frequencies), complex)
    for ket, bra in enumerate(link.bra):
        if bra < 0:
            continue
        i, k = slice(*shell.state[bra : bra + 2]), slice(*shell.state[ket : ket + 2])
        shape = (shell.size[bra], shell.size[ket])
        assert shell.keep[bra] == shape[0]  # everything kept: the whole block lies in the KX piece
        x, y = (o.kx[link.kx[ket] : link.kx[ket + 1]].reshape(shape) for o in (a, b))
        poles = shell.scale * (shell.energies[k][None, :] - shell.energies[i][:, None])
        residues = x * y * (weights[i][:, None] + weights[k][None, :])
        total += [np.sum(residues / (1j * f - poles)) for f in frequencies]
    return total


@pytest.mark.parametrize("name", ["s_z", "n_d"])
def test_susceptibilities_of_a_small_chain_are_exact(chain, name):
    shells, density, oracle = chain
    _, up, dn, both = density.impurity_weights
    average = {"s_z": (up - dn) / 2, "n_d": up + dn + 2 * both}[name]
    want = needs_discarded_pairs(shells, np.array([TEMPERATURE]), [N_SITES])
    found = static_susceptibility(shells, density, carry(shells, IMPURITY_OPERATORS[name], want), average)
    oracle.operators["n_d"] = oracle.operators["n_up"] + oracle.operators["n_dn"]
    assert found == pytest.approx(oracle.static_susceptibility(name, TEMPERATURE), abs=1e-10)


SETTINGS = NRGSettings(discretization=3.0, n_keep=90, n_z=1)
TEMPERATURES = np.array([1e-5, 2e-2])
ASYMMETRIC = AndersonImpurity(interaction=0.2, level=-0.06, hybridization=0.02, field=1e-3)


@pytest.mark.parametrize("field", [0.0, 3e-3])
def test_sum_rules_hold_to_rounding(field):
    """int A = 1 and <<d n; d+>> integrates to <n_-s>, truncated or not, at every temperature."""
    raw = binned_correlators(
        AndersonImpurity(interaction=0.3, level=-0.1, hybridization=0.03, field=field), SETTINGS, TEMPERATURES
    )
    _, up, dn, both = raw.impurity_weights.T
    totals = raw.histograms.sum(axis=-1)
    assert_allclose(raw.impurity_weights.sum(axis=1), 1, atol=1e-12)
    assert_allclose(totals[:, :, 0], 1, atol=1e-12)
    for correlator in (1, 2):
        assert_allclose(totals[:, :, correlator], np.stack([dn + both, up + both], axis=1), atol=1e-12)


def test_spin_flip_exchanges_the_spins():
    """A_up(w; B) = A_dn(w; -B)."""
    a = binned_correlators(ASYMMETRIC, SETTINGS, TEMPERATURES)
    b = binned_correlators(ASYMMETRIC.spin_flipped(), SETTINGS, TEMPERATURES)
    assert_allclose(a.histograms, b.histograms[:, ::-1], atol=1e-12)


def test_particle_hole_mirror_reflects_the_spectra():
    """A_s(w; eps_d, B) = A_s(-w; -U - eps_d, -B); the composite operator turns into d (1 - n)."""
    a = binned_correlators(ASYMMETRIC, SETTINGS, TEMPERATURES).histograms
    g, f, i = np.moveaxis(
        binned_correlators(ASYMMETRIC.particle_hole_mirror(), SETTINGS, TEMPERATURES).histograms, 2, 0
    )
    mirrored = np.stack([g, g - f, g - 2 * f + i], axis=2)[..., ::-1]
    assert_allclose(a, mirrored, atol=1e-12)


def test_zero_field_path_agrees_with_the_general_one():
    """The spin-flipped blocks are a shortcut: a field of 1e-12 D takes the general path to the same curves."""
    free = AndersonImpurity(interaction=0.2, level=-0.06, hybridization=0.02)
    tilted = AndersonImpurity(interaction=0.2, level=-0.06, hybridization=0.02, field=1e-12)
    a, b = (binned_correlators(x, SETTINGS, np.array([1e-3])).histograms.cumsum(axis=-1) for x in (free, tilted))
    assert_allclose(a, b, atol=1e-6)


def test_occupations_equal_those_of_nrg_ljubljana():
    """Its test74_QSZ (U = 1, Gamma = 0.1, H_B = +0.1 S_z, T = 0.1, Lambda = 2, z = 1, keep = 100, 30 sites): the same
    algorithm with the same truncation, hence the same digits; converged values differ in the second decimal."""
    theirs = AndersonImpurity(interaction=1.0, level=-0.4, hybridization=0.1, field=-0.1)
    shells = iterate(theirs, Truncation(discretization=2.0, n_keep=100), z=1.0, n_sites=30)
    _, up, dn, both = density_matrix(shells, 0.1, 30).impurity_weights
    assert up + dn + 2 * both == pytest.approx(0.9670457122, abs=1e-9)
    assert (up - dn) / 2 == pytest.approx(-0.2067621482, abs=1e-9)


@pytest.mark.parametrize(
    ("wrong", "names"),
    [
        ({"discretization": 1.0, "n_keep": 3}, ["discretization", "n_keep"]),
        ({"discretization": math.nan, "n_keep": 64}, ["discretization"]),
    ],
)
def test_bad_settings_are_all_named(wrong, names):
    with pytest.raises(ValueError, match="expected") as caught:
        Truncation(**wrong)
    assert all(name in str(caught.value) for name in names)


def test_a_temperature_needs_a_chain_that_reaches_it():
    shells = iterate(impurity(0.0), WHOLE, z=Z, n_sites=2)
    with pytest.raises(ValueError, match="longer chain"):
        density_matrix(shells, TEMPERATURE, 3)
