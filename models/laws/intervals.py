"""Bootstrap intervals of linear coefficients: rows drawn with replacement, y = D c refitted, percentiles of c.

The refit works on an orthonormal basis, D = Q R, where the resampled normal equations (Q^T W Q) b = Q^T W y are well
conditioned, and c = R^-1 b. The interval is conditional on the terms of D: it knows nothing of the search which chose
them, nor of smooth model error.
"""

from dataclasses import dataclass

import numpy as np

from models.laws.symbolic_engine import FloatArray

__all__ = ["Interval", "bootstrap_coefficients", "interval_of", "r_squared"]


@dataclass(frozen=True, kw_only=True)
class Interval:
    coefficient: float
    low: float
    high: float

    def inside(self, low: float, high: float) -> bool:
        return low <= self.low and self.high <= high


def bootstrap_coefficients(design: FloatArray, target: FloatArray, n_bootstrap: int, seed: int) -> FloatArray:
    """Coefficients (1 + n_bootstrap, n_columns): first those of all rows, then one row for every resample."""
    scale = np.linalg.norm(design, axis=0)
    q, r = np.linalg.qr(design / scale)
    rng = np.random.default_rng(seed)
    n = len(target)
    counts = rng.multinomial(n, np.full(n, 1.0 / n), size=n_bootstrap).astype(float)  # (n_bootstrap, n_samples)
    weights = np.concatenate([np.ones((1, n)), counts])
    k = q.shape[1]
    normal = (weights @ (q[:, :, None] * q[:, None, :]).reshape(n, k * k)).reshape(-1, k, k) + 1e-12 * np.eye(k)
    right = weights @ (q * target[:, None])
    solved = np.linalg.solve(normal, right[:, :, None])[:, :, 0]  # (1 + n_bootstrap, n_columns)
    return np.asarray(np.linalg.solve(r, solved.T).T / scale, dtype=float)


def interval_of(samples: FloatArray, confidence: float) -> Interval:
    """Point samples[0] with the percentile interval of samples[1:]."""
    tail = 50.0 * (1.0 - confidence)
    low, high = np.percentile(samples[1:], [tail, 100.0 - tail])
    return Interval(coefficient=float(samples[0]), low=float(low), high=float(high))


def r_squared(target: FloatArray, prediction: FloatArray) -> float:
    """1 - SSE/SST; minus infinity when the prediction is not finite."""
    if not np.isfinite(prediction).all():
        return float("-inf")
    return float(1.0 - np.sum((target - prediction) ** 2) / np.sum((target - target.mean()) ** 2))
