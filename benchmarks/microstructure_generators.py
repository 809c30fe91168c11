"""Images per second and core of the microstructure generators, beside the usual formulations of their inner loops.

    python benchmarks/microstructure_generators.py [--runs 5]

CPU seconds of one thread: all cases take turns; medians over the runs are printed. Peers: the two nearest seeds by
`scipy.spatial.cKDTree`, and Perlin noise by looking up the four gradients of every pixel. Results: the .md file beside
this script.
"""

import argparse
import os
import platform
import time
from collections.abc import Callable

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from scipy.spatial import cKDTree

from models.physics.microstructure.cahn_hilliard import CahnHilliard, cahn_hilliard
from models.physics.microstructure.lamellae import Lamellae, lamellae
from models.physics.microstructure.perlin import fractal_noise
from models.physics.microstructure.phase_order import PhaseOrder, phase_order
from models.physics.microstructure.voronoi import Voronoi, draw_seeds, nearest_seeds, voronoi

N_STEPS = 200


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    runs = parser.parse_args().runs
    print(f"numpy {np.__version__}, {platform.machine()}, median of {runs} runs\n")
    print("| 128 px, one core | ms per image | images per second |\n|---|---|---|")
    for name, seconds in interleaved(images((128, 128)), runs).items():
        print(f"| {name} | {1e3 * seconds:.2f} | {1 / seconds:.0f} |")
    print("\n| inner loop, 128 px | ms |\n|---|---|")
    for name, seconds in interleaved(inner_loops((128, 128)), runs).items():
        print(f"| {name} | {1e3 * seconds:.2f} |")
    print("\n| ns per pixel | 64 px | 128 px | 256 px | 512 px | 1024 px |\n|---|---|---|---|---|---|")
    sizes = {n: interleaved(few(images((n, n))), runs) for n in (64, 128, 256, 512, 1024)}
    for name in sizes[64]:
        print(f"| {name} | " + " | ".join(f"{1e9 * times[name] / n**2:.0f}" for n, times in sizes.items()) + " |")


def images(shape: tuple[int, int]) -> dict[str, Callable[[], object]]:
    rng = np.random.default_rng(0)
    cases: dict[str, Callable[[], object]] = {}
    for scale in (8.0, 16.0):
        params = Lamellae(angle=0.7, noise_strength=1.0, scale_px=scale, shape=shape)
        cases[f"lamellae, scale {scale:g} px"] = lambda p=params: lamellae(p, rng)
    for scale in (10.0, 20.0):
        cells = PhaseOrder(phase_order=0.5, scale_px=scale, shape=shape)
        cases[f"phase_order, scale {scale:g} px"] = lambda p=cells: phase_order(p, rng)
    grains = Voronoi(scale_px=14.0, shape=shape)
    cases["voronoi, scale 14 px"] = lambda: voronoi(grains, rng)
    spinodal = CahnHilliard(composition=0.0, n_steps=N_STEPS, shape=shape)
    cases[f"cahn_hilliard, {N_STEPS} steps"] = lambda: cahn_hilliard(spinodal, rng)
    return cases


def few(cases: dict[str, Callable[[], object]]) -> dict[str, Callable[[], object]]:
    return {name: cases[name] for name in ("lamellae, scale 16 px", "phase_order, scale 20 px", "voronoi, scale 14 px")}


def inner_loops(shape: tuple[int, int]) -> dict[str, Callable[[], object]]:
    rng = np.random.default_rng(0)
    seeds = draw_seeds(14.0, shape, rng)
    pixels = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1)
    return {
        "two nearest seeds, candidates per block": lambda: nearest_seeds(seeds, shape, periodic=True),
        "two nearest seeds, cKDTree": lambda: cKDTree(seeds, boxsize=shape).query(pixels, k=2),
        "4 octaves, products of interpolation matrices": lambda: fractal_noise(shape, 24.0, 4, rng),
        "4 octaves, gradients looked up per pixel": lambda: looked_up(shape, 24.0, 4, rng),
    }


def looked_up(shape: tuple[int, int], cell_px: float, n_octaves: int, rng: np.random.Generator) -> np.ndarray:
    """The same noise with four gathers per pixel and octave."""
    total = np.zeros(shape)
    for octave in range(n_octaves):
        cell = cell_px / 2**octave
        v, u = (rng.random() + np.arange(n) / cell for n in shape)
        y, x = v.astype(int), u.astype(int)
        direction = rng.uniform(0, 2 * np.pi, (y[-1] + 2, x[-1] + 2))
        along_y, along_x = np.sin(direction), np.cos(direction)
        v, u = (v - y)[:, None], u - x
        fades = [(t**3 * (10 - 15 * t + 6 * t * t)) for t in (v, u)]
        for i in (0, 1):
            for j in (0, 1):
                corner = np.ix_(y + i, x + j)
                weight = (fades[0] if i else 1 - fades[0]) * (fades[1] if j else 1 - fades[1])
                total += 0.5**octave * weight * (along_x[corner] * (u - j) + along_y[corner] * (v - i))
    return total


def interleaved(tasks: dict[str, Callable[[], object]], runs: int) -> dict[str, float]:
    """Median CPU seconds of each; every turn repeats a task for about 0.1 s, the first turn warms up."""
    repeats, seconds = {}, {name: [] for name in tasks}
    for turn in range(runs + 1):
        for name, task in tasks.items():
            n = repeats.get(name, 1)
            start = time.process_time()
            for _ in range(n):
                task()
            spent = (time.process_time() - start) / n
            if turn:
                seconds[name].append(spent)
            else:
                repeats[name] = max(1, int(0.1 / max(spent, 1e-6)))
    return {name: float(np.median(values)) for name, values in seconds.items()}


if __name__ == "__main__":
    main()
