"""Batches of rows in memory, in an order that is a function of (seed, epoch) alone."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler

__all__ = ["EpochBatches", "Rows", "check_rows"]


class EpochBatches(Sampler[list[int]]):
    """Shuffled batches of row numbers; the order is a function of (seed, epoch), a rank takes its share of each."""

    def __init__(self, n_rows: int, batch_size: int, *, seed: int) -> None:
        self.n_rows = n_rows
        self.batch_size = min(batch_size, n_rows)
        self.seed = seed
        self.epoch = 0

    def __len__(self) -> int:
        return self.n_rows // self.batch_size

    def set_epoch(self, epoch: int) -> None:
        """Called by Lightning at the start of every epoch, also when it resumes."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[list[int]]:
        ready = torch.distributed.is_available() and torch.distributed.is_initialized()
        rank, n_ranks = (torch.distributed.get_rank(), torch.distributed.get_world_size()) if ready else (0, 1)
        order = np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=(0, self.epoch))).permutation(
            self.n_rows
        )
        for batch in range(len(self)):
            rows = order[batch * self.batch_size : (batch + 1) * self.batch_size]
            yield rows[rank::n_ranks].tolist()


class Rows(Dataset[Tensor]):
    """Spectra in memory; one item is a whole batch."""

    def __init__(self, rows_BW: np.ndarray) -> None:
        self.rows_BW = torch.as_tensor(np.ascontiguousarray(rows_BW, dtype=np.float32))

    def __len__(self) -> int:
        return len(self.rows_BW)

    def __getitem__(self, rows: list[int]) -> Tensor:
        return self.rows_BW[rows]


def check_rows(what: str, n_columns: int, train_BW: np.ndarray, validation_BW: np.ndarray) -> None:
    """Raises ValueError for another shape than (at least 1, n_columns) and for cells that are not finite."""
    problems = []
    for name, rows in (("training", train_BW), ("validation", validation_BW)):
        if rows.ndim != 2 or rows.shape[0] == 0 or rows.shape[1] != n_columns:
            problems.append(f"{name} {what}: found shape {rows.shape}, expected (at least 1, {n_columns})")
        elif not np.isfinite(rows).all():
            problems.append(f"{name} {what}: {int((~np.isfinite(rows)).sum())} cells are not finite")
    if problems:
        raise ValueError("; ".join(problems))
