"""Small inputs of the pages `atoms` and `aluminium`, as the stages write them."""

import json

import numpy as np

from models.frames import Frames
from stores.atoms import ATOMS, columns_of, dataset_of
from stores.zarr_store import write_store

METHODS = {
    "double_backward": (2.2, 2.1, 2e-7),
    "forward_over_reverse": (2.6, 1.2, 3e-7),
    "finite_difference": (3.4, 1.0, 2e-4),
}
MEASURES = ("pearson", "spearman", "distance_correlation", "mutual_information")
SECTIONS = (
    "molecules",
    "aluminium",
    "potential",
    "force_training",
    "hierarchy",
    "active_learning",
    "aluminium_benchmark",
)


def errors(force):
    return {
        "energy_mae_meV_atom": 4.11,
        "energy_rmse_meV_atom": 5.23,
        "energy_sd_meV_atom": 33.0,
        "force_mae_eV_A": 0.8 * force,
        "force_rmse_eV_A": force,
        "force_mean_abs_eV_A": 0.9,
        "force_rms_eV_A": 1.31,
    }


def trained(force, **further):
    members = [{"seed": seed, "best_epoch": 3, "epochs": 4} for seed in (0, 1)]
    sizes = {"n_train": 120, "n_validation": 5, "n_test": 9, "n_members": 2, "n_weights": 7, "members": members}
    return errors(force) | sizes | further


def records(sources, *, cell=None, n_frames=3):
    rng = np.random.default_rng(0)
    numbers = np.array([8, 1, 1]) if cell is None else np.full(4, 13)
    start = np.array([[0, 0, 0], [0.96, 0, 0], [-0.24, 0.93, 0]]) if cell is None else np.eye(4, 3) * 2.4 + 0.3
    found = []
    for group, source in enumerate(source for source in sources for _ in range(n_frames)):
        forces = rng.normal(size=start.shape)
        found.append(
            Frames.one(
                numbers=numbers,
                positions_A=start + 0.05 * rng.normal(size=start.shape),
                cell_A=cell,
                energy_eV=-10.0 - rng.random(),
                forces_eV_A=forces - forces.mean(axis=0),
                group=group,
                source=source,
                provenance={"level": "Morse"},
            )
        )
    return found


def write(root, path, content):
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(json.dumps(content))


def write_atoms(root):
    cell = np.eye(3) * 5.0
    for name, sources, box in (
        ("molecules", ("H2O dynamics", "H2O normal_modes"), None),
        ("aluminium", ("melt", "crystal fcc"), cell),
    ):
        found = records(sources, cell=box)
        attributes = {"level": "Morse", "reference_energies": "{}", "settings": "{}"}
        write_store(root / f"data/{name}.zarr", ATOMS, dataset_of(columns_of(Frames.concatenate(found)), attributes))
        counts = {"n_configs": 1006, "n_failed": 5, "n_retried": 1, "level": f"level of {name}", "hash": "0"}
        write(root, f"reports/metrics/{name}.json", counts | {"sources": dict.fromkeys(sources, 3)})
    models = {"hipnn": trained(0.311, held_out=errors(0.911)), "ani": trained(0.222)}
    write(root, "reports/metrics/potential.json", {"stores": {"aluminium": models, "molecules": models}})
    pairs = {"label": [0.0, 1.0, 2.0], "predicted": [0.1, 0.9, 2.1]}
    parity = {"energy_eV_atom": pairs, "force_eV_A": pairs}
    names = [f"{store}_{model}" for store in ("molecules", "aluminium") for model in models]
    keys = ("energy_mae_meV_atom", "energy_rmse_meV_atom", "force_mae_eV_A", "force_rmse_eV_A")
    points = [
        {"n_train": n, "n_members": m} | {key: errors(f)[key] for key in keys}
        for n, m, f in ((30, 1, 0.6), (60, 1, 0.4), (120, 2, 0.3))
    ]
    details = {
        "parity": dict.fromkeys(names, parity),
        "history": {},
        "learning_curve": {"store": "molecules", "model": "hipnn", "points": points},
    }
    write(root, "reports/details/potential.json", details)
    write_force_training(root)
    write_hierarchy(root)
    (root / "params.yaml").write_text("".join(f"{section}: {{seed: 1}}\n" for section in SECTIONS))


