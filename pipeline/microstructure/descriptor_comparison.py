"""Which descriptor sees what? All of them through the same maps and folds, chosen on some data, reported on others.

Two readouts of every descriptor:

    linear   linear regression from the coordinates of a map (Isomap or MDS) with the number of coordinates that
             `choose_dimension` takes, which looks at no label: how parameters lie in the map
    kernel   kernel ridge regression from all principal axes, which chooses its form within the training folds: whether
             the parameters are in the features at all

A family of descriptors has some candidates (layers of a network, lags, lengths, scales), a linear readout two maps. The
rule by which one is taken is the same for the network and for its rivals, and was stated before any evaluation data
were drawn:

    the candidate, for `linear` with its map, that has the largest R2 (negative ones counting 0) in the mean over the
    generators in `chosen_on` and the development seeds; R2 of the parameter that is reported where a generator has
    it, else of all its parameters in the mean

`chosen_on` never holds the generator that is reported, and development seeds are no evaluation seeds. `choose` draws
development data alone; `compare` draws evaluation data alone, and takes a choice only if it is that of these settings.
Seeds that were looked at before are listed as `spent_seeds` and refused.

Features that are the same for all images, as the histogram of matched_order is, say nothing: R2 0, `constant`.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, NonNegativeInt, PositiveInt

from models.descriptors.descriptor import DESCRIPTORS, DescriptorSettings, make_descriptor
from models.laws.correlation import Interval
from models.laws.manifold import choose_dimension, classical_mds, isomap, principal_axes
from models.laws.paired_recovery import Readout, paired_difference, pooled, replicates
from models.laws.recovery import RecoveryRules
from models.physics.microstructure.generator import GENERATORS, Shape
from models.registry import Chosen
from models.settings import Some, settings
from pipeline.microstructure.sampling import draw_images, make_image
from pipeline.microstructure.targets import JUDGED, Samples
from stores.manifest import canonical_json

__all__ = ["Compared", "ComparisonParams", "Pick", "choose", "compare", "development_key", "matched_order_claim"]

Array = NDArray[np.float64]
ROUNDING = 1e-6  # of features of unit length in single precision
POOL_SEED = 0
Method = Literal["isomap", "mds"]
READOUTS: tuple[tuple[Readout, Method | None], ...] = (("linear", "isomap"), ("linear", "mds"), ("kernel", None))


@settings
class Evaluated:
    """What is reported of a generator, a parameter or `mean`, and the generators whose data choose for it."""

    parameter: str
    chosen_on: Some[str]


@settings
class ComparisonParams:
    """`families`: name -> candidates. `network` is compared with all others but `controls`."""

    shape: Shape
    generators: Annotated[dict[str, Any], GENERATORS.by_name]
    spent_seeds: Some[NonNegativeInt]
    development_seeds: Some[NonNegativeInt]
    development_points: PositiveInt  # of each generator
    evaluation_seeds: Some[NonNegativeInt]
    evaluated: dict[str, Evaluated]
    families: dict[str, Some[Annotated[Chosen, DESCRIPTORS]]]
    network: str
    controls: Some[str]
    random_seed: NonNegativeInt  # of networks with random weights
    n_axes: Annotated[int, Field(ge=2)]
    n_neighbours: Annotated[int, Field(ge=2)]
    max_dimension: Annotated[int, Field(ge=2)]
    minimum_gain: Annotated[float, Field(gt=0, lt=1)]
    fold_seeds: Some[NonNegativeInt]
    n_folds: Annotated[int, Field(ge=3)]
    n_bootstrap: Annotated[int, Field(ge=2)]

    def __post_init__(self) -> None:
        problems = []
        spent = set(self.evaluation_seeds) & {*self.spent_seeds, *self.development_seeds}
        if spent:
            problems.append(
                f"evaluation_seeds: found {sorted(spent)}, which development used, expected fresh ones; take others"
            )
        for name, evaluated in self.evaluated.items():
            if name in evaluated.chosen_on:
                problems.append(f"evaluated.{name}: found itself in chosen_on, expected other generators only")
            for generator in (name, *evaluated.chosen_on):
                if generator not in self.generators or generator not in JUDGED:
                    problems.append(f"evaluated.{name}: found generator {generator!r}, expected some of {list(JUDGED)}")
        for family in (self.network, *self.controls):
            if family not in self.families:
                problems.append(f"network, controls: found {family!r}, expected some of {list(self.families)}")
        if problems:
            raise ValueError("; ".join(problems))

    def rules(self, data_seed: int) -> RecoveryRules:
        """Folds and bootstrap draws of one data seed, the same for every descriptor."""
        draws = np.random.SeedSequence(data_seed).generate_state(len(self.fold_seeds))
        seeds = tuple(int(a) + b for a, b in zip(draws, self.fold_seeds, strict=True))
        return RecoveryRules(seeds=seeds, n_folds=self.n_folds, n_neighbours=1, n_bootstrap=self.n_bootstrap)


@dataclass(frozen=True, kw_only=True)
class Pick:
    """The candidate (its number) taken for one readout of one evaluated generator; `method` is None for `kernel`."""

    generator: str
    family: str
    readout: Readout
    candidate: int
    method: Method | None
    score: float  # on development data


@dataclass(frozen=True, kw_only=True)
class Compared:
    """One line of the table: R2 on evaluation data, and the paired difference network - family."""

    generator: str
    parameter: str
    family: str
    readout: Readout
    r2: Interval
    by_seed: tuple[float, ...]
    difference: Interval
    constant: bool


@dataclass(frozen=True)
class _Scored:
    by_parameter: Mapping[str, Array]  # replicates (S, 1 + R)
    constant: bool


def development_key(params: ComparisonParams) -> str:
    """Hash of all that a choice depends on: everything but the evaluation."""
    shaping = {
        key: value
        for key, value in asdict(params).items()
        if key not in ("evaluation_seeds", "network", "controls", "n_bootstrap")
    }
    return hashlib.sha256(canonical_json(shaping).encode()).hexdigest()


def choose(params: ComparisonParams, generator: str) -> list[Pick]:
    """For what is reported of one generator, by the rule of the docstring, on development data alone."""
    evaluated = params.evaluated[generator]
    quick = replace(params, n_bootstrap=2)
    scores: dict[tuple[str, Readout, Method | None, int], list[float]] = {}
    for seed in params.development_seeds:
        for other in evaluated.chosen_on:
            print(f"development: {other}, seed {seed}", flush=True)
            images_BHW, samples = draw(params, other, seed, n_points=params.development_points)
            parameter = evaluated.parameter if evaluated.parameter in JUDGED[other] else "mean"
            for family, candidates in params.families.items():
                for number, candidate in enumerate(candidates):
                    features = describe(candidate, images_BHW, params)
                    for readout, method in READOUTS:
                        scored = _score(features, samples, readout, method, quick, seed)
                        value = float(scored.by_parameter[parameter][:, 0].mean())
                        scores.setdefault((family, readout, method, number), []).append(max(value, 0.0))
    picks: dict[tuple[str, Readout], Pick] = {}
    for (
        family,
        readout,
        method,
        number,
    ), values in scores.items():  # in the order of the candidates: ties keep the first
        score = float(np.mean(values))
        if (family, readout) not in picks or score > picks[family, readout].score:
            picks[family, readout] = Pick(
                generator=generator, family=family, readout=readout, candidate=number, method=method, score=score
            )
    return list(picks.values())


def compare(params: ComparisonParams, picks: Sequence[Pick], key: str, generator: str) -> list[Compared]:
    """The picks of one generator on its evaluation data alone, pooled over the seeds.

    Raises ValueError for a choice that is not of these settings.
    """
    if key != development_key(params):
        raise ValueError(
            f"choice: found the key {key[:12]}, expected {development_key(params)[:12]} of these settings; choose anew"
        )
    of_generator = [pick for pick in picks if pick.generator == generator]
    scored: dict[tuple[str, Readout], list[_Scored]] = {(pick.family, pick.readout): [] for pick in of_generator}
    for seed in params.evaluation_seeds:
        print(f"evaluation: {generator}, seed {seed}", flush=True)
        images_BHW, samples = draw(params, generator, seed)
        described: dict[tuple[str, int], NDArray[np.float32]] = {}
        for pick in of_generator:
            which = pick.family, pick.candidate
            if which not in described:
                described[which] = describe(params.families[pick.family][pick.candidate], images_BHW, params)
            one = _score(described[which], samples, pick.readout, pick.method, params, seed)
            scored[pick.family, pick.readout].append(one)
    return [line for pick in of_generator for line in _lines(params, pick, scored)]


def matched_order_claim(lines: Sequence[Compared], params: ComparisonParams, readout: Readout) -> dict[str, Any]:
    """The hidden order of matched_order by the network, beside the best of all baselines on the same data.

    The baseline is the best one in hindsight, which favours it: the difference is not larger than it would be for any
    baseline that was named beforehand.
    """
    matched = [
        line
        for line in lines
        if (line.generator, line.readout) == ("matched_order", readout)
        and line.parameter == params.evaluated["matched_order"].parameter
    ]
    network = next(line for line in matched if line.family == params.network)
    rivals = [line for line in matched if line.family not in (params.network, *params.controls)]
    best = max(rivals, key=lambda line: line.r2.value)
    return {
        "claim": "matched_order_cnn",
        "rows": f"matched_order, all images of seeds {list(params.evaluation_seeds)}, out of fold, {readout} readout",
        "value": network.r2.value,
        "low": network.r2.low,
        "high": network.r2.high,
        "baseline": best.family,
        "baseline_value": best.r2.value,
        "difference": best.difference.value,
        "difference_low": best.difference.low,
        "difference_high": best.difference.high,
    }


def draw(
    params: ComparisonParams, generator: str, seed: int, n_points: int | None = None
) -> tuple[NDArray[np.float32], Samples]:
    """Images (B, H, W) of one generator and what they were made with. Raises ValueError where one cannot be made."""
    chosen = dict(params.generators)
    if n_points is not None:
        chosen[generator] = replace(chosen[generator], n_points=n_points)
    code = list(chosen).index(generator)
    micrographs = [m for m in draw_images(chosen, params.shape, periodic=False, seed=seed) if m.code == code]
    made = [make_image(micrograph, seed=seed) for micrograph in micrographs]
    if failures := sorted({reason for _, reason in made if reason}):
        raise ValueError(
            f"{generator}, seed {seed}: found images that could not be made: {failures}; change its ranges"
        )
    rows = np.arange(len(made))
    samples = Samples(
        generator=generator,
        rows_N=rows,
        image_rows_N=rows,
        groups_N=np.array([micrograph.group for micrograph in micrographs]),
        parameters={
            name: np.array([float(getattr(micrograph.point, name)) for micrograph in micrographs])
            for name in JUDGED[generator]
        },
    )
    return np.stack([image for image, _ in made]), samples


def describe(candidate: Chosen, images_BHW: NDArray[np.float32], params: ComparisonParams) -> NDArray[np.float32]:
    """Features (B, F) of unit length."""
    given = DescriptorSettings(
        *([] if candidate.settings is None else [candidate.settings]), random_seed=params.random_seed
    )
    return make_descriptor(candidate.name, given, params.shape).describe(images_BHW)


def _score(
    features_NF: NDArray[np.float32],
    samples: Samples,
    readout: Readout,
    method: Method | None,
    params: ComparisonParams,
    seed: int,
) -> _Scored:
    rules = params.rules(seed)
    if float(np.ptp(features_NF, axis=0).max()) < ROUNDING:
        nothing = np.zeros((len(rules.seeds), 1 + rules.n_bootstrap))
        return _Scored({name: nothing for name in ("mean", *samples.parameters)}, constant=True)
    points_NK = principal_axes(features_NF, params.n_axes).project([features_NF])
    if method is not None:
        marks = np.arange(len(points_NK))
        embedding = (
            classical_mds(points_NK, marks, params.max_dimension)
            if method == "mds"
            else isomap(points_NK, marks, params.max_dimension, n_neighbours=params.n_neighbours)
        )
        taken = choose_dimension(embedding, n_neighbours=params.n_neighbours, minimum_gain=params.minimum_gain)
        points_NK = embedding.coordinates_ND[:, : taken.dimension]
    return _Scored(replicates(readout, points_NK, samples.targets, samples.groups_N, rules), constant=False)


def _lines(
    params: ComparisonParams, pick: Pick, scored: Mapping[tuple[str, Readout], Sequence[_Scored]]
) -> Iterator[Compared]:
    scores, network = scored[pick.family, pick.readout], scored[params.network, pick.readout]
    for parameter in scores[0].by_parameter:
        of_seeds = [one.by_parameter[parameter] for one in scores]
        yield Compared(
            generator=pick.generator,
            parameter=parameter,
            family=pick.family,
            readout=pick.readout,
            r2=pooled(of_seeds, seed=POOL_SEED),
            by_seed=tuple(float(one[:, 0].mean()) for one in of_seeds),
            difference=paired_difference([one.by_parameter[parameter] for one in network], of_seeds, seed=POOL_SEED),
            constant=scores[0].constant,
        )
