"""Finds the faces of an image: the one way in which curation, evaluation and `facemask apply` do."""

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.faces import centerface, regions
from pipeline.faces.alignment import CROP_SIDE, align, fit_similarity
from pipeline.faces.face_mesh import Square, face_of, place_landmarks, square_around
from pipeline.faces.landmarker import Face, get_landmarker
from pipeline.faces.mask_coverage import segment_crops

_MIN_SCORE = 0.3  # of the second detector, from which there is a face
_DOUBTFUL_SCORE = 0.15  # from which there may be one, beside which a small one is a person in the background
_MAX_DISAGREEMENT = 0.6  # of the landmarks with the second detector's points, distances between the eyes
_MAX_EYE_COVERAGE = 0.4  # share of the eyes under a mask, up to which the second detector's face counts
# Of a detection that confirms landmarks; the second: of its eyes from theirs, as a share of the crop.
_SURE_SCORE, _SURE_DISTANCE = 0.5, 0.055
_MIN_AREA = 0.2  # of a second face, as a share of the largest face's area

# The second detector's five points as landmarks, whose means they are, and their places in the aligned crop, px.
_FIVE = ((33, 133), (263, 362), (1,), (61,), (291,))
_FIVE_PLACES = np.array([(21.9, 16.7), (41.1, 16.7), (31.5, 29.3), (22.5, 37.0), (40.5, 37.0)])
_EYE_DISTANCE = 19.2  # px, between the first two
_TRUST = np.array([1, 1, 1, 0.5, 0.5])  # under a mask both networks guess the mouth
_FACE_CENTRE, _FACE_SIDES = (31.5, 27.5), (80.0, 64.0, 100.0)  # px of the aligned crop: squares around a face
_GOOD_AGREEMENT = 0.2  # distances between the eyes, below which no further square is tried
_PASSES = 3  # of the landmark network from each, on the square around the landmarks of the one before


def find_faces(pixels: NDArray[np.uint8], max_faces: int) -> list[Face]:
    """Find up to `max_faces` faces in an image (H, W, 3) RGB, the largest first.

    Where the landmarker finds none, these are the faces that the second detector finds.
    """
    faces = get_landmarker(max_faces)(pixels) or find_hidden_faces(pixels, max_faces)
    return sorted(faces, key=face_area, reverse=True)


def find_hidden_faces(pixels: NDArray[np.uint8], max_faces: int) -> list[Face]:
    """Find faces that the landmarker misses in an image (H, W, 3): under masks, in tight crops, small ones.

    Another detector finds them (CenterFace), and the landmarker's network places the landmarks. A face counts only if
    both agree about it, if it is no small one beside a large one that is in doubt, and if its eyes are not under a
    mask: then the landmarks would show only where a face could be. docs/curation.md lists how many faces this finds,
    how many of them wrongly, and what it costs.
    """
    height, width = pixels.shape[:2]
    detections = centerface.detect(pixels, _DOUBTFUL_SCORE)
    smallest = _MIN_AREA * max((detection.area for detection in detections), default=0.0)
    faces = []
    for detection in detections[:max_faces]:
        if detection.score < _MIN_SCORE or detection.area < smallest:
            continue
        points, disagreement = _landmarks(pixels, detection.points)
        face = face_of(points, width, height)
        if disagreement < _MAX_DISAGREEMENT and _eye_coverage(pixels, face.points) < _MAX_EYE_COVERAGE:
            faces.append(face)
    return faces


def is_confirmed(crop: NDArray[np.uint8], points: NDArray[np.float32]) -> bool:
    """Whether the second detector, too, sees a face at landmarks (478, 2), shares of its square crop (S, S, 3).

    The landmarker mostly rejects a masked face in the second look that tells a face from an ear.
    """
    eyes = np.array([points[list(part)].mean(axis=0) for part in _FIVE[:2]])
    return any(
        float(np.linalg.norm(seen.points[:2] / len(crop) - eyes, axis=1).mean()) <= _SURE_DISTANCE
        for seen in centerface.detect(crop, _SURE_SCORE)
    )


def _eye_coverage(pixels: NDArray[np.uint8], points: NDArray[np.float32]) -> float:
    """The share of both eyes, 0-1, that a mask covers, for landmarks (478, 2) as shares of the image."""
    face = align(pixels, points)
    mask = cv2.resize(segment_crops([face.crop])[0, 0], (CROP_SIDE, CROP_SIDE))
    eyes = [regions.polygon_mask(face.points, eye, CROP_SIDE, CROP_SIDE) for eye in regions.EYES]
    return float(np.mean([cv2.mean(mask, eye)[0] for eye in eyes]))


def _landmarks(pixels: NDArray[np.uint8], five: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
    """Landmarks (478, 3), px, of a face with the second detector's points (5, 2), and how far the two disagree.

    Repeated passes bring a face that was cut off into view, or lose a covered one; a start that is a little larger or
    smaller ends elsewhere. Of all landmarks those are taken that agree best.
    """
    to_crop = fit_similarity(five, _FIVE_PLACES)
    scale = float(np.hypot(*to_crop[:, 0]))
    from_crop = cv2.invertAffineTransform(to_crop)
    centre = np.asarray(from_crop[:, :2] @ _FACE_CENTRE + from_crop[:, 2], np.float64)
    angle = float(np.arctan2(from_crop[1, 0], from_crop[0, 0]))
    tries = []
    for side in _FACE_SIDES:
        square = Square(centre, side / scale, angle)
        for _ in range(_PASSES):
            points = place_landmarks(pixels, square)
            found = np.array([points[list(part), :2].mean(axis=0) for part in _FIVE])
            distances = np.linalg.norm(found - five, axis=1) * scale / _EYE_DISTANCE
            tries.append((float(np.average(distances, weights=_TRUST)), points))
            square = square_around(points)
        disagreement, points = min(tries, key=lambda one: one[0])
        if disagreement < _GOOD_AGREEMENT:
            break
    return points, disagreement


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
