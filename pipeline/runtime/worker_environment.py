"""How workers compute, wherever they run: on one thread each, with memory that is kept."""

import contextlib
import os
from collections.abc import Iterator

from threadpoolctl import threadpool_limits

__all__ = ["WORKER_ENVIRONMENT", "one_thread"]

WORKER_ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "NUMBA_NUM_THREADS": "1",
    # Dask's default makes glibc hand every freed array back to the kernel: a quarter of the training time, measured.
    "MALLOC_TRIM_THRESHOLD_": str(2**30),
    "MALLOC_MMAP_THRESHOLD_": str(2**30),
}


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Compute in this process as a worker does: sums of more threads have other last digits.

    Only libraries that are loaded can be limited. Numba loads SciPy's BLAS with its first product of matrices, so it is
    loaded here; what comes later, such as torch, reads the environment.
    """
    import scipy.linalg.cython_blas  # noqa: F401

    before = {name: os.environ.get(name) for name in WORKER_ENVIRONMENT}
    os.environ.update(WORKER_ENVIRONMENT)
    try:
        with threadpool_limits(limits=1):
            yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
