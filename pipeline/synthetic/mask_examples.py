"""Examples to learn from: aligned crops of generated pictures, with the truth of every pixel."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.faces import mask_coverage as cover
from pipeline.faces import regions
from pipeline.faces.landmarker import Detect, Face, open_landmarker
from pipeline.masks.designs import FAMILIES, Design, draw_design
from pipeline.masks.fit import draw_any_fit, draw_style, put_on
from pipeline.masks.surgical import Picture
from pipeline.masks.surgical_fit import MaskFit
from pipeline.storage.images import is_image_name
from pipeline.synthetic.camera_effects import degrade
from pipeline.synthetic.occluders import add_occluders
from pipeline.synthetic.portraits import ffhq_frame

PICTURE_PX = 256
MARGIN = 8  # px of the crop beyond the network's field on each side, so that training can shift it
SIDE = cover.SIDE + 2 * MARGIN
REGIONS = (regions.NOSE, regions.MOUTH, regions.CHIN, regions.BETWEEN_EYES)
PLANES = ("mask", "bare", "nose", "mouth", "chin", "between_eyes", "left_cheek", "right_cheek")
"""The truth of each pixel: cover.PLANES, then the regions, seen or hidden; left and right as the picture shows them."""
CHEEKS = (regions.LEFT_CHEEK, regions.RIGHT_CHEEK)


@dataclass(frozen=True)
class UnmaskedFace:
    """A face without a mask, framed about as FFHQ frames it."""

    image: NDArray[np.uint8]  # (H, W, 3) RGB
    points: NDArray[np.float32]  # (478, 2) landmarks, shares


@dataclass(frozen=True)
class Example:
    crop: NDArray[np.uint8]  # (SIDE, SIDE, 3) RGB
    truth: NDArray[np.uint8]  # (SIDE, SIDE, 8) 0-255: PLANES
    design: Design | None  # the mask, if one is worn


def read_unmasked_faces(folders: list[Path], detect: Detect) -> list[UnmaskedFace]:
    """The faces of all images under `folders`, in the order of their paths; images without exactly one are left out."""
    files = [path for folder in folders for path in sorted(folder.rglob("*")) if is_image_name(path.name)]
    return [face for file in files if (face := as_unmasked_face(_read(file), detect)) is not None]


def as_unmasked_face(image: NDArray[np.uint8], detect: Detect) -> UnmaskedFace | None:
    """Cut FFHQ's frame, half as wide again, where the picture is wider than it."""
    found = detect(image)
    if len(found) != 1:
        return None
    size = image.shape[1::-1]
    points = found[0].points
    centre, side = ffhq_frame(points.astype(np.float64) * size)
    left, top = np.floor(centre - 0.75 * side).astype(int).clip(0)
    right, bottom = np.ceil(centre + 0.75 * side).astype(int).clip(0, size)
    cut = np.ascontiguousarray(image[top:bottom, left:right])
    moved = (points * size - (left, top)) / (right - left, bottom - top)
    return UnmaskedFace(cut, moved.astype(np.float32))


def draw_examples(rng: np.random.Generator, faces: list[UnmaskedFace], detect: Detect) -> Iterator[Example]:
    """Endless; aligned by the landmarks that are found on the finished picture."""
    while True:
        face = _reframed(rng, faces[int(rng.integers(len(faces)))])
        image, worn = face.image, np.zeros(face.image.shape[:2], np.float32)
        hidden = worn  # what lies before the mask
        masked = rng.random() < 0.72
        design = None
        if not masked and rng.random() < 0.75:
            for _ in range(int(rng.integers(1, 3))):
                image, _ = add_occluders(rng, image, face.points, over_mask=False)
        if masked:
            if rng.random() < 0.15:
                image, _ = add_occluders(rng, image, face.points, over_mask=False)
            photo = faces[int(rng.integers(len(faces)))].image.astype(np.float32)
            design = draw_design(rng, FAMILIES[int(rng.integers(len(FAMILIES)))], photo)
            image, worn = put_on(image, face.points, design, draw_any_fit(rng), draw_style(rng))
            if rng.random() < 0.25:
                image, hidden = add_occluders(rng, image, face.points, over_mask=True)
        image = degrade(rng, image)
        found = detect(image)
        yield example(image, _guess(rng, found, face), face.points, worn, hidden, design)


