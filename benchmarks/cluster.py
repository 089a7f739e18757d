"""How fast a Dask cluster measures against this machine's own processes: `python -m benchmarks.cluster`.

Two workers of each, on the same images, in turns; starting them is not counted. Prints JSON last.
"""

import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from pyarrow import Table

from benchmarks.measure import SETTINGS, faces
from flows.local_server.server import free_port
from pipeline.progress import Progress
from pipeline.stages.measure import ImageLocation, measure_files, workers
from pipeline.storage.worker_pool import WorkerPool

COUNT, ROUNDS = 2, 5


@contextmanager
def dask(folder: Path) -> Iterator[str]:
    """A scheduler and COUNT workers; gives the scheduler's address."""
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
    with tempfile.TemporaryDirectory() as images, tempfile.TemporaryDirectory() as local, dask(Path(local)) as address:
        names = [path.name for path in faces(Path(images), ".jpg")] * 16

        def rate(pool: WorkerPool[ImageLocation, Table]) -> float:
            started = time.perf_counter()
            measure_files(pool, Path(images), names, Progress("measure", len(names)))
            return len(names) / (time.perf_counter() - started)

        with workers(SETTINGS, COUNT) as here, workers(replace(SETTINGS, executor="dask", address=address)) as there:
            rate(here), rate(there)  # to load their landmarkers
            ratios = [rate(there) / rate(here) for _ in range(ROUNDS)]
    print(json.dumps({"workers": COUNT, "images": len(names), "dask_against_processes": statistics.median(ratios)}))


if __name__ == "__main__":
    main()
