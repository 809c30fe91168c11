"""Network weights on disk: `model.safetensors` beside `config.json`, never pickle.

The folder says what it holds: the class name and its nested Config go into config.json, so that weights can be loaded
without knowing how they were trained, and weights of another architecture are refused with both sides spelled out.
"""

import dataclasses
import json
from pathlib import Path
from typing import Any, TypeVar

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

__all__ = ["ArchitectureMismatch", "load_network", "save_network"]

WEIGHTS = "model.safetensors"
CONFIG = "config.json"


class ArchitectureMismatch(ValueError):
    """The folder holds weights of another network."""


Network = TypeVar("Network", bound=nn.Module)


def save_network(network: nn.Module, folder: Path | str) -> None:
    """Write weights and configuration; the network is a class whose only argument is its dataclass `config`."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    weights = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in network.state_dict().items()}
    save_file(weights, folder / WEIGHTS)
    described = {"class": type(network).__name__, "config": dataclasses.asdict(network.config)}  # type: ignore[call-overload]
    (folder / CONFIG).write_text(json.dumps(described, indent=2, sort_keys=True) + "\n")


def load_network(network_class: type[Network], folder: Path | str, *, expected: object | None = None) -> Network:
    """Network of `network_class` with the weights in `folder`, on the CPU, in evaluation mode.

    `expected`: a Config which the stored one must equal. Raises ArchitectureMismatch where class, configuration or
    tensor shapes are others, FileNotFoundError where a file is missing.
    """
    folder = Path(folder)
    missing = [name for name in (WEIGHTS, CONFIG) if not (folder / name).is_file()]
    if missing:
        raise FileNotFoundError(
            f"{folder}: {' and '.join(missing)} missing, expected a trained network; train it first"
        )
    described = _read_config(folder / CONFIG)
    problems = []
    if described["class"] != network_class.__name__:
        problems.append(f"found weights of class {described['class']!r}, expected {network_class.__name__!r}")
    config_class = network_class.Config  # type: ignore[attr-defined]
    known = {field.name for field in dataclasses.fields(config_class)}
    stored = described["config"]
    if not problems and set(stored) != known:
        problems.append(f"config keys: found {sorted(stored)}, expected {sorted(known)}")
    if problems:
        raise ArchitectureMismatch(_say(folder, problems))
    config = config_class(**stored)
    if expected is not None and config != expected:
        wanted = dataclasses.asdict(expected)  # type: ignore[call-overload]
        saved = dataclasses.asdict(config)
        problems += [
            f"{key}: found {saved[key]!r}, expected {wanted[key]!r}" for key in saved if saved[key] != wanted[key]
        ]
        raise ArchitectureMismatch(_say(folder, problems))
    network = network_class(config)
    try:
        weights = load_file(folder / WEIGHTS)
    except SafetensorError as error:
        raise ArchitectureMismatch(_say(folder, [f"{WEIGHTS} cannot be read: {error}"])) from error
    shapes = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    saved_shapes = {name: tuple(tensor.shape) for name, tensor in weights.items()}
    for name in sorted(shapes.keys() | saved_shapes.keys()):
        if shapes.get(name) != saved_shapes.get(name):
            problems.append(f"{name}: found shape {saved_shapes.get(name)}, expected {shapes.get(name)}")
    if problems:
        raise ArchitectureMismatch(_say(folder, problems))
    network.load_state_dict(weights)
    return network.eval()


def _read_config(path: Path) -> dict[str, Any]:
    try:
        described = json.loads(path.read_text())
    except json.JSONDecodeError as error:
        raise ArchitectureMismatch(_say(path.parent, [f"{CONFIG} is not JSON: {error}"])) from error
    if not isinstance(described, dict) or not {"class", "config"} <= described.keys():
        raise ArchitectureMismatch(_say(path.parent, [f"{CONFIG}: expected the keys 'class' and 'config'"]))
    return described


def _say(folder: Path, problems: list[str]) -> str:
    return (
        f"{folder} does not fit this network: {'; '.join(problems)}. "
        "Train it again (dvc repro spectrum_vae) or load it with the configuration that it was made with."
    )
