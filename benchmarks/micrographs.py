"""What a pretrained network sees in micrographs that the statistics of a materials scientist do not.

    export PYTHONPATH=. OMP_NUM_THREADS=1
    python benchmarks/micrographs.py choose FOLDER [GENERATOR ...]       on development data, for what is reported of
    python benchmarks/micrographs.py evaluate FOLDER [GENERATOR ...]     on evaluation data; of all where none is named
    python benchmarks/micrographs.py report FOLDER                       of what has been evaluated, in Markdown

`choose` writes FOLDER/choice_GENERATOR.json, `evaluate` reads it and writes FOLDER/GENERATOR.json. FOLDER is
profiles/replication/micrographs, where `latentlaw replicate` reads the choices too. Data, candidates, seeds:
profiles/replication/micrographs.yaml; the rule: pipeline/microstructure/descriptor_comparison.py. About 2 CPU minutes
for each generator and step.
"""

import argparse
import datetime
import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from models.laws.correlation import Interval
from pipeline.microstructure.claims import SETTINGS
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
    parser.add_argument("what", choices=["choose", "evaluate", "report"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("generators", nargs="*")
    arguments = parser.parse_args()
    params = build(ComparisonParams, read_yaml(SETTINGS), "comparison", str(SETTINGS))
    folder: Path = arguments.folder
    folder.mkdir(parents=True, exist_ok=True)
    start = time.process_time()
    for generator in arguments.generators or params.evaluated:
        chosen = folder / f"choice_{generator}.json"
        if arguments.what == "choose":
            made = {"key": development_key(params), "picks": list(map(asdict, choose(params, generator)))}
            chosen.write_text(json.dumps(made, indent=1))
        if arguments.what == "evaluate":
            made = json.loads(chosen.read_text())
            lines = compare(params, [Pick(**pick) for pick in made["picks"]], made["key"], generator)
            record: dict[str, Any] = {"seeds": params.evaluation_seeds, "lines": list(map(asdict, lines))}
            if generator == "matched_order":
                record["claims"] = [matched_order_claim(lines, params, readout) for readout in READOUTS]
            (folder / f"{generator}.json").write_text(json.dumps(record, indent=1))
    print(report(params, folder))
    print(f"{time.process_time() - start:.0f} CPU s")


def report(params: ComparisonParams, folder: Path) -> str:
    parts = [f"{datetime.date.today()}; evaluation seeds {', '.join(map(str, params.evaluation_seeds))}."]
    picks: list[Pick] = []
    for generator, evaluated in params.evaluated.items():
        if (chosen := folder / f"choice_{generator}.json").exists():
            picks += [Pick(**pick) for pick in json.loads(chosen.read_text())["picks"]]
        if not (folder / f"{generator}.json").exists():
            continue
        record = json.loads((folder / f"{generator}.json").read_text())
        parts += [f"## {generator}: {evaluated.parameter}"]
        parts += [comparison_table([read(x) for x in record["lines"] if x["parameter"] == evaluated.parameter])]
        parts += ["    " + json.dumps(claim) for claim in record.get("claims", [])]
    return "\n\n".join([*parts, "## Choices", choices_table(params, picks)])


def read(line: dict[str, Any]) -> Compared:
    return Compared(**line | {name: Interval(*line[name]) for name in ("r2", "difference")})


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
