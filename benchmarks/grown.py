"""What a source that grew by 1 % costs against measuring it whole, in one run: `python -m benchmarks.grown`.

Twenty thousand small images go through fetch, measure and curate; then 1 % more land; then a limit changes. Prints JSON
last.
"""

import contextlib
import json
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from pipeline.stages.curate import curate
from pipeline.stages.fetch import fetch
from pipeline.stages.measure import measure
from pipeline.synthetic.layout import SampleParams, sample_files

ROOT = Path(__file__).resolve().parent.parent
IMAGES, GROWTH = 20_000, 200


def seconds(*steps: Callable[[], None]) -> float:
    started = time.perf_counter()
    for step in steps:
        step()
    return time.perf_counter() - started


def land(inbox: Path, contents: list[bytes], numbers: range) -> None:
    """Put images into the inbox; equal but for a few bytes behind the picture, so that each is a file of its own."""
    for number in numbers:
        path = inbox / f"{number // 1000 * 1000:05d}" / f"{number:05d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(contents[number % len(contents)] + number.to_bytes(4, "big"))


@contextmanager
def workspace() -> Iterator[tuple[dict[str, Any], Path, list[bytes]]]:
    """An empty workspace with one source, `grown`: its parameters, its inbox, and images to land there."""
    with tempfile.TemporaryDirectory() as name, contextlib.chdir(name):
        values = yaml.safe_load((ROOT / "flows/demo_params.yaml").read_text())
        values["sources"] = {"grown": {"kind": "folder", "domain": "masked"}}
        values["curate"]["dedup"]["max_removed"] = 1.0
        Path("params.yaml").write_text(yaml.safe_dump(values))
        sample = SampleParams(faces=60, image_px=128, seed=1)
        contents = [file.content for file in sample_files("masked", sample) if file.kind == "correct"]
        yield values, Path("data/inbox/grown"), contents


def main() -> None:
    with workspace() as (values, inbox, contents):
        land(inbox, contents, range(IMAGES))
        whole = {
            step.__name__: seconds(work)
            for step, work in ((fetch, lambda: fetch("grown")), (measure, lambda: measure("grown")), (curate, curate))
        }
        land(inbox, contents, range(IMAGES, IMAGES + GROWTH))
        shutil.rmtree("data/raw/grown")  # as DVC does before it runs the stage
        grown = {"fetch": seconds(lambda: fetch("grown")), "measure": seconds(lambda: measure("grown"))}
        values["curate"]["max_yaw"] = 40
        Path("params.yaml").write_text(yaml.safe_dump(values))
        grown["curate"] = seconds(curate)
    result = {
        "images": IMAGES,
        "grown_by": GROWTH,
        "whole_s": whole,
        "grown_s": grown,
        "measure_ratio": grown["measure"] / whole["measure"],
        "changed_rule_ratio": grown["curate"] / whole["measure"],
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
