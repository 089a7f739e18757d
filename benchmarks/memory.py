"""How much memory measuring takes, for few images and for four times as many: `python -m benchmarks.memory`.

The peak of the parent process, and that of the largest worker. Prints JSON last.
"""

import json
import os
import resource
import subprocess
import sys

from benchmarks.grown import ROOT, add_images, fetch, measure, workspace

IMAGES = (2_000, 8_000)


def peaks_mb(images: int) -> dict[str, float]:
    """Peak memory, MB, of measuring in a new process, so that this process's memory does not count."""
    with workspace() as (_, inbox, contents):
        add_images(inbox, contents, range(images))
        fetch()
        command = [sys.executable, "-m", "benchmarks.memory", "measure"]
        env = {**os.environ, "PYTHONPATH": str(ROOT)}
        ran = subprocess.run(command, env=env, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, float] = json.loads(ran.stdout.splitlines()[-1])
    return found


def main() -> None:
    """Print the peaks of both and their ratio; with the argument `measure`, measure the current folder."""
    if sys.argv[1:] == ["measure"]:
        measure()
        who = {"parent_mb": resource.RUSAGE_SELF, "largest_worker_mb": resource.RUSAGE_CHILDREN}
        print(json.dumps({name: resource.getrusage(of).ru_maxrss / 1024 for name, of in who.items()}))
        return
    few, many = (peaks_mb(images) for images in IMAGES)
    print(json.dumps({"images": IMAGES, "few": few, "many": many, "ratio": {k: many[k] / few[k] for k in few}}))


if __name__ == "__main__":
    main()
