"""What a dataset of spectra costs when `n_hamiltonians` grows by a tenth: shards made, bytes pushed to S3.

    PYTHONPATH=. python benchmarks/growth.py [N_SPECTRA ...]     after `latentlaw repro spectra`; prints a table

The spectra of data/spectra.zarr again and again, as in dataset_size.py: no impurity is solved. The server is that of
tests/stores/remotes, so the extras `dev` are needed; bytes are those of a TCP proxy before it.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.dataset_size import CLONE, STORE, columns_by_hamiltonian, recipe
from pipeline.runtime.execution import Execution
from pipeline.runtime.shards import generate_store
from stores.zarr_store import open_store
from tests.stores.remotes.clones import dvc, git, run, set_credentials, set_remote
from tests.stores.remotes.proxy import proxied
from tests.stores.remotes.s3_server import s3_server

SIZES = (14_266, 100_000, 600_000)
MB = 1e6


def main() -> None:
    if sys.argv[1:2] == ["--row"]:
        sizes = n_hamiltonians(int(sys.argv[2]))
        with tempfile.TemporaryDirectory() as name:
            print("| " + " | ".join(grown(Path(name) / "repository", *sizes)) + " |", flush=True)
        return
    print("| spectra | MB | files | shards made | pushed, MB | grown to | MB | files | shards made | pushed, MB | % |")
    print("|---" * 11 + "|", flush=True)
    for n_spectra in [int(word) for word in sys.argv[1:]] or SIZES:  # each with a server that knows nothing yet
        subprocess.run([sys.executable, __file__, "--row", str(n_spectra)], check=True)


def n_hamiltonians(n_spectra: int) -> list[int]:
    """For so many spectra, and for a tenth more `n_hamiltonians`; held-out ones have fewer spectra, and stay."""
    blocks = columns_by_hamiltonian(CLONE / STORE)
    rows = np.array([len(block["hamiltonian"]) for block in blocks])
    held_out = np.array([block["held_out"][0] for block in blocks])
    n = round((n_spectra - rows[held_out].sum()) / rows[~held_out].mean())
    return [int(held_out.sum()) + n, int(held_out.sum()) + round(1.1 * n)]


def grown(folder: Path, *sizes: int) -> list[str]:
    """Cells of the table, for numbers of Hamiltonians."""
    folder.mkdir()
    os.chdir(folder)
    os.environ["LATENTLAW_SCRATCH"] = str(folder.parent / "scratch")
    git("init", "-q", "-b", "main", cwd=folder)
    run(sys.executable, "-m", "dvc", "init", "-q", cwd=folder)
    git("add", "-A", cwd=folder)
    git("commit", "-qm", "begin", cwd=folder)
    cells, n_shards = [], 0
    with s3_server() as server, proxied(server.port) as proxy:
        set_remote(folder, server.url(proxy.port), server.settings(proxy.port))
        set_credentials(folder, server.credentials)
        for size in sizes:
            generate_store(recipe(size), Execution(scheduler="serial"))
            kept = len(list(Path(os.environ["LATENTLAW_SCRATCH"]).rglob("*.task")))
            assert dvc("add", "-q", str(STORE), cwd=folder).code == 0
            proxy.reset()
            reply = dvc("push", cwd=folder, limit_s=3600)
            assert reply.code == 0, reply.text
            files = [file.stat().st_size for file in STORE.rglob("*") if file.is_file()]
            rows = open_store(STORE).sizes["sample"]
            cells += [f"{rows}", f"{sum(files) / MB:.1f}", f"{len(files)}", f"{kept - n_shards}"]
            cells.append(f"{proxy.total / MB:.1f}")
            n_shards = kept
    return [*cells, f"{100 * float(cells[-1]) / float(cells[-4]):.1f}"]


if __name__ == "__main__":
    main()
