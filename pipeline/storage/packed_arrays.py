"""The packed training arrays: what `pack` writes and the training code reads. Needs numpy only.

A folder holds `pack.json` and, for each set DOMAIN_SPLIT (such as `unmasked_train`):

    DOMAIN_SPLIT.images.npy    (N, H, W, 3) uint8, RGB, H = W = load_px
    DOMAIN_SPLIT.guides.npy    (N, H, W, 2) uint8, from the landmarks: 255 where a mask belongs, the lower face; and a
                               drawing of nose, mouth and jaw, where they are or should be under a mask
    DOMAIN_SPLIT.faces.json    the N image ids and yaws (degrees, null without landmarks), in the arrays' order
"""

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import FacemaskError

SCHEMA = 3
DOMAINS = ("unmasked", "masked")
SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class PackInfo:
    """pack.json: what the arrays are, and of which manifest."""

    schema: int
    load_px: int
    content: str  # digest of the packed images' ids, file digests and splits: other verdicts do not change it
    images: dict[str, int]  # set name -> N
    data_licence: str


@dataclass(frozen=True)
class PackedSet:
    """One domain and split; the arrays are memory-mapped, read-only."""

    images: NDArray[np.uint8]  # (N, H, W, 3) RGB
    guides: NDArray[np.uint8]  # (N, H, W, 2): region, 0 or 255, and drawing, 0-255
    image_ids: list[str]
    yaws: NDArray[np.float32]  # (N,), degrees, how far each head is turned; NaN without landmarks

    def __len__(self) -> int:
        return len(self.image_ids)


def set_name(domain: str, split: str) -> str:
    return f"{domain}_{split}"


def array_paths(folder: Path, name: str) -> tuple[Path, Path, Path]:
    """Paths of a set's images, guides, and what says whose they are."""
    return folder / f"{name}.images.npy", folder / f"{name}.guides.npy", folder / f"{name}.faces.json"


def write_faces(path: Path, image_ids: list[str], yaws: list[float]) -> None:
    """Whose the arrays are, in their order. A yaw that is not a number is null in the file."""
    told = [None if math.isnan(yaw) else yaw for yaw in yaws]
    path.write_text(json.dumps({"image_ids": image_ids, "yaws": told}), encoding="utf-8")


def write_info(folder: Path, info: PackInfo) -> None:
    (folder / "pack.json").write_text(json.dumps(asdict(info), indent=2) + "\n", encoding="utf-8")


def read_info(folder: Path) -> PackInfo:
    """Raises FacemaskError where there is no pack, or one of another schema."""
    path = folder / "pack.json"
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise FacemaskError(f"no packed images in {folder}: run 'dvc repro pack'") from error
    if values.get("schema") != SCHEMA:
        raise FacemaskError(f"{path} has schema {values.get('schema')}, not {SCHEMA}: run 'dvc repro pack' again")
    return PackInfo(**values)


def read_set(folder: Path, domain: str, split: str) -> PackedSet:
    """Open one set, memory-mapped. Raises FacemaskError where the arrays do not fit each other or are not there."""
    images_path, guides_path, faces_path = array_paths(folder, set_name(domain, split))
    try:
        images = np.load(images_path, mmap_mode="r", allow_pickle=False)
        guides = np.load(guides_path, mmap_mode="r", allow_pickle=False)
        faces = json.loads(faces_path.read_text(encoding="utf-8"))
        image_ids, yaws = faces["image_ids"], np.asarray(faces["yaws"], np.float32)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise FacemaskError(f"{images_path} or a file beside it cannot be read: run 'dvc repro pack'") from error
    if not len(images) == len(guides) == len(image_ids) == len(yaws):
        raise FacemaskError(f"{images_path} and the files beside it differ in length: run 'dvc repro -f pack'")
    return PackedSet(images, guides, image_ids, yaws)
