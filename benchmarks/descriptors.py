"""Images per CPU second of each descriptor, beside a plain per-image PyTorch loop, and how cost grows with number.

    python benchmarks/descriptors.py [--size 128] [--runs 5] [--seconds 60]

One thread, process time, best of the runs, which take turns so that a noisy machine hits all alike.

loop    what one would write first: the network as published (RGB, convolution and batch normalisation apart, all of
        EfficientNet-Lite0 up to its last block, of VGG-19 up to conv5_4), one image at a time, grey copied to three
        channels, no_grad, then the mean over positions of the maps of the layer
cut     the same network by one who knows torch: only as deep as the layer, eight images at a time, channels_last,
        inference_mode
ours    models.descriptors: as deep as the layer, normalisation folded into convolutions, one colour, channels_last,
        inference_mode, a few images at a time; Gram matrices or means, unit length

Networks have random weights in the first table: speed does not depend on them. The last one describes 500, 1000, 2000,
... images, read in blocks from a file, as long as they fit `--seconds`; memory is the peak of the process.
"""

import argparse
import importlib.util
import os
import resource
import tempfile
import time
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from torch import nn

from models.descriptors.descriptor import DescriptorSettings, make_descriptor
from models.descriptors.efficientnet import STEM_CHANNELS, EfficientNetSettings, block_shapes
from models.descriptors.vgg19 import GROUPS, VGG19Settings

LAYERS = {"efficientnet": "b7", "vgg19": "conv3_4"}
BLOCK = 100


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=60.0)
    told = parser.parse_args()
    torch.set_num_threads(1)
    images = np.random.default_rng(0).random((32, told.size, told.size), dtype=np.float32)
    print("| network, layer | loop | cut | ours, means | ours, Gram | ours / cut | ours / loop |")
    print("|---|---|---|---|---|---|---|")
    networks(images, told.runs)
    print("\n| descriptor | features | images per CPU second |\n|---|---|---|")
    others(images, told.runs)
    print("\n| images | CPU s | images per CPU second | peak memory [MiB] |\n|---|---|---|---|", flush=True)
    growth(told.size, told.seconds)


def networks(images: np.ndarray, runs: int) -> None:
    tasks: dict[str, Callable[[], object]] = {}
    loops = {"efficientnet": plain_efficientnet(), "vgg19": plain_vgg19()}
    for kind, layer in LAYERS.items():
        some = images if kind == "efficientnet" else images[:8]
        tasks[f"{kind} loop"] = lambda network=loops[kind], some=some: plain_loop(network, some)
        short = nn.Sequential(*deepcopy(loops[kind])[: depth(loops[kind]) + 1]).to(memory_format=torch.channels_last)
        tasks[f"{kind} cut"] = lambda network=short, some=some: cut_loop(network, some)
        for statistic in ("means", "gram"):
            family = EfficientNetSettings if kind == "efficientnet" else VGG19Settings
            settings = DescriptorSettings(family(layers=(layer,), statistic=statistic))
            made = make_descriptor(f"random_{kind}", settings, images.shape[1:])
            tasks[f"{kind} {statistic}"] = lambda made=made, some=some: made.describe(some)
    seconds = best_of(tasks, runs)
    for kind, layer in LAYERS.items():
        n = len(images) if kind == "efficientnet" else 8
        rate = {what: n / seconds[f"{kind} {what}"] for what in ("loop", "cut", "means", "gram")}
        rates = " | ".join(f"{value:.0f}" for value in rate.values())
        against = " | ".join(f"{rate['means'] / rate[what]:.1f}" for what in ("cut", "loop"))
        print(f"| {kind}, {layer} | {rates} | {against} |", flush=True)


def others(images: np.ndarray, runs: int) -> None:
    names = ["two_point", "two_point_centred", "two_point_radial", "power_spectrum", "log_power_spectrum"]
    names += ["scattering"] if importlib.util.find_spec("kymatio") else []
    made = {name: make_descriptor(name, DescriptorSettings(), images.shape[1:]) for name in names}
    seconds = best_of({name: lambda d=d: d.describe(images) for name, d in made.items()}, runs)
    for name, descriptor in made.items():
        print(f"| {name} | {descriptor.n_features} | {len(images) / seconds[name]:.0f} |", flush=True)


