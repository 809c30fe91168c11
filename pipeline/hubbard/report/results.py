"""Rows of the README's table of results: the Mott transition."""

from pathlib import Path

from pipeline.hubbard.records import HubbardDiscovery, HubbardMetrics, MottMetrics
from pipeline.hubbard.report.page import by_name, critical, law_words
from pipeline.report.page import ResultRow, number, value_with_interval
from pipeline.report.registry import result_rows

__all__ = ["rows"]

BASELINES = {"principal components": "its best principal component", "summaries": "the best summary of the curve"}


@result_rows("hubbard", order=15)
def rows(root: Path) -> list[ResultRow]:
    hubbard, mott, discovery = HubbardMetrics.read(root), MottMetrics.read(root), HubbardDiscovery.read(root)
    weight = discovery.best["matsubara_weight"]
    others = ", ".join(
        f"{BASELINES.get(kind, kind)} ({one.coordinate}) {number(one.abs_spearman)}"
        for kind, one in weight.baseline.items()
    )
    line = by_name(mott.laws)["straight_line"]
    follows = value_with_interval(weight.abs_spearman, weight.low, weight.high)
    return [
        (
            "Mott transition, Hubbard model in DMFT by NRG",
            f"one latent and the quasiparticle weight: {follows}; {law_words(mott.laws)}",
            f"{discovery.n_test_rows} test rows, one data seed; {others}; metal ends at U = {critical(line)} D, 3 D by "
            f"linearized DMFT; Luttinger's rule gives n within {number(hubbard.luttinger.worst, 2)}",
        )
    ]
