"""Stage `pack`: the accepted images as memory-mapped arrays, a domain and split each (pipeline/storage/packed_arrays.py says how).

Pictures are cut to their central square and scaled to load_px; beside each lies what its landmarks tell generators.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from numpy.lib.format import open_memmap
from numpy.typing import NDArray
from PIL import Image
from pydantic import Field
from pydantic.dataclasses import dataclass as params_dataclass

from pipeline import params
from pipeline.errors import FacemaskError
from pipeline.faces.conditioning import conditioning_maps
from pipeline.params import STRICT
from pipeline.progress import Progress
from pipeline.storage import packed_arrays as packed
from pipeline.storage.files import digest_of, replacing_folder
from pipeline.storage.images import decode
from pipeline.storage.manifest import DATA_LICENCE, LANDMARK_SCALE, read_manifest
from pipeline.storage.shards import read_members

TRAIN = Path("data/train")
_MANIFEST = Path("data/manifest.parquet")
_BATCH = 64  # files read at a time: bounds the memory
_COLUMNS = ["image_id", "source", "domain", "path", "archive", "sha256", "yaw", "accepted", "split"]


@params_dataclass(frozen=True, config=STRICT)
class PackParams:
    """params.yaml, block `pack`."""

    load_px: Annotated[int, Field(ge=32, le=1024)]


def pack() -> None:
    """Pack all accepted images of data/manifest.parquet into data/train/."""
    settings = params.load("pack", PackParams)
    rows = read_manifest(_MANIFEST, _COLUMNS).to_pandas()
    rows = rows[rows["accepted"]].sort_values("image_id", ignore_index=True)
    progress = Progress("pack", len(rows))
    counts = {}
    with replacing_folder(TRAIN) as made:
        for domain in packed.DOMAINS:
            for split in packed.SPLITS:
                part = rows[(rows["domain"] == domain) & (rows["split"] == split)]
                name = packed.set_name(domain, split)
                counts[name] = len(part)
                _write_set(made, name, part, settings.load_px, progress)
        content = digest_of(rows[["image_id", "sha256", "split"]].to_numpy().tolist())
        info = packed.PackInfo(packed.SCHEMA, settings.load_px, content, counts, DATA_LICENCE)
        packed.write_info(made, info)


def square(content: bytes, points: NDArray[np.float32] | None, px: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Cut and scale one image file: its central square (px, px, 3) RGB, and its guide (px, px, 2).

    `points` (478, 2) are the landmarks as shares of the whole image; without them the guide is empty.
    """
    picture = decode(content, px)
    if picture is None:
        raise FacemaskError("an accepted image can no longer be read: run 'dvc repro' to measure it again")
    width, height = picture.image.size
    side = min(width, height)
    left, top = (width - side) // 2, (height - side) // 2
    image = picture.image.resize(
        (px, px), Image.Resampling.LANCZOS, box=(left, top, left + side, top + side), reducing_gap=3.0
    )
    if points is None:
        return np.asarray(image, np.uint8), conditioning_maps(None, px, px)
    moved = (points * (width, height) - (left, top)) / side
    return np.asarray(image, np.uint8), conditioning_maps(moved.astype(np.float32), px, px)


def _write_set(folder: Path, name: str, rows: pd.DataFrame, px: int, progress: Progress) -> None:
    """Write one set's arrays. Images are read archive by archive, and lie in the order of their ids."""
    images_path, guides_path, faces_path = packed.array_paths(folder, name)
    images = open_memmap(images_path, "w+", np.uint8, (len(rows), px, px, 3))
    guides = open_memmap(guides_path, "w+", np.uint8, (len(rows), px, px, 2))
    packed.write_faces(faces_path, rows["image_id"].tolist(), rows["yaw"].tolist())
    places = {image_id: place for place, image_id in enumerate(rows["image_id"])}
    with ThreadPoolExecutor() as threads:
        for (source, archive), part in rows.groupby(["source", "archive"], observed=True):
            points = _landmarks(str(source), str(archive))
            path = Path("data/raw") / str(source) / str(archive)
            for start in range(0, len(part), _BATCH):
                batch = part.iloc[start : start + _BATCH]
                contents = read_members(path, batch["path"])
                shapes = [points.get(path) for path in batch["path"]]
                done = threads.map(square, contents, shapes, repeat(px))
                for image_id, (image, guide) in zip(batch["image_id"], done, strict=True):
                    images[places[image_id]], guides[places[image_id]] = image, guide
                progress.add(len(batch))
    images.flush()
    guides.flush()


def _landmarks(source: str, archive: str) -> dict[str, NDArray[np.float32]]:
    """path -> landmarks (478, 2), as shares of the image, for one measured archive."""
    table = pq.read_table(
        (Path("data/measured") / source / archive).with_suffix(".parquet"), columns=["path", "landmarks"]
    )
    return {path: points for path, points in _unpacked(table.to_pydict())}


def _unpacked(columns: dict[str, list[object]]) -> Iterator[tuple[str, NDArray[np.float32]]]:
    for path, landmarks in zip(columns["path"], columns["landmarks"], strict=True):
        if isinstance(landmarks, bytes):
            points = np.frombuffer(landmarks, "<i2").reshape(-1, 2) * LANDMARK_SCALE
            yield str(path), points.astype(np.float32)