def growth(size: int, budget: float) -> None:
    descriptor = make_descriptor("efficientnet", DescriptorSettings(), (size, size))
    n, spent = 500, 0.0
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "images.f4"
        while True:
            rng = np.random.default_rng(1)
            with open(file, "wb") as stream:
                for _ in range(0, n, BLOCK):
                    rng.random((BLOCK, size, size), dtype=np.float32).tofile(stream)
            start_s = time.process_time()
            features = np.empty((n, descriptor.n_features), dtype=np.float32)
            with open(file, "rb") as stream:
                for start in range(0, n, BLOCK):
                    block = np.fromfile(stream, np.float32, BLOCK * size * size).reshape(BLOCK, size, size)
                    features[start : start + BLOCK] = descriptor.describe(block)
            cost = time.process_time() - start_s
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            print(f"| {n} | {cost:.2f} | {n / cost:.0f} | {peak:.0f} |", flush=True)
            spent += cost
            if spent + 2.2 * cost > budget:
                return
            n *= 2


def best_of(tasks: dict[str, Callable[[], object]], runs: int) -> dict[str, float]:
    """Least CPU seconds of each; the first round warms up."""
    seconds = dict.fromkeys(tasks, np.inf)
    for k in range(runs + 1):
        for name, task in tasks.items():
            start = time.process_time()
            task()
            if k:
                seconds[name] = min(seconds[name], time.process_time() - start)
    return seconds


def plain_loop(network: nn.ModuleList, images: np.ndarray) -> list[torch.Tensor]:
    """The maps of every module of the network, one image at a time; the mean of the layer looked for."""
    means = []
    with torch.no_grad():
        for image in images:
            x = torch.from_numpy(image)[None, None].expand(1, 3, -1, -1)
            maps = []
            for module in network:
                x = module(x)
                maps.append(x)
            means.append(maps[depth(network)].mean((2, 3)))
    return means


def depth(network: nn.ModuleList) -> int:
    """Index of the module whose maps are the layer: b7; the ReLU of conv3_4."""
    return 8 if len(network) < 20 else 17


def cut_loop(network: nn.Sequential, images: np.ndarray) -> list[torch.Tensor]:
    with torch.inference_mode():
        return [
            network(
                torch.from_numpy(images[start : start + 8])[:, None]
                .expand(-1, 3, -1, -1)
                .contiguous(memory_format=torch.channels_last)
            ).mean((2, 3))
            for start in range(0, len(images), 8)
        ]


class PlainBlock(nn.Module):
    """Inverted residual block as published."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        inner = inputs * expansion
        expand = [nn.Conv2d(inputs, inner, 1, bias=False), nn.BatchNorm2d(inner), nn.ReLU6()] if expansion > 1 else []
        self.body = nn.Sequential(
            *expand,
            nn.Conv2d(inner, inner, kernel, stride, kernel // 2, groups=inner, bias=False),
            nn.BatchNorm2d(inner),
            nn.ReLU6(),
            nn.Conv2d(inner, outputs, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.body(x) + x if self.residual else self.body(x)


def plain_efficientnet() -> nn.ModuleList:
    stem = nn.Sequential(nn.Conv2d(3, STEM_CHANNELS, 3, 2, 1, bias=False), nn.BatchNorm2d(STEM_CHANNELS), nn.ReLU6())
    blocks = [PlainBlock(s.inputs, s.outputs, s.kernel, s.stride, s.expansion) for s in block_shapes()]
    return nn.ModuleList([stem, *blocks]).eval()


def plain_vgg19() -> nn.ModuleList:
    modules: list[nn.Module] = []
    inputs = 3
    for channels, repeats in GROUPS:
        for _ in range(repeats):
            modules += [nn.Conv2d(inputs, channels, 3, padding=1), nn.ReLU()]
            inputs = channels
        modules.append(nn.AvgPool2d(2))
    return nn.ModuleList(modules).eval()


if __name__ == "__main__":
    main()
