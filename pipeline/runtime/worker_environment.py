"""Variables of worker processes, wherever they run: one thread each, and memory that is kept."""

__all__ = ["WORKER_ENVIRONMENT"]

WORKER_ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "NUMBA_NUM_THREADS": "1",
    # Dask's default makes glibc hand every freed array back to the kernel: a quarter of the training time, measured.
    "MALLOC_TRIM_THRESHOLD_": str(2**30),
    "MALLOC_MMAP_THRESHOLD_": str(2**30),
}
