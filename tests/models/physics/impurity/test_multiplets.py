"""Spin multiplets against plain states, level by level: energies, density matrix, spectra, static properties."""

import math
import warnings
from dataclasses import fields, replace

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sympy import Rational
from sympy.physics.wigner import wigner_6j

from models.physics.impurity.bath import Bath, NoWeightAtFermiLevel, SpinBaths
from models.physics.impurity.density_matrix import density_matrix, needs_discarded_pairs
from models.physics.impurity.exact import ExactChain
from models.physics.impurity.hamiltonian import AndersonImpurity, ImpurityInBath
from models.physics.impurity.kondo import kondo_temperature
from models.physics.impurity.multiplets.iteration import iterate_multiplets, multiplicity
from models.physics.impurity.multiplets.operators import IMPURITY_TENSORS, carry_tensor, pairs_of
from models.physics.impurity.multiplets.recoupling import DOUBLET, TRIPLET, recoupling, six_j
from models.physics.impurity.multiplets.spectra import impurity_states, multiplet_density
from models.physics.impurity.multiplets.susceptibility import charge_response, spin_response
from models.physics.impurity.multiplets.thermodynamics import multiplet_thermodynamics
from models.physics.impurity.nrg import Truncation, chain_of, iterate, last_sites
from models.physics.impurity.nrg_solver import NRGSettings, NRGSolver, binned_correlators
from models.physics.impurity.thermodynamics import thermodynamics

pytestmark = pytest.mark.physics
with warnings.catch_warnings():
    warnings.simplefilter("ignore", NoWeightAtFermiLevel)
    BATHS = {
        "asymmetric box": Bath.flat(0.05, -0.6, 1.0),
        "pseudogap": Bath.power_law(0.05, 0.25),
        "gapped": Bath([-1, -0.1, -0.1, 0.1, 0.1, 1], [0.05, 0.05, 0, 0, 0.05, 0.05]),
    }
IMPURITIES = {
    "symmetric": AndersonImpurity(interaction=0.2, level=-0.1, hybridization=0.02),
    "asymmetric": AndersonImpurity(interaction=0.3, level=-0.07, hybridization=0.03),
    "attractive": AndersonImpurity(interaction=-0.1, level=0.07, hybridization=0.02),
    "free": AndersonImpurity(interaction=0.0, level=-0.02, hybridization=0.05),
} | {name: ImpurityInBath(interaction=0.3, level=-0.1, bath=bath) for name, bath in BATHS.items()}
TEMPERATURES = np.array([1e-6, 2e-2])
OMEGA = np.concatenate([-np.geomspace(1e-6, 0.95, 200)[::-1], np.geomspace(1e-6, 0.95, 200)])
impurities = pytest.mark.parametrize("impurity", IMPURITIES.values(), ids=IMPURITIES)


def states_of(shell):
    """How many states each multiplet stands for."""
    return np.repeat(multiplicity(shell), shell.size)


def test_six_j_symbols_equal_sympys():
    spins = [
        (a, b, c, d, e, f)
        for a in range(4)
        for b in range(4)
        for c in range(3)
        for d in range(4)
        for e in range(4)
        for f in (1, 2)
        if all(sum(t) % 2 == 0 and max(t) <= sum(t) / 2 for t in ((a, b, c), (a, e, f), (d, b, f), (d, e, c)))
    ]
    assert len(spins) > 50
    for doubled in spins:
        expected = float(wigner_6j(*(Rational(spin, 2) for spin in doubled)))
        assert six_j(*doubled) == pytest.approx(expected, abs=1e-15), doubled
    assert six_j(1, 1, 1, 1, 1, 1) == 0  # three halves make no whole spin


def test_recoupling_of_a_doublet_has_closed_forms():
    """x = 2 S_b. Bra and ket of S -+ 1/2; the older parts may be paired the other way round."""
    x = np.arange(2, 9)
    lower, higher = (recoupling(DOUBLET, kind, 8).factors[..., 2:] for kind in range(2))
    assert_allclose(lower[1, 1], np.sqrt((x + 1) / x))
    assert_allclose(lower[2, 2], np.sqrt(x / (x + 1)))
    assert_allclose(lower[2, 1], 1 / np.sqrt(x * (x + 1)))
    assert_allclose(higher[1, 1], np.sqrt((x + 2) / (x + 1)))
    assert_allclose(higher[2, 2], np.sqrt((x + 1) / (x + 2)))
    assert_allclose(higher[1, 2], -1 / np.sqrt((x + 1) * (x + 2)))
    for table in (lower, higher):
        assert_allclose([table[0, 0], table[3, 3]], 1)
        assert not table[1, 0].any() and not table[0, 3].any()


SMALL = {
    "flat": AndersonImpurity(interaction=0.3, level=-0.1, hybridization=0.05),
    "site energies": ImpurityInBath(interaction=0.3, level=-0.1, bath=BATHS["asymmetric box"]),
}


