"""How far two pictures of a face are apart as a face recogniser sees them.

The recogniser is Davis King's ResNet of 29 layers, in the public domain, which the package face_recognition_models
carries and dlib runs: it turns a face into 128 numbers, and takes two faces closer than .6 (Euclidean) for one person
(dlib's face_recognition.py). It measures here, and nothing is taught by it.
"""

from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SAME_PERSON = 0.6
_SIDE = 256  # px that faces are looked at in
_CHIP, _PADDING = 150, 0.25  # px, share of the face: as the network was taught
# Where an aligned face of FFHQ lies, left, top, right, bottom, share of the side.
_FACE = 0.2, 0.27, 0.8, 0.87


def identity_distances(before: NDArray[np.uint8], after: NDArray[np.uint8]) -> list[float] | None:
    """Distance of each aligned face to what was made of it, both (N, H, W, 3) RGB; 0 for equal ones.

    None where the packages of the extra `identity` are not installed. Both are cut out at the eyes and the nose that
    are found in the first, as nothing was moved.
    """
    if (recogniser := _recogniser()) is None:
        return None
    found = []
    for pictures in zip(before, after, strict=True):
        one, other = (np.asarray(Image.fromarray(picture).resize((_SIDE, _SIDE))) for picture in pictures)
        found.append(float(np.linalg.norm(np.subtract(*recogniser(one, other)))))
    return found


@lru_cache(maxsize=1)
def _recogniser() -> Any:
    """(one, other) (256, 256, 3) -> their 128 numbers each, by the first one's eyes and nose."""
    package = find_spec("face_recognition_models")  # found, and not imported: it asks for a setuptools of long ago
    try:
        import dlib
    except ImportError:
        return None
    if package is None or package.origin is None:
        return None
    weights = Path(package.origin).parent / "models"
    eyes_and_nose = dlib.shape_predictor(str(weights / "shape_predictor_5_face_landmarks.dat"))
    network = dlib.face_recognition_model_v1(str(weights / "dlib_face_recognition_resnet_model_v1.dat"))
    face = dlib.rectangle(*(round(_SIDE * share) for share in _FACE))

    def numbers(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> list[NDArray[np.float64]]:
        places = eyes_and_nose(one, face)
        chips = [dlib.get_face_chip(picture, places, size=_CHIP, padding=_PADDING) for picture in (one, other)]
        return [np.array(network.compute_face_descriptor(chip)) for chip in chips]

    return numbers
