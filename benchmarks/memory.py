"""How much memory measuring takes, for few images and for four times as many: `python -m benchmarks.memory`.

Of the process that hands out the work and of the largest that measures: the most that each ever held. Prints JSON last.
"""

import json
import os
import resource
import subprocess
import sys

from benchmarks.grown import ROOT, land, workspace
from pipeline.stages.fetch import fetch
from pipeline.stages.measure import measure

IMAGES = (2_000, 8_000)


def peaks_mb(images: int) -> dict[str, float]:
    """Measure in a new process: what this one holds already does not count."""
    with workspace() as (_, inbox, contents):
        land(inbox, contents, range(images))
        fetch("grown")
        command = [sys.executable, "-m", "benchmarks.memory", "measure"]
        env = {**os.environ, "PYTHONPATH": str(ROOT)}
        ran = subprocess.run(command, env=env, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, float] = json.loads(ran.stdout.splitlines()[-1])
    return found


def main() -> None:
    if sys.argv[1:] == ["measure"]:
        measure("grown")
        who = {"parent_mb": resource.RUSAGE_SELF, "largest_worker_mb": resource.RUSAGE_CHILDREN}
        print(json.dumps({name: resource.getrusage(of).ru_maxrss / 1024 for name, of in who.items()}))
        return
    few, many = (peaks_mb(images) for images in IMAGES)
    print(json.dumps({"images": IMAGES, "few": few, "many": many, "ratio": {k: many[k] / few[k] for k in few}}))


if __name__ == "__main__":
    main()