@pytest.fixture(scope="module", params=SMALL.values(), ids=SMALL)
def small(request):
    """An untruncated chain of three sites, 256 states, and brute force."""
    chain = chain_of(request.param, 2.5, 0.5, 3)
    shells = iterate_multiplets(request.param, Truncation(discretization=2.5, n_keep=10_000), z=0.5, n_sites=3)
    return shells, multiplet_density(shells, 0.05, 3), ExactChain(request.param, chain.hoppings, chain.levels)


def test_energies_of_a_small_chain_are_exact(small):
    shells, _, oracle = small
    found = np.repeat(shells[-1].energies, states_of(shells[-1]))
    assert_allclose(np.sort(found) * shells[-1].scale, oracle.energies, atol=1e-13)


def test_occupations_of_a_small_chain_are_exact(small):
    _, density, oracle = small
    empty, up, dn, both = impurity_states(density)
    assert_allclose(
        [empty + up + dn + both, up + both, dn + both, both],
        [1, *(oracle.average(name, 0.05) for name in ("n_up", "n_dn", "double_occupancy"))],
        atol=1e-12,
    )


@pytest.mark.parametrize(("left", "right"), [("d", "d"), ("q", "d"), ("q", "q")])
def test_correlators_of_a_small_chain_are_exact(small, left, right):
    """Poles and residues before any binning, summed at Matsubara frequencies."""
    shells, density, oracle = small
    frequencies = np.pi * 0.05 * np.array([1.0, 3.0, 9.0])
    want, shell, weights = np.ones(len(shells), bool), shells[-1], density.weights[-1]
    operators = (carry_tensor(shells, IMPURITY_TENSORS[name], want) for name in (left, right))
    found = np.zeros(3, complex)
    for charge, x, y in zip(DOUBLET, *operators, strict=True):
        link = pairs_of(shell, charge)
        for ket, bra in enumerate(link.bra):
            if bra < 0:
                continue
            i, k = slice(*shell.state[bra : bra + 2]), slice(*shell.state[ket : ket + 2])
            block = slice(*link.kx[ket : ket + 2])  # everything is kept
            residues = (x[-1].kx[block] * y[-1].kx[block]).reshape(shell.size[bra], shell.size[ket])
            residues *= weights[i][:, None] + weights[k][None, :]
            poles = shell.scale * (shell.energies[k][None, :] - shell.energies[i][:, None])
            found += [np.sum(residues / (1j * f - poles)) for f in frequencies]
    assert_allclose(found, oracle.matsubara(f"{left}_up", f"{right}_up", 0.05, frequencies), atol=1e-10)


def test_susceptibilities_of_a_small_chain_are_exact(small):
    shells, density, oracle = small
    want = needs_discarded_pairs(shells, np.array([0.05]), [3])
    oracle.operators["n_d"] = oracle.operators["n_up"] + oracle.operators["n_dn"]
    (spin,), (charge,) = spin_response(shells, [density], want), charge_response(shells, [density], want)
    assert spin == pytest.approx(oracle.static_susceptibility("s_z", 0.05), abs=1e-10)
    assert charge == pytest.approx(oracle.static_susceptibility("n_d", 0.05), abs=1e-10)


@pytest.fixture(scope="module", params=[(name, n) for name in IMPURITIES for n in (70, 160)], ids=str)
def both(request):
    """The same truncated chain of states and of multiplets."""
    name, n_keep = request.param
    impurity, truncation = IMPURITIES[name], Truncation(discretization=3.0, n_keep=n_keep)
    (last,) = last_sites(impurity, TEMPERATURES[:1], 3.0, 0.5)
    return tuple(make(impurity, truncation, z=0.5, n_sites=last) for make in (iterate, iterate_multiplets))


def test_every_shell_has_the_same_energies_block_by_block(both):
    """A block (N_up, N_dn) of states holds what all multiplets of this N with S >= |S_z| hold."""
    plain, multiplets = both
    assert len(plain) == len(multiplets)
    for states, shell in zip(plain, multiplets, strict=True):
        assert shell.shift == pytest.approx(states.shift, rel=1e-12)
        for b in range(states.size.size):
            charge, spin = states.n_up[b] + states.n_dn[b], abs(states.n_up[b] - states.n_dn[b])
            members = (shell.n_up + shell.n_dn == charge) & (shell.n_up - shell.n_dn >= spin)
            found = shell.energies[np.repeat(members, shell.size)]
            expected = states.energies[states.state[b] : states.state[b + 1]]
            assert_allclose(np.sort(found), expected, atol=1e-11)
            assert shell.keep[members].sum() == states.keep[b]


def test_truncation_counts_states_and_cuts_no_multiplet(both):
    plain, multiplets = both
    kept = [int(shell.keep @ multiplicity(shell)) for shell in multiplets]
    assert kept == [int(shell.keep.sum()) for shell in plain]
    assert max(shell.energies.size for shell in multiplets) < 0.6 * max(shell.energies.size for shell in plain)


