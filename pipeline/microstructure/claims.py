"""What `latentlaw replicate` measures of the micrographs: who sees the order that pair statistics cannot see.

    matched_order_cnn          R2 of the order of matched_order by the pretrained network, kernel ridge on all features
    matched_order_cnn_linear   the same by linear regression from the map that was chosen

New images for every data seed, out-of-fold rows. Layer, map and the like were chosen on other generators and seeds and
are kept in profiles/replication/micrographs/, rivals' too. The baseline is the best of all statistics that are not the
network, on the images of that data seed, which is the hardest choice for the claim. Nothing is trained.
"""

import json
from dataclasses import replace
from pathlib import Path

from models.laws.paired_recovery import Readout
from pipeline.microstructure.descriptor_comparison import ComparisonParams, Pick, compare, matched_order_claim
from pipeline.runtime.params import build, read_yaml
from pipeline.runtime.replication import Measured, replicated

__all__ = ["CHOICES", "SETTINGS", "measure_micrographs"]

FOLDER = Path(__file__).parents[2] / "profiles/replication"
SETTINGS, CHOICES = FOLDER / "micrographs.yaml", FOLDER / "micrographs"
CLAIMS: dict[str, Readout] = {"matched_order_cnn": "kernel", "matched_order_cnn_linear": "linear"}
ALSO = (
    "models/descriptors",
    "models/laws",
    "models/physics/microstructure",
    "pipeline/microstructure/descriptor_comparison.py",
    "pipeline/microstructure/sampling.py",
    "pipeline/microstructure/targets.py",
    "profiles/replication/micrographs.yaml",
    "profiles/replication/micrographs",
)


@replicated("microstructure", also=ALSO)
def measure_micrographs(folder: Path, data_seed: int) -> list[Measured]:
    params = replace(
        build(ComparisonParams, read_yaml(SETTINGS), "comparison", str(SETTINGS)), evaluation_seeds=(data_seed,)
    )
    chosen = json.loads((CHOICES / "choice_matched_order.json").read_text())
    lines = compare(params, [Pick(**pick) for pick in chosen["picks"]], chosen["key"], "matched_order")
    measured = []
    for name, readout in CLAIMS.items():
        claim = matched_order_claim(lines, params, readout)
        measured.append(
            Measured(
                claim=name,
                rows=f"{params.generators['matched_order'].n_points} parameter points, out of fold",
                kind="number",
                value=claim["value"],
                baseline=claim["baseline"].replace("_", " "),
                baseline_value=claim["baseline_value"],
            )
        )
    return measured
