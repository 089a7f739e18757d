"""How many photos a second `facemask apply` processes: a folder of photos, first without and then with its outputs.

    python -m benchmarks.apply CHECKPOINT FOLDER

`whole_per_s` counts from the start of the command, with everything that each process loads; `running_per_s` between
the first and the last progress message. Prints JSON last.
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

from flows.processes.dvc_runner import run_program
from pipeline.messages import Message

TARGET_PER_S = 20


def run(checkpoint: Path, folder: Path, out: Path) -> list[tuple[float, int]]:
    """(seconds since the start, photos done) at every progress message, and at the end. Exits if the command fails."""
    started, points = time.monotonic(), []

    def on_message(message: Message) -> None:
        if message.kind == "progress":
            points.append((time.monotonic() - started, message.done))

    command = [sys.executable, "-m", "flows.cli", "apply", str(checkpoint), str(folder), "--out", str(out)]
    if run_program(command, Path.cwd(), on_message=on_message).status:
        sys.exit("facemask apply failed")
    return [*points, (time.monotonic() - started, points[-1][1])]


def main() -> None:
    """Run the command twice and print the figures."""
    parser = argparse.ArgumentParser(description="Time facemask apply.")
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("folder", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as out:
        points = run(options.checkpoint, options.folder, Path(out) / "o")
        again = run(options.checkpoint, options.folder, Path(out) / "o")
    (first_at, first), (last_at, last), (ended, photos) = points[0], points[-2], points[-1]
    figures = {
        "photos": photos,
        "whole_per_s": round(photos / ended, 1),
        "running_per_s": round((last - first) / max(last_at - first_at, 1e-3), 1),
        "again_s": round(again[-1][0], 1),
        "target_per_s": TARGET_PER_S,
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