@pytest.mark.parametrize("temperature", [1e-6, 2e-2])
def test_reduced_density_matrices_have_the_same_traces(both, temperature):
    plain, multiplets = both
    last = len(plain) - 1
    states, found = density_matrix(plain, temperature, last), multiplet_density(multiplets, temperature, last)
    assert found.log_z == pytest.approx(states.log_z, rel=1e-11, abs=1e-11)
    assert found.energy == pytest.approx(states.energy, rel=1e-10)
    assert_allclose(impurity_states(found), states.impurity_weights, atol=1e-12)
    for n in range(1, last):
        of_charge = [np.zeros(2 * last + 4) for _ in range(2)]
        for total, shells, density in zip(of_charge, (plain, multiplets), (states, found), strict=True):
            shell = shells[n]
            for b in range(shell.size.size):
                block = density.reduced[n][shell.kept_matrix[b] : shell.kept_matrix[b + 1]]
                times = 1 if shells is plain else multiplicity(shell)[b]
                total[shell.n_up[b] + shell.n_dn[b]] += times * np.trace(block.reshape(2 * [shell.keep[b]]))
        assert_allclose(*of_charge, atol=1e-12)


@impurities
@pytest.mark.parametrize("n_keep", [70, 160])
def test_spectra_are_the_same(impurity, n_keep):
    """Of both estimators of the self-energy, to 1e-10 of the peak; the sums of the binned weights to 1e-12."""
    settings = NRGSettings(discretization=3.0, n_keep=n_keep, n_z=2)
    plain, found = (binned_correlators(impurity, settings, TEMPERATURES, symmetry=s) for s in ("u1", "su2"))
    assert_allclose(found.impurity_weights, plain.impurity_weights, atol=1e-12)
    assert_allclose(found.histograms.sum(axis=-1), plain.histograms.sum(axis=-1), atol=1e-12)
    for estimator in ("bulla", "kugler"):
        chosen = replace(settings, self_energy=estimator)
        a, b = (
            NRGSolver(chosen, symmetry=s).solve(impurity, temperatures=TEMPERATURES, omega=OMEGA) for s in ("u1", "su2")
        )
        for field in fields(a):
            one, other = getattr(a, field.name), getattr(b, field.name)
            assert_allclose(other, one, rtol=0, atol=1e-10 * np.abs(one).max() + 1e-12, err_msg=field.name)


@impurities
def test_static_properties_are_the_same(impurity):
    """The charge susceptibility is a difference of two numbers of the size <n_d>^2 / T, and rounded like those."""
    settings, temperatures = NRGSettings(discretization=3.0, n_keep=100, n_z=2), np.array([1e-6, 1e-3, 0.3])
    one, other = (
        thermodynamics(impurity, settings, temperatures),
        multiplet_thermodynamics(impurity, settings, temperatures),
    )
    for field in fields(one):
        found, expected = getattr(other, field.name), getattr(one, field.name)
        rounded = 1e-13 * (one.n_up + one.n_dn) ** 2 / temperatures if field.name == "charge_susceptibility" else 0
        assert np.all(np.abs(found - expected) <= 1e-10 * (1 + np.abs(expected)) + rounded), field.name


def test_kondo_temperatures_are_the_same():
    settings = NRGSettings(n_keep=100, n_z=2)
    for name in ("symmetric", "asymmetric", "asymmetric box"):
        one, other = (kondo_temperature(IMPURITIES[name], settings, symmetry=s) for s in ("u1", "su2"))
        assert other == pytest.approx(one, rel=1e-10) and math.isfinite(one)


OF_SPINS = SpinBaths(up=BATHS["asymmetric box"], dn=BATHS["pseudogap"])


@pytest.mark.parametrize(
    ("impurity", "message"),
    [
        (AndersonImpurity(interaction=0.2, level=-0.1, hybridization=0.02, field=1e-9), "found B = 1e-09, expected 0"),
        (ImpurityInBath(interaction=0.2, level=-0.1, bath=OF_SPINS), "baths that differ between the spins"),
    ],
    ids=["field", "baths"],
)
def test_spins_that_differ_are_refused(impurity, message):
    with pytest.raises(ValueError, match=f"symmetry su2: .*{message}.*take symmetry u1"):
        NRGSolver(NRGSettings(), symmetry="su2").solve(impurity, temperatures=np.array([1e-3]), omega=np.array([0.1]))
    with pytest.raises(ValueError, match="take symmetry u1"):
        multiplet_thermodynamics(impurity, NRGSettings(), np.array([1e-3]))


def test_another_symmetry_is_refused():
    with pytest.raises(ValueError, match=r"symmetry: found 'so4', expected one of \('u1', 'su2'\)"):
        NRGSolver(NRGSettings(), symmetry="so4")


def test_rank_one_pairs_of_a_block_without_partner_are_left_out():
    """(N_up, N_dn) = (1, 1) with S = 0 has no bra of S = -1; the highest N_dn of a shell looks for none beyond."""
    shells = iterate_multiplets(SMALL["flat"], Truncation(discretization=2.5, n_keep=10_000), z=0.5, n_sites=1)
    link = pairs_of(shells[1], TRIPLET[1])
    names = list(zip(shells[1].n_up.tolist(), shells[1].n_dn.tolist(), strict=True))
    pairs = {names[ket]: names[bra] for ket, bra in enumerate(link.bra) if bra >= 0}
    assert pairs == {(2, 0): (1, 1)}
