"""Which rule counts the same number of active latents in every training: chosen on one set of data, judged on another.

    python benchmarks/active_latents.py --chosen FOLDER... --judged FOLDER...

Each FOLDER holds trainings of the stage `spectrum_vae` (`runs/spectrum_vae`: SUBSET/seed_N/result.json). A latent's KL
divergence, in nats, is the mean over its training rows. The rule that agrees best on the folders of --chosen, both
subsets together, is the one whose row is read on those of --judged; the first of equals, in the order of RULES.
"""

import argparse
import json
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

SUBSETS = ("low_temperature", "full")
Rule = Callable[[np.ndarray], int]


def main() -> None:
    parser = argparse.ArgumentParser(description="Rules for the number of active latents.")
    parser.add_argument("--chosen", type=Path, nargs="+", required=True)
    parser.add_argument("--judged", type=Path, nargs="+", default=[])
    options = parser.parse_args()
    chosen, judged = (divergences(folders) for folders in (options.chosen, options.judged))
    columns = [
        (where, subset, where_of[subset])
        for where, where_of in (("chosen on", chosen), ("judged on", judged))
        for subset in SUBSETS
        if where_of[subset]
    ]
    print("| rule | " + " | ".join(f"{where}: {subset}, {len(kl)} trainings" for where, subset, kl in columns) + " |")
    print("|---" * (len(columns) + 1) + "|")
    for name, rule in RULES.items():
        print(f"| {name} | " + " | ".join(counted(rule, kl) for _, _, kl in columns) + " |")
    best = max(RULES, key=lambda name: sum(agreement(RULES[name], kl) * len(kl) for kl in chosen.values()))
    print(f"\nBest on the data of choice: **{best}**.")
    for where, subset, kl in columns:
        print(f"\n{where} {subset}, KL in nats, sorted:", *(np.round(row, 3).tolist() for row in kl), sep="\n    ")


def divergences(folders: list[Path]) -> dict[str, list[np.ndarray]]:
    """KL of each latent, largest first (n_latent,), for every training of every folder."""
    return {
        subset: [
            np.sort(json.loads(file.read_text())["kl"])[::-1]
            for folder in folders
            for file in sorted(folder.glob(f"{subset}/seed_*/result.json"))
        ]
        for subset in SUBSETS
    }


def above(nats: float) -> Rule:
    return lambda kl: int((kl > nats).sum())


def share(least: float) -> Rule:
    """Latents that hold at least this share of the sum."""
    return lambda kl: int((kl >= least * kl.sum()).sum())


def explains(part: float) -> Rule:
    """The fewest latents that hold this part of the sum."""
    return lambda kl: int(np.searchsorted(np.cumsum(kl) / kl.sum(), part) + 1)


def effective(kl: np.ndarray) -> int:
    """Exponential of the entropy of the shares, rounded."""
    p = kl / kl.sum()
    return round(float(np.exp(-(p[p > 0] * np.log(p[p > 0])).sum())))


def largest_gap(kl: np.ndarray) -> int:
    """Up to the largest ratio of one divergence to the next; below a thousandth of a nat all count as one."""
    log = np.log(np.maximum(kl, 1e-3))
    return int(np.argmax(log[:-1] - log[1:]) + 1)


RULES: Mapping[str, Rule] = {
    "KL > 0.05 nats (params)": above(0.05),
    "KL > 0.01 nats": above(0.01),
    "KL > 0.2 nats": above(0.2),
    "KL > 0.5 nats": above(0.5),
    "KL > 1 nat": above(1.0),
    "1 % of the sum": share(0.01),
    "5 % of the sum": share(0.05),
    "10 % of the sum": share(0.10),
    "95 % of the sum": explains(0.95),
    "99 % of the sum": explains(0.99),
    "exponential of the entropy": effective,
    "largest gap": largest_gap,
}


def agreement(rule: Rule, trainings: list[np.ndarray]) -> float:
    """Share of the trainings that have the commonest number."""
    return Counter(map(rule, trainings)).most_common(1)[0][1] / len(trainings)


def counted(rule: Rule, trainings: list[np.ndarray]) -> str:
    counts = Counter(map(rule, trainings)).most_common()
    return f"{agreement(rule, trainings):.2f} (" + ", ".join(f"{n} in {times}" for n, times in counts) + ")"


if __name__ == "__main__":
    main()
