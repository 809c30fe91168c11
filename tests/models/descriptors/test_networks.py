"""Texture networks against the published implementation, and what their statistics must be."""

import importlib.util

import numpy as np
import pytest
import torch

from models.descriptors.cnn_texture import CNNTexture, gram_matrices, receptive_field
from models.descriptors.descriptor import DescriptorSettings, make_descriptor
from models.descriptors.efficientnet import (
    EfficientNetLite0,
    EfficientNetSettings,
    pretrained_efficientnet,
    random_efficientnet,
)
from models.descriptors.vgg19 import NAMES, VGG19, VGG19Settings, random_vgg19
from models.descriptors.weights import PUBLISHED, WeightsError, find_weights, load_state

SHAPE = (96, 128)
IMAGES = np.random.default_rng(3).random((5, *SHAPE), dtype=np.float32)
SETTINGS = DescriptorSettings(VGG19Settings(layers=("conv1_2", "conv2_1")))


@pytest.mark.physics
@pytest.mark.skipif(importlib.util.find_spec("efficientnet_lite_pytorch") is None, reason="needs the published network")
def test_efficientnet_equals_the_published_network():
    from efficientnet_lite_pytorch import EfficientNet

    published = EfficientNet.from_name("efficientnet-lite0").eval()
    published.load_state_dict(load_state(find_weights(PUBLISHED["efficientnet"])))
    ours = pretrained_efficientnet(["b15"]).eval()
    images = torch.from_numpy(IMAGES)[:2]
    with torch.no_grad():
        found = ours(images, ours.layers)
        x = images[:, None].expand(-1, 3, -1, -1) * 2 - 1
        expected = [published._swish(published._bn0(published._conv_stem(x)))]
        for block in published._blocks:
            expected.append(block(expected[-1]))
    for layer, ours_map, theirs in zip(ours.layers, found, expected, strict=True):
        torch.testing.assert_close(ours_map, theirs, rtol=0, atol=1e-5 * float(theirs.abs().max()), msg=layer)


def test_vgg19_is_a_chain_of_convolutions_relu_and_pooling():
    network = random_vgg19(["conv2_2"], 0, pooling="maximum")
    first, second, third, fourth = network.convolutions()
    images = torch.from_numpy(IMAGES)[:1]
    colours = (images[:, None] - torch.tensor([0.485, 0.456, 0.406])[:, None, None]) / network.std[:, None, None]
    with torch.no_grad():
        x = torch.relu(second(torch.relu(first(colours))))
        expected = torch.relu(fourth(torch.relu(third(torch.max_pool2d(x, 2)))))
        found = network(images, ["conv2_2", "conv1_2"])
    torch.testing.assert_close(found[0], expected)
    torch.testing.assert_close(found[1], x)


def test_vgg19_takes_the_names_of_torchvision():
    """A state dict of torchvision: convolutions numbered among ReLU and pooling, and a classifier to be passed over."""
    numbers = [0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25, 28, 30, 32, 34]
    inputs = [3, 64, 64, 128, 128, 256, 256, 256, 256, 512, 512, 512, 512, 512, 512, 512]
    outputs = [*inputs[1:], 512]
    state = {"classifier.0.weight": torch.zeros(1)}
    for number, n_in, n_out in zip(numbers, inputs, outputs, strict=True):
        state[f"features.{number}.weight"] = torch.full((n_out, n_in, 3, 3), float(number)).contiguous()
        state[f"features.{number}.bias"] = torch.full((n_out,), -float(number))
    network = VGG19()
    network.load_torchvision(state)
    assert [c.weight[0, 0, 0, 0].item() for c in network.requires_grad_(False).convolutions()] == numbers
    assert [c.bias[0].item() for c in network.requires_grad_(False).convolutions()] == [-number for number in numbers]
    del state["features.5.bias"]
    with pytest.raises(WeightsError, match=r"features\.5\.bias: found None, expected \(128,\)"):
        network.load_torchvision(state)


def test_vgg19_takes_the_normalised_weights_with_their_mean():
    source = random_vgg19(["conv2_1"], 1)
    arrays = [p.detach().numpy() for c in source.convolutions() for p in (c.weight, c.bias)]
    network = VGG19("conv2_1")
    network.load_normalised({"param values": arrays, "mean value": np.array([103.939, 116.779, 123.68])})
    grey = torch.full((1, 16, 16), 110 / 255)
    with torch.no_grad():
        x = torch.full((1, 3, 16, 16), 110.0) - torch.tensor([103.939, 116.779, 123.68])[:, None, None]
        torch.testing.assert_close(
            network(grey, ["conv1_1"])[0], torch.relu(source.convolutions()[0](x)), atol=1e-3, rtol=1e-4
        )
    with pytest.raises(WeightsError, match="found another content than expected"):
        network.load_normalised({"param values": arrays[:2], "mean value": np.zeros(3)})


