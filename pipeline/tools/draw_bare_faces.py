"""`facemask apply --unmask` without a checkpoint: draws a likely lower face in place of every mask on photos.

Each face is drawn in its frame, of at most _MOST_PX. Only the pixels that change are pasted back, with the photo's
grain.
"""

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipeline.faces.alignment import face_frame, frame_corners, frame_side, hanging_frame
from pipeline.faces.face_crops import crop_frame, framed_points, paste_back
from pipeline.masks.fit import SIDES
from pipeline.masks.photo_texture import add_grain, photo_texture
from pipeline.masks.records import ByteImage, UnmaskedFace
from pipeline.masks.worn import use_one_thread
from pipeline.storage.code_digest import closure_digest
from pipeline.storage.files import sha256
from pipeline.tools.draw_masks import drawable_faces, masked_faces
from pipeline.tools.paint_photos import PaintedPhoto, Task, counted
from pipeline.unmasking.bare_face import bare_face
from pipeline.unmasking.lower_face_model import SIDE, WEIGHTS, packaged_model
from pipeline.unmasking.mask_area import find_mask_area

_LEAST_PX, _MOST_PX = 64, 2 * SIDE  # side of the frame in which a face is drawn: the model has no finer detail
_FADE = 1 / 64  # width of the faded edge, as a share of the frame's side
_NOSE, _MOST_TURNED = 1, 0.02  # its tip; by how much of the face's width it may be beyond the face's side
_GRAIN_EDGE = 1.0  # px: softness of the edge of what gets grain


def bare_task(*, side_by_side: bool = False) -> Task:
    """The task of drawing the lower faces of those who wear masks."""
    return Task(
        paint=draw_bare,
        use_one_thread=use_one_thread,
        direction="unmask",
        checkpoint="",
        drawing=describe_drawing(),
        side_by_side=side_by_side,
    )


def draw_bare(pixels: NDArray[np.uint8]) -> PaintedPhoto:
    """Draw a likely lower face on every masked face of a photo (H, W, 3) RGB, but not in profile.

    The same photo gives the same picture.
    """
    faces = drawable_faces(pixels)
    masked = masked_faces(pixels, faces)
    towards = [points for points in masked if not is_in_profile(points)]
    drawn = pixels.copy()
    for points in reversed(towards):  # the largest face last: it is nearest to the camera
        draw_bare_face(drawn, points)
    note = "; ".join(filter(None, (_profile_note(len(masked) - len(towards)), _soft_note(towards))))
    return PaintedPhoto(drawn, len(towards), len(faces) - len(masked), note)


def is_in_profile(points: NDArray[np.float32]) -> bool:
    """Whether a face, landmarks (478, 2) in px, is turned so far that its nose is beyond its side.

    The model has seen no such faces. Of 291 masked faces of other photos 9 are: what was drawn on 7 was no face.
    """
    left, right, nose = framed_points(points, face_frame(points))[[*SIDES, _NOSE], 0]
    share = float((nose - left) / (right - left))
    return min(share, 1 - share) < -_MOST_TURNED


def draw_bare_face(drawn: ByteImage, points: NDArray[np.float32]) -> None:
    """Draw a lower face in place of the mask on the face with landmarks `points` (478, 2), px, in place."""
    frame = hanging_frame(face_frame(points))
    side = int(np.clip(round(frame_side(frame)), _LEAST_PX, _MOST_PX))
    face = UnmaskedFace(crop_frame(Image.fromarray(drawn), frame, side), framed_points(points, frame))
    bare = bare_face(face, find_mask_area(face), packaged_model())
    changed = np.asarray((bare != face.image).any(axis=2), np.float32)
    matte = np.asarray(cv2.dilate(changed, np.ones((3, 3), np.uint8)), np.float32)
    noise = photo_texture(drawn, points.astype(np.float64)).noise
    corners = frame_corners(frame)
    left, top = np.clip(np.floor(corners.min(axis=0)), 0, None).astype(int)
    right, bottom = np.ceil(corners.max(axis=0)).astype(int)
    part = drawn[top:bottom, left:right]
    before = part.copy()
    paste_back(drawn, bare.astype(np.float32), matte, frame, _FADE)
    _add_grain(part, before, noise)


def _add_grain(part: ByteImage, before: ByteImage, noise: float) -> None:
    """Give what has changed the photo's grain, in place: the model's faces have none, and would look like plastic."""
    changed = (part != before).any(axis=2)
    weight = cv2.GaussianBlur(np.asarray(changed, np.float32), (0, 0), _GRAIN_EDGE)[..., None]
    grain = add_grain(np.zeros(part.shape, np.float32), noise)
    np.copyto(part, (part + weight * grain).round().clip(0, 255).astype(np.uint8), where=changed[..., None])


def describe_drawing() -> str:
    """What a mark says of such a drawing: everything on which its pixels depend beside the photo."""
    return f"likely lower face, model {sha256(WEIGHTS)[:12]}, renderer {closure_digest(__name__)[:12]}"


def _profile_note(count: int) -> str:
    return f"{counted(count, 'masked face')} in profile left unchanged" if count else ""


def _soft_note(faces: list[NDArray[np.float32]]) -> str:
    """A note where the largest face, landmarks (478, 2) in px, is far larger than the model's pictures; mostly none."""
    side = max((round(frame_side(face_frame(points))) for points in faces), default=0)
    return f"the model's faces have {SIDE} px, this one {side}: it is drawn soft" if side > 2 * SIDE else ""
