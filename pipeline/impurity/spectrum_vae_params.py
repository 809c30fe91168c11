"""params.yaml: spectrum_vae, and how its values become a network and a training."""

from typing import Annotated, Any, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from models.networks.spectra.spectrum_vae import SpectrumVAE
from models.settings import Fraction, Some, settings
from models.training.spectra.spectrum_module import TrainingSettings

__all__ = ["SpectrumVAEParams"]


@settings
class SpectrumVAEParams:
    """params.yaml: spectrum_vae."""

    seeds: Some[NonNegativeInt]
    betas: Some[NonNegativeFloat]
    error_slack: Annotated[float, Field(ge=1)]
    active_nats: PositiveFloat
    max_field: NonNegativeFloat
    validation_fraction: Annotated[float, Field(gt=0, lt=0.5)]
    test_fraction: Annotated[float, Field(gt=0, lt=0.5)]
    split_seed: NonNegativeInt
    architecture: Literal["mirror", "plain"]
    n_latent: PositiveInt
    n_odd: NonNegativeInt
    hidden: Some[PositiveInt]
    ramp_fraction: Fraction
    prefix: Fraction
    transport: NonNegativeFloat
    learning_rate: Annotated[float, Field(gt=0, le=1)]
    weight_decay: Fraction
    batch_size: PositiveInt
    max_epochs: PositiveInt
    max_steps: PositiveInt
    patience: PositiveInt
    validate_every: PositiveInt

    def __post_init__(self) -> None:
        if len(set(self.seeds)) != len(self.seeds) or len(set(self.betas)) != len(self.betas):
            raise ValueError(f"found seeds {self.seeds} and betas {self.betas}, expected each value once")
        self.network(beta=self.betas[0], n_omega=333)

    @property
    def split(self) -> dict[str, Any]:
        return {"validation": self.validation_fraction, "test": self.test_fraction, "seed": self.split_seed}

    def network(self, *, beta: float, n_omega: int) -> SpectrumVAE.Config:
        """beta = 0 is the plain autoencoder: nothing is sampled."""
        return SpectrumVAE.Config(
            architecture=self.architecture,
            n_omega=n_omega,
            n_latent=self.n_latent,
            n_odd=self.n_odd,
            hidden=self.hidden,
            variational=beta > 0,
        )

    def training(self, *, beta: float, n_rows: int) -> TrainingSettings:
        """Large subsets get fewer epochs, so that no run takes more than `max_steps` steps."""
        epochs = max(1, min(self.max_epochs, self.max_steps // max(1, n_rows // self.batch_size)))
        return TrainingSettings(
            beta=beta,
            ramp_fraction=self.ramp_fraction,
            prefix=self.prefix,
            transport=self.transport,
            learning_rate=self.learning_rate,
            weight_decay=self.weight_decay,
            batch_size=self.batch_size,
            max_epochs=epochs,
            patience=self.patience,
            validate_every=min(self.validate_every, epochs),
        )
