"""Training examples for the segmenter: aligned crops of generated pictures, with the ground truth of every pixel."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.errors import FacemaskError
from pipeline.faces.alignment import CROP_SIDE, aligned_crop, ffhq_frame, landmark_alignment
from pipeline.faces.landmarker import Face, get_landmarker
from pipeline.faces.regions import BETWEEN_EYES, CHIN, LEFT_CHEEK, LOWER_FACE, MOUTH, NOSE, RIGHT_CHEEK, polygon_mask
from pipeline.masks.compositing import compose, draw_style, render_mask
from pipeline.masks.designs import FAMILIES, draw_design
from pipeline.masks.fit import draw_any_fit
from pipeline.masks.records import ByteImage, FloatImage, MaskDesign, UnmaskedFace, cut_face
from pipeline.storage.files import read_image_file
from pipeline.storage.images import decode, is_image_name
from pipeline.synthetic.camera_effects import degrade
from pipeline.synthetic.occluders import add_occluder

PICTURE_PX = 256
MARGIN = 8  # px of the crop beyond the network's input on each side, so that training can shift it
SIDE = CROP_SIDE + 2 * MARGIN
TRUTH_CHANNELS = ("mask", "bare", "nose", "mouth", "chin", "between_eyes", "left_cheek", "right_cheek")
"""Ground truth of a pixel: mask_coverage.CHANNELS, then regions, visible or not; left and right as in the image."""

_REGIONS = (NOSE, MOUTH, CHIN, BETWEEN_EYES)


@dataclass(frozen=True)
class Scene:
    """A generated picture of a face, with or without a mask, and its ground truth."""

    image: ByteImage  # (H, W, 3)
    landmarks: NDArray[np.float32]  # (478, 2) shares, of the face without the mask
    mask: FloatImage  # (H, W) 0-1: where the mask is
    occluder: FloatImage  # (H, W) 0-1: what is in front of the mask
    design: MaskDesign | None = None  # None without a mask


@dataclass(frozen=True)
class Example:
    """A training example of the segmenter."""

    crop: ByteImage  # (SIDE, SIDE, 3)
    truth: NDArray[np.uint8]  # (SIDE, SIDE, 8) 0-255: TRUTH_CHANNELS
    design: MaskDesign | None  # None without a mask


@lru_cache(maxsize=1)
def read_unmasked_faces(folders: tuple[Path, ...]) -> list[UnmaskedFace]:
    """Return the faces of all images under `folders`, in the order of their paths; read once a process.

    Images that are unreadable or do not have exactly one face are skipped. Raises OSError for a file that is not a
    regular file, or is too large.
    """
    files = [path for folder in folders for path in sorted(folder.rglob("*")) if is_image_name(path.name)]
    pictures = (decode(read_image_file(file), min_side=None) for file in files)
    faces = (crop_face(picture.pixels()) for picture in pictures if picture is not None)
    return [face for face in faces if face is not None]


def crop_face(image: ByteImage) -> UnmaskedFace | None:
    """Crop an image to 1.5 times FFHQ's frame, as far as it reaches; None without exactly one face."""
    detected = get_landmarker(2)(image)
    if len(detected) != 1:
        return None
    size = image.shape[1::-1]
    centre, side = ffhq_frame(detected[0].points.astype(np.float64) * size)
    left, top = np.floor(centre - 0.75 * side).astype(int).clip(0)
    right, bottom = np.ceil(centre + 0.75 * side).astype(int).clip(0, size)
    return cut_face(image, detected[0].points * size, (left, top, right, bottom))


def draw_examples(rng: np.random.Generator, faces: list[UnmaskedFace]) -> Iterator[Example]:
    """Draw examples without end, each aligned by the landmarks that are detected in its finished picture."""
    while True:
        face = _reframe(rng, faces[int(rng.integers(len(faces)))])
        scene = _draw_scene(rng, face, faces)
        scene = replace(scene, image=degrade(rng, scene.image))
        yield make_example(scene, _estimated_landmarks(rng, get_landmarker(1)(scene.image), face))


