"""`facemask apply` without a checkpoint: draws a mask on every bare face of photos, with no training and no weights.

Each face is drawn in a crop of the photo at the photo's own resolution; all other pixels stay as they are.
"""

import hashlib
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageColor

from pipeline.errors import FacemaskError
from pipeline.faces.alignment import CROP_SIDE, align, face_frame
from pipeline.faces.detection import is_confirmed
from pipeline.faces.face_crops import crop_frame, framed_points
from pipeline.faces.landmarker import get_landmarker
from pipeline.faces.mask_coverage import coverage_from_maps, segment_crops
from pipeline.faces.regions import LOWER_FACE, polygon_mask
from pipeline.faces.settled_landmarks import settled
from pipeline.faces.tiled_detection import find_all_faces
from pipeline.masks.catalogue import KINDS, Colour
from pipeline.masks.compositing import compose
from pipeline.masks.fit import face_width
from pipeline.masks.lifted import MaskReference, draw_reference, lift_mask
from pipeline.masks.records import ByteImage, cut_face
from pipeline.masks.side_hair import behind, hair_before
from pipeline.masks.worn import draw_worn, mask_colour, use_one_thread
from pipeline.storage.code_digest import closure_digest
from pipeline.storage.files import read_image_file
from pipeline.storage.images import decode
from pipeline.tools.paint_photos import PaintedPhoto, Task

MASKED = 0.4
"""Covered share of the lower face from which a face counts as masked; a beard or a hand covers less."""

# The share of the lower face that the coverage network sees bare. Hands before the mouth, and masks with a print that
# it does not know, leave less than the first. Below the second, a small face is looked for again in its own crop.
_MIN_BARE, _SURELY_BARE = 0.65, 0.87
_LARGE = 0.25  # height of a face that is no eye or ear taken for a face, as a share of the photo's shorter side
_CHECK_PX = 192  # side of the crop in which a face is looked for again
_MAX_DIFFERENCE = 0.015  # mean of the landmarks, as a share of FFHQ's frame

_SIDE, _ABOVE, _BELOW = 0.45, 0.15, 0.45  # of the face's width: what a crop has around the landmarks
MIN_CROP_PX = 16
"""On a face that is hardly within the photo, nothing is drawn."""
SOFT = 1.5
"""By how much a face may be wider than the mask that is copied to it, before a line says so."""
_TEXTURE_PX = 1664  # longer side of a texture: no mask is drawn larger


@dataclass(frozen=True)
class MaskChoice:
    """Which masks to draw; None: a different one for each face."""

    kind: str | None = None  # of catalogue.KINDS
    fabric: Colour | ByteImage | None = None
    seed: int | None = None  # None: from the photo's pixels
    like: MaskReference | None = None  # instead of kind and fabric: the mask in another photo


ANY_MASK = MaskChoice()


def make_choice(
    kind: str | None, colour: str | None, texture: Path | None, seed: int | None, like: Path | None = None
) -> MaskChoice:
    """Read the options of the command line. Raises FacemaskError for what is unknown, unreadable or contradictory."""
    if kind is not None and kind not in KINDS:
        raise FacemaskError(f"there is no mask '{kind}': --kind is one of {', '.join(KINDS)}")
    if colour is not None and texture is not None:
        raise FacemaskError("a mask has a --colour or a --texture, not both: leave one out")
    if like is not None and (kind, colour, texture) != (None, None, None):
        raise FacemaskError("--like takes kind and fabric from a photo: leave --kind, --colour and --texture out")
    if seed is not None and seed < 0:
        raise FacemaskError(f"--seed {seed} is negative: take 0 or more")
    if like is not None:
        return MaskChoice(like=read_reference(like, f"--like {like}"), seed=seed)
    fabric = _read_texture(texture) if texture is not None else None if colour is None else _parse_colour(colour)
    return MaskChoice(kind, fabric, seed)


def draw_task(choice: MaskChoice, *, side_by_side: bool = False) -> Task:
    """The task of drawing such masks on photos."""
    return Task(
        paint=partial(draw_photo, choice=choice),
        use_one_thread=use_one_thread,
        direction="mask",
        checkpoint="",
        drawing=describe_choice(choice),
        side_by_side=side_by_side,
    )


