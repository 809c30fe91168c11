"""Section on the atomic features of HIP-NN: which of them follows charge, coordination, element?"""

import numpy as np

from pipeline.atoms.records import FeatureReport
from pipeline.atoms.report.inputs import AtomsInputs
from pipeline.atoms.report.uncertainty_section import ranked
from pipeline.report.axes import draw_association, settle
from pipeline.report.page import Block, Notice, Section, Table, number, picture, r_squared

__all__ = ["features_section", "quantity_words"]

WORDS = {"charge": "charge", "charge_beyond_element": "charge within\nan element", "coordination": "coordination"}


def features_section(inputs: AtomsInputs) -> Section:
    latents = inputs.hierarchy_details.latents
    introduction = (
        "The network was given neither charges nor coordination numbers. On half of the held-out trajectories the "
        "features of the blocks that follow a quantity best are chosen, on the other half they are judged."
    )
    if not latents.associations:
        blocks: list[Block] = [
            Notice(text="Too few held-out trajectories to choose features on one half and judge them on the other.")
        ]
        return Section(anchor="atoms-features", title="Features", introduction=introduction, blocks=blocks)
    associations = latents.associations
    features = list(associations)
    known = list(next(iter(associations.values())))
    strength = np.abs(np.array([[associations[f][q].spearman[0] for q in known] for f in features], dtype=float))
    figure = draw_association(features, [quantity_words(q) for q in known], strength)
    blocks = [
        picture(
            settle(figure),
            name="atoms-features",
            description="Features against chemistry",
            caption=f"|Spearman| of chosen features with what is known of {number(latents.n_atoms)} atoms. A "
            "quantity that is 0 or 1 cannot reach 1: for a share p of ones the most is √(3 p (1\u2212p)), 0.87 at "
            "half. Charges are Mulliken's, which depend on the basis.",
        ),
        best_table(latents),
    ]
    return Section(anchor="atoms-features", title="Features", introduction=introduction, blocks=blocks)


def best_table(latents: FeatureReport) -> Table:
    rows = []
    for quantity, best in latents.best.items():
        together = latents.together.get(quantity)
        rows.append(
            [
                quantity_words(quantity).replace("\n", " "),
                best.feature,
                ranked((best.spearman, best.low, best.high)),
                number(together.linear_direction if together else None, 2),
                r_squared(together.nonlinear_r2 if together else None),
            ]
        )
    return Table(
        columns=["quantity", "nearest feature", "Spearman", "best linear direction, |Spearman|", "nonlinear R² of all"],
        rows=rows,
        caption="Charge within an element is the charge less the mean of its element: what is left once the element is "
        "known. All features come from one network; another seed stores the same knowledge elsewhere.",
    )


def quantity_words(name: str) -> str:
    return f"is {name.removeprefix('is_')}" if name.startswith("is_") else WORDS.get(name, name.replace("_", " "))
