"""Keys of params.yaml that earlier versions had elsewhere: messages about an older file say where they went."""

from fnmatch import fnmatchcase

__all__ = ["moved_or"]

MOVED = {  # pattern of the old key: where its value belongs now
    "execution.slurm": "jobs, with the same settings, in local.yaml",
    "*.engine.gpaw": "engine: {name: gpaw, and these settings}",
    "*.engine.pyscf": "engine: {name: pyscf, and these settings}",
    "*.driver.tblite": "driver: {name: tblite, and these settings}",
    "*.driver.ase": "driver: {name: ase, and these settings}",
    "*.engine.ase": "engine: {name: ase, and these settings}",
    "spectrum_vae.prefix": "spectrum_vae.nested_dropout",
    "spectrum_vae.transport": "spectrum_vae.distance, as {geometry: weight, and this weight}",
    "spectrum_vae.cramer_weight": "spectrum_vae.distance, as {geometry: weight, and this weight}",
    "spectra.triqs": "spectra.solver, as {name: triqs, ...}",
    "spectra.sampling.asymmetry": "spectra.sampling.asymmetry_over_U, with the same value",
    "kondo_temperatures.asymmetry": "kondo_temperatures.asymmetry_over_U, with the same value",
    "kondo_temperatures.nrg": "kondo_temperatures.label: {discretizations, n_keep, n_keep_check}",
    "formula.operon": "formula.engines.operon",
    "formula.library": "formula.engines.library",
    "formula.pysr": "formula.engines.pysr",
    "embedding.search.operon": "embedding.search.engines.operon",
    "embedding.search.library": "embedding.search.engines.library",
    "embedding.search.pysr": "embedding.search.engines.pysr",
    "microstructures.lamellae": "microstructures.generators.lamellae",
    "microstructures.phase_order": "microstructures.generators.phase_order",
    "microstructures.voronoi": "microstructures.generators.voronoi",
    "microstructures.cahn_hilliard": "microstructures.generators.cahn_hilliard",
    "*.hipnn": "hipnn under networks",
    "*.ani": "ani under networks",
    "potential.*.hipnn_steps": "steps.hipnn",
    "potential.*.ani_steps": "steps.ani",
    "active_learning.training.model": "training.network, as {name: ..., and its settings}",
    "active_learning.rounds.least_distance": "rounds.acquisition, as {name: diverse, and this}",
    "active_learning.rounds.diversity": "rounds.acquisition, as {name: diverse, and this}",
    "aluminium_benchmark.properties.*.dynamics.timestep_fs": "time_step_fs beside it",
    "aluminium_benchmark.properties.*.dynamics.friction_per_ps": "friction_1_fs beside it, a thousandth of the value",
}


def moved_or(problem: str) -> str:
    """The problem itself, or where the key that it begins with belongs now."""
    key, _, rest = problem.partition(": ")
    new = next((new for old, new in MOVED.items() if fnmatchcase(key, old)), "")
    if not new or not rest.startswith("found an unknown key"):
        return problem
    return f"{key}: found a key of an older version, expected it as {new}; move its value there"
