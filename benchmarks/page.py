"""The page with many images in a browser: time to make and to open it, and memory.

    python -m benchmarks.page [--images 20000]

The thumbnails are the embedded sample's, repeated under other names and with random measurements. Chromium opens the
page from disk, scrolls through the gallery sorted by a measurement (so that each thumbnail comes from another sprite
sheet), and moves a limit. Memory is the proportional set size (PSS) of its processes, minus that of an empty page.
Prints JSON last.
"""

import argparse
import json
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psutil
import pyarrow as pa
from playwright.sync_api import Page, sync_playwright

from pipeline import params
from pipeline.curation.face_patches import PATCH_PX
from pipeline.curation.rules import CurateParams
from pipeline.curation.verdicts import MeasuredImages, manifest_rows
from pipeline.faces.face_grid import GRID_BYTES
from pipeline.report.facts import PageContent
from pipeline.report.page import new_sprite_sheets, write_page
from pipeline.storage.images import decode
from pipeline.storage.manifest import NUMBERS_SCHEMA
from pipeline.storage.thumbnails import thumbnail
from pipeline.synthetic.layout import SampleParams, sample_files

ROOT = Path(__file__).parent.parent
_LANDMARKS = np.zeros((478, 2), "<i2").tobytes()


def rows(count: int) -> pd.DataFrame:
    """`count` images with random measurements, distributed roughly as in FFHQ and MaskedFace-Net."""
    rng = np.random.default_rng(0)
    numbers: dict[str, Any] = {
        name: rng.uniform(0, 1, count) for name in NUMBERS_SCHEMA.names if name.startswith("cover")
    }
    numbers |= {name: rng.normal(0, 12, count) for name in ("yaw", "pitch", "roll")}
    numbers |= {
        "sharpness": rng.gamma(4, 5, count),
        "brightness": rng.normal(120, 30, count),
        "face_px": rng.normal(700, 60, count),
        "frame_px": 1024.0,
        "frame_inside": 1.0,
        "face_inside": rng.uniform(0.95, 1, count),
        "glasses": rng.uniform(0, 0.2, count),
        "skin_tone": rng.normal(30, 25, count),
        "mask_lightness": rng.normal(60, 20, count),
        "mask_a": rng.normal(0, 10, count),
        "mask_b": rng.normal(0, 10, count),
        "face_grid": [row.tobytes() for row in rng.normal(128, 25, (count, GRID_BYTES)).clip(0, 255).astype(np.uint8)],
    }
    names = ("fine_hash", "fine_hash_mirrored", "face_hash", "face_hash_mirrored")
    hashes = {name: [rng.bytes(32) for _ in range(count)] for name in names}
    return pd.DataFrame(
        {
            "path": [f"{number // 1000:05d}/{number:05d}.png" for number in range(count)],
            **numbers,
            **hashes,
            "phash": rng.integers(0, 2**63, count).astype("uint64"),
            "patch_frame": [np.eye(2, 3, dtype="<f4").tobytes()] * count,
            "quality": 95, "noise": 1.0,
            "width": 1024, "height": 1024, "faces": 1, "bytes": 1 << 20, "sha256": "0" * 64, "archive": None,
            "licence": "CC BY-NC-SA 4.0", "author": "somebody", "url": "photos/somebody/1",
            "domain": np.where(rng.random(count) < 0.5, "masked", "unmasked"),
        }
    ).assign(source=lambda table: table["domain"], of_ffhq=True, kind="ffhq")  # fmt: skip


def make_page(folder: Path, count: int) -> Path:
    """Write a page of `count` images, and return its path."""
    limits = params.load("curate", CurateParams, ROOT / "params.yaml")
    table = rows(count)
    patches = np.random.default_rng(1).integers(1, 256, (count, PATCH_PX, PATCH_PX), np.uint8)
    verdicts = manifest_rows(MeasuredImages(table, patches), limits, {})
    files = sample_files("masked", SampleParams(faces=40, image_px=256, seed=1))
    pictures = [picture.image for file in files if (picture := decode(file.content, 256))]
    thumbs = [thumbnail(picture) for picture in pictures]
    sheets = new_sprite_sheets(folder / "index.html")
    for source, part in table.groupby("source"):
        for start in range(0, len(part), 1000):
            paths = part["path"].iloc[start : start + 1000].tolist()
            some = [thumbs[(start + place) % len(thumbs)] for place in range(len(paths))]
            sheets.add(str(source), pa.table({"path": paths, "thumb": some, "landmarks": [_LANDMARKS] * len(paths)}))
    return write_page(folder / "index.html", sheets, PageContent(verdicts, limits, {}, ""))


def memory_mb() -> float:
    """PSS of the processes of this benchmark's Chromium, 10^6 bytes."""
    total = 0
    for process in psutil.Process().children(recursive=True):
        try:
            if "chrom" in process.name():
                total += process.memory_full_info().pss
        except psutil.Error:
            continue  # the process has ended
    return total / 1e6


def peak_memory_mb(page: Page) -> float:
    """The highest memory_mb while scrolling through the whole gallery."""
    most = 0.0
    page.locator("select[name=sort]").select_option("sharpness")
    height = page.evaluate("document.documentElement.scrollHeight")
    for step in range(40):
        page.evaluate("y => scrollTo(0, y)", height * step / 40)
        page.wait_for_timeout(120)
        most = max(most, memory_mb())
    return most


def main() -> None:
    parser = argparse.ArgumentParser(description="Open the page of many images in Chromium.")
    parser.add_argument("--images", type=int, default=20_000)
    count = parser.parse_args().images
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        began = time.monotonic()
        made = make_page(Path(folder), count)
        making = time.monotonic() - began
        opening = []
        for _ in range(5):  # each in a fresh browser
            browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
            page = browser.new_page(viewport={"width": 1280, "height": 900})
            page.goto("about:blank")
            empty = memory_mb()
            began = time.monotonic()
            page.goto(made.as_uri())
            page.wait_for_selector("html[data-ready]")
            opening.append(time.monotonic() - began)
            if len(opening) < 5:
                browser.close()
        opened = memory_mb()
        most = peak_memory_mb(page)
        moving = page.evaluate(
            "new Promise(done => { const began = performance.now(); facemask.setLimit('min_cover_nose', 0.5);"
            " requestAnimationFrame(() => requestAnimationFrame(() => done(performance.now() - began))); })"
        )
        drawing = page.evaluate(
            "new Promise(done => { const began = performance.now(); document.getElementById('map-in').click();"
            " requestAnimationFrame(() => requestAnimationFrame(() => done(performance.now() - began))); })"
        )
        browser.close()
    print(
        json.dumps(
            {
                "images": count,
                "made_s": round(making, 1),
                "opened_s": {
                    "median": round(sorted(opening)[2], 2),
                    "worst": round(max(opening), 2),
                    "reach_s": 2 if count <= 20_000 else 3,
                },
                "limit_moved_ms": round(moving),
                "map_zoomed_ms": round(drawing),
                "memory_mb": {
                    "opened": round(opened - empty),
                    "most": round(most - empty),
                    "reach_mb": 300 if count <= 20_000 else 400,
                },
            }
        )
    )


if __name__ == "__main__":
    main()
