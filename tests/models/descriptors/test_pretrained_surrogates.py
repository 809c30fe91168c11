"""The pretrained network against surrogates: blind to Gaussian fields that wrap around; cells are seen."""

import numpy as np

from models.descriptors.descriptor import DescriptorSettings, make_descriptor
from models.descriptors.separability import separability
from models.descriptors.surrogates import phase_surrogates
from models.physics.microstructure.phase_order import PhaseOrder, phase_order

SIZE, N = 96, 60


def auc(images: np.ndarray) -> tuple[float, float, float]:
    descriptor = make_descriptor("efficientnet", DescriptorSettings(), images.shape[1:])
    features = [descriptor.describe(u) for u in (images, phase_surrogates(images, 3))]
    found = separability(features[0], features[1], np.arange(len(images)))
    return found.auc, found.low, found.high


def drawn(order: float, size: int) -> np.ndarray:
    rngs = [np.random.default_rng(np.random.SeedSequence(1, spawn_key=(i,))) for i in range(N)]
    scale = np.geomspace(10, 16, N)
    return np.array(
        [
            phase_order(PhaseOrder(phase_order=order, scale_px=s, shape=(size, size)), rng)
            for s, rng in zip(scale, rngs, strict=True)
        ]
    )


def test_cells_are_always_recognised():
    assert auc(drawn(0.0, SIZE))[0] > 0.99


def test_fields_of_random_phases_are_not():
    found, low, high = auc(drawn(1.0, SIZE))
    assert low < 0.5 < high
    assert abs(found - 0.5) < 0.12
