"""What the commands about interatomic potentials are asked: train, predict, export, benchmark."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pipeline.commands.options.declaring import Option, Options, message_of

if TYPE_CHECKING:
    from models.networks.potentials.potential import ArchitectureSettings
    from models.training.potentials.potential_loss import PotentialLoss
    from models.training.potentials.potential_settings import PotentialSettings
    from pipeline.atoms.potential_data import SplitParams

__all__ = ["BenchmarkOptions", "ExportOptions", "PredictOptions", "TrainOptions"]

FEATURES = 20
FINE_TUNING = 0.1  # of the learning rate from scratch: a large one would forget the source
EXAMPLE = """such as '{"method": "GFN1-xTB"}'"""
ModelFolder = Annotated[Path, Option("folder with potential.json", argument=True, metavar="MODEL_DIR", read=True)]
AllowBaseline = Annotated[
    str | None,
    Option(
        "import this calculator where the folder of a potential names it as its baseline",
        metavar="MODULE:CALCULATOR",
        unset="known ones alone",
    ),
]
Overwrite = Annotated[bool, Option("replace output files that are there already")]


@dataclass(frozen=True, kw_only=True)
class TrainOptions(Options):
    """Train a potential, or an ensemble, on an atoms store.

    Splits by group; all is measured on groups that no member saw. The same command again goes on where it was stopped
    (on the same data and code).

    \b
    latentlaw train-potential --store data/molecules.zarr --model hipnn --out runs/mine --members 4
    latentlaw train-potential --store qm9.zarr --model hipnn --out runs/qm9 --force-weight 0 --minutes 60
    latentlaw train-potential --store a.zarr --model ani --out runs/a --test-fraction 0 --test-store b.zarr
    latentlaw train-potential --store a.zarr --model hipnn_ts --setting l_max=2 --out runs/quadrupoles
    latentlaw train-potential --store a.zarr --model hipnn --out runs/a --baseline tblite.ase:TBLite
        --baseline-args '{"method": "GFN1-xTB"}'
    latentlaw train-potential --store b.zarr --from runs/a --out runs/b --epochs 20
    """

    store: Annotated[
        Path, Option("an atoms store (latentlaw import-dataset makes one of other formats)", metavar="PATH", read=True)
    ]
    model: Annotated[
        str | None,
        Option(
            "the network: hipnn, hipnn_ts (which feels directions), ani",
            metavar="NAME",
            names="models.networks.potentials.potential:POTENTIALS",
            unset="that of --from",
        ),
    ] = None
    out: Annotated[Path, Option("folder of the trained potential", metavar="MODEL_DIR", kind="potential")]
    source: Annotated[
        Path | None,
        Option("go on from this potential", metavar="MODEL_DIR", read=True, words=("--from",), unset="from scratch"),
    ] = None
    refit_references: Annotated[bool, Option("of --from: fit the energies of its elements to the new data")] = False
    baseline: Annotated[
        str | None,
        Option(
            "learn what this ASE calculator, or the potential in a folder, leaves over",
            metavar="MODULE:CALCULATOR",
            unset="none, or that of --from",
        ),
    ] = None
    baseline_args: Annotated[str, Option("its keyword arguments", metavar="JSON")] = "{}"
    allow_baseline: AllowBaseline = None
    drop_bad: Annotated[bool, Option("leave out configurations at which the baseline fails")] = False
    members: Annotated[int, Option("networks that differ in their seed; their spread is the uncertainty", low=1)] = 1
    seed: Annotated[int, Option("of the first member", low=0)] = 0
    epochs: Annotated[int, Option("passes over the training set", low=1)] = 100
    minutes: Annotated[
        float | None, Option("as many epochs as one member fits in", unit="min", above=0, unset="--epochs")
    ] = None
    batch_size: Annotated[int, Option("configurations in a step", low=1)] = 4
    learning_rate: Annotated[
        float | None,
        Option("largest one", above=0, unset="0.01 of hipnn and hipnn_ts, else 0.003; a tenth with --from"),
    ] = None
    schedule: Annotated[Literal["one_cycle", "plateau"], Option("plateau: HIP-NN's, open-ended")] = "one_cycle"
    max_batch_size: Annotated[int, Option("of plateau, in configurations", low=1)] = 128
    patience: Annotated[int, Option("of plateau, in epochs", low=0)] = 25
    termination_patience: Annotated[int, Option("stop after so many epochs without a new best; 0: never", low=0)] = 0
    method: Annotated[
        Literal["double_backward", "forward_over_reverse", "finite_difference"],
        Option("gradient of the force loss; all agree"),
    ] = "double_backward"
    energy_weight: Annotated[float, Option("of the energy error per atom, in eV", low=0)] = 3.0
    force_weight: Annotated[float, Option("of the errors of force components, in eV/A", low=0)] = 0.1
    stress_weight: Annotated[float, Option("of the errors of the virial per atom, in eV", low=0)] = 0.0
    hierarchicality_weight: Annotated[float, Option("of the regulariser of potentials of several terms", low=0)] = 1e-4
    loss: Annotated[Literal["squared", "huber", "rmse_mae"], Option("what is made of an error")] = "squared"
    l2: Annotated[float, Option("weight of the squared weights", low=0)] = 0.0
    ema_decay: Annotated[float, Option("moving average of the weights, per step; 0: none", low=0, below=1)] = 0.99
    gradient_clip: Annotated[float, Option("largest norm of the gradient; 0: any", low=0)] = 10.0
    cutoff: Annotated[
        float | None,
        Option(
            "largest distance of neighbours",
            unit="A",
            above=0,
            unset="5.5 of hipnn and hipnn_ts, 5.2 of ani; of metals 7",
        ),
    ] = None
    features: Annotated[
        int | None, Option("width, of networks that have one, such as hipnn", low=1, unset="20, or that of --from")
    ] = None
    setting: Annotated[
        list[str],
        Option("another one of the network, such as l_max=2 of hipnn_ts", metavar="NAME=VALUE", unset="what suits"),
    ] = field(default_factory=list)
    split: Annotated[Literal["group", "frame"], Option("frame: every configuration by itself")] = "group"
    validation_fraction: Annotated[float, Option("of the groups", above=0, below=1)] = 0.1
    test_fraction: Annotated[float, Option("of the groups", low=0, below=1)] = 0.1
    split_seed: Annotated[int, Option("of the split", low=0)] = 0
    hold_out: Annotated[
        str | None,
        Option("keep a source (its first word, such as a molecule) from all sets", metavar="SOURCE", unset="none"),
    ] = None
    n_train: Annotated[int | None, Option("keep so many training configurations", low=1, unset="all")] = None
    test_store: Annotated[
        list[Path], Option("measured too; may be repeated", metavar="STORE", read=True, unset="none")
    ] = field(default_factory=list)
    dtype: Annotated[Literal["float32", "float64"], Option("of the network")] = "float32"
    autocast: Annotated[bool, Option("matrix products in bfloat16")] = False
    tf32: Annotated[bool, Option("matrix products in TF32, on GPUs that have it")] = False
    compile: Annotated[bool, Option("torch.compile; energies alone or finite_difference")] = False

    def problems(self) -> list[str]:
        problems = [*message_of(self.split_params), *message_of(self.baseline_arguments)]
        if self.model is None and self.source is None:
            problems.append("--model: found nothing, expected a network, or a potential to start --from")
        else:
            try:
                problems += message_of(self.settings)
                problems += message_of(lambda: self.network(metal=False)) if self.source is None else []
            except FileNotFoundError as error:  # of --from
                problems.append(f"--from: {error}")
        if self.baseline is not None and self.source is not None:
            problems.append("--baseline: found one beside --from, expected none: the baseline is that of the source")
        if self.baseline is None and self.baseline_args != "{}":
            problems.append("--baseline-args: found some without --baseline, expected it; name the calculator")
        if self.setting and self.source is not None:
            problems.append(f"--setting: found {self.setting[0]} beside --from, expected none: the network is its own")
        if self.refit_references and self.source is None:
            problems += ["--refit-references: found it without --from, expected a source; from scratch all are fitted"]
        return problems

    def baseline_arguments(self) -> dict[str, Any]:
        try:
            given = json.loads(self.baseline_args)
        except ValueError as error:
            raise ValueError(f"--baseline-args: found no JSON ({error}), expected an object, {EXAMPLE}") from None
        if not isinstance(given, dict):
            raise ValueError(f"--baseline-args: found {self.baseline_args}, expected a JSON object, {EXAMPLE}")
        return given

    def split_params(self) -> "SplitParams":
        """Raises ValueError, as the others below."""
        from pipeline.atoms.potential_data import SplitParams

        return SplitParams(
            validation_fraction=self.validation_fraction,
            test_fraction=self.test_fraction,
            seed=self.split_seed,
            by=self.split,
        )

    def network_name(self) -> str:
        """Raises FileNotFoundError where there is no potential to start from."""
        from models.networks.potentials.ensemble import about_potential

        return str(self.model if self.source is None else about_potential(self.source)["model"])

    def architecture(self) -> "type[ArchitectureSettings]":
        from models.networks.potentials.potential import POTENTIALS, ArchitectureSettings

        kind = POTENTIALS[self.network_name()].settings
        assert kind is not None and issubclass(kind, ArchitectureSettings)
        return kind

    def network(self, *, metal: bool) -> "ArchitectureSettings":
        """What suits the data, and what --setting states."""
        width = FEATURES if self.features is None else self.features
        suited = self.architecture().suited(metal=metal, cutoff_A=self.cutoff, width=width)
        return _with_settings(suited, self.setting)

    def potential_loss(self) -> "PotentialLoss":
        from models.training.potentials.potential_loss import PotentialLoss

        return PotentialLoss(
            energy=self.energy_weight,
            forces=self.force_weight,
            stress=self.stress_weight,
            hierarchicality=self.hierarchicality_weight,
            kind=self.loss,
        )

    def settings(self) -> "PotentialSettings":
        from models.training.potentials.potential_settings import PotentialSettings

        usual = self.architecture().learning_rate * (1.0 if self.source is None else FINE_TUNING)
        return PotentialSettings(
            loss=self.potential_loss(),
            method=self.method,
            schedule=self.schedule,
            learning_rate=self.learning_rate or usual,
            batch_size=self.batch_size,
            max_batch_size=self.max_batch_size,
            patience=self.patience,
            termination_patience=self.termination_patience or 10**9,
            max_epochs=self.epochs,
            l2=self.l2,
            gradient_clip=self.gradient_clip,
            ema_decay=self.ema_decay,
            dtype=self.dtype,
            autocast=self.autocast,
            tf32=self.tf32,
            compile=self.compile,
        )


def _with_settings(suited: "ArchitectureSettings", stated: Sequence[str]) -> "ArchitectureSettings":
    """`suited` with the values of NAME=VALUE words, which are read as JSON or else as text."""
    if not stated:
        return suited
    from pydantic import TypeAdapter, ValidationError

    from models.setting_problems import setting_problems

    given, kind = asdict(suited), type(suited)
    for word in stated:
        name, equals, text = word.partition("=")
        if not equals or name not in given:
            raise ValueError(f"--setting: found {word!r}, expected NAME=VALUE with one of the names {', '.join(given)}")
        try:
            given[name] = json.loads(text)
        except json.JSONDecodeError:
            given[name] = text
    try:
        made: ArchitectureSettings = TypeAdapter(kind).validate_json(json.dumps(given))
    except ValidationError as error:
        raise ValueError("--setting: " + "; ".join(setting_problems(kind, given, error))) from None
    return made


@dataclass(frozen=True, kw_only=True)
class PredictOptions(Options):
    """Energies and forces of the frames of a file.

    By a trained potential, with its own estimate of the error. The output has the frames of FILE with all their
    keys, and the prediction (eV, A) as ASE reads it back; of an ensemble also the spread over its members. With
    --energy-key or --force-key the errors are printed, and how well the spread ranks them.
    """

    model: ModelFolder
    file: Annotated[Path, Option("frames", argument=True, metavar="FILE.extxyz", read=True)]
    out: Annotated[
        Path, Option("the frames with their predictions", metavar="OUT.extxyz", suffixes=(".extxyz", ".xyz"))
    ]
    overwrite: Overwrite = False
    allow_baseline: AllowBaseline = None
    energy_key: Annotated[str | None, Option("label to compare energies with", metavar="KEY", unset="none")] = None
    force_key: Annotated[str | None, Option("label to compare forces with", metavar="KEY", unset="none")] = None
    units: Annotated[
        str, Option("of the labels: eV, Ha, ...; forces: unit/A", names="stores.importers.label_units:ENERGY_EV")
    ] = "eV"
    batch_atoms: Annotated[int, Option("atoms in a batch, about", low=1, metavar="N")] = 2000
    chunk: Annotated[int, Option("larger frames in chunks of N atoms", low=1, metavar="N")] = 20_000
    precision: Annotated[Literal["float64", "float32"], Option("of the network")] = "float64"

    def problems(self) -> list[str]:
        return [] if self.file.is_file() else [f"{self.file}: found no file, expected frames of extended XYZ"]


@dataclass(frozen=True, kw_only=True)
class ExportOptions(Options):
    """Write a trained HIP-NN(-TS) for hippynn and LAMMPS."""

    model: ModelFolder
    format: Annotated[Literal["hippynn"], Option("of the other program")]
    out: Annotated[Path, Option("folder to write", metavar="DIR", kind="export for hippynn")]


@dataclass(frozen=True, kw_only=True)
class BenchmarkOptions(Options):
    """Measure properties of any ASE calculator.

    They are set beside an oracle, the literature and experiment. Properties are measured side by side on the
    workers. One that cannot be measured is recorded with the reason. The settings file has the fields of
    models.physics.atoms.properties.suite.BenchmarkSettings.

    \b
    --calculator ase.calculators.emt:EMT
    --calculator models.networks.potentials.calculator:PotentialCalculator
        --calculator-args '{"potential": "runs/aluminium"}'
    --oracle models.physics.atoms.properties.engine_calculator:gpaw --oracle-args '{"k_mesh": [12, 12, 12]}'
    """

    calculator: Annotated[str, Option("what is measured", metavar="MODULE:FACTORY")]
    calculator_args: Annotated[str, Option("keyword arguments of its factory", metavar="JSON")] = "{}"
    oracle: Annotated[str | None, Option("what it is compared with", metavar="MODULE:FACTORY", unset="none")] = None
    oracle_args: Annotated[str, Option("keyword arguments of its factory", metavar="JSON")] = "{}"
    out: Annotated[Path, Option("the file to write", metavar="FILE.json", suffixes=(".json",))]
    overwrite: Overwrite = False
    properties: Annotated[
        list[str], Option("families or properties", metavar="NAME", unset="those of the settings, all but long ones")
    ] = field(default_factory=list)
    long: Annotated[bool, Option("also those that take long")] = False
    element: Annotated[str, Option("an fcc element", metavar="SYMBOL")] = "Al"
    settings: Annotated[
        Path | None, Option("settings of the measurements", metavar="FILE.yaml", read=True, unset="none")
    ] = None
