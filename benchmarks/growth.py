"""What a dataset of spectra costs when `n_hamiltonians` grows by a tenth: shards made, bytes pushed to S3.

    PYTHONPATH=. python benchmarks/growth.py [N_SPECTRA ...]         after `latentlaw repro spectra`; prints a table
    PYTHONPATH=. python benchmarks/growth.py --stores SMALL LARGE    what a push of LARGE moves where SMALL is there

The spectra of data/spectra.zarr again and again, as in dataset_size.py: no impurity is solved. The server is that of
tests/stores/remotes, so the extras `dev` are needed; bytes are those of a TCP proxy before it.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
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
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sizes", type=int, nargs="*", default=SIZES, metavar="N_SPECTRA")
    parser.add_argument("--stores", type=Path, nargs=2, metavar=("SMALL", "LARGE"))
    parser.add_argument("--row", action="store_true", help="only the row of the table, in this process")
    arguments = parser.parse_args()
    if arguments.stores or arguments.row:
        with tempfile.TemporaryDirectory() as name:
            os.environ["LATENTLAW_SCRATCH"] = str(Path(name) / "scratch")
            if arguments.stores:
                makers = [partial(shutil.copytree, store.resolve(), STORE) for store in arguments.stores]
            else:
                sizes = n_hamiltonians(arguments.sizes[0])
                makers = [partial(generate_store, recipe(n), Execution(scheduler="serial")) for n in sizes]
            print("| " + " | ".join(pushed(Path(name) / "repository", makers)) + " |", flush=True)
        return
    print("| spectra | MB | files | shards made | pushed, MB | grown to | MB | files | shards made | pushed, MB | % |")
    print("|---" * 11 + "|", flush=True)
    for n_spectra in arguments.sizes:  # each with a server that knows nothing yet
        subprocess.run([sys.executable, __file__, "--row", str(n_spectra)], check=True)


def n_hamiltonians(n_spectra: int) -> list[int]:
    """For so many spectra, and for a tenth more `n_hamiltonians`; held-out ones have fewer spectra, and stay."""
    blocks = columns_by_hamiltonian(CLONE / STORE)
    rows = np.array([len(block["hamiltonian"]) for block in blocks])
    held_out = np.array([block["held_out"][0] for block in blocks])
    n = round((n_spectra - rows[held_out].sum()) / rows[~held_out].mean())
    return [int(held_out.sum()) + n, int(held_out.sum()) + round(1.1 * n)]


def pushed(folder: Path, makers: Sequence[Callable[[], object]]) -> list[str]:
    """Cells of the table: each of `makers` makes the store anew in a repository, which is pushed."""
    folder.mkdir()
    os.chdir(folder)
    git("init", "-q", "-b", "main", cwd=folder)
    run(sys.executable, "-m", "dvc", "init", "-q", cwd=folder)
    git("add", "-A", cwd=folder)
    git("commit", "-qm", "begin", cwd=folder)
    cells, n_shards = [], 0
    with s3_server() as server, proxied(server.port) as proxy:
        set_remote(folder, server.url(proxy.port), server.settings(proxy.port))
        set_credentials(folder, server.credentials)
        for make in makers:
            shutil.rmtree(STORE, ignore_errors=True)
            make()
            kept = len(list(Path(os.environ["LATENTLAW_SCRATCH"]).rglob("*.task")))
            assert dvc("add", "-q", str(STORE), cwd=folder).code == 0
            proxy.reset()
            reply = dvc("push", cwd=folder, limit_s=3600)
            assert reply.code == 0, reply.text
            files = [file.stat().st_size for file in STORE.rglob("*") if file.is_file()]
            rows = open_store(STORE).sizes["sample"]
            cells += [f"{rows}", f"{sum(files) / MB:.1f}", f"{len(files)}", f"{kept - n_shards}"]
            cells.append(f"{proxy.total / MB:.1f}")
            n_shards, share = kept, proxy.total / sum(files)
    return [*cells, f"{100 * share:.1f}"]


if __name__ == "__main__":
    main()
