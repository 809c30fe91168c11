import numpy as np
import pytest
from scipy import stats

from models.laws.correlation import (
    associations,
    distance_correlation,
    mutual_information,
    spearman,
)
from models.laws.groups import cluster_counts


def sample(n=300, seed=0):
    rng = np.random.default_rng(seed)
    x = np.round(rng.normal(size=n), 1)  # with ties
    return x, x + rng.normal(size=n)


def test_spearman_with_ties_agrees_with_scipy():
    x, y = sample()
    assert spearman(x, y) == pytest.approx(stats.spearmanr(x, y)[0], abs=1e-12)


def test_row_multiplicities_are_copies():
    x, y = sample(60)
    weights = np.random.default_rng(1).integers(0, 4, size=60)
    copied = np.repeat(np.arange(60), weights)
    assert spearman(x, y, weights.astype(float)) == pytest.approx(stats.spearmanr(x[copied], y[copied])[0], abs=1e-12)
    one = distance_correlation(x, y, weights[None].astype(float))[0]
    other = distance_correlation(x[copied], y[copied], np.ones((1, len(copied))))[0]
    assert one == pytest.approx(other, abs=1e-12)


def test_distance_correlation_follows_its_definition():
    x, y = sample(80)

    def centred(v):
        d = np.abs(v[:, None] - v)
        return d - d.mean(0) - d.mean(1)[:, None] + d.mean()

    a, b = centred(x), centred(y)
    expected = np.sqrt((a * b).mean() / np.sqrt((a * a).mean() * (b * b).mean()))
    assert distance_correlation(x, y, np.ones((1, 80)))[0] == pytest.approx(expected, abs=1e-12)


def test_distance_correlation_is_one_for_a_line_and_sees_a_parabola():
    x = np.arange(-100.0, 101.0)
    assert distance_correlation(x, -3 * x, np.ones((1, 201)))[0] == pytest.approx(1, abs=1e-12)
    assert distance_correlation(x, x**2, np.ones((1, 201)))[0] > 0.4
    assert spearman(x, x**2) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("rho", [0.0, 0.5, 0.9])
def test_mutual_information_of_gaussians_follows_the_closed_form(rho):
    rng = np.random.default_rng(0)
    x, noise = rng.normal(size=(2, 20000))
    y = rho * x + np.sqrt(1 - rho**2) * noise
    found = mutual_information(x, y, np.ones((1, len(x))))[0]
    assert found == pytest.approx(-0.5 * np.log(1 - rho**2), abs=0.05)


def test_pearson_agrees_with_scipy_and_intervals_hold_the_estimate():
    x, y = sample()
    found = associations(np.column_stack([x, y]), y[:, None], np.arange(300), n_bootstrap=50, seed=0)
    assert found[0][0].pearson.value == pytest.approx(stats.pearsonr(x, y)[0], abs=1e-12)
    assert found[1][0].spearman.value == pytest.approx(1, abs=1e-12)
    for line in found:
        for name in ("pearson", "spearman", "distance_correlation", "mutual_information"):
            interval = getattr(line[0], name)
            assert interval.low <= interval.value <= interval.high


def test_intervals_cover_the_truth_as_often_as_they_say():
    covered = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        x = rng.normal(size=200)
        y = 0.6 * x + 0.8 * rng.normal(size=200)
        interval = associations(
            x[:, None], y[:, None], np.arange(200), n_bootstrap=100, seed=seed, max_rows_distance=20
        )[0][0].pearson
        covered += interval.low <= 0.6 <= interval.high
    assert 50 <= covered <= 60


def test_copies_of_a_row_do_not_narrow_the_interval():
    x, y = sample(60)
    single = associations(x[:, None], y[:, None], np.arange(60), n_bootstrap=200, seed=0)[0][0].spearman
    index = np.repeat(np.arange(60), 4)
    copied = associations(x[index, None], y[index, None], index, n_bootstrap=200, seed=0)[0][0].spearman
    assert copied.high - copied.low == pytest.approx(single.high - single.low, rel=0.15)


def test_clusters_are_drawn_together():
    groups = np.array([0, 0, 1, 1, 1, 2])
    counts = cluster_counts(groups, 40, np.random.default_rng(0))
    assert (counts[:, 0] == counts[:, 1]).all()
    assert (counts[:, 2] == counts[:, 4]).all()
    assert (counts[:, [0, 2, 5]].sum(1) == 3).all()


def test_bad_columns_are_refused_with_all_problems():
    x = np.ones((5, 1))
    x[2] = np.nan
    with pytest.raises(ValueError, match=r"x: 1 cells are not finite.*y: found shape \(4, 1\).*found 2 clusters"):
        associations(x, np.ones((4, 1)), np.array([0, 0, 1, 1, 1]), n_bootstrap=0, seed=0)
