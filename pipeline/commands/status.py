"""`latentlaw status STAGE`: which of its shards are done, running, failed, how fast, and the time left."""

import json
from dataclasses import asdict

from pipeline.commands.options.shards import StatusOptions
from pipeline.runtime.claim_status import ClaimStatus, claim_status
from pipeline.runtime.claimed_work import recipe_of_stage
from pipeline.runtime.claims import Claims, shard_names
from pipeline.runtime.kept_results import scratch_folder

__all__ = ["main"]

N_SHOWN = 10


def main(options: StatusOptions) -> int:
    recipe = recipe_of_stage(options.stage)
    folder, n_shards = scratch_folder(recipe.key), len(recipe.shards)
    if options.retry:
        Claims(folder, shard_names(n_shards)).retry()
    status = claim_status(folder, stage=options.stage, key=recipe.key, n_shards=n_shards)
    print(json.dumps(asdict(status), indent=2) if options.json else "\n".join(_lines(status, str(folder))))
    return 0


def _lines(status: ClaimStatus, folder: str) -> list[str]:
    lines = [f"{status.stage}: {status.line()}", f"  in {folder}"]
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
        lines.append(f"  after the cure: `latentlaw status {status.stage} --retry`, then workers try them again")
    if status.n_done == status.n_shards:
        lines.append(f"  all are done: `latentlaw repro {status.stage}` puts the store together")
    elif not status.hosts and not status.repro:
        lines.append(f"  nobody works on it: `latentlaw work {status.stage}`, or `latentlaw submit {status.stage}`")
    return lines
