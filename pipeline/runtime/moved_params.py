"""Keys of params.yaml that earlier versions had elsewhere: messages about an older file say where they went."""

from fnmatch import fnmatchcase

__all__ = ["new_home"]

MOVED = {  # pattern of the old key: where its value belongs now
    "aluminium_benchmark.properties.*.dynamics.timestep_fs": "time_step_fs beside it",
    "aluminium_benchmark.properties.*.dynamics.friction_per_ps": "friction_1_fs beside it, a thousandth of the value",
}


def new_home(key: str) -> str:
    """Where the value of an old key belongs, "" for a key that no version had."""
    return next((new for old, new in MOVED.items() if fnmatchcase(key, old)), "")
