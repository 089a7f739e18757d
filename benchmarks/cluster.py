"""How fast a Dask cluster measures, relative to worker processes: `python -m benchmarks.cluster`.

Two workers of each kind measure the same images in turns; starting them does not count. Prints JSON last.
"""

import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from benchmarks.measure import PARAMS, measuring_rate, write_faces
from flows.local_server.server import free_port
from pipeline.curation.measuring import open_workers

COUNT, ROUNDS = 2, 5


@contextmanager
def dask(folder: Path) -> Iterator[str]:
    """Start a scheduler and COUNT workers, and yield the scheduler's address."""
    port = str(free_port())
    address = f"tcp://127.0.0.1:{port}"
    commands = [["scheduler", "--host", "127.0.0.1", "--port", port, "--no-dashboard"]]
    commands += [["worker", address, "--nthreads", "1", "--no-dashboard", "--local-directory", str(folder)]] * COUNT
    with (folder / "dask.log").open("w") as log:
        running = [
            subprocess.Popen([sys.executable, "-m", "dask", *words], stdout=log, stderr=log, start_new_session=True)
            for words in commands
        ]
        try:
            yield address
        finally:
            for process in running:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def main() -> None:
    """Measure in turns and print the ratio."""
    with tempfile.TemporaryDirectory() as images, tempfile.TemporaryDirectory() as local, dask(Path(local)) as address:
        folder = Path(images)
        names = [path.name for path in write_faces(folder, ".jpg")] * 16
        cluster_params = replace(PARAMS, executor="dask", address=address)
        with open_workers(PARAMS, COUNT) as processes, open_workers(cluster_params) as cluster:
            for workers in (processes, cluster):
                measuring_rate(workers, folder, names)  # loads their landmarkers
            ratios = [
                measuring_rate(cluster, folder, names) / measuring_rate(processes, folder, names) for _ in range(ROUNDS)
            ]
    print(json.dumps({"workers": COUNT, "images": len(names), "dask_against_processes": statistics.median(ratios)}))


if __name__ == "__main__":
    main()
