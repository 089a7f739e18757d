"""Finds the faces of an image: the one way in which curation, evaluation and `facemask apply` do."""

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.faces.landmarker import Face, get_landmarker
from pipeline.faces.mask_coverage import measure_coverage

_LOW_CONFIDENCE = 0.2  # of the second detection
_PADDING = 0.25  # of the second detection, as a share of the image, on each side
_MIN_COVERAGE = 0.4  # covered share of the lower face from which the second detection is accepted
_MIN_AREA = 0.2  # of a second face, as a share of the largest face's area


def find_faces(pixels: NDArray[np.uint8], max_faces: int) -> list[Face]:
    """Find up to `max_faces` faces in an image (H, W, 3) RGB, the largest first.

    Where the landmarker detects none, this is the one masked face that a second detection finds, if any.
    """
    faces = sorted(get_landmarker(max_faces)(pixels), key=face_area, reverse=True)
    return faces or detect_masked_face(pixels)


def detect_masked_face(pixels: NDArray[np.uint8]) -> list[Face]:
    """Detect a face that the landmarker misses because of its mask: at low confidence, in the padded image (H, W, 3).

    Gives one face or none: only a face with a covered lower face is accepted. docs/curation.md lists how many faces
    this finds, how many of them wrongly, and what it costs.
    """
    height, width = pixels.shape[:2]
    top, left = round(_PADDING * height), round(_PADDING * width)
    padded = cv2.copyMakeBorder(pixels, top, top, left, left, cv2.BORDER_REPLICATE)
    for face in get_landmarker(1, _LOW_CONFIDENCE)(np.asarray(padded, np.uint8)):
        size = np.array([padded.shape[1], padded.shape[0]], np.float32)
        points = ((face.points * size - (left, top)) / (width, height)).astype(np.float32)
        if measure_coverage([(pixels, points)])[0].face > _MIN_COVERAGE:
            return [Face(points, face.transform)]
    return []


def count_faces(faces: list[Face]) -> int:
    """The number of people in an image: the largest face, which comes first, and all that is_second_face counts."""
    return sum(index == 0 or is_second_face(face, faces[0]) for index, face in enumerate(faces))


def face_area(face: Face) -> float:
    """Area of the face's bounding box as a share of the image."""
    return float(np.prod(np.ptp(face.points, axis=0)))


def is_second_face(face: Face, largest: Face) -> bool:
    """Whether a further detection counts as a second face.

    It does not if it has less than a fifth of the largest face's area (a person in the background), nor if its centre
    is inside the largest face's box (the landmarker detects small faces in the glasses and wrinkles of a large one).
    """
    centre = face.points.mean(axis=0)
    inside = (largest.points.min(axis=0) < centre) & (centre < largest.points.max(axis=0))
    return face_area(face) >= _MIN_AREA * face_area(largest) and not inside.all()
