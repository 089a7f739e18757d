"""Identity distance: how different a face recogniser considers two images of a face.

The recogniser is Davis King's 29-layer ResNet (public domain), which the package face_recognition_models carries and
dlib runs. It maps a face to 128 numbers; two faces closer than 0.6 (Euclidean) count as one person (dlib's
face_recognition.py). It is used for evaluation only, never for training.
"""

from collections.abc import Callable
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SAME_PERSON = 0.6
_SIDE = 256  # px, to which images are scaled first
_CHIP, _PADDING = 150, 0.25  # px, share of the face: as the network was trained
_FACE = 0.2, 0.27, 0.8, 0.87  # left, top, right, bottom of the face in an FFHQ-aligned image, share of the side

Image8 = NDArray[np.uint8]
Embedding = NDArray[np.float64]  # (128,)
Recogniser = Callable[[Image8, Image8], tuple[Embedding, Embedding]]


def identity_distances(before: Image8, after: Image8) -> list[float] | None:
    """Distances between aligned faces and their translations, both (N, H, W, 3) RGB; 0 for equal images.

    Both are cropped at the landmarks found in the first, since translation does not move the face. None if the packages
    of the extra `identity` are not installed.
    """
    if (recogniser := _recogniser()) is None:
        return None
    distances = []
    for pair in zip(before, after, strict=True):
        one, other = (np.asarray(Image.fromarray(image).resize((_SIDE, _SIDE))) for image in pair)
        distances.append(float(np.linalg.norm(np.subtract(*recogniser(one, other)))))
    return distances


@lru_cache(maxsize=1)
def _recogniser() -> Recogniser | None:
    """A function from two images (256, 256, 3) to their embeddings, both cropped at the landmarks of the first."""
    package = find_spec("face_recognition_models")  # not imported, because its import needs an old setuptools
    try:
        import dlib
    except ImportError:
        return None
    if package is None or package.origin is None:
        return None
    weights = Path(package.origin).parent / "models"
    predictor = dlib.shape_predictor(str(weights / "shape_predictor_5_face_landmarks.dat"))
    network = dlib.face_recognition_model_v1(str(weights / "dlib_face_recognition_resnet_model_v1.dat"))
    face = dlib.rectangle(*(round(_SIDE * share) for share in _FACE))

    def embeddings(one: Image8, other: Image8) -> tuple[Embedding, Embedding]:
        landmarks = predictor(one, face)
        chips = (dlib.get_face_chip(image, landmarks, size=_CHIP, padding=_PADDING) for image in (one, other))
        first, second = (np.array(network.compute_face_descriptor(chip)) for chip in chips)
        return first, second

    return embeddings
