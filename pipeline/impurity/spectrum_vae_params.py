"""params.yaml: spectrum_vae, and how its values become a network and a training."""

from dataclasses import dataclass
from typing import Any, Literal

from models.networks.spectra.spectrum_vae import SpectrumVAE
from models.training.spectra.spectrum_module import TrainingSettings
from pipeline.runtime.params import setting

__all__ = ["SpectrumVAEParams"]


@dataclass(frozen=True, kw_only=True)
class SpectrumVAEParams:
    """params.yaml: spectrum_vae."""

    seeds: tuple[int, ...] = setting(low=0)
    betas: tuple[float, ...] = setting(low=0)
    error_slack: float = setting(low=1)
    active_nats: float = setting(above=0)
    max_field: float = setting(low=0)
    validation_fraction: float = setting(above=0, below=0.5)
    test_fraction: float = setting(above=0, below=0.5)
    split_seed: int = setting(low=0)
    architecture: Literal["mirror", "plain"]
    n_latent: int = setting(low=1)
    n_odd: int = setting(low=0)
    hidden: tuple[int, ...] = setting(low=1)
    ramp_fraction: float = setting(low=0, high=1)
    prefix: float = setting(low=0, high=1)
    transport: float = setting(low=0)
    learning_rate: float = setting(above=0, high=1)
    weight_decay: float = setting(low=0, high=1)
    batch_size: int = setting(low=1)
    max_epochs: int = setting(low=1)
    max_steps: int = setting(low=1)
    patience: int = setting(low=1)
    validate_every: int = setting(low=1)

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
