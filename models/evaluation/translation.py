"""Test faces, translated by a checkpoint's generators: fakes, and reconstructions from them.

Each direction translates the test faces of one domain (fakes), and translates the fakes back (reconstructions). A model
that only puts masks on has neither reconstructions nor the other direction.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from models.evaluation.face_images import FaceImages, evaluated_faces
from models.evaluation.metrics import mean_over_mask, psnr
from models.face_regions import dilated_region, eroded_region, lower_face_region
from models.image_grids import image_grid, with_heads
from models.methods.method import Faces
from models.params import Direction, EvaluateParams
from models.training import checkpoint
from models.training.data import evenly_spaced, to_pixels, whole_batch
from models.training.drawn_inputs import WholeDrawings
from pipeline.storage.packed_arrays import PackedSet

_GRID_HEADS = (("photo", "mask on", "and off again"), ("masked photo", "mask off", "and on again"))
Images = NDArray[np.uint8]


@dataclass(frozen=True)
class FaceSet:
    """The test faces of one domain that are evaluated."""

    packed: PackedSet
    domain: str
    indices: list[int]  # evenly spaced over `packed`
    image_px: int  # the size that the generators take
    batch_size: int
    drawn: WholeDrawings | None  # for the checkpoint's generators; None: they take no drawings

    def batches(self) -> Iterator[Faces]:
        """Faces with what is drawn on them, in the order of `indices`."""
        for start in range(0, len(self.indices), self.batch_size):
            indices = self.indices[start : start + self.batch_size]
            yield whole_batch(self.packed, self.domain, indices, self.image_px, self.drawn)

    def ffhq_ids(self) -> list[int | None]:
        """The ids of the faces, in the order of `indices`."""
        return [self.packed.ffhq_ids[index] for index in self.indices]

    def photos(self) -> FaceImages:
        """The test faces themselves, in the order of `indices`."""
        without_drawings = replace(self, drawn=None).batches()
        batches = [
            (to_pixels(photos), _region_pixels(lower_face_region(maps))) for photos, maps, *_ in without_drawings
        ]
        images, regions = (np.concatenate(parts) for parts in zip(*batches, strict=True))
        return FaceImages(images, regions, self.ffhq_ids())


@dataclass(frozen=True)
class DirectionResult:
    """Images and measurements of one direction, one per test face."""

    photos: Images  # (N, H, W, 3), the test faces
    fakes: Images  # (N, H, W, 3)
    reconstructions: Images | None  # (N, H, W, 3); None: the model has no way back
    regions: NDArray[np.uint8]  # (N, H, W) of 0 and 1, the lower-face regions
    psnr_cycle: list[float]  # dB, reconstruction against photo; empty: the model has no way back
    psnr_outside: list[float]  # dB, fake against photo, outside the dilated region
    matte_inside: list[float]  # mean matte in the eroded region, 0-1
    matte_outside: list[float]  # mean matte outside the dilated region, 0-1

    def faces(self, ffhq_ids: list[int | None]) -> FaceImages:
        """The test faces, whose ids these are."""
        return FaceImages(self.photos, self.regions, ffhq_ids)


@dataclass(frozen=True)
class Translations:
    """The test faces of both domains, and what a checkpoint's generators make of them."""

    unmasked: FaceSet
    masked: FaceSet
    masking: DirectionResult
    unmasking: DirectionResult | None  # None: the model only puts masks on


def translate_test_faces(folder: Path, params: EvaluateParams, pack: Path) -> Translations:
    """Translate the test faces in `pack` by the checkpoint in `folder`, on a GPU if there is one.

    Raises FacemaskError for a damaged checkpoint, and where there are no test faces.
    """
    generators, info = checkpoint.load_generators(folder)
    for generator in generators.values():
        generator.to("cuda" if torch.cuda.is_available() else "cpu")
    drawn = None
    if info.generator == "guided":
        drawn = WholeDrawings(checkpoint.load_masks(folder, info), checkpoint.directions(info))
    px = int(info.params["image_px"])
    unmasked, masked = (_face_set(pack, domain, params, px, drawn) for domain in ("unmasked", "masked"))
    print(f"evaluating {folder} on up to {params.images} test faces a domain", flush=True)
    masking = translate_and_reconstruct("mask", generators, unmasked)
    unmasking = translate_and_reconstruct("unmask", generators, masked) if "generator_unmask" in generators else None
    return Translations(unmasked, masked, masking, unmasking)


def _face_set(pack: Path, domain: str, params: EvaluateParams, image_px: int, drawn: WholeDrawings | None) -> FaceSet:
    packed, indices = evaluated_faces(pack, domain, params.images)
    return FaceSet(packed, domain, indices, image_px, params.batch_size, drawn)


@torch.inference_mode()
def translate_and_reconstruct(
    direction: Direction, generators: dict[str, nn.Module], faces: FaceSet
) -> DirectionResult:
    """Translate test faces in `direction`, translate the fakes back, both in float32, and measure each face."""
    back_direction: Direction = "unmask" if direction == "mask" else "mask"
    forward, backward = generators[f"generator_{direction}"], generators.get(f"generator_{back_direction}")
    images: list[tuple[Images, Images]] = []
    back: list[Images] = []
    region_pixels: list[NDArray[np.uint8]] = []
    psnr_cycle: list[float] = []
    values: list[list[float]] = [[], [], []]
    device = next(forward.parameters()).device
    for of_cpu in faces.batches():
        batch = of_cpu.on(device)
        photos, conditioning = batch.images, batch.conditioning
        regions = lower_face_region(conditioning)
        fakes, mattes = forward(photos, conditioning, batch.drawing_for(direction))
        images.append((to_pixels(photos), to_pixels(fakes)))
        outside = 1 - dilated_region(regions)
        region_pixels.append(_region_pixels(regions))
        measured = (
            psnr(fakes, photos, outside),
            mean_over_mask(mattes, eroded_region(regions)),
            mean_over_mask(mattes, outside),
        )
        if backward:
            reconstructions, _ = backward(fakes, conditioning, batch.drawing_for(back_direction))
            back.append(to_pixels(reconstructions))
            psnr_cycle += psnr(reconstructions, photos, torch.ones_like(regions)).tolist()
        for column, figures in zip(values, measured, strict=True):
            column += figures.tolist()
    all_photos, all_fakes = (np.concatenate(batches) for batches in zip(*images, strict=True))
    all_back, all_regions = np.concatenate(back) if back else None, np.concatenate(region_pixels)
    return DirectionResult(all_photos, all_fakes, all_back, all_regions, psnr_cycle, *values)


def _region_pixels(regions: torch.Tensor) -> NDArray[np.uint8]:
    """(B, 1, H, W) of 0 and 1 -> (B, H, W)."""
    return np.asarray(regions[:, 0].byte().cpu().numpy())


def sample_grid(translations: Translations, rows: int) -> Images:
    """Up to `rows` rows of: unmasked photo, masked fake, reconstruction; masked photo, unmasked fake, reconstruction.

    The same test faces give the same rows. What a model does not make is left out.
    """
    results = [result for result in (translations.masking, translations.unmasking) if result]
    columns = {
        head: [images[place] for place in evenly_spaced(len(images), rows)]
        for result, heads in zip(results, _GRID_HEADS, strict=False)
        for head, images in zip(heads, (result.photos, result.fakes, result.reconstructions), strict=True)
        if images is not None
    }
    return with_heads(image_grid([list(row) for row in zip(*columns.values(), strict=False)]), list(columns))