def write_force_training(root):
    cases = [(model, system) for system in ("organic_molecules", "aluminium_108") for model in ("hipnn", "ani")]
    results = [
        {
            "model": model,
            "system": system,
            "method": method,
            "device": "cpu",
            "dtype": "float32",
            "time_ratio": time + 0.13 * number,
            "memory_ratio": memory,
            "gradient_error": error,
            "energy_step_ms": 45.6,
            "step_ms": 99.0,
            "energy_step_MiB": 1.0,
            "n_atoms": 10,
            "n_pairs": 20,
            "n_weights": 30,
        }
        for number, (model, system) in enumerate(cases)
        for method, (time, memory, error) in METHODS.items()
    ]
    points = [
        {
            "dtype": dtype,
            "method": "finite_difference",
            "displacement": step,
            "error": 300 * step**2 + rounding / step,
        }
        for dtype, rounding in (("float32", 1e-7), ("float64", 1e-16))
        for step in (1e-2, 1e-3, 1e-4, 1e-5)
    ]
    points.append({"dtype": "float32", "method": "double_backward", "displacement": None, "error": 2e-7})
    errors_of = [{"model": model, "system": system, "points": points} for model, system in cases]
    equal_time = [
        {"training": name, "cpu_seconds": 8.0, "steps": 100, "energy_rmse_meV_atom": 9.0, "force_rmse_eV_A": 0.3}
        for name in ("energies only", *METHODS)
    ]
    write(root, "reports/metrics/force_training.json", {"results": results})
    write(root, "reports/details/force_training.json", {"gradient_errors": errors_of, "equal_time": equal_time})


def judged(spearman):
    return {
        "spearman": [spearman, spearman - 0.02, spearman + 0.02],
        "mean_error": 0.2,
        "area": 0.15,
        "oracle_area": 0.1,
        "relative_excess": 0.5,
        "miscalibration": 0.043,
        "n": 50,
    }


def write_hierarchy(root):
    curve = {
        "coverage": [0.02, 0.5, 1.0],
        "risk": [0.3, 0.1, 0.2],
        "oracle_risk": [0.0, 0.1, 0.2],
        "expected": [0.1, 0.9],
        "observed": [0.2, 0.8],
        "estimate": [0.1, 0.2, 0.0],
        "error": [0.1, 0.3, 0.2],
    }
    ranks = {"spread": 0.61, "hierarchicality": 0.37, "last_term": 0.29}
    sets = ("held_out", "out_of_distribution")
    metrics = {
        q: {e: {"scale": 2.0, "told_apart": 0.7} | {s: judged(rank) for s in sets} for e, rank in ranks.items()}
        for q in ("energy", "forces")
    }
    sizes = {"n_configs": 25, "n_atoms": 75, "sources": ["CH3CH2OH dynamics"]}
    best = {"charge": {"feature": "block 1 feature 3", "spearman": 0.873, "low": 0.85, "high": 0.89}}
    write(root, "reports/metrics/hierarchy.json", metrics | {"sets": dict.fromkeys(sets, sizes), "latents": best})
    latents = {
        "n_atoms": 70,
        "associations": {"block 1 feature 3": {"charge": {key: [0.873, 0.85, 0.89] for key in MEASURES}}},
        "together": {"charge": {"linear_direction": 0.9, "nonlinear_r2": 0.8}},
        "meaning": [],
        "best": best,
    }
    details = {q: {e: dict.fromkeys(sets, curve) for e in ranks} for q in ("energy", "forces")}
    terms = {"held_out": {"rms_eV": [0.01, 0.2, 0.1], "hierarchicality_mean": 1.2}}
    write(root, "reports/details/hierarchy.json", details | {"terms": terms, "latents": latents})


def interval(mean, half):
    return {"mean": mean, "low": mean - half, "high": mean + half}


def rounds_of(forces):
    return [
        {
            "n_labels": 10 + 8 * i,
            "force_rmse": f,
            "energy_rmse": 0.1 * f,
            "selected": 8,
            "tried": 24 * (i > 0),
            "n_failed": 0,
        }
        for i, f in enumerate(forces)
    ]


