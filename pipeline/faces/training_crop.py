"""The training image of a photo: the face in FFHQ's frame at one size, with its landmarks.

An image that is already in FFHQ's frame is taken as it is (alignment.is_ffhq_framed): cut out again by its landmarks,
which are exact to some percent only, it would be resampled for nothing and lose its edges.
"""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.errors import FacemaskError
from pipeline.faces.alignment import central_frame, face_frame, frame_side, is_ffhq_framed
from pipeline.faces.face_crops import crop_frame, framed_points
from pipeline.faces.landmarks import decode_landmarks
from pipeline.storage.images import Picture, decode
from pipeline.storage.manifest import MEASURED_SCHEMA, read_table


@dataclass(frozen=True)
class MeasuredFace:
    """What a measured table says about where an image's face is."""

    width: int  # px of the whole image, upright
    height: int
    landmarks: bytes | None  # as stored (faces/landmarks.py); None: no face was found

    def points(self) -> NDArray[np.float32] | None:
        """The landmarks (478, 2), px of the whole image."""
        if self.landmarks is None:
            return None
        return decode_landmarks(self.landmarks) * np.array([self.width, self.height], np.float32)

    def frame_px(self) -> int:
        """The side, px of the image, of what training_crop cuts out."""
        points = self.points()
        return min(self.width, self.height) if points is None else round(frame_side(face_frame(points)))


_COLUMNS = pa.schema([MEASURED_SCHEMA.field(name) for name in ("path", "width", "height", "landmarks")])


def read_measured_faces(measured: Path, source: str, archive: str) -> dict[str, MeasuredFace]:
    """path -> MeasuredFace of the readable images of an archive, out of the folder of measured tables.

    Raises FacemaskError where the archive has no measured table, or one with other columns.
    """
    table = read_table((measured / source / archive).with_suffix(".parquet"), _COLUMNS, f"dvc repro measure@{source}")
    rows = zip(*table.to_pydict().values(), strict=True)
    return {path: MeasuredFace(width, height, landmarks) for path, width, height, landmarks in rows if width}


def training_crop(content: bytes, face: MeasuredFace, px: int) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """The face (px, px, 3) RGB of an image file in FFHQ's frame, and its landmarks (478, 2) as shares of that frame.

    Without landmarks it is the image's central square, and they are NaN. Outside the image its edge is repeated.
    Raises FacemaskError for a file that cannot be decoded.
    """
    points = face.points()
    frame = None if points is None else face_frame(points)
    if frame is None or is_ffhq_framed(frame, face.width, face.height):
        picture = _decode(content, px)
        crop = crop_frame(picture.image, central_frame(*picture.image.size), px)
        frame = central_frame(face.width, face.height)
    else:
        # Decoded so small that the frame has px or more, as an image that is taken whole.
        picture = _decode(content, math.ceil(px * min(face.width, face.height) / frame_side(frame)))
        crop = crop_frame(picture.image, frame * (picture.reduction, picture.reduction, 1), px)
    return crop, np.full((478, 2), np.nan, np.float32) if points is None else framed_points(points, frame)


def _decode(content: bytes, min_side: int) -> Picture:
    picture = decode(content, min_side)
    if picture is None:
        raise FacemaskError("an accepted image can no longer be read: run 'dvc repro' to measure it again")
    return picture
