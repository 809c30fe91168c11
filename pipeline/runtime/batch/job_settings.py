"""What one job of a batch system asks for: the section `jobs` of local.yaml, the same for all systems."""

import re
from datetime import timedelta

from pydantic import ByteSize, PositiveInt, TypeAdapter, ValidationError

from models.settings import Some, settings

__all__ = ["JobSettings"]

WALLTIME = re.compile(r"(?:(\d+)-)?(\d+):([0-5]\d):([0-5]\d)")


@settings
class JobSettings:
    """What one job asks for; it runs `cores` worker processes."""

    queue: str | None = None
    account: str | None = None
    walltime: str = "01:00:00"  # [days-]hours:minutes:seconds
    cores: PositiveInt = 1
    memory: str = "4GB"  # of all its workers together
    prologue: Some[str] = ()  # lines of shell before the workers start, e.g. "module load python"
    directives: Some[str] = ()  # further lines of the head of the script, without #SBATCH, #PBS, #BSUB or #$
    interface: str | None = None  # network interface, e.g. ib0

    def __post_init__(self) -> None:
        problems = []
        if not WALLTIME.fullmatch(self.walltime):
            problems.append(f"walltime: found {self.walltime!r}, expected hours:minutes:seconds such as '04:00:00'")
        try:
            TypeAdapter(ByteSize).validate_python(self.memory)
        except ValidationError:
            problems.append(f"memory: found {self.memory!r}, expected a size such as '64GB'")
        if problems:
            raise ValueError("; ".join(problems))

    @property
    def life(self) -> timedelta:
        """The walltime."""
        days, hours, minutes, seconds = (int(part or 0) for part in WALLTIME.fullmatch(self.walltime).groups())  # type: ignore[union-attr]
        return timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)

    @property
    def n_bytes(self) -> int:
        """The memory."""
        return int(TypeAdapter(ByteSize).validate_python(self.memory))

    @property
    def hours(self) -> str:
        """The walltime without days, for systems that know none."""
        minutes, seconds = divmod(int(self.life.total_seconds()), 60)
        return f"{minutes // 60:02d}:{minutes % 60:02d}:{seconds:02d}"
