"""Pictures of faces with what metrics need to know of them: where the lower face is, and who it is."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from models.face_regions import dilated_region
from models.training.data import evenly_spaced
from pipeline.errors import FacemaskError
from pipeline.storage.packed_arrays import PackedSet, read_set

SPLIT = "test"
_BATCH = 32


@dataclass(frozen=True)
class FaceImages:
    """Photos or fakes of N faces."""

    images: NDArray[np.uint8]  # (N, H, W, 3) RGB
    regions: NDArray[np.uint8]  # (N, H, W) of 0 and 1: the lower-face regions
    ffhq_ids: Sequence[int | None]  # equal for pictures of one person; None: unknown

    def __len__(self) -> int:
        return len(self.images)

    def at(self, places: Sequence[int]) -> "FaceImages":
        """The faces at `places`."""
        return FaceImages(self.images[places], self.regions[places], [self.ffhq_ids[place] for place in places])

    def tensors(self) -> tuple[Tensor, Tensor]:
        """As the networks take them: images (N, 3, H, W) in [-1, 1], regions (N, 1, H, W) of 0 and 1."""
        pixels = torch.from_numpy(np.ascontiguousarray(self.images)).permute(0, 3, 1, 2).float()
        return pixels / 127.5 - 1, torch.from_numpy(self.regions)[:, None].float()


def tensor_batches(*sets: FaceImages) -> Iterator[tuple[tuple[Tensor, Tensor], ...]]:
    """The tensors of sets of equally many faces, 32 faces at a time: a thousand at 512 px are 3 GB."""
    for start in range(0, len(sets[0]), _BATCH):
        places = range(start, min(start + _BATCH, len(sets[0])))
        yield tuple(faces.at(places).tensors() for faces in sets)


def lower_face_crops(faces: FaceImages, side: int) -> NDArray[np.uint8]:
    """The box around each face's dilated lower-face region, resized to (N, side, side, 3); without a region, all of it.

    A mask and its edges are within it; hair, background and most of the forehead, which no model changes, are not.
    """
    crops = np.empty((len(faces), side, side, 3), np.uint8)
    for place in range(len(faces)):
        image, region = faces.at([place]).tensors()
        inside = dilated_region(region)[0, 0] > 0
        rows, columns = torch.nonzero(inside.any(dim=1)), torch.nonzero(inside.any(dim=0))
        if len(rows):
            image = image[..., int(rows[0]) : int(rows[-1]) + 1, int(columns[0]) : int(columns[-1]) + 1]
        scaled = functional.interpolate(image, size=(side, side), mode="bilinear", antialias=True)[0]
        crops[place] = ((scaled + 1) * 127.5).round().clamp(0, 255).permute(1, 2, 0).numpy()
    return crops


def evaluated_faces(pack: Path, domain: str, wanted: int) -> tuple[PackedSet, list[int]]:
    """The test faces of a domain, and the indices of those that are evaluated: at most `wanted`, evenly spaced.

    Raises FacemaskError if there are none.
    """
    packed = read_set(pack, domain, SPLIT)
    if len(packed) == 0:
        raise FacemaskError(f"{pack} has no {domain} test faces, which evaluation needs: see reports/curation.json")
    return packed, evenly_spaced(len(packed), wanted)


def digest_of_faces(*sets: tuple[PackedSet, list[int]]) -> str:
    """16 hex digits: equal if, and only if, the same test faces are evaluated: packed ones, and indices of them."""
    digest = hashlib.sha256()
    for packed, indices in sets:
        for index in indices:
            for part in (packed.image_ids[index].encode(), packed.images[index].data, packed.landmarks[index].data):
                digest.update(part)
    return digest.hexdigest()[:16]
