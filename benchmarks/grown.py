"""What 1 % more images cost, relative to measuring all: `python -m benchmarks.grown`.

20,000 small images pass fetch, measure and curate; then 1 % are added; then a limit changes. Prints JSON last.
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

from pipeline import params
from pipeline.curation.measure_params import MeasureParams
from pipeline.curation.rules import CurateParams
from pipeline.paths import Paths
from pipeline.sources.config import load_source, load_sources
from pipeline.sources.fetch_params import FetchParams
from pipeline.stages.curate import curate as curate_sources
from pipeline.stages.fetch import fetch as fetch_source
from pipeline.stages.measure import measure as measure_source
from pipeline.synthetic.layout import SampleParams, sample_files

ROOT = Path(__file__).resolve().parent.parent
IMAGES, GROWTH = 20_000, 200


def fetch() -> None:
    """Run stage `fetch` for the source `grown` in the current folder."""
    fetch_source("grown", load_source("grown"), params.load("fetch", FetchParams), Paths())


def measure() -> None:
    """Run stage `measure` for the source `grown` in the current folder."""
    measure_source("grown", params.load("measure", MeasureParams), Paths())


def curate() -> None:
    """Run stage `curate` in the current folder."""
    curate_sources(params.load("curate", CurateParams), load_sources(), Paths())


def seconds(step: Callable[[], None]) -> float:
    """The duration of one step."""
    started = time.perf_counter()
    step()
    return time.perf_counter() - started


def add_images(inbox: Path, contents: list[bytes], numbers: range) -> None:
    """Put images into the inbox. A few bytes after the image differ, so that no two files are the same."""
    for number in numbers:
        path = inbox / f"{number // 1000 * 1000:05d}" / f"{number:05d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(contents[number % len(contents)] + number.to_bytes(4, "big"))


@contextmanager
def workspace() -> Iterator[tuple[dict[str, Any], Path, list[bytes]]]:
    """Yield an empty workspace with one source, `grown`: its parameters, its inbox, and images to put there."""
    with tempfile.TemporaryDirectory() as name, contextlib.chdir(name):
        values = yaml.safe_load((ROOT / "flows/demo_params.yaml").read_text())
        values["sources"] = {"grown": {"kind": "folder", "domain": "masked"}}
        values["curate"]["dedup"]["max_removed"] = 1.0
        Path("params.yaml").write_text(yaml.safe_dump(values))
        sample = SampleParams(faces=60, image_px=128, seed=1)
        contents = [file.content for file in sample_files("masked", sample) if file.kind == "correct"]
        yield values, Path("data/inbox/grown"), contents


def main() -> None:
    """Time the stages and print the ratios."""
    with workspace() as (values, inbox, contents):
        add_images(inbox, contents, range(IMAGES))
        whole = {step.__name__: seconds(step) for step in (fetch, measure, curate)}
        add_images(inbox, contents, range(IMAGES, IMAGES + GROWTH))
        shutil.rmtree("data/raw/grown")  # as DVC does before it runs the stage
        grown = {"fetch": seconds(fetch), "measure": seconds(measure)}
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
