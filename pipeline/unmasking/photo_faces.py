"""The masked faces of a photo: cut out with the drawn bare face, and pasted back."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipeline.faces.alignment import face_frame, frame_corners, frame_side, hanging_frame
from pipeline.faces.face_crops import crop_frame, framed_points, paste_back
from pipeline.masks.fit import visible_shares
from pipeline.masks.photo_texture import add_grain, photo_texture
from pipeline.masks.records import ByteImage, UnmaskedFace
from pipeline.unmasking.bare_face import bare_face
from pipeline.unmasking.lower_face_model import SIDE, packaged_model
from pipeline.unmasking.mask_area import find_mask_area

_LEAST_PX, _MOST_PX = 64, 2 * SIDE  # side of the frame in which a face is drawn: the model has no finer detail
_FADE = 1 / 64  # width of the faded edge, as a share of the frame's side
_MOST_TURNED = 0.02  # by how much of the face's width the tip of the nose may be beyond the face's side
_GRAIN_EDGE = 1.0  # px: softness of the edge of what gets grain


@dataclass(frozen=True)
class CutFace:
    """A masked face, cut out of a photo, and the bare face drawn for it; S is the frame's side."""

    points: NDArray[np.float32]  # landmarks (478, 2), px of the photo
    frame: NDArray[np.float64]  # (2, 3), as pipeline.faces.alignment has them
    masked: UnmaskedFace  # the face with its mask, (S, S, 3)
    area: NDArray[np.bool_]  # (S, S): where the mask is
    bare: ByteImage  # (S, S, 3)


def is_in_profile(points: NDArray[np.float32]) -> bool:
    """Whether a face, landmarks (478, 2) in px, is turned so far that its nose is beyond its side.

    The model has seen no such faces. Of 291 masked faces in photos 9 are; the drawing on 7 did not look like a face.
    """
    return min(visible_shares(points.astype(np.float64))) < -_MOST_TURNED


def cut_masked_face(pixels: ByteImage, points: NDArray[np.float32]) -> CutFace:
    """Cut out the masked face with landmarks `points` (478, 2), px, and draw its bare face."""
    frame = hanging_frame(face_frame(points))
    side = int(np.clip(round(frame_side(frame)), _LEAST_PX, _MOST_PX))
    face = UnmaskedFace(crop_frame(Image.fromarray(pixels), frame, side), framed_points(points, frame))
    area = find_mask_area(face)
    return CutFace(points, frame, face, area, bare_face(face, area, packaged_model()))


def changed_matte(face: CutFace) -> NDArray[np.float32]:
    """1 where the drawn bare face differs from the photo, and beside it, (S, S)."""
    changed = np.asarray((face.bare != face.masked.image).any(axis=2), np.float32)
    return np.asarray(cv2.dilate(changed, np.ones((3, 3), np.uint8)), np.float32)


def paste_bare_face(pixels: ByteImage, face: CutFace, colours: NDArray[np.float32], matte: NDArray[np.float32]) -> None:
    """Paste `colours` (S, S, 3), 0-255, over a face by `matte` (S, S), 0-1, with the photo's grain, in place.

    The model's faces have no grain, and would look like plastic beside a photo's.
    """
    noise = photo_texture(pixels, face.points.astype(np.float64)).noise
    corners = frame_corners(face.frame)
    left, top = np.clip(np.floor(corners.min(axis=0)), 0, None).astype(int)
    right, bottom = np.ceil(corners.max(axis=0)).astype(int)
    part = pixels[top:bottom, left:right]
    before = part.copy()
    paste_back(pixels, colours, matte, face.frame, _FADE)
    changed = (part != before).any(axis=2)
    weight = cv2.GaussianBlur(np.asarray(changed, np.float32), (0, 0), _GRAIN_EDGE)[..., None]
    grain = add_grain(np.zeros(part.shape, np.float32), noise)
    np.copyto(part, (part + weight * grain).round().clip(0, 255).astype(np.uint8), where=changed[..., None])
