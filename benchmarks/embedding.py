"""Maps of many images: CPU seconds and peak memory against their number, with landmarks.

    OMP_NUM_THREADS=1 python benchmarks/embedding.py            # 500 to 16,000 images
    OMP_NUM_THREADS=1 python benchmarks/embedding.py 50000 100000

Features are a curved surface of three parameters in four dimensions, turned into 112 (about as many as the default
network has) and blurred. Peak memory is what Python allocates (tracemalloc), features included.
"""

import sys
import time
import tracemalloc
from itertools import pairwise

import numpy as np

from models.laws.manifold import choose_dimension, classical_mds, draw_landmarks, isomap, principal_axes

N_FEATURES, N_LANDMARKS = 112, 1000


def main() -> None:
    sizes = [int(word) for word in sys.argv[1:]] or [500, 1000, 2000, 4000, 8000, 16000]
    print("images   features->axes   MDS   Isomap   dimension   CPU s   peak GiB")
    for n in sizes:
        features = cloud(n)
        tracemalloc.start()
        marks = draw_landmarks(n, N_LANDMARKS, seed=0)
        clock = [time.process_time()]
        points = principal_axes(features[marks], 256).project([features])
        clock.append(time.process_time())
        classical_mds(points, marks, 10)
        clock.append(time.process_time())
        embedding = isomap(points, marks, 10, n_neighbours=20)
        clock.append(time.process_time())
        choose_dimension(embedding, n_neighbours=20, minimum_gain=0.01)
        clock.append(time.process_time())
        peak = tracemalloc.get_traced_memory()[1] + features.nbytes
        tracemalloc.stop()
        parts = "   ".join(f"{b - a:9.2f}" for a, b in pairwise(clock))
        print(f"{n:6d}   {parts}   {clock[-1] - clock[0]:7.2f}   {peak / 2**30:.3f}", flush=True)


def cloud(n: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    u = rng.uniform(size=(n, 3))
    radius = 1.5 - u[:, 1]
    surface = np.column_stack([radius * np.cos(2 * np.pi * u[:, 0]), radius * np.sin(2 * np.pi * u[:, 0]), u[:, 1:]])
    turn = np.linalg.qr(rng.normal(size=(N_FEATURES, 4)))[0]
    return (surface @ turn.T + 0.01 * rng.normal(size=(n, N_FEATURES))).astype(np.float32)


if __name__ == "__main__":
    main()
