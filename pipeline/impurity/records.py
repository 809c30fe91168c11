"""What the stages of the lane `impurity` write for the report and for scripts, typed."""

from typing import Any, ClassVar

from pydantic import RootModel

from pipeline.discover.records import Formula, Measured, Measures, Number, TermInterval, Together
from pipeline.runtime.records import Record, StageFile, StageRecord

__all__ = [
    "Accuracy",
    "BestLatent",
    "Clipping",
    "Coefficient",
    "Control",
    "FormulaDetails",
    "FormulaMetrics",
    "Friedel",
    "GeneralVerdict",
    "HeldOutNumbers",
    "HeldOutSet",
    "LatentsDetails",
    "LatentsMetrics",
    "PseudogapExponent",
    "PseudogapMetrics",
    "Selection",
    "SpectraMetrics",
    "SpectrumVAEMetrics",
    "SubsetReport",
    "SubsetTraining",
]


class Friedel(Record):
    """|pi Gamma A(0) - sin^2(pi N)| of the rows where it applies."""

    n_rows: int
    median: Number
    percentile_99: Number
    worst: Number


class Clipping(Record):
    """Largest positive Im Sigma / Gamma of the solved rows, which was set to zero."""

    share_of_rows: Number  # with any
    percentile_99: Number
    worst: Number


class Accuracy(Record):
    """Differences of the rows that were solved twice, without mirrored ones: of pi Gamma A over omega, and of T_K."""

    n_hamiltonians: int
    n_rows: int
    largest_median: Number
    largest_worst: Number
    mean_median: Number
    mean_worst: Number
    n_kondo_temperatures: int
    kondo_temperature_median: Number  # relative
    kondo_temperature_worst: Number


class SpectraMetrics(StageRecord):
    path: ClassVar[str] = "reports/metrics/spectra.json"
    stage: ClassVar[str] = "spectra"
    digits: ClassVar[int] = 17

    n_spectra: int
    n_failed: int
    friedel: Friedel
    clipping: Clipping
    accuracy: Accuracy
    hash: str


class PseudogapExponent(Record):
    """The critical point of one r; T* ~ |Gamma_0 - Gamma_c|^nu."""

    exponent: float  # r
    critical_coupling: Number  # [D]
    critical_moment: Number  # T chi_imp
    critical_entropy: Number  # [k_B]
    inverse_nu: Measured  # from the growth of small differences; the interval is what another Lambda finds
    nu_screened: Measured  # from T*; the interval is what is left of corrections to scaling
    nu_local_moment: Measured
    inverse_nu_near_zero: float  # r - r^2 / 2
    inverse_nu_near_one_half: float  # 2 (1 - 2r)


class PseudogapMetrics(StageRecord):
    path: ClassVar[str] = "reports/metrics/pseudogap.json"
    stage: ClassVar[str] = "pseudogap"

    n_rows: int
    n_failed: int
    exponents: list[PseudogapExponent]
    hash: str


class SeedTraining(Record):
    test_mae: float  # of pi Gamma A
    active_latents: int
    epochs: int


class SubsetTraining(Record):
    """The chosen beta: its chosen seed, and all its seeds."""

    beta: float
    seed: int
    test_mae: float
    active_latents: int
    seeds: dict[str, SeedTraining]


class SpectrumVAEMetrics(StageRecord):
    path: ClassVar[str] = "reports/metrics/spectrum_vae.json"
    stage: ClassVar[str] = "spectrum_vae"
    digits: ClassVar[int] = 17

    test_mae: float
    active_latents: int
    seeds: list[int]
    subsets: dict[str, SubsetTraining]


class Candidate(Record):
    beta: float
    validation_mae: float
    consistency: dict[str, float]  # seed -> agreement with the other trainings


class Choice(Record):
    beta: float
    seed: int
    candidates: list[Candidate]


class Selection(RootModel[dict[str, Choice]], StageFile):
    """Subset -> the chosen training, and the criterion of all candidates."""

    path: ClassVar[str] = "runs/spectrum_vae/selection.json"
    stage: ClassVar[str] = "spectrum_vae"
    digits: ClassVar[int] = 17


class HeldOutNumbers(Record):
    """|Spearman| of one latent on test Hamiltonians, one of each mirror pair, beside the best summary of the curve."""

    value: float
    low: Number
    high: Number
    n_rows: int
    n_hamiltonians: int
    baseline: str
    baseline_value: Number
    ahead: Measured  # of the baseline, paired


class BestLatent(HeldOutNumbers):
    """The single latent that follows a quantity best, and what all latents know of it, out of fold."""

    latent: str
    subset: str
    linear_direction: Number = None
    nonlinear_r2: Number = None
    local_moment: HeldOutNumbers | None = None


class LatentsMetrics(StageRecord):
    path: ClassVar[str] = "reports/metrics/latents.json"
    stage: ClassVar[str] = "latents"
    digits: ClassVar[int] = 17

    best_abs_spearman: dict[str, BestLatent]


class HeldOutSet(Record):
    """What one set of coordinates reaches on held-out rows."""

    coordinate: str
    spearman: Measured
    ahead: Measured  # of the summaries, paired
    n_rows: int
    n_hamiltonians: int


class SubsetReport(Record):
    n_rows: int
    associations: dict[str, dict[str, Measures]]  # latent -> quantity
    together: dict[str, Together]
    meaning: list[str]  # one sentence for each latent
    held_out: dict[str, dict[str, dict[str, HeldOutSet]]]  # quantity -> scored rows -> set of coordinates


class LatentsDetails(StageRecord):
    path: ClassVar[str] = "reports/details/latents.json"
    stage: ClassVar[str] = "latents"
    digits: ClassVar[int] = 17

    subsets: dict[str, SubsetReport]


class Coefficient(Record):
    """One term of the reference law: fitted with intervals over variants of the fit, and of scatter alone."""

    coefficient: float
    low: float
    high: float
    low_scatter: Number
    high_scatter: Number
    expected: float
    contains_expected: bool
    resolved: bool
    bic_gain: Number
    variants: dict[str, TermInterval] | None = None


class GeneralVerdict(Record):
    """The law of T_K/D by a general engine: what its expansion at large U/Gamma says."""

    engine: str
    encoding: str
    equation: str | None
    link: str | None
    n_rows: int
    r2_report: Number | None
    exponent: bool
    prefactor: bool
    constant_agrees: bool
    correction_resolved: bool
    correction_agrees: bool
    problem: str | None


class FormulaMetrics(StageRecord):
    path: ClassVar[str] = "reports/metrics/formula.json"
    stage: ClassVar[str] = "formula"
    sort_keys: ClassVar[bool] = False

    results: list[Formula]
    correction_resolved: Coefficient
    controls_passed: int
    controls_run: int
    general: list[GeneralVerdict]


class Control(Record):
    """The same search where the answer is known."""

    control: str
    engine: str
    expected: str
    found: str
    passed: bool


class EngineChoice(Record):
    requested: str
    ran: str
    why: str


class Rules(Record):
    selection: str
    tolerance: float
    confidence: float
    intervals: str
    library: str


class Target(Record):
    origin: str
    n_rows: int


class FormulaDetails(StageRecord):
    path: ClassVar[str] = "reports/details/formula.json"
    stage: ClassVar[str] = "formula"
    sort_keys: ClassVar[bool] = False

    coefficient_test: dict[str, Coefficient]
    controls: list[Control]
    engine_choice: EngineChoice
    rules: Rules
    targets: dict[str, Target]
    left_out: dict[str, str]  # target -> why
    general_laws: list[dict[str, Any]]  # models.laws.general_law.GeneralLaw
