"""What a pretrained network sees in micrographs that the statistics of a materials scientist do not.

    PYTHONPATH=. OMP_NUM_THREADS=1 python benchmarks/micrographs.py choose FOLDER      development data
    PYTHONPATH=. OMP_NUM_THREADS=1 python benchmarks/micrographs.py evaluate FOLDER    evaluation data

`choose` writes FOLDER/choice.json, `evaluate` reads it and writes FOLDER/comparison.json and FOLDER/micrographs.md.
Data, candidates, seeds: micrographs.yaml; the rule: pipeline/microstructure/descriptor_comparison.py. About 5 and 12
CPU minutes.
"""

import argparse
import datetime
import json
import time
from dataclasses import asdict
from pathlib import Path

from models.laws.correlation import Interval
from pipeline.microstructure.descriptor_comparison import (
    Compared,
    ComparisonParams,
    Pick,
    choose,
    compare,
    development_key,
    matched_order_claim,
)
from pipeline.runtime.params import build, read_yaml

PARAMS = Path(__file__).with_suffix(".yaml")
WORDS = {
    "efficientnet": "EfficientNet-Lite0, pretrained",
    "random_efficientnet": "EfficientNet-Lite0, random weights (control)",
    "scattering": "scattering",
    "grey_histogram": "histogram",
    "grey_moments": "moments",
    "two_point": "two-point function",
    "power_spectrum": "power spectrum",
    "local_states": "two-point functions of local states",
    "lineal_path": "lineal path",
    "chord_lengths": "chord lengths",
    "minkowski": "Minkowski functionals",
}
READOUTS = {"linear": "linear, from the chosen map", "kernel": "kernel ridge, from all features"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["choose", "evaluate"])
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    params = build(ComparisonParams, read_yaml(PARAMS), "comparison", str(PARAMS))
    arguments.folder.mkdir(parents=True, exist_ok=True)
    choice = arguments.folder / "choice.json"
    start = time.process_time()
    if arguments.what == "choose":
        picks = choose(params)
        choice.write_text(json.dumps({"key": development_key(params), "picks": list(map(asdict, picks))}, indent=1))
        print(choices_table(params, picks))
    else:
        made = json.loads(choice.read_text())
        picks = [Pick(**pick) for pick in made["picks"]]
        lines = compare(params, picks, made["key"])
        claims = [matched_order_claim(lines, params, readout) for readout in READOUTS]
        record = {"lines": list(map(asdict, lines)), "claims": claims}
        (arguments.folder / "comparison.json").write_text(json.dumps(record, indent=1))
        text = report(params, picks, lines)
        (arguments.folder / "micrographs.md").write_text(text)
        print(text)
    print(f"{time.process_time() - start:.0f} CPU s")


def report(params: ComparisonParams, picks: list[Pick], lines: list[Compared]) -> str:
    parts = [
        f"`python benchmarks/micrographs.py`, {datetime.date.today()}; evaluation seeds "
        f"{', '.join(map(str, params.evaluation_seeds))}."
    ]
    for generator, evaluated in params.evaluated.items():
        parts.append(f"## {generator}: {evaluated.parameter}")
        parts.append(
            comparison_table([x for x in lines if (x.generator, x.parameter) == (generator, evaluated.parameter)])
        )
    parts.append("## Choices")
    parts.append(choices_table(params, picks))
    return "\n\n".join(parts) + "\n"


def comparison_table(lines: list[Compared]) -> str:
    """R2 and the paired difference network - baseline, of both readouts."""
    found = {(line.family, line.readout): line for line in lines}
    rows = ["| descriptor | R2, linear | network less it | R2, kernel | network less it |", "|---|---|---|---|---|"]
    for family in sorted(dict.fromkeys(x.family for x in lines), key=lambda f: -found[f, "kernel"].r2.value):
        cells = [WORDS[family]]
        for readout in READOUTS:
            line = found[family, readout]
            cells.append(shown(line.r2) if not line.constant else "0, the same for all images")
            cells.append("" if family == "efficientnet" else shown(line.difference))
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def choices_table(params: ComparisonParams, picks: list[Pick]) -> str:
    rows = ["| reported on | descriptor | readout | chosen | R2 there |", "|---|---|---|---|---|"]
    for pick in picks:
        candidate = params.families[pick.family][pick.candidate]
        stated = ", ".join(f"{key} {value}" for key, value in asdict(candidate.settings).items())
        how = f"{candidate.name}: {stated}" + (f"; {pick.method}" if pick.method else "")
        rows.append(f"| {pick.generator} | {pick.family} | {pick.readout} | {how} | {pick.score:.3f} |")
    return "\n".join(rows)


def shown(interval: Interval) -> str:
    value, low, high = interval
    return f"{value:.3f} [{low:.3f}, {high:.3f}]"


if __name__ == "__main__":
    main()
