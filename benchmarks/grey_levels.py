"""What two numbers of the histogram say of the hidden order: skewness and kurtosis of the grey levels, without pairs.

    python benchmarks/grey_levels.py

Micrographs of generator `phase_order` as params.yaml draws them. The Fourier modulus does not depend on the order t, so
the two-point function does not either; the histogram does, for scrambled phases make grey levels Gaussian. Linear R2 of
t out of fold over parameter points, as stage `embedding` judges its maps.
"""

import numpy as np
from scipy.stats import kurtosis, skew

from models.laws.recovery import RecoveryRules, linear_recovery
from pipeline.microstructure.microstructures import MicrostructuresParams, draw_micrographs, make_shard
from pipeline.runtime.params import load_params, read_section
from stores.microstructures import GENERATORS

FEATURES = {"skewness": (skew,), "kurtosis": (kurtosis,), "skewness and kurtosis": (skew, kurtosis)}


def main() -> None:
    params = load_params(MicrostructuresParams, "microstructures")
    chosen = [m for m in draw_micrographs(params) if m.generator == list(GENERATORS).index("phase_order")]
    images = make_shard(chosen, seed=params.seed)["image"]
    pixels_NP = images.reshape(len(images), -1)
    order = np.array([[micrograph.point.phase_order] for micrograph in chosen])
    groups = np.array([micrograph.group for micrograph in chosen])
    section = read_section("embedding")
    rules = RecoveryRules(
        seeds=tuple(section["seeds"]),
        n_folds=section["n_folds"],
        n_neighbours=section["n_regression_neighbours"],
        n_bootstrap=section["n_bootstrap"],
    )
    print("| numbers of the histogram | R2 of the hidden order |\n|---|---|")
    for name, functions in FEATURES.items():
        features_ND = np.column_stack([function(pixels_NP, axis=1) for function in functions])
        found = linear_recovery(features_ND, {"phase_order": order}, groups, rules)["phase_order"]
        print(f"| {name} | {found.value:.3f} [{found.low:.3f}, {found.high:.3f}] |")


if __name__ == "__main__":
    main()
