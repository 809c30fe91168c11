"""A folder that is a clone to whoever works there: the code of this one, small params."""

from pathlib import Path

from tests.profiles import ROOT, params_text

__all__ = ["clone_in"]


def clone_in(folder: Path) -> Path:
    """Stage `microstructures` has some 20 shards there."""
    for name in ("pipeline", "stores", "models", "profiles", "dvc.yaml"):
        (folder / name).symlink_to(ROOT / name)
    before, section, after = params_text("tiny").partition("microstructures:")
    assert "images_per_shard: " in after
    (folder / "params.yaml").write_text(
        before + section + after.replace("images_per_shard: ", "images_per_shard: 4 #", 1)
    )
    return folder
