"""Stage `pack`: the accepted images as memory-mapped arrays, one set for each domain and split.

storage/packed_arrays.py describes the files. Each image is the face in FFHQ's frame at load_px, with its landmarks
(faces/training_crop.py) and, of masked faces, where the mask is (unmasking/mask_area.py). Beside the sets lie some
masks of the masked training faces, lifted off their photos at the photos' resolution (masks/mask_set.py): training
draws them.
"""

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
import pandas as pd
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from pipeline.errors import FacemaskError
from pipeline.faces.landmarks import LANDMARKS
from pipeline.faces.training_crop import MeasuredFace, read_measured_faces, training_crop
from pipeline.masks import mask_set
from pipeline.masks.lifted import lift_mask
from pipeline.masks.records import UnmaskedFace
from pipeline.paths import Paths
from pipeline.progress import Progress
from pipeline.storage import packed_arrays as packed
from pipeline.storage.files import digest_of, replacing_folder, sha256
from pipeline.storage.licences import read_licence
from pipeline.storage.manifest import read_manifest
from pipeline.storage.pack_params import PackParams
from pipeline.storage.shards import read_members
from pipeline.unmasking.mask_area import find_mask_area

_Number = TypeVar("_Number", bound=np.generic)

_BATCH = 64  # files read at a time: bounds the memory
_LIFT_PX = 1024  # side of the frame in which a mask is lifted, at most
_FRONTAL = 15.0  # degrees of yaw, up to which both halves of a mask are seen
_CONTENT = ["image_id", "split", "digest"]  # PackInfo.content is a digest of these
_COLUMNS = ["image_id", "ffhq_id", "source", "domain", "path", "archive", "sha256", "yaw", "accepted", "split"]


def pack(params: PackParams, paths: Paths) -> None:
    """Write all accepted images of the manifest to paths.pack.

    Raises FacemaskError where there is no manifest, an accepted image can no longer be read, or a set is empty that
    training or evaluation needs.
    """
    rows = read_manifest(paths.manifest, _COLUMNS).to_pandas()
    rows = rows[rows["accepted"]].sort_values("image_id", ignore_index=True)
    _refuse_empty_sets(rows)
    progress = Progress("pack", len(rows))
    counts: dict[str, int] = {}
    digests: dict[str, str] = {}
    with replacing_folder(paths.pack) as made:
        for domain in packed.DOMAINS:
            for split in packed.SPLITS:
                part = rows[(rows["domain"] == domain) & (rows["split"] == split)]
                name = packed.set_name(domain, split)
                counts[name] = len(part)
                arrays = _create_set(made, name, part, params.load_px)
                digests |= _fill_set(arrays, part, paths, progress)
        mask_set.write_masks(made / mask_set.NAME, _lift_masks(rows, paths))
        rows = rows.assign(digest=rows["image_id"].map(digests))
        content = digest_of(rows[_CONTENT].to_numpy().tolist(), sha256(made / mask_set.NAME))
        licence = read_licence(paths.manifest)
        packed.write_info(made, packed.PackInfo(packed.SCHEMA, params.load_px, content, counts, licence))


def _refuse_empty_sets(rows: pd.DataFrame) -> None:
    """Raise FacemaskError where a domain has no training or no test images: said after training, it would cost days."""
    for domain in packed.DOMAINS:
        part = rows[rows["domain"] == domain]
        if not len(part):
            raise FacemaskError(
                f"no {domain} image was accepted, and training needs both domains: add a source with "
                f"'domain: {domain}' to params.yaml, then run 'dvc repro'"
            )
        for split, needed_by in (("test", "evaluation"), ("train", "training")):
            if not (part["split"] == split).any():
                change = "raise" if split == "test" else "lower"
                raise FacemaskError(
                    f"none of {len(part):,} accepted {domain} images is in the split '{split}', which {needed_by} "
                    f"needs: {change} curate.split.test in params.yaml (0.1 is usual), then run 'dvc repro'"
                )


class _Arrays(NamedTuple):
    """The memory-mapped arrays of a set, or the part of one image in them."""

    images: NDArray[np.uint8]
    landmarks: NDArray[np.float32]
    areas: NDArray[np.uint8] | None  # None: of unmasked faces