def write_aluminium(root, *, gain=0.17, seeds=5):
    cell = np.eye(3) * 5.0
    found = records(("test packed", "bootstrap", "active round 1"), cell=cell)
    attributes = {"level": "Morse", "reference_energies": "{}", "settings": "{}"}
    write_store(
        root / "data/aluminium_active.zarr", ATOMS, dataset_of(columns_of(Frames.concatenate(found)), attributes)
    )
    active, random = rounds_of((0.44, 0.33, 0.213)), rounds_of((0.44, 0.35, 0.287))
    arms = {
        name: [
            {
                "n_labels": r["n_labels"],
                "force_rmse": interval(r["force_rmse"], 0.02),
                "energy_rmse": interval(r["energy_rmse"], 0.002),
            }
            for r in entry
        ]
        for name, entry in (("rounds", active), ("random", random), ("plain", random))
    }
    gains = {f"{q}_{when}": interval(gain, 0.1) for q in ("force", "energy") for when in ("gain", "gain_all_rounds")}
    control = {"level": "EMT", "n_seeds": seeds, **arms, **gains} if seeds else {}
    metrics = {
        "level": "level of the last run",
        "units": {},
        "rounds": active,
        "random": random,
        "final": None,
        "oracle_control": control,
    }
    write(root, "reports/metrics/active_learning.json", metrics)
    frame = {
        "numbers": [13] * 4,
        "positions_A": found[0].positions_A.tolist(),
        "cell_A": cell.tolist(),
        "step": 40,
        "temperature_K": 1234.0,
        "spread": {"energy_eV_atom": 0.01, "force_mean_eV_A": 0.2, "force_max_eV_A": 0.4},
    }
    trace = {"reason": "uncertain", "step": [20, 40], "force_mean": [0.1, 0.2]}
    rounds_only = {
        arm: [
            r
            | {
                "round": i,
                "errors": None,
                "ended": {"uncertain": 9, "finished": 15} if i else {},
                "discarded": {},
                "n_duplicates": 0,
                "spreads": [],
                "steps": [],
                "atom_steps": 0,
                "thresholds": {"energy_eV_atom": 0.01, "force_mean_eV_A": 0.15, "force_max_eV_A": 0.5} if i else None,
                "traces": [trace] if i else [],
                "frames": [frame] if i else [],
                "cpu_s": {"training": 5.0, "sampling": 1.0},
            }
            for i, r in enumerate(entry)
        ]
        for arm, entry in (("rounds", active), ("random", random))
    }
    runs = {
        f"{arm}_0": {"seed": 0, "arm": arm, "rounds": [r | {"cpu_s": {}} for r in entry]}
        for arm, entry in (("active", active), ("random", random), ("plain", random))
    }
    details = rounds_only | {"final_cpu_s": 1.0, "oracle_control": runs if seeds else {}}
    write(root, "reports/details/active_learning.json", details)
    write_properties(root)


def record(value, unit, family, *, oracle=None, dft=None, experiment=None, failure=""):
    published = {
        name: None if given is None else {"value": given, "unit": unit, "conditions": "PBE +- 1", "source": source}
        for name, given, source in (
            ("literature_dft", dft, "A. Author (2001)"),
            ("experiment", experiment, "B. Other (1999)"),
        )
    }
    others = {"oracle": oracle, "literature_dft": dft, "experiment": experiment}
    deviation = {who: None if None in (value, x) else (value - x) / abs(x) for who, x in others.items()}
    return published | {
        "value": value,
        "unit": unit,
        "family": family,
        "failure": failure,
        "oracle": oracle,
        "oracle_failure": "",
        "settings": {},
        "oracle_level": None if oracle is None else "GPAW",
        "relative_deviation": deviation,
    }


def write_properties(root):
    properties = {
        "a0": record(4.123, "A", "equation_of_state", oracle=4.0437, dft=4.0396, experiment=4.0223),
        "bulk_modulus": record(240.0, "GPa", "equation_of_state", oracle=80.0, dft=78.0),
        "vacancy_migration": record(None, "eV", "vacancy", dft=0.58, failure="vacancy: it does not relax"),
        "melt_temperature": record(950.0, "K", "melt"),
        "compressed_fcc_0.80_energy": record(0.4, "eV/atom", "compression"),
        "compressed_fcc_0.80_pressure": record(40.0, "GPa", "compression", oracle=38.0),
    }
    waves = {
        "distance": [0.0, 0.5, 1.0],
        "frequencies_THz": [[0.0, 3.0, 6.0]],
        "ticks": [0.0, 1.0],
        "labels": ["Gamma", "X"],
    }
    melt = {
        "r_A": [1.0, 3.0, 5.0],
        "g": [0.0, 2.5, 1.0],
        "positions_A": [[1.0, 1.0, 1.0], [3.0, 3.0, 3.0]],
        "cell_A": [5.0] * 3,
    }
    energies = {"volume_A3": [16.0, 17.0, 18.0], "energy_eV": [-3.0, -3.1, -3.0]}
    curves = {
        "a0": {"family": "equation_of_state", "curve": energies, "oracle_curve": None},
        "phonon_X_longitudinal": {"family": "phonons", "curve": waves, "oracle_curve": None},
        "melt_rdf_first_peak": {"family": "melt", "curve": melt, "oracle_curve": None},
    }
    write(root, "reports/metrics/aluminium_properties.json", properties)
    write(root, "reports/details/aluminium_benchmark.json", curves)
