"""Stage `reconstruction`: what textures hold beyond two-point statistics, as a number, a picture and a window size.

    reads   params.yaml: reconstruction, textures (settings of the descriptors), data/microstructures.zarr
    writes  reports/microstructures/reconstruction.npz   names (n,), and target, surrogate, image (n, y, x), in [0, 1]
            reports/metrics/beyond_two_point.json
                results         [{generator, descriptor, surrogate, auc, low, high, n_images}]; for phase_order also
                                by_phase_order [{low, high, auc}]: the same scores in thirds of the parameter; for
                                images that do not wrap around also null {auc, low, high}: what borders alone give,
                                null where three quarters of an image are too small
                reconstruction  [{generator, terms, terms_of_noise}]
                window          {generator: {layer, ratios: {tile: W / B}, recommended_px}}

results: a linear classifier tells images from phase surrogates (models.descriptors.surrogates), which have the same
|F| (`phases`), and nearly that and the same grey levels (`phases_and_grey_levels`). AUC 0.5: indistinguishable. The
two-point descriptor is the control: of surrogates `phases` it can see nothing. Images that do not wrap around enter as
their periodic component; one image of a parameter point is used, so no group has two.

reconstruction: beside the image a surrogate, which is what two-point statistics alone know of it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from models.descriptors.descriptor import DescriptorName, DescriptorSettings, make_descriptor
from models.descriptors.efficientnet import EfficientNetLayer
from models.descriptors.reconstruction import ReconstructionSettings, reconstruct
from models.descriptors.separability import Separability, area_under_curve, separability
from models.descriptors.surrogates import periodic_component, phase_surrogate, phase_surrogates
from models.descriptors.vgg19 import VGG19Layer
from models.settings import Some, settings
from pipeline.microstructure.records import BeyondMetrics
from pipeline.microstructure.tile_ratios import WindowParams, tile_ratios
from pipeline.runtime.params import build, load_params, read_section
from pipeline.runtime.stage import run_stage
from stores.microstructures import open_microstructures, rows_of
from stores.outcome import OK

__all__ = ["ReconstructionParams", "beyond_two_point", "main", "rebuild", "stretched"]

IMAGES = Path("data/microstructures.zarr")
ARRAYS = Path("reports/microstructures/reconstruction.npz")
SURROGATES = {"phases": False, "phases_and_grey_levels": True}
ALWAYS_PERIODIC = ("phase_order", "cahn_hilliard")
FloatArray = NDArray[np.float64]
GeneratorName = Literal["lamellae", "phase_order", "voronoi", "cahn_hilliard"]


@settings
class BeyondParams:
    """Real against surrogate."""

    generators: Some[GeneratorName]
    descriptors: Some[DescriptorName]
    max_images: Annotated[int, Field(ge=10)]  # of each generator
    n_iterations: PositiveInt  # of matching grey levels and modulus
    n_folds: Annotated[int, Field(ge=2)]
    regularization: PositiveFloat
    n_bootstrap: Annotated[int, Field(ge=10)]


@settings
class WeightParams:
    """Of the terms of the loss."""

    texture: NonNegativeFloat
    two_point: NonNegativeFloat
    variation: NonNegativeFloat
    grey: NonNegativeFloat


@settings
class ReconstructionParams:
    """Section `reconstruction` of params.yaml."""

    seed: NonNegativeInt
    generators: Some[GeneratorName]
    network: Literal["efficientnet", "vgg19"]
    layers: Some[str]
    weights: WeightParams
    n_levels: PositiveInt
    n_iterations: PositiveInt
    n_restarts: PositiveInt
    beyond: BeyondParams
    window: WindowParams

    def settings(self) -> ReconstructionSettings:
        return ReconstructionSettings(
            layers=self.layers,
            weights=vars(self.weights),
            n_levels=self.n_levels,
            n_iterations=self.n_iterations,
            n_restarts=self.n_restarts,
            seed=self.seed,
        )

    def __post_init__(self) -> None:
        known = get_args(EfficientNetLayer if self.network == "efficientnet" else VGG19Layer)
        if unknown := [layer for layer in self.layers if layer not in known]:
            raise ValueError(f"layers: found {unknown}, expected some of {list(known)} of {self.network}")
        self.settings()


def main() -> None:
    params = load_params(ReconstructionParams, "reconstruction")
    described = build(DescriptorSettings, read_section("textures")["settings"], "textures.settings", "params.yaml")
    store = open_microstructures(IMAGES)
    with _one_thread():
        results = [
            record for name in params.beyond.generators for record in beyond_two_point(store, name, params, described)
        ]
        window = {name: _window(store, name, params) for name in params.beyond.generators}
        rebuilt = rebuild(store, params)
    _write_arrays(ARRAYS, rebuilt)
    BeyondMetrics.of({"results": results, "reconstruction": rebuilt["terms"], "window": window}).write()
    for record in results:
        print(
            "{generator}, {descriptor}, {surrogate}: AUC {auc:.3f} [{low:.3f}, {high:.3f}]".format(**record), flush=True
        )


def beyond_two_point(
    store: xr.Dataset, generator: str, params: ReconstructionParams, described: DescriptorSettings
) -> list[dict[str, Any]]:
    """One record for each descriptor and kind of surrogate."""
    chosen = params.beyond
    rows = _one_of_each_group(store, generator, chosen.max_images)
    images = _wrapped(store, generator, rows)
    groups = store["group"].values[rows]
    records = []
    for kind, match_histogram in SURROGATES.items():
        surrogates = phase_surrogates(
            images, params.seed, match_histogram=match_histogram, n_iterations=chosen.n_iterations
        )
        for name in chosen.descriptors:
            separated = _scored(images, surrogates, name, groups, params, described)
            record = {"generator": generator, "descriptor": name, "surrogate": kind, "n_images": len(rows)}
            records.append(record | {"auc": separated.auc, "low": separated.low, "high": separated.high})
            if not _wraps(store, generator) and kind == "phases":
                records[-1]["null"] = _border_null(surrogates, name, groups, params, described)
            if generator == "phase_order":
                records[-1]["by_phase_order"] = _by_phase_order(separated, store["phase_order"].values[rows])
    return records


def _scored(
    real: FloatArray,
    surrogates: FloatArray,
    name: str,
    groups: NDArray[np.int64],
    params: ReconstructionParams,
    described: DescriptorSettings,
) -> Separability:
    descriptor = make_descriptor(name, described, real.shape[1:])
    chosen = params.beyond
    return separability(
        descriptor.describe(real),
        descriptor.describe(surrogates),
        groups,
        n_folds=chosen.n_folds,
        regularization=chosen.regularization,
        n_bootstrap=chosen.n_bootstrap,
        seed=params.seed,
    )


def _border_null(
    surrogates: FloatArray,
    name: str,
    groups: NDArray[np.int64],
    params: ReconstructionParams,
    described: DescriptorSettings,
) -> dict[str, float] | None:
    """What borders alone give: three quarters of each surrogate, a Gaussian field cut out of a larger one.

    None where these are too small for the descriptor.
    """
    n_y, n_x = (3 * length // 4 for length in surrogates.shape[1:])
    try:
        make_descriptor(name, described, (n_y, n_x))
    except ValueError:
        return None
    cut = np.array([periodic_component(u[:n_y, :n_x]) for u in surrogates])
    separated = _scored(cut, phase_surrogates(cut, params.seed + 1), name, groups, params, described)
    return {"auc": separated.auc, "low": separated.low, "high": separated.high}


def rebuild(store: xr.Dataset, params: ReconstructionParams) -> dict[str, Any]:
    """names, and per name: target, surrogate and image; terms as they go to the metrics."""
    network = _network(params)
    made: dict[str, list[Any]] = {key: [] for key in ("names", "target", "surrogate", "image", "terms")}
    for name in params.generators:
        rows = _one_of_each_group(store, name, None)
        target = stretched(_wrapped(store, name, rows[[_shown(store, name, rows)]])[0])
        rebuilt = reconstruct(target, network, params.settings())
        rng = np.random.default_rng(np.random.SeedSequence(params.seed, spawn_key=(len(made["names"]),)))
        made["names"].append(name)
        made["target"].append(target)
        made["surrogate"].append(phase_surrogate(target, rng))
        made["image"].append(rebuilt.image)
        made["terms"].append({"generator": name, "terms": rebuilt.terms, "terms_of_noise": rebuilt.terms_of_noise})
        print(
            f"{name}: texture term {rebuilt.terms['texture']:.4f}, noise {rebuilt.terms_of_noise['texture']:.1f}",
            flush=True,
        )
    return made


def stretched(image: NDArray[np.floating]) -> FloatArray:
    """Grey levels such that the 1 and 99 % quantiles become 0 and 1, and those beyond are clipped."""
    low, high = np.percentile(image, [1, 99])
    return np.asarray(np.clip((image - low) / (high - low), 0, 1), dtype=np.float64)


def _one_of_each_group(store: xr.Dataset, generator: str, most: int | None) -> NDArray[np.int64]:
    """Rows of made images, one for each parameter point, thinned evenly to `most`."""
    fitting = _made_rows(store, generator)
    if len(fitting) == 0:
        raise ValueError(
            f"reconstruction: found no image of {generator} in {IMAGES}, expected some; "
            f"raise microstructures.{generator}.n_points, or take it out of the section reconstruction"
        )
    _, first = np.unique(store["group"].values[fitting], return_index=True)
    rows = fitting[np.sort(first)]
    if most is None or len(rows) <= most:
        return rows
    return np.asarray(rows[np.linspace(0, len(rows) - 1, most).round().astype(int)])


def _made_rows(store: xr.Dataset, generator: str) -> NDArray[np.int64]:
    rows = rows_of(store, generator)
    return np.asarray(rows[store["status"].values[rows] == OK])


def _wrapped(store: xr.Dataset, generator: str, rows: NDArray[np.int64]) -> FloatArray:
    images = store["image"][rows].values.astype(np.float64)
    return np.asarray(images) if _wraps(store, generator) else np.array([periodic_component(u) for u in images])


def _wraps(store: xr.Dataset, generator: str) -> bool:
    return generator in ALWAYS_PERIODIC or bool(store.attrs["periodic"])


def _by_phase_order(separated: Separability, phase_order_N: FloatArray) -> list[dict[str, float]]:
    edges = np.quantile(phase_order_N, [0, 1 / 3, 2 / 3, 1])
    third_N = np.searchsorted(edges[1:-1], phase_order_N)
    return [
        {
            "low": float(edges[k]),
            "high": float(edges[k + 1]),
            "auc": area_under_curve(separated.scores_real_N[third_N == k], separated.scores_surrogate_N[third_N == k]),
        }
        for k in range(3)
    ]


def _shown(store: xr.Dataset, generator: str, rows: NDArray[np.int64]) -> int:
    """The most ordered image of phase_order, the median noise of lamellae, the first of others."""
    if generator == "phase_order":
        return int(np.argmin(store["phase_order"].values[rows]))
    if generator == "lamellae":
        return int(np.argsort(store["noise_strength"].values[rows], kind="stable")[len(rows) // 2])
    return 0


def _network(params: ReconstructionParams) -> Any:  # noqa: ANN401 - a TextureNetwork that is an nn.Module too
    if params.network == "vgg19":
        from models.descriptors.vgg19 import pretrained_vgg19

        network: Any = pretrained_vgg19(params.layers, "normalised")
    else:
        from models.descriptors.efficientnet import pretrained_efficientnet

        network = pretrained_efficientnet(params.layers)
    return network.eval().requires_grad_(False)


def _window(store: xr.Dataset, generator: str, params: ReconstructionParams) -> dict[str, Any]:
    chosen = params.window
    rows = _made_rows(store, generator)[: chosen.max_images]
    return tile_ratios(list(store["image"][rows].values), store["group"].values[rows], chosen)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Optimisation amplifies rounding, and rounding depends on the number of threads."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _write_arrays(path: Path, arrays: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    names = np.array(arrays["names"], dtype=str)
    target, surrogate, image = (np.array(arrays[key], dtype=np.float32) for key in ("target", "surrogate", "image"))
    np.savez_compressed(path, names=names, target=target, surrogate=surrogate, image=image)


if __name__ == "__main__":
    run_stage("reconstruction", main)
