"""What TLS costs where work runs in processes of this machine: their start, and many small tasks.

    PYTHONPATH=. python benchmarks/tls_start.py [--runs 7]

Starts two worker processes of Dask with the settings of the pipeline, in turn with TLS and plain, and sends them 500
tasks that do nothing. Prints medians and ranges, in seconds.
"""

import argparse
import logging
import statistics
import time
from datetime import date

import dask
import distributed
from distributed.security import Security

from pipeline.runtime.dask_workers import NO_PAGES, OWN_CLUSTER, PAGES_ADDRESS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=7)
    for name in ("worker", "nanny", "scheduler", "core", "client"):
        logging.getLogger(f"distributed.{name}").setLevel(logging.CRITICAL)
    times: dict[str, dict[str, list[float]]] = {
        kind: {"keys": [], "start": [], "tasks": []} for kind in ("plain", "TLS")
    }
    with dask.config.set(OWN_CLUSTER | NO_PAGES):
        for _ in range(parser.parse_args().runs):
            for kind, record in times.items():
                for name, seconds in measured(kind == "TLS").items():
                    record[name].append(seconds)
    print(f"{date.today()}, distributed {distributed.__version__}\n")
    print("| | making keys [s] | start of two workers [s] | 500 tasks [s] |\n|---|---|---|---|")
    for kind, record in times.items():
        cells = [f"{statistics.median(v):.2f} [{min(v):.2f}, {max(v):.2f}]" for v in record.values()]
        print(f"| {kind} | {' | '.join(cells)} |")


def measured(tls: bool) -> dict[str, float]:
    begin = time.perf_counter()
    security = Security.temporary() if tls else None
    made = time.perf_counter()
    with (
        distributed.LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            processes=True,
            dashboard_address=PAGES_ADDRESS,
            scheduler_kwargs={"dashboard": False},
            memory_limit=0,
            silence_logs=logging.CRITICAL,
            security=security,
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        started = time.perf_counter()
        client.gather(client.map(abs, range(500), pure=False))
        done = time.perf_counter()
    return {"keys": made - begin, "start": started - made, "tasks": done - started}


if __name__ == "__main__":
    main()
