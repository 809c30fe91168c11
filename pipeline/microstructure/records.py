"""What the stages of the lane `microstructure` write for the report and for scripts, typed."""

from typing import ClassVar

from pipeline.discover.records import Formula, Measured, Measures, Number, Together
from pipeline.runtime.records import Record, StageRecord

__all__ = [
    "BeyondMetrics",
    "Constant",
    "EmbeddingDetails",
    "EmbeddingMetrics",
    "Goal",
    "MapDetails",
    "MapLaw",
    "MapMetrics",
    "MicrostructuresMetrics",
    "Rebuilt",
    "Separation",
    "TexturesMetrics",
    "Window",
]


class MicrostructuresMetrics(StageRecord):
    path: ClassVar[str] = "reports/metrics/microstructures.json"
    stage: ClassVar[str] = "microstructures"

    n_images: int
    n_failed: int
    hash: str


class TexturesMetrics(StageRecord):
    path: ClassVar[str] = "reports/metrics/textures.json"
    stage: ClassVar[str] = "textures"

    n_images: int
    n_features: dict[str, int]
    hash: str


class MapMetrics(Record):
    """How one map gives back the parameters; `low` and `high` bound the mean linear R2."""

    generator: str
    descriptor: str
    method: str
    dimension: int
    linear_r2: dict[str, float]  # parameter, or `mean`
    knn_r2: dict[str, float]
    trustworthiness: float
    low: float
    high: float


class EmbeddingMetrics(StageRecord):
    path: ClassVar[str] = "reports/metrics/embedding.json"
    stage: ClassVar[str] = "embedding"
    sort_keys: ClassVar[bool] = False

    results: list[MapMetrics]


class MapDetails(Record):
    """The same map with all intervals, and how its number of coordinates was chosen."""

    generator: str
    descriptor: str
    method: str
    n_images: int
    n_points: int
    n_landmarks: int
    variance_kept: float
    dimension: int
    elbow: int
    intrinsic: Number
    residual_variance: list[float]
    at_limit: bool
    linear_r2: dict[str, tuple[float, float, float]]
    knn_r2: dict[str, tuple[float, float, float]]
    trustworthiness: Measured
    spearman_distances: Measured
    sister_retrieval: Measured
    linear_r2_by_dimension: list[dict[str, float]]


class Goal(Record):
    goal: str
    found: float
    wanted: str
    reached: bool


class MapLaw(Record):
    """What the coordinates of one map are."""

    generator: str
    descriptor: str
    method: str
    engine: str
    associations: dict[str, dict[str, Measures]]  # coordinate -> quantity
    together: dict[str, Together]
    meaning: list[str]
    formulas: list[Formula]


class Constant(Record):
    """A descriptor that is the same for all images of a generator: there is no map of it."""

    generator: str
    descriptor: str


class EmbeddingDetails(StageRecord):
    path: ClassVar[str] = "reports/details/embedding.json"
    stage: ClassVar[str] = "embedding"
    sort_keys: ClassVar[bool] = False

    maps: list[MapDetails]
    constant: list[Constant]
    goals: list[Goal]
    laws: list[MapLaw]


class Auc(Record):
    auc: float
    low: float
    high: float


class Separation(Auc):
    """Area under the ROC curve of images against their surrogates."""

    generator: str
    descriptor: str
    surrogate: str
    n_images: int
    null: Auc | None = None  # of Gaussian fields with borders
    by_phase_order: list[Auc] | None = None  # `low` and `high` bound the phase order


class Rebuilt(Record):
    """Relative squared distances of a synthesised image from its target, and of uniform noise."""

    generator: str
    terms: dict[str, float]
    terms_of_noise: dict[str, float]


class Window(Record):
    layer: str
    ratios: dict[str, Number]  # side of the tile [px] -> within- over between-image distance
    recommended_px: int | None


class BeyondMetrics(StageRecord):
    path: ClassVar[str] = "reports/metrics/beyond_two_point.json"
    stage: ClassVar[str] = "reconstruction"
    digits: ClassVar[int] = 17

    results: list[Separation]
    reconstruction: list[Rebuilt]
    window: dict[str, Window]
