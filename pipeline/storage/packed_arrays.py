"""The packed training arrays: stage `pack` writes them, training and evaluation read them. Needs numpy only.

A folder holds `pack.json` and, for each set DOMAIN_SPLIT (such as `unmasked_train`):

    DOMAIN_SPLIT.images.npy          (N, H, W, 3) uint8, RGB, H = W = load_px
    DOMAIN_SPLIT.landmarks.npy       (N, 478, 2) float32, shares of width and height; NaN where no face was found.
                                     Training draws the conditioning maps and the masks from them
    masked_SPLIT.areas.npy           (N, H, W / 8) uint8, a bit for each pixel: where the mask is
    DOMAIN_SPLIT.faces.json          image_ids, ffhq_ids (null: unknown) and yaws (degrees, null without landmarks) of
                                     the N images, in the arrays' order

and masks.npy, some masks of the training faces (masks/mask_set.py).
"""

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import FacemaskError
from pipeline.storage.files import write_json

SCHEMA = 6
DOMAINS = ("unmasked", "masked")
SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class PackInfo:
    """The content of pack.json."""

    schema: int
    load_px: int
    content: str  # digest of ids, splits, images, landmarks, areas and masks: the same for the same pack
    images: dict[str, int]  # set name -> N
    data_licence: str


@dataclass(frozen=True)
class PackedSet:
    """The faces of one domain and split; the arrays are memory-mapped and read-only."""

    images: NDArray[np.uint8]  # (N, H, W, 3) RGB
    landmarks: NDArray[np.float32]  # (N, 478, 2) shares of width and height; NaN without a face
    image_ids: list[str]
    ffhq_ids: list[int | None]  # images with the same one show the same person; None: unknown
    yaws: NDArray[np.float32]  # (N,) degrees; NaN without landmarks
    areas: NDArray[np.uint8] | None  # (N, H, W / 8), as packed_area makes them; None: of unmasked faces

    def __len__(self) -> int:
        return len(self.image_ids)


def packed_area(area: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Where a mask is, (H, W), as bits (H, W / 8), rounded up."""
    return np.packbits(area, axis=1)


def mask_area(packed: PackedSet, index: int) -> NDArray[np.bool_]:
    """Where the mask is in an image of a set of masked faces, (H, W)."""
    assert packed.areas is not None
    return np.unpackbits(packed.areas[index], axis=1, count=packed.images.shape[2]).astype(np.bool_)


def set_name(domain: str, split: str) -> str:
    """The name of a set in file names and in PackInfo.images."""
    return f"{domain}_{split}"


def array_paths(folder: Path, name: str) -> tuple[Path, Path, Path]:
    """The paths of a set's images, landmarks, and ids and yaws."""
    return folder / f"{name}.images.npy", folder / f"{name}.landmarks.npy", folder / f"{name}.faces.json"


def areas_path(folder: Path, name: str) -> Path:
    """The path of the masks' areas in a set of masked faces."""
    return folder / f"{name}.areas.npy"


def write_faces(path: Path, image_ids: list[str], ffhq_ids: list[int | None], yaws: list[float]) -> None:
    """Write the ids and yaws of a set, in the arrays' order; a yaw of NaN becomes null."""
    known = [None if math.isnan(yaw) else yaw for yaw in yaws]
    values = {"image_ids": image_ids, "ffhq_ids": ffhq_ids, "yaws": known}
    path.write_text(json.dumps(values), encoding="utf-8")


def write_info(folder: Path, info: PackInfo) -> None:
    """Write pack.json."""
    write_json(folder / "pack.json", asdict(info))


def read_info(folder: Path) -> PackInfo:
    """Read pack.json. Raises FacemaskError where there is none, or one of another schema."""
    path = folder / "pack.json"
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise FacemaskError(f"no packed images in {folder}: run 'dvc repro pack'") from error
    if values.get("schema") != SCHEMA:
        raise FacemaskError(f"{path} has schema {values.get('schema')}, not {SCHEMA}: run 'dvc repro pack' again")
    return PackInfo(**values)


def read_set(folder: Path, domain: str, split: str) -> PackedSet:
    """Open one set, memory-mapped. Raises FacemaskError where a file is missing, or their lengths differ."""
    images_path, landmarks_path, faces_path = array_paths(folder, set_name(domain, split))
    try:
        images = np.load(images_path, mmap_mode="r", allow_pickle=False)
        landmarks = np.load(landmarks_path, mmap_mode="r", allow_pickle=False)
        areas = _areas(folder, set_name(domain, split)) if domain == "masked" else None
        faces = json.loads(faces_path.read_text(encoding="utf-8"))
        image_ids, ffhq_ids, yaws = faces["image_ids"], faces["ffhq_ids"], np.asarray(faces["yaws"], np.float32)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise FacemaskError(f"{images_path} or a file beside it cannot be read: run 'dvc repro pack'") from error
    lengths = {len(part) for part in (images, landmarks, image_ids, ffhq_ids, yaws, images if areas is None else areas)}
    if len(lengths) > 1:
        raise FacemaskError(f"{images_path} and the files beside it differ in length: run 'dvc repro -f pack'")
    return PackedSet(images, landmarks, image_ids, ffhq_ids, yaws, areas)


def _areas(folder: Path, name: str) -> NDArray[np.uint8]:
    areas: NDArray[np.uint8] = np.load(areas_path(folder, name), mmap_mode="r", allow_pickle=False)
    return areas
