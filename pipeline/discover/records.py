"""Parts of the files of stages that lanes share: measures of association, and formulas that a search found."""

from typing import Any

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from pipeline.runtime.records import Record, StageRecord

__all__ = [
    "BestFeature",
    "Discovery",
    "DiscoveryFormula",
    "DiscoveryQuantity",
    "Formula",
    "Measured",
    "Measures",
    "Number",
    "TermInterval",
    "Together",
]

Number = float | None  # None: NaN or infinite in the pipeline
Measured = tuple[Number, Number, Number]  # value, low, high


class Measures(Record):
    """How one latent follows one quantity."""

    pearson: Measured
    spearman: Measured
    distance_correlation: Measured
    mutual_information: Measured  # nats


class Together(Record):
    """How all latents follow one quantity, on rows they were not fitted to."""

    linear_direction: Number  # |Spearman| of the best linear combination
    nonlinear_r2: Number


class BestFeature(Record):
    """The feature that follows a quantity best, with its rank correlation."""

    feature: str
    spearman: Number
    low: Number
    high: Number


class TermInterval(Record):
    coefficient: Number
    low: Number
    high: Number


class Formula(Record):
    """One equation of a search: models.laws.discovery judges it."""

    target: str
    engine: str
    encoding: str
    link: str
    equation: str
    latex: str
    complexity: int
    loss: Number
    r2_test: Number
    r2_extrapolation: Number
    equivalent_srbench: bool
    matches: str | None  # reference law with the same terms and ratios
    has_exponent: bool
    ratios: dict[str, dict[str, TermInterval]]  # reference law with the same terms -> term
    coefficients: dict[str, TermInterval]
    seed_stability: Number
    selected: bool
    stability_by: str | None = None
    link_monotone: Number = None

    @model_serializer(mode="wrap")
    def _in_the_order_of_published_files(self, rest: SerializerFunctionWrapHandler) -> dict[str, Any]:
        content: dict[str, Any] = rest(self)
        if "link_monotone" in content:
            content["selected"] = content.pop("selected")
        return content


class DiscoveryBaseline(Record):
    coordinate: str
    abs_spearman: Number


class DiscoveryQuantity(Record):
    """The latent that follows an input or known quantity best, on test rows; `problem`: why there is none."""

    latent: str | None = None
    abs_spearman: Number = None
    low: Number = None
    high: Number = None
    linear_direction: Number = None
    nonlinear_r2: Number = None
    baseline: dict[str, DiscoveryBaseline] = Field(default_factory=dict)
    problem: str | None = None


class DiscoveryMember(Record):
    equation: str
    complexity: int
    r2_validation: Number


class DiscoveryFormula(Record):
    """Of one latent by the inputs; `beyond`: the input whose largest values were kept for extrapolation."""

    latent: str
    equation: str | None = None
    complexity: int | None = None
    r2_test: Number = None
    r2_extrapolation: Number = None
    beyond: str | None = None
    engine: str | None = None
    front: list[DiscoveryMember] = Field(default_factory=list)
    problem: str | None = None


class Discovery(StageRecord):
    """The content of discover.json; a lane that reads that of its data set says where it lies."""

    digits = 6

    n_rows: int
    n_dropped: int
    n_groups: int
    n_test_rows: int
    test_error: Number
    test_error_principal_components: Number
    active_latents: int
    active_latents_of_seeds: list[int]
    agreement_of_seeds: Number
    beta: float
    best: dict[str, DiscoveryQuantity]
    formulas: list[DiscoveryFormula]
