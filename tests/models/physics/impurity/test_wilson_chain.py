"""The Wilson chain against closed forms and an independent code."""

from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from models.physics.impurity.wilson_chain import flat_band_star, lanczos_hoppings, precise, wilson_chain


@pytest.mark.parametrize("lambda_", [1.8, 2.5, 4.0])
def test_hoppings_follow_wilsons_closed_form(lambda_):
    """Plain logarithmic discretisation, z = 1: Wilson's hoppings (Rev. Mod. Phys. 47, 773 (1975))."""
    n = 30
    mp = precise(lambda_, n)
    base = mp.mpf(lambda_)
    edges = [base**-j for j in range(n + 60)]
    energies = [(1 + 1 / base) / 2 * e for e in edges]
    weights = [(1 - 1 / base) / 2 * e for e in edges]
    m = np.arange(n - 1)
    wilson = (
        (1 + 1 / lambda_) / 2 * (1 - lambda_ ** (-m - 1.0))
        / np.sqrt((1 - lambda_ ** (-2.0 * m - 1)) * (1 - lambda_ ** (-2.0 * m - 3))) * lambda_ ** (-m / 2)
    )  # fmt: skip
    assert_allclose(lanczos_hoppings(energies, weights, n, mp), wilson, rtol=1e-13)


def test_chain_equals_that_of_nrg_ljubljana():
    """xi_0 ... of its test74_QSZ: Lambda = 2, z = 1, discretization Z; printed to 15 digits."""
    expected = [0.545287470842623, 0.415509468291754, 0.321899177676092, 0.240269409458171]
    assert_allclose(wilson_chain(2.0, 1.0, 30)[:4], expected, rtol=3e-9)


def test_star_holds_the_whole_band_once():
    mp = precise(2.5, 10)
    energies, weights = flat_band_star(2.5, 0.37, 200, mp)
    assert float(2 * mp.fsum(weights)) == pytest.approx(1, abs=1e-15)
    assert all(a > b for a, b in pairwise(energies))


@pytest.mark.parametrize("z", [0.25, 1.0])
@pytest.mark.parametrize("lambda_", [2.5, 5.0, 8.0])
def test_long_chains_stay_stable(lambda_, z):
    """t_n Lambda^(n/2) settles to a constant; the recursion blows up where digits are too few."""
    hoppings = wilson_chain(lambda_, z, 70) * lambda_ ** (np.arange(69) / 2)
    assert_allclose(hoppings[40:], hoppings[-1], rtol=1e-12)


def test_a_chain_is_the_beginning_of_a_longer_one():
    assert_allclose(wilson_chain(3.0, 0.5, 20), wilson_chain(3.0, 0.5, 50)[:19], rtol=1e-12)


def test_threads_do_not_disturb_each_other():
    """mpmath's own precision is global to the process; chains made at once in four threads equal the serial ones."""
    tasks = [(lambda_, 0.5, n) for lambda_ in (2.0, 2.2, 2.7, 3.3) for n in (12, 60)]
    wilson_chain.cache_clear()
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda task: wilson_chain(*task), tasks))
    wilson_chain.cache_clear()
    for task, found in zip(tasks, together, strict=True):
        assert_array_equal(found, wilson_chain(*task))
