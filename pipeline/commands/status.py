"""`latentlaw status STAGE`: which of its shards are done, running, failed, how fast, and the time left."""

import json
from dataclasses import asdict
from pathlib import Path

from pipeline.commands.options.shards import StatusOptions
from pipeline.runtime.claim_status import ClaimStatus, claim_status
from pipeline.runtime.claimed_work import recipe_of_stage
from pipeline.runtime.claims import Claims

__all__ = ["main"]

N_SHOWN = 10


def main(options: StatusOptions) -> int:
    recipe = recipe_of_stage(options.stage)
    folder, names = recipe.scratch(), list(recipe.items)
    if options.retry:
        Claims(folder, names).retry()
    status = claim_status(folder, names)
    if options.json:
        print(json.dumps({"stage": options.stage, "folder": str(folder), **asdict(status)}, indent=2))
    else:
        print("\n".join(_lines(options.stage, folder, status)))
    return 0


def _lines(stage: str, folder: Path, status: ClaimStatus) -> list[str]:
    lines = [f"{stage}: {status.line()}", f"  in {folder}"]
    if status.hosts:
        lines.append(f"  workers: {', '.join(f'{n} on {host}' for host, n in sorted(status.hosts.items()))}")
    if status.repro:
        lines.append("  `latentlaw repro` makes what is missing")
    if status.failed:
        by_reason: dict[str, list[str]] = {}
        for name, reason in status.failed.items():
            by_reason.setdefault(reason, []).append(name)
        for reason, names in by_reason.items():
            shown = ", ".join(names[:N_SHOWN]) + (", ..." if len(names) > N_SHOWN else "")
            lines.append(f"  failed {shown}: {reason}")
        lines.append(f"  after the cure: `latentlaw status {stage} --retry`, then workers try them again")
    if status.n_done == status.n_shards:
        lines.append(f"  all are done: `latentlaw repro {stage}` puts the store together")
    elif not status.hosts and not status.repro:
        lines.append(f"  nobody works on it: `latentlaw work {stage}`, or `latentlaw submit {stage}`")
    return lines
