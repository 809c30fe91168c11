"""Scattering through kymatio, and its error without it."""

import importlib.util
import sys

import numpy as np
import pytest
import scipy.special

from models.descriptors.descriptor import DescriptorSettings, make_descriptor
from models.descriptors.scattering import DescriptorUnavailable, ScatteringSettings

SETTINGS = DescriptorSettings(ScatteringSettings(scales=3, angles=4))
IMAGES = np.random.default_rng(0).random((3, 32, 48))
needs_kymatio = pytest.mark.skipif(importlib.util.find_spec("kymatio") is None, reason="needs kymatio")


@needs_kymatio
def test_scattering_sees_contrast_shift_and_batch_in_no_way():
    borrowed = hasattr(scipy.special, "sph_harm")
    descriptor = make_descriptor("scattering", SETTINGS, (32, 48))
    assert hasattr(scipy.special, "sph_harm") == borrowed  # lent for the import only
    features = descriptor.describe(IMAGES)
    assert features.shape == (3, descriptor.n_features) == (3, 12 + 16 * 3)
    np.testing.assert_allclose(np.linalg.norm(features, axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(descriptor.describe(1 + 3 * IMAGES), features, atol=1e-6)
    np.testing.assert_allclose(np.concatenate([descriptor.describe(i[None]) for i in IMAGES]), features, atol=1e-6)


@needs_kymatio
def test_too_small_images_are_refused():
    with pytest.raises(ValueError, match="found images of 4 x 48 pixels, smaller than the receptive field of 3 scales"):
        make_descriptor("scattering", SETTINGS, (4, 48))


def test_without_kymatio_the_way_to_get_it_is_reported(monkeypatch):
    monkeypatch.setitem(sys.modules, "kymatio", None)
    monkeypatch.delitem(sys.modules, "kymatio.numpy", raising=False)
    with pytest.raises(DescriptorUnavailable, match=r"pip install -e '\.\[microstructures\]'"):
        make_descriptor("scattering", SETTINGS, (32, 48))