def example(
    image: NDArray[np.uint8],
    found: NDArray[np.float32],
    truth: NDArray[np.float32],
    worn: Picture,
    hidden: Picture,
    design: Design | None,
) -> Example:
    """Aligned by the landmarks `found` on the masked picture; the regions are those of the plain face's `truth`.

    `worn` and `hidden` (H, W) 0-1: where the mask is, and where something lies before it. What it hides of the mask
    does not count as covered by it, but neither as bare.
    """
    height, width = image.shape[:2]
    matrix = cover.landmark_alignment(found * np.array([width, height], np.float32))
    crop = cover.aligned_crop(image, matrix, MARGIN)
    cheeks = sorted(CHEEKS, key=lambda cheek: float(truth[list(cheek), 0].mean()))  # left is where the picture has it
    parts = [_region(truth, part, height, width) for part in (*REGIONS, *cheeks)]
    bare = _region(truth, regions.LOWER_FACE, height, width) * (1 - worn)
    layers = [worn * (1 - hidden), bare, *parts]
    stack = np.asarray(np.clip(np.dstack(layers) * 255, 0, 255), np.uint8)
    groups = [np.ascontiguousarray(stack[..., list(three)]) for three in ((0, 1, 2), (3, 4, 5), (6, 7, 7))]
    planes = np.dstack([cover.aligned_crop(group, matrix, MARGIN) for group in groups])[..., :8]
    return Example(crop, planes, design)


def masked_picture(
    rng: np.random.Generator, face: UnmaskedFace, design: Design, fit: MaskFit
) -> tuple[NDArray[np.uint8], NDArray[np.float32], Picture]:
    """One picture with a given mask and fit: image, plain landmarks (478, 2), where the mask is."""
    face = _reframed(rng, face)
    image, worn = put_on(face.image, face.points, design, fit, draw_style(rng))
    return degrade(rng, image), face.points, worn


def _guess(rng: np.random.Generator, found: list[Face], face: UnmaskedFace) -> NDArray[np.float32]:
    """The landmarks that curation would go by: those found, or where there are none, roughly where the face is."""
    middle = face.points.mean(axis=0)
    away = [float(np.hypot(*(one.points.mean(axis=0) - middle))) for one in found]
    if found and min(away) < 0.15:  # of the picture; beyond, it found another face
        return found[int(np.argmin(away))].points
    off = middle + rng.normal(0, 0.012, 2)
    return np.asarray(off + (face.points - middle) * np.exp(rng.normal(0, 0.04)), np.float32)


def _region(points: NDArray[np.float32], polygon: tuple[int, ...], height: int, width: int) -> Picture:
    return np.asarray(regions.polygon_mask(points, polygon, height, width) / 255.0, np.float32)


def _reframed(rng: np.random.Generator, face: UnmaskedFace) -> UnmaskedFace:
    """The face at PICTURE_PX, turned, stretched, scaled and moved a little. Mirroring is left to training."""
    size = np.array(face.image.shape[1::-1], np.float64)
    points = face.points * size
    centre, side = ffhq_frame(points.astype(np.float64))
    zoom = PICTURE_PX / side * rng.uniform(0.65, 1.15)
    turn = rng.normal(0, 0.09)
    matrix = zoom * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    matrix = matrix * np.exp(rng.normal(0, 0.06, (2, 1)))
    target = PICTURE_PX / 2 + rng.normal(0, 8, 2)
    affine = np.column_stack([matrix, target - matrix @ centre])
    flags = cv2.INTER_AREA if zoom < 1 else cv2.INTER_LINEAR
    image = cv2.warpAffine(face.image, affine, (PICTURE_PX, PICTURE_PX), flags=flags, borderMode=cv2.BORDER_REFLECT_101)
    moved = (points @ matrix.T + affine[:, 2]) / PICTURE_PX
    return UnmaskedFace(np.asarray(image, np.uint8), moved.astype(np.float32))


def _read(file: Path) -> NDArray[np.uint8]:
    pixels = cv2.imread(str(file), cv2.IMREAD_COLOR)
    return np.ascontiguousarray(pixels[..., ::-1]) if pixels is not None else np.zeros((8, 8, 3), np.uint8)


def generate(folders: list[Path], seed: tuple[int, ...], count: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """`count` examples with the faces under `folders`: crops (N, SIDE, SIDE, 3), truth (N, SIDE, SIDE, planes)."""
    cv2.setNumThreads(1)
    with open_landmarker(1) as detect:
        source = draw_examples(np.random.default_rng(seed), _faces(tuple(folders)), detect)
        made = [next(source) for _ in range(count)]
    return np.stack([one.crop for one in made]), np.stack([one.truth for one in made])


@lru_cache(maxsize=1)
def _faces(folders: tuple[Path, ...]) -> list[UnmaskedFace]:
    with open_landmarker(2) as detect:
        return read_unmasked_faces(list(folders), detect)