def make_example(scene: Scene, landmarks: NDArray[np.float32]) -> Example:
    """Align a scene by the landmarks (478, 2) estimated in its picture; the regions follow the true landmarks.

    Where an occluder hides the mask, a pixel counts neither as mask nor as bare.
    """
    height, width = scene.image.shape[:2]
    alignment = landmark_alignment(landmarks * np.array([width, height], np.float32))

    def region(polygon: tuple[int, ...]) -> FloatImage:
        return np.asarray(polygon_mask(scene.landmarks, polygon, height, width) / 255.0, np.float32)

    # In a mirrored face the person's right cheek is on the right of the image.
    cheeks = sorted((LEFT_CHEEK, RIGHT_CHEEK), key=lambda cheek: float(scene.landmarks[list(cheek), 0].mean()))
    channels = [scene.mask * (1 - scene.occluder), region(LOWER_FACE) * (1 - scene.mask)]
    channels += [region(polygon) for polygon in (*_REGIONS, *cheeks)]
    stack = np.asarray(np.clip(np.dstack(channels) * 255, 0, 255), np.uint8)
    # aligned_crop takes three channels.
    triples = [np.ascontiguousarray(stack[..., list(three)]) for three in ((0, 1, 2), (3, 4, 5), (6, 7, 7))]
    truth = np.dstack([aligned_crop(triple, alignment, MARGIN) for triple in triples])[..., : len(TRUTH_CHANNELS)]
    return Example(aligned_crop(scene.image, alignment, MARGIN), truth, scene.design)


def generate(folders: list[Path], seed: tuple[int, ...], count: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Make `count` examples from the faces under `folders`: crops (N, SIDE, SIDE, 3), truth (N, SIDE, SIDE, 8).

    Raises FacemaskError where the folders hold no image with exactly one face.
    """
    cv2.setNumThreads(1)
    faces = read_unmasked_faces(tuple(folders))
    if not faces:
        raise FacemaskError(f"no image with exactly one face in {', '.join(map(str, folders))}: choose other folders")
    examples = list(islice(draw_examples(np.random.default_rng(seed), faces), count))
    return np.stack([example.crop for example in examples]), np.stack([example.truth for example in examples])


def _draw_scene(rng: np.random.Generator, face: UnmaskedFace, faces: list[UnmaskedFace]) -> Scene:
    """Draw mask and occluders on a face. `faces` lend parts of their images for prints."""
    nothing = np.zeros(face.image.shape[:2], np.float32)
    landmarks = face.landmarks
    if rng.random() >= 0.72:
        if rng.random() < 0.75:
            for _ in range(int(rng.integers(1, 3))):
                face, _ = add_occluder(rng, face, over_mask=False)
        return Scene(face.image, landmarks, nothing, nothing)
    if rng.random() < 0.15:
        face, _ = add_occluder(rng, face, over_mask=False)
    photo = faces[int(rng.integers(len(faces)))].image.astype(np.float32)
    design = draw_design(rng, FAMILIES[int(rng.integers(len(FAMILIES)))], photo)
    layers = render_mask(face, design, draw_any_fit(rng), draw_style(rng))
    masked, occluder = replace(face, image=compose(face.image, layers)), nothing
    if rng.random() < 0.25:
        masked, occluder = add_occluder(rng, masked, over_mask=True)
    return Scene(masked.image, landmarks, layers.coverage, occluder, design)


def _estimated_landmarks(rng: np.random.Generator, detected: list[Face], face: UnmaskedFace) -> NDArray[np.float32]:
    """Landmarks as curation would have them: those detected, or else a rough guess from the face's position."""
    middle = face.landmarks.mean(axis=0)
    distances = [float(np.hypot(*(one.points.mean(axis=0) - middle))) for one in detected]
    if detected and min(distances) < 0.15:  # share of the picture; farther away it is another face
        return detected[int(np.argmin(distances))].points
    guess = middle + rng.normal(0, 0.012, 2)
    return np.asarray(guess + (face.landmarks - middle) * np.exp(rng.normal(0, 0.04)), np.float32)


def _reframe(rng: np.random.Generator, face: UnmaskedFace) -> UnmaskedFace:
    """Warp a face to PICTURE_PX, randomly rotated, stretched, scaled and shifted. Training does the mirroring."""
    size = np.array(face.image.shape[1::-1], np.float64)
    landmarks = face.landmarks * size
    centre, side = ffhq_frame(landmarks.astype(np.float64))
    zoom = PICTURE_PX / side * rng.uniform(0.65, 1.15)
    angle = rng.normal(0, 0.09)
    matrix = zoom * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = matrix * np.exp(rng.normal(0, 0.06, (2, 1)))
    target = PICTURE_PX / 2 + rng.normal(0, 8, 2)
    affine = np.column_stack([matrix, target - matrix @ centre])
    flags = cv2.INTER_AREA if zoom < 1 else cv2.INTER_LINEAR
    image = cv2.warpAffine(face.image, affine, (PICTURE_PX, PICTURE_PX), flags=flags, borderMode=cv2.BORDER_REFLECT_101)
    shares = (landmarks @ matrix.T + affine[:, 2]) / PICTURE_PX
    return UnmaskedFace(np.asarray(image, np.uint8), shares.astype(np.float32))
