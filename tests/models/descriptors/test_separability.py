"""AUC: 0.5 where surrogates have the law of the data, 1 where the order is in the phases."""

import numpy as np
import pytest
from scipy.spatial import cKDTree

from models.descriptors.separability import area_under_curve, separability
from models.descriptors.surrogates import periodic_component, phase_surrogates

N = 80


def gaussian_fields(size: int, seed: int, n: int = N) -> np.ndarray:
    """Periodic Gaussian random fields whose correlation length varies."""
    rng = np.random.default_rng(seed)
    k = np.hypot(*np.meshgrid(np.fft.fftfreq(size), np.fft.fftfreq(size), indexing="ij"))
    width = rng.uniform(0.05, 0.12, n)
    noise = np.fft.fft2(rng.standard_normal((n, size, size)))
    fields = np.fft.ifft2(noise * np.exp(-((k / width[:, None, None]) ** 2) / 2)).real
    return (fields - fields.mean((1, 2), keepdims=True)) / fields.std((1, 2), keepdims=True)


def cells(size: int, seed: int) -> np.ndarray:
    """Walls of periodic Voronoi cells."""
    pixels = np.argwhere(np.ones((size, size))).astype(float)
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(N):
        distances, _ = cKDTree(rng.random((30, 2)) * size, boxsize=size).query(pixels, k=2)
        made.append(1 - np.exp(-(((distances[:, 1] - distances[:, 0]) / 2) ** 2)).reshape(size, size))
    return np.array(made)


def features(fields: np.ndarray) -> np.ndarray:
    """Moments of derivatives and of their products: blind to nothing that these tests need, and no network."""
    dy, dx = (np.diff(fields, axis=axis, append=0)[:, :-1, :-1] for axis in (1, 2))
    inner = fields[:, :-1, :-1]
    local = np.stack([inner, dx, dy, inner * dx, inner * dy, dx * dy], axis=-1).reshape(len(fields), -1, 6)
    return np.concatenate([(local**p).mean(1) for p in (2, 3, 4)], axis=1)


def judged(fields: np.ndarray, **options: bool) -> tuple[float, float, float]:
    surrogates = phase_surrogates(fields, 5, **options)
    found = separability(features(fields), features(surrogates), np.arange(len(fields)), seed=1)
    return found.auc, found.low, found.high


def test_a_gaussian_random_field_is_not_separated_from_its_surrogates():
    auc, low, high = judged(gaussian_fields(48, 0))
    assert low < 0.5 < high
    assert abs(auc - 0.5) < 0.12


def test_cells_are_separated_from_their_surrogates():
    auc, low, _ = judged(cells(48, 0))
    assert auc > 0.99 and low > 0.97


def test_cells_are_separated_when_grey_levels_agree_too():
    auc, low, _ = judged(cells(48, 1), match_histogram=True)
    assert auc > 0.95 and low > 0.9


def test_pair_statistics_see_nothing():
    """Features that are functions of |F| agree within rounding: the AUC is a half whatever the image is."""
    fields = cells(32, 2)
    moduli = [np.abs(np.fft.fft2(u)).reshape(N, -1)[:, :100] for u in (fields, phase_surrogates(fields, 1))]
    found = separability(moduli[0], moduli[1], np.arange(N))
    assert found.auc == pytest.approx(0.5, abs=0.01)


def test_a_cut_out_gaussian_field_needs_its_periodic_component():
    """The jump across the border spreads over all phases, and would be taken for structure."""
    cut = gaussian_fields(128, 0, 200)[:, :40, :40]
    raw, mended = (judged(fields)[0] for fields in (cut, np.array([periodic_component(field) for field in cut])))
    assert raw > 0.6
    assert abs(mended - 0.5) < (raw - 0.5) / 2


def test_copies_in_one_group_are_never_learnt_from():
    """Features that only name the group: memorised with leakage, worth nothing without."""
    rng = np.random.default_rng(0)
    real, surrogate = (np.repeat(rng.normal(size=(10, 30)), 8, axis=0) for _ in range(2))
    found = separability(real, surrogate, np.repeat(np.arange(10), 8), n_folds=5)
    assert found.low < 0.5 < found.high or abs(found.auc - 0.5) < 0.2


def test_the_area_under_the_curve_counts_pairs():
    assert area_under_curve(np.array([1.0, 2.0]), np.array([0.0, 1.0])) == pytest.approx(3.5 / 4)
    assert area_under_curve(np.zeros(3), np.zeros(4)) == 0.5


@pytest.mark.parametrize(
    ("n_groups", "spoil", "said"),
    [(3, 0.0, "found 3 groups, expected at least n_folds = 5"), (9, np.nan, "not finite")],
)
def test_what_cannot_be_judged_is_refused(n_groups: int, spoil: float, said: str):
    values = np.random.default_rng(0).normal(size=(20, 2)) + spoil
    with pytest.raises(ValueError, match=said):
        separability(values, values, np.arange(20) % n_groups)