@pytest.mark.parametrize("name", ["efficientnet", "random_efficientnet", "random_vgg19"])
@pytest.mark.parametrize("statistic", ["gram", "means"])
def test_a_batch_is_its_images_and_a_second_run_the_first(name, statistic):
    settings = DescriptorSettings(
        EfficientNetSettings(layers=("b2", "b4"), statistic=statistic),
        VGG19Settings(layers=("conv1_2", "conv2_1"), statistic=statistic),
    )
    descriptor = make_descriptor(name, settings, SHAPE)
    features = descriptor.describe(IMAGES)
    assert features.shape == (len(IMAGES), descriptor.n_features)
    assert features.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(features, axis=1), 1, atol=1e-6)
    singles = np.concatenate([descriptor.describe(image[None]) for image in IMAGES])
    np.testing.assert_allclose(singles, features, atol=2e-6)
    again = make_descriptor(name, settings, SHAPE).describe(IMAGES)
    np.testing.assert_array_equal(again, features)
    assert descriptor.describe(IMAGES[:0]).shape == (0, descriptor.n_features)


def test_another_seed_is_another_random_network():
    layers = ("b2",)
    first, second, same = (random_efficientnet(layers, seed).stem.weight for seed in (0, 1, 0))
    assert torch.equal(first, same)
    assert not torch.equal(first, second)


def test_gram_matrices_are_symmetric_positive_and_measured_whole():
    maps = torch.from_numpy(np.random.default_rng(0).standard_normal((4, 6, 5, 7)))
    gram = gram_matrices(maps)
    torch.testing.assert_close(gram, gram.transpose(1, 2))
    assert torch.linalg.eigvalsh(gram).min() > -1e-12
    np.testing.assert_allclose(gram[1, 2, 3], (maps[1, 2] * maps[1, 3]).mean())
    texture = CNNTexture(name="t", network=VGG19("conv1_1"), layers=("conv1_1",), statistic="gram", shape=SHAPE)
    flat = texture._statistic(maps)
    np.testing.assert_allclose(torch.dist(flat[0], flat[1]), torch.dist(gram[0], gram[1]))


def test_textures_do_not_see_where_a_pattern_lies():
    """A periodic pattern shifted by the stride of the layer: only the border, where padding is, changes."""
    wave = np.cos(2 * np.pi * np.arange(160) / 8)
    field = (0.5 + 0.4 * wave[:, None] * wave[None, :]).astype(np.float32)
    images = np.stack([field[:128, :128], field[8:136, 8:136], field[8:136, :128]])
    other = np.random.default_rng(1).random((1, 128, 128), dtype=np.float32)
    descriptor = make_descriptor("efficientnet", DescriptorSettings(), (128, 128))
    features = descriptor.describe(np.concatenate([images, other]))
    np.testing.assert_allclose(features[1], features[0], atol=1e-5)
    assert np.linalg.norm(features[3] - features[0]) > 0.3


def test_the_receptive_field_holds_95_percent_of_a_chain_of_equal_weights():
    network = VGG19("conv3_4")
    assert network.steps("conv1_2") == [(3, 1), (3, 1)]
    assert network.steps("conv2_1") == [(3, 1), (3, 1), (2, 2), (3, 1)]
    kernel = np.ones(3) / 3
    window = np.convolve(kernel, kernel)
    position = np.arange(window.size) - window.size // 2
    sigma = np.sqrt((window * position**2).sum())
    assert receptive_field(network, "conv1_2") == int(np.ceil(4 * sigma))
    assert receptive_field(EfficientNetLite0(), "b7") == 95


@pytest.mark.parametrize(
    ("name", "settings", "shape", "message"),
    [
        (
            "random_efficientnet",
            EfficientNetSettings(layers=("b7",)),
            (64, 64),
            "at least 95 pixels .* layers up to b5",
        ),
        ("random_efficientnet", EfficientNetSettings(layers=("b2", "b2")), (64, 64), "each once"),
        ("random_efficientnet", EfficientNetSettings(layers=("stem",)), (3, 64), "no layer is fine enough"),
    ],
)
def test_layers_and_sizes_that_do_not_fit_are_reported_before_any_image(name, settings, shape, message):
    with pytest.raises(ValueError, match=message):
        make_descriptor(name, DescriptorSettings(settings), shape)


def test_unknown_names_are_reported_with_the_known_ones():
    with pytest.raises(ValueError, match=r"found 'resnet', expected one of \[.*'efficientnet'"):
        make_descriptor("resnet", SETTINGS, SHAPE)
    with pytest.raises(ValueError, match=rf"layers\[0\]: found .*, expected one of \['{NAMES[0]}', .*'{NAMES[-1]}'\]"):
        VGG19Settings(layers=("conv6_1",))
    with pytest.raises(ValueError, match=r"layers\[0\]: found .*, expected one of \['stem', .*'b15'\]"):
        EfficientNetSettings(layers=("b16",))
    with pytest.raises(ValueError, match=rf"unknown layers \['conv6_1'\], expected some of \['{NAMES[0]}'"):
        random_vgg19(("conv6_1",), 0)


def test_bad_images_are_named():
    images = IMAGES.copy()
    images[1] = 0.5
    images[4, 3, 4] = np.nan
    descriptor = make_descriptor("random_vgg19", SETTINGS, SHAPE)
    with pytest.raises(ValueError, match=r"NaN or infinite pixels in image 4, .* one value only in image 1"):
        descriptor.describe(images)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_agrees_with_the_cpu():
    network = pretrained_efficientnet(["b7"])
    made = [
        CNNTexture(
            name="e", network=network, layers=("b7",), statistic="means", shape=SHAPE, device=torch.device(device)
        ).describe(IMAGES)
        for device in ("cpu", "cuda")
    ]
    np.testing.assert_allclose(made[1], made[0], atol=1e-5)
