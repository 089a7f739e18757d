"""`facemask apply --unmask` without a checkpoint: draws a likely lower face in place of every mask on photos.

pipeline/unmasking/photo_faces.py cuts the faces out and pastes them back; all other pixels stay as they are.
"""

import numpy as np
from numpy.typing import NDArray

from pipeline.faces.alignment import face_frame, frame_side
from pipeline.masks.records import ByteImage
from pipeline.masks.worn import use_one_thread
from pipeline.storage.code_digest import closure_digest
from pipeline.storage.files import sha256
from pipeline.tools.draw_masks import drawable_faces, masked_faces
from pipeline.tools.paint_photos import PaintedPhoto, Task, counted
from pipeline.unmasking.lower_face_model import SIDE, WEIGHTS
from pipeline.unmasking.photo_faces import changed_matte, cut_masked_face, is_in_profile, paste_bare_face


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
    note = "; ".join(filter(None, (profile_note(len(masked) - len(towards)), soft_note(towards))))
    return PaintedPhoto(drawn, len(towards), len(faces) - len(masked), note)


def draw_bare_face(drawn: ByteImage, points: NDArray[np.float32]) -> None:
    """Draw a lower face in place of the mask on the face with landmarks `points` (478, 2), px, in place."""
    face = cut_masked_face(drawn, points)
    paste_bare_face(drawn, face, face.bare.astype(np.float32), changed_matte(face))


def describe_drawing() -> str:
    """What a mark says of such a drawing: everything on which its pixels depend beside the photo."""
    return f"likely lower face, model {sha256(WEIGHTS)[:12]} (CC0 1.0), renderer {closure_digest(__name__)[:12]}"


def profile_note(count: int) -> str:
    """What is said of so many faces in profile; nothing of none."""
    return f"{counted(count, 'masked face')} in profile left unchanged" if count else ""


def soft_note(faces: list[NDArray[np.float32]]) -> str:
    """A note where the largest face, landmarks (478, 2) in px, is far larger than the model's pictures; mostly none."""
    side = max((round(frame_side(face_frame(points))) for points in faces), default=0)
    return f"the model's faces have {SIDE} px, this one {side}: it is drawn soft" if side > 2 * SIDE else ""