def _create_set(folder: Path, name: str, rows: pd.DataFrame, px: int) -> _Arrays:
    """Write the ids and yaws of a set, and create its arrays."""
    images_path, landmarks_path, faces_path = packed.array_paths(folder, name)
    ffhq_ids = [None if pd.isna(number) else int(number) for number in rows["ffhq_id"]]
    packed.write_faces(faces_path, rows["image_id"].tolist(), ffhq_ids, rows["yaw"].tolist())
    images = _new_array(images_path, np.uint8, (len(rows), px, px, 3))
    landmarks = _new_array(landmarks_path, np.float32, (len(rows), LANDMARKS, 2))
    if not name.startswith("masked"):
        return _Arrays(images, landmarks, None)
    areas = _new_array(packed.areas_path(folder, name), np.uint8, (len(rows), px, -(-px // 8)))
    return _Arrays(images, landmarks, areas)


def _new_array(path: Path, dtype: type[_Number], shape: tuple[int, ...]) -> NDArray[_Number]:
    """A memory-mapped array of zeros whose space on disk is reserved: on a full disk, writing into a hole is SIGBUS.

    Raises OSError (ENOSPC) where the disk has not enough space.
    """
    array = open_memmap(path, "w+", dtype, shape)
    if hasattr(os, "posix_fallocate"):  # not on macOS
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    return array


def _fill_set(arrays: _Arrays, rows: pd.DataFrame, paths: Paths, progress: Progress) -> dict[str, str]:
    """Fill the arrays of a set, in the order of `rows`; images are read archive by archive.

    Returns image_id -> digest of what is packed of it.
    """
    positions = {image_id: position for position, image_id in enumerate(rows["image_id"])}
    digests = {}
    with ThreadPoolExecutor() as threads:
        for (source, archive), part in rows.groupby(["source", "archive"], observed=True):
            measured = read_measured_faces(paths.measured, str(source), str(archive))
            for start in range(0, len(part), _BATCH):
                batch = part.iloc[start : start + _BATCH]
                contents = read_members(paths.raw / str(source) / str(archive), batch["path"])
                faces = [measured[path] for path in batch["path"]]
                masked = arrays.areas is not None
                crops = threads.map(_packed_face, contents, faces, repeat(arrays.images.shape[1]), repeat(masked))
                for image_id, (parts, digest) in zip(batch["image_id"], crops, strict=True):
                    place, digests[image_id] = positions[image_id], digest
                    arrays.images[place], arrays.landmarks[place] = parts.images, parts.landmarks
                    if arrays.areas is not None and parts.areas is not None:
                        arrays.areas[place] = parts.areas
                progress.add(len(batch))
    return digests


def _lift_masks(rows: pd.DataFrame, paths: Paths) -> list[mask_set.LiftedMask]:
    """Masks of evenly spaced masked training faces, seen from the front where there are such; none of other splits."""
    masked = rows[(rows["domain"] == "masked") & (rows["split"] == "train")]
    frontal = masked[masked["yaw"].abs() <= _FRONTAL]
    masked = frontal if len(frontal) else masked
    places = np.linspace(0, len(masked) - 1, min(mask_set.MOST, len(masked))).round().astype(int)
    return [mask for _, row in masked.iloc[places].iterrows() if (mask := _lift_mask(row, paths))]


def _lift_mask(row: "pd.Series[Any]", paths: Paths) -> mask_set.LiftedMask | None:
    """The mask of one image; None where it has no landmarks, or its mask cannot be lifted."""
    face = read_measured_faces(paths.measured, row["source"], row["archive"])[row["path"]]
    (content,) = read_members(paths.raw / row["source"] / row["archive"], [row["path"]])
    image, points = training_crop(content, face, min(_LIFT_PX, face.frame_px()))
    return None if np.isnan(points).any() else lift_mask(UnmaskedFace(image, points))


def _packed_face(content: bytes, face: MeasuredFace, px: int, masked: bool) -> tuple[_Arrays, str]:
    """What is packed of an image, and a digest of it."""
    image, points = training_crop(content, face, px)
    area = None
    if masked:
        found = np.zeros((px, px), np.bool_) if np.isnan(points).any() else find_mask_area(UnmaskedFace(image, points))
        area = packed.packed_area(found)
    digest = hashlib.sha256(image.tobytes() + points.tobytes() + (b"" if area is None else area.tobytes()))
    return _Arrays(image, points, area), digest.hexdigest()