def draw_photo(pixels: NDArray[np.uint8], choice: MaskChoice) -> PaintedPhoto:
    """Draw a mask on every bare face of a photo (H, W, 3) RGB.

    The same photo and choice give the same picture.
    """
    faces = drawable_faces(pixels)
    bare = bare_faces(pixels, faces)
    note = _reference_note(choice.like, bare[0]) if choice.like and bare else ""
    return PaintedPhoto(draw_on_faces(pixels, bare, choice), len(bare), len(faces) - len(bare), note)


def drawable_faces(pixels: ByteImage) -> list[NDArray[np.float32]]:
    """The faces of a photo that are far enough within it to draw on: landmarks (478, 2) in px, the largest first."""
    boxes = [(points, crop_box(points, pixels)) for points in find_all_faces(pixels)]
    return [points for points, box in boxes if min(box[2] - box[0], box[3] - box[1]) >= MIN_CROP_PX]


def draw_on_faces(pixels: ByteImage, faces: list[NDArray[np.float32]], choice: MaskChoice) -> ByteImage:
    """Return the photo (H, W, 3) with a mask on each of the faces: landmarks (478, 2) in px, the largest face first."""
    seed = content_seed(pixels) if choice.seed is None else choice.seed
    drawn = pixels.copy()
    for number in reversed(range(len(faces))):  # the largest face last: it is nearest to the camera
        _draw_face(drawn, faces[number], choice, np.random.default_rng([seed, number]))
    return drawn


def bare_faces(pixels: ByteImage, faces: list[NDArray[np.float32]]) -> list[NDArray[np.float32]]:
    """The faces, landmarks (478, 2) in px, that wear no mask and surely are faces."""
    found = []
    for points, (covered, bare) in zip(faces, _covered_and_bare(pixels, faces), strict=True):
        sure = bare >= _SURELY_BARE or np.ptp(points[:, 1]) >= _LARGE * min(pixels.shape[:2])
        if covered <= MASKED and bare >= _MIN_BARE and (sure or _is_found_again(pixels, points)):
            found.append(points)
    return found


def masked_faces(pixels: ByteImage, faces: list[NDArray[np.float32]]) -> list[NDArray[np.float32]]:
    """The faces, landmarks (478, 2) in px, that wear a mask, and surely are faces; turned landmarks are settled."""
    faces = [settled(pixels, points) for points in faces]
    found = []
    for points, (covered, _) in zip(faces, _covered_and_bare(pixels, faces), strict=True):
        large = np.ptp(points[:, 1]) >= _LARGE * min(pixels.shape[:2])
        if covered > MASKED and (large or _is_found_again(pixels, points, masked=True)):
            found.append(points)
    return found


def _covered_and_bare(pixels: ByteImage, faces: list[NDArray[np.float32]]) -> list[tuple[float, float]]:
    """For each face the share of its lower part that a mask covers, and that the coverage network sees bare."""
    size = np.array(pixels.shape[1::-1], np.float32)
    aligned = [align(pixels, points / size) for points in faces]
    shares = []
    for face, maps in zip(aligned, segment_crops([face.crop for face in aligned]), strict=True):
        lower_face = polygon_mask(face.points, LOWER_FACE, CROP_SIDE, CROP_SIDE)
        bare = cv2.mean(cv2.resize(maps[1], (CROP_SIDE, CROP_SIDE)), lower_face)[0]
        shares.append((coverage_from_maps(maps, face.points).face, bare))
    return shares


def _is_found_again(pixels: ByteImage, points: NDArray[np.float32], *, masked: bool = False) -> bool:
    """Whether the same face is found in its crop: it is not if an eye or an ear was taken for a face."""
    frame = face_frame(points)
    crop = crop_frame(Image.fromarray(pixels), frame, _CHECK_PX)
    detected, framed = get_landmarker(1)(crop), framed_points(points, frame)
    if detected and float(np.abs(detected[0].points - framed).mean()) <= _MAX_DIFFERENCE:
        return True
    return masked and is_confirmed(crop, framed)


def _draw_face(drawn: ByteImage, points: NDArray[np.float32], choice: MaskChoice, rng: np.random.Generator) -> None:
    """Draw a mask on the face with landmarks `points` (478, 2), px, in place."""
    left, top, right, bottom = box = crop_box(points, drawn)
    face = cut_face(drawn, points, box)
    layers = draw_reference(face, rng, choice.like) if choice.like else draw_worn(face, rng, choice.kind, choice.fabric)
    drawn[top:bottom, left:right] = compose(face.image, behind(layers, hair_before(face)))


