"""Would eggp (equality graphs, PyPI) be worth a place among the engines? T_K of the default labels, as one search.

    pip install --no-deps eggp==2.2.2
    python benchmarks/third_engine.py data/kondo_temperatures.zarr [--generations 150] [--nodes 40]

Local moments as in stage `formula`; log(T_K/D) from U/Gamma, eps_d/U and Gamma/D, groups that `models/laws` finds from
units and that eggp is given. A quarter of the rows is held out. Prints its front.
"""

import argparse
import time
from pathlib import Path

import numpy as np
from eggp import EGGP

from stores.kondo_temperatures import KONDO_TEMPERATURES
from stores.zarr_store import open_store


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store", type=Path)
    parser.add_argument("--generations", type=int, default=150)
    parser.add_argument("--nodes", type=int, default=40)
    options = parser.parse_args()
    store = open_store(options.store, KONDO_TEMPERATURES)
    names = ("interaction", "level", "hybridization", "kondo_temperature", "kondo_temperature_error")
    u, e, g, t_k, error = (store[name].values for name in names)
    moments = np.flatnonzero(np.isfinite(t_k) & (u > 8 * g) & (np.abs(1 + 2 * e / u) < 0.7))
    x, y = np.column_stack([u / g, e / u, g])[moments], np.log(t_k[moments])
    held = np.random.default_rng(0).permutation(len(y)) < len(y) // 4
    engine = EGGP(
        gen=options.generations, nPop=200, maxSize=options.nodes, nonterminals="add,sub,mul,div,log,exp",
        loss="MSE", optIter=20, optRepeat=2, folds=1,
    )  # fmt: skip
    start = time.process_time()
    engine.fit(x[~held], y[~held])
    print(f"{time.process_time() - start:.0f} CPU s; {(~held).sum()} rows, {held.sum()} held out")
    print(f"root mean square error of the labels of log T_K: {np.sqrt(np.mean((error / t_k)[moments] ** 2)):.1e}")
    tested = float(np.sqrt(np.mean((engine.predict(x[held]) - y[held]) ** 2)))
    print(f"root mean square error of the best formula on rows held out: {tested:.2g}")
    print("\n| nodes | rms, rows | formula |\n|---|---|---|")
    for _, row in engine.results.iterrows():
        print(f"| {row['size']} | {np.sqrt(row['loss_train']):.2g} | `{row['Expression']}` |")


if __name__ == "__main__":
    main()
