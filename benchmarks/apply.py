"""How many faces a second `facemask apply` paints: a folder of photos, from nothing and again.

    python -m benchmarks.apply CHECKPOINT FOLDER

`whole` counts from the start of the command, with all that each process loads first; `running` between its first and
its last line of progress. Prints JSON last.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from flows.processes.dvc_runner import program_env

_LINE = re.compile(r"apply: ([\d,]+) of [\d,]+ photos")


def run(checkpoint: Path, folder: Path, out: Path) -> list[tuple[float, int]]:
    """Times since the start and photos done, line by line."""
    began, points = time.monotonic(), []
    command = [sys.executable, "-m", "flows.cli", "apply", str(checkpoint), str(folder), "--out", str(out)]
    with subprocess.Popen(command, env=program_env(), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if found := _LINE.match(line):
                points.append((time.monotonic() - began, int(found[1].replace(",", ""))))
    if process.returncode:
        sys.exit("facemask apply failed")
    return [*points, (time.monotonic() - began, points[-1][1])]


def main() -> None:
    parser = argparse.ArgumentParser(description="Time facemask apply.")
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("folder", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as out:
        points = run(options.checkpoint, options.folder, Path(out) / "o")
        again = run(options.checkpoint, options.folder, Path(out) / "o")
    (first_at, first), (last_at, last), (ended, photos) = points[0], points[-2], points[-1]
    found = {
        "photos": photos,
        "whole_per_s": round(photos / ended, 1),
        "running_per_s": round((last - first) / max(last_at - first_at, 1e-3), 1),
        "again_s": round(again[-1][0], 1),
        "reach_per_s": 20,
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
