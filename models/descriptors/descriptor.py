"""What a descriptor is: images -> one feature vector of unit length each; and which ones there are.

    describe(images_BHW) -> (B, n_features), float32, every row of Euclidean length 1

Rows of unit length make Euclidean distances between them those between directions, 0 .. 2: that recovers parameters far
better than raw vectors, whose length follows the contrast. Images are grey, in [0, 1] (values outside are allowed), of
the one shape that the descriptor was made for; what they are samples of is no business of this package.

A new descriptor is one file here: a settings class with a name, `family`, and a function of (settings, name, shape,
random_seed) which makes it, registered under its name. Variants of one kind share a family and so its settings.

Suffix letters: B images, H rows, W columns, C channels, L layers, F features.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Annotated, Any, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator
from pydantic_core import CoreSchema, core_schema

from models.registry import NamedSettings, Registry

__all__ = [
    "DESCRIPTORS",
    "Descriptor",
    "DescriptorName",
    "DescriptorSettings",
    "FloatArray",
    "describe_in_blocks",
    "join_unit",
    "make_descriptor",
    "require_images",
    "unit_rows",
]

FloatArray = NDArray[np.float32]
N_SHOWN = 8
SEED = "random_seed"


class Descriptor(Protocol):
    """A pure function of one image at a time: neither batches nor their order change a row beyond rounding."""

    @property
    def name(self) -> str: ...

    @property
    def shape(self) -> tuple[int, int]: ...

    @property
    def n_features(self) -> int: ...

    def describe(self, images_BHW: NDArray[Any]) -> FloatArray:
        """Features of unit length. Raises ValueError for images that `require_images` refuses."""
        ...


DESCRIPTORS: Registry[Descriptor] = Registry("descriptor", package="models.descriptors")


def _known(name: str) -> str:
    DESCRIPTORS[name]
    return name


DescriptorName = Annotated[str, AfterValidator(_known)]


@dataclass(frozen=True, init=False)
class DescriptorSettings:
    """All that shapes features: one settings object per family, where none is given that of its defaults.

    In params a mapping, family -> settings with all keys, and `random_seed` of the networks with random weights.
    """

    random_seed: int
    families: tuple[Any, ...]

    def __init__(self, *families: Any, random_seed: int = 0) -> None:  # noqa: ANN401 - settings of any family
        object.__setattr__(self, "random_seed", random_seed)
        object.__setattr__(self, "families", families)

    def of(self, kind: type) -> Any:  # noqa: ANN401 - an instance of `kind`
        stated = [family for family in self.families if isinstance(family, kind)]
        return stated[0] if stated else kind()

    def as_dict(self) -> dict[str, Any]:
        return {"random_seed": self.random_seed, **{family.family: asdict(family) for family in self.families}}

    @staticmethod
    def kind_of(key: str) -> Any:  # noqa: ANN401 - a type
        """The type of a key in params. Raises ValueError for an unknown one."""
        kinds: list[Any] = [DESCRIPTORS[name].settings for name in DESCRIPTORS.names()]
        known = {SEED: int} | {kind.family: kind for kind in kinds if kind is not None}
        if key not in known:
            raise ValueError(f"found an unknown key {key!r}, expected some of {sorted(known)}; remove or rename it")
        return known[key]

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> CoreSchema:  # noqa: ANN401 - pydantic's types
        return core_schema.no_info_plain_validator_function(cls._read)

    @classmethod
    def _read(cls, given: Any) -> "DescriptorSettings":  # noqa: ANN401 - YAML
        """The families are those registered when params are read, so a new descriptor brings its own key."""
        if isinstance(given, DescriptorSettings):
            return given
        made = NamedSettings(cls.kind_of).read(given)
        families = {name: family for name, family in made.items() if name != SEED}
        unstated = [f"{k}.{f.name}" for k, family in families.items() for f in fields(family) if f.name not in given[k]]
        if unstated or SEED not in made:
            raise ValueError(f"found nothing for {', '.join(unstated or [SEED])}, expected every value; add the keys")
        return cls(*families.values(), random_seed=made[SEED])


def make_descriptor(name: str, settings: DescriptorSettings, shape: tuple[int, int]) -> Descriptor:
    """The descriptor for images of `shape` (rows, columns).

    Raises ValueError for an unknown name, settings which do not fit the shape, or missing weights or packages, before
    any image is looked at.
    """
    entry = DESCRIPTORS[name]
    given = None if entry.settings is None else settings.of(entry.settings)
    made: Descriptor = entry.make(given, name, shape, settings.random_seed)
    return made


def describe_in_blocks(
    descriptor: Descriptor, images_BHW: NDArray[Any], n: int, features: Callable[[NDArray[Any]], NDArray[Any]]
) -> FloatArray:
    """`features` of n images at a time, as rows of unit length, so that memory does not grow with their number."""
    require_images(images_BHW, descriptor.shape)
    blocks = [unit_rows(features(images_BHW[i : i + n])) for i in range(0, len(images_BHW), n)]
    return np.concatenate([np.zeros((0, descriptor.n_features), dtype=np.float32), *blocks])


def require_images(images_BHW: NDArray[Any], shape: tuple[int, int], *, rows: Sequence[int] | None = None) -> None:
    """Raise ValueError that lists all that is wrong: shape, NaN or infinite pixels, images of one value only.

    `rows`: numbers of the images, for the message; counted from 0 where they are not given.
    """
    images = np.asarray(images_BHW)
    if images.ndim != 3 or images.shape[1:] != shape:
        expected = f"(images, {shape[0]}, {shape[1]})"
        raise ValueError(f"images: found an array of shape {images.shape}, expected {expected}; crop or tile them")
    flat = images.reshape(len(images), shape[0] * shape[1])
    broken = ~np.isfinite(flat).all(axis=1)
    constant = ~broken & (flat.max(axis=1, initial=-np.inf) == flat.min(axis=1, initial=np.inf))
    numbers = np.arange(len(images)) if rows is None else np.asarray(rows)
    problems = []
    if broken.any():
        problems.append(f"found NaN or infinite pixels in {_shown(numbers[broken])}, expected finite; make these anew")
    if constant.any():
        problems.append(f"found one value only in {_shown(numbers[constant])}, expected a texture; leave these out")
    if problems:
        raise ValueError("images: " + "; ".join(problems))


def unit_rows(features_BF: NDArray[Any]) -> FloatArray:
    """Each row divided by its length. Raises ValueError for rows without length."""
    wide = np.asarray(features_BF, dtype=np.float64)
    length = np.linalg.norm(wide, axis=1, keepdims=True)
    bad = ~(np.isfinite(length) & (length > 0))[:, 0]
    if bad.any():
        raise ValueError(
            f"features: found vectors of length 0 or NaN in {_shown(np.flatnonzero(bad))}, expected some texture"
        )
    return np.asarray(wide / length, dtype=np.float32)


def join_unit(parts: Sequence[NDArray[Any]]) -> FloatArray:
    """Parts side by side, each of the same weight whatever its length."""
    return unit_rows(np.concatenate([unit_rows(part) for part in parts], axis=1))


def _shown(rows: NDArray[Any]) -> str:
    shown = ", ".join(map(str, rows[:N_SHOWN]))
    return (
        f"image {shown}" if rows.size == 1 else f"{rows.size} images ({shown}{', ...' if rows.size > N_SHOWN else ''})"
    )