def crop_box(points: NDArray[np.float32], pixels: ByteImage) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of the part of a photo (H, W, 3) in which a face's mask, straps and shadow are."""
    unit = face_width(points.astype(np.float64))
    low = points.min(axis=0) - np.array((_SIDE, _ABOVE)) * unit
    high = points.max(axis=0) + np.array((_SIDE, _BELOW)) * unit
    left, top = np.clip(np.floor(low), 0, None).astype(int).tolist()
    right, bottom = np.clip(np.ceil(high), 0, pixels.shape[1::-1]).astype(int).tolist()
    return left, top, right, bottom


def content_seed(pixels: NDArray[np.uint8]) -> int:
    """A seed from a photo's pixels: the same photo gets the same masks."""
    return int.from_bytes(hashlib.sha256(pixels.tobytes()).digest()[:8], "big")


def describe_choice(choice: MaskChoice) -> str:
    """What a mark says of a drawing: everything on which its pixels depend beside the photo."""
    fabric = choice.fabric
    if isinstance(fabric, np.ndarray):
        shown = f"texture {hashlib.sha256(fabric.tobytes()).hexdigest()[:12]}"
    else:
        shown = "any colour" if fabric is None else "colour #{:02x}{:02x}{:02x}".format(*fabric)
    seed = "of the photo" if choice.seed is None else choice.seed
    renderer = closure_digest("pipeline.tools.draw_masks")[:12]
    if choice.like:
        return f"like the mask in {choice.like.digest[:12]}, seed {seed}, renderer {renderer}"
    return f"{choice.kind or 'any kind'}, {shown}, seed {seed}, renderer {renderer}"


def read_reference(path: Path, shown: str) -> MaskReference:
    """Read the mask of the largest masked face in a photo, which errors call `shown`.

    Raises FacemaskError if there is none.
    """
    pixels, digest = _read_picture(path, shown)
    faces = drawable_faces(pixels)
    if not faces:
        raise FacemaskError(f"{shown}: no face is found in this photo: take one of somebody who wears a mask")
    masked = masked_faces(pixels, faces)
    if not masked:
        raise FacemaskError(f"{shown}: no face in this photo wears a mask: take another")
    face = cut_face(pixels, masked[0], crop_box(masked[0], pixels))
    return MaskReference(lift_mask(face), mask_colour(face.image, face.landmarks), digest)


def _read_picture(path: Path, shown: str) -> tuple[ByteImage, str]:
    """An image (H, W, 3) RGB, which errors call `shown`, and the sha256 of its file. Raises FacemaskError."""
    try:
        content = read_image_file(path)
    except OSError as error:
        raise FacemaskError(f"{shown}: {error.strerror}: name an image") from error
    picture = decode(content, None)
    if picture is None:
        raise FacemaskError(f"{shown} cannot be read as an image: take another")
    return picture.pixels(), hashlib.sha256(content).hexdigest()


def _reference_note(reference: MaskReference, points: NDArray[np.float32]) -> str:
    """What is to be said of a mask copied to a photo whose largest face has the landmarks (478, 2), px; mostly none."""
    if reference.lifted is None:
        return "the mask to copy is too small or partly hidden: a drawn one has its colour"
    width, wanted = reference.lifted.width_px, round(face_width(points.astype(np.float64)))
    soft = wanted > SOFT * width
    return f"the mask to copy is {width} px wide, this face {wanted} px: it is drawn soft" if soft else ""


def _parse_colour(text: str) -> Colour:
    try:
        red, green, blue = ImageColor.getrgb(text)[:3]
    except ValueError as error:
        raise FacemaskError(f"'{text}' is no colour: write one as '#1f6feb', or a CSS name such as navy") from error
    return red, green, blue


def _read_texture(path: Path) -> ByteImage:
    """Read an image (H, W, 3) RGB, reduced to _TEXTURE_PX. Raises FacemaskError."""
    image = Image.fromarray(_read_picture(path, f"--texture {path}")[0])
    image.thumbnail((_TEXTURE_PX, _TEXTURE_PX))
    return np.asarray(image, np.uint8)
