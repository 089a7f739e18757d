"""Stage `evaluate`: the checkpoint on test faces, in numbers and in pictures."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.evaluation.fid import INCEPTION, STUDY_FID, fidelity
from models.evaluation.identity import identity_distances
from models.evaluation.kid import kid
from models.evaluation.metrics import mean_over_mask, psnr
from models.face_regions import dilated_region, eroded_region, lower_face_region
from models.image_grids import image_grid, write_png
from models.mask_appearance import cycle_condition
from models.params import Direction, EvaluateParams
from models.training import checkpoint
from models.training.data import evenly_spaced, to_pixels, whole_batch
from pipeline.errors import FacemaskError
from pipeline.storage.files import replacing_folder, sha256, write_json
from pipeline.storage.packed_arrays import PackedSet, read_set

SPLIT = "test"


@dataclass
class DirectionResult:
    """What one direction (putting on, or taking off) did to its test faces; a value an image."""

    fakes: list[NDArray[np.uint8]]  # (H, W, 3)
    backs: list[NDArray[np.uint8]]  # (H, W, 3)
    psnr_outside: list[float]  # dB, fake against input, outside the dilated region
    psnr_cycle: list[float]  # dB, there and back against input
    matte_inside: list[float]  # mean matte in the region's core, 0-1
    matte_outside: list[float]  # mean matte outside the dilated region, 0-1


def evaluate(params: EvaluateParams, checkpoints: Path, pack: Path, report: Path, samples: Path) -> None:
    """Write `report` (JSON) and the folder `samples`; reads the packed test faces and no others."""
    checkpoint.refuse_other_pack(checkpoints, checkpoint.read_info(checkpoints), sha256(pack / "pack.json"))
    values, sheet = _evaluated(params, checkpoints, pack)
    with replacing_folder(samples) as made:
        write_png(made / "grid.png", sheet)
    write_json(report, values)


def evaluate_again(params: EvaluateParams, checkpoints: Path, pack: Path, report: Path) -> None:
    """Write `report` for a model of earlier packed images: what it makes of today's test faces, in the same figures.

    The caller knows that its training saw none of them.
    """
    values, _ = _evaluated(params, checkpoints, pack)
    write_json(report, values)


def _evaluated(params: EvaluateParams, checkpoints: Path, pack: Path) -> tuple[dict[str, Any], NDArray[np.uint8]]:
    """The report, and the sheet of sample faces (H, W, 3)."""
    generators, info = checkpoint.load_generators(checkpoints)
    image_px = info.params["image_px"]
    sets = {domain: _test_set(pack, domain) for domain in ("unmasked", "masked")}
    mask, unmask = generators["generator_mask"], generators["generator_unmask"]

    print(f"evaluating {checkpoints} on up to {params.images} test faces a domain", flush=True)
    on = _through(mask, unmask, "unmask", sets["unmasked"], params, image_px)
    off = _through(unmask, mask, "mask", sets["masked"], params, image_px)

    # Imported here: landmarks cost seconds, and training must not need them.
    from pipeline.curation.acceptance import acceptance_rate

    directions = {
        "mask": _summary(on) | {"accepted": _rounded(acceptance_rate(np.stack(on.fakes)))},
        "unmask": _summary(off) | {"still_masked": _rounded(acceptance_rate(np.stack(off.fakes)))},
    }
    # Fakes against real faces of the domain that they should look like: test faces too, of other people or the same.
    reals = {domain: _pixels(packed, params, image_px) for domain, packed in sets.items()}
    for name, found, domain in (("mask", on, "masked"), ("unmask", off, "unmasked")):
        if (value := kid(np.stack(found.fakes), np.stack(reals[domain]))) is not None:
            directions[name]["kid"] = _rounded(value)
        if found_fidelity := fidelity(np.stack(found.fakes), np.stack(reals[domain])):
            figures, features = found_fidelity
            directions[name] |= {key: _rounded(value) for key, value in figures.items()} | {"fid_features": features}
            if features == INCEPTION:
                directions[name]["fid_of_the_study"] = STUDY_FID[name]
    for name, found, domain in (("mask", on, "unmasked"), ("unmask", off, "masked")):
        # None where the extra `identity` is not installed: that one is for those who ask for it.
        for figure, made in (("identity_distance", found.fakes), ("identity_distance_back", found.backs)):
            if (apart := identity_distances(np.stack(reals[domain]), np.stack(made))) is not None:
                directions[name][figure] = _rounded(median(apart))
    if "kid" not in directions["mask"]:
        print(
            "no KID: two test faces a domain and pip install -c constraints.txt -e '.[evaluation]' give it", flush=True
        )
    values = {
        "images_seen": info.images_seen,
        "checkpoint": sha256(checkpoints / checkpoint.JSON_NAME)[:12],
        "test_set": _test_set_digest(sets, params),
    } | directions
    for name, figures in directions.items():
        print(f"{name}: " + ", ".join(f"{key} {value}" for key, value in figures.items()), flush=True)
    return values, _sheet(sets, on, off, params, image_px)


def _test_set(pack: Path, domain: str) -> PackedSet:
    packed = read_set(pack, domain, SPLIT)
    if len(packed) == 0:
        raise FacemaskError(
            f"no {domain} test faces in {pack}, and evaluation uses no others: see reports/curation.json"
        )
    return packed


def _test_set_digest(sets: dict[str, PackedSet], params: EvaluateParams) -> str:
    """16 hex digits that name the test faces which are used: figures of the same ones can be compared."""
    digest = hashlib.sha256()
    for packed in sets.values():
        for index in evenly_spaced(len(packed), params.images):
            for part in (packed.image_ids[index].encode(), packed.images[index].data, packed.guides[index].data):
                digest.update(part)
    return digest.hexdigest()[:16]


def _pixels(packed: PackedSet, params: EvaluateParams, image_px: int) -> list[NDArray[np.uint8]]:
    """The test faces that are used, as they are, (H, W, 3) each."""
    images, _ = whole_batch(packed, evenly_spaced(len(packed), params.images), image_px)
    return list(to_pixels(images))


@torch.inference_mode()
def _through(
    there: nn.Module, back: nn.Module, way_back: Direction, packed: PackedSet, params: EvaluateParams, image_px: int
) -> DirectionResult:
    """Send test faces there and back, in float32, and measure each."""
    found = DirectionResult([], [], [], [], [], [])
    indices = evenly_spaced(len(packed), params.images)
    for start in range(0, len(indices), params.batch_size):
        images, guides = whole_batch(packed, indices[start : start + params.batch_size], image_px)
        regions = lower_face_region(guides)
        fakes, mattes = there(images, guides)
        backs, _ = back(fakes, guides, cycle_condition(way_back, images, regions))
        outside = 1 - dilated_region(regions)
        found.fakes += list(to_pixels(fakes))
        found.backs += list(to_pixels(backs))
        found.psnr_outside += _floats(psnr(fakes, images, outside))
        found.psnr_cycle += _floats(psnr(backs, images, torch.ones_like(regions)))
        found.matte_inside += _floats(mean_over_mask(mattes, eroded_region(regions)))
        found.matte_outside += _floats(mean_over_mask(mattes, outside))
    return found


def _floats(values: Tensor) -> list[float]:
    return [float(value) for value in values]


def _summary(found: DirectionResult) -> dict[str, Any]:
    return {
        "images": len(found.fakes),
        "psnr_outside_db": _rounded(median(found.psnr_outside)),
        "psnr_cycle_db": _rounded(median(found.psnr_cycle)),
        "matte_inside": _rounded(sum(found.matte_inside) / len(found.fakes)),
        "matte_outside": _rounded(sum(found.matte_outside) / len(found.fakes)),
    }


def _rounded(value: float) -> float:
    return round(float(value), 4)


def _sheet(
    sets: dict[str, PackedSet], on: DirectionResult, off: DirectionResult, params: EvaluateParams, image_px: int
) -> NDArray[np.uint8]:
    """A few fixed test faces, a row each: plain | masked | back again, then masked | unmasked | back."""
    halves = []
    for domain, found in (("unmasked", on), ("masked", off)):
        shown = evenly_spaced(len(found.fakes), params.grid_faces)
        seen = evenly_spaced(len(sets[domain]), params.images)
        images, _ = whole_batch(sets[domain], [seen[place] for place in shown], image_px)
        originals = list(to_pixels(images))
        halves.append(
            [
                [original, found.fakes[place], found.backs[place]]
                for original, place in zip(originals, shown, strict=True)
            ]
        )
    rows = min(len(half) for half in halves)
    return image_grid([halves[0][row] + halves[1][row] for row in range(rows)])
