"""Reads the frames of video clips, with the limits that keep a hostile file from costing more than one line.

OpenCV's FFmpeg decodes. Frames come upright: a rotation that the container states is applied.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.errors import FacemaskError
from pipeline.storage.files import open_regular, real_path

CLIP_SUFFIXES = {".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi"}
MAX_SIDE_PX, MAX_FRAME_PX = 4096, 9_000_000
"""The largest frame: 4k, in landscape and portrait. One frame of 8k takes 100 MB."""
MAX_FRAMES = 54_000
"""Half an hour at 30 frames a second: the landmarks of one face then take 200 MB."""

_MIN_FPS, _MAX_FPS = 1, 120
_LOST_FRAMES, _LOST_SHARE = 3, 0.02  # that a container may count and not have: more is a damaged clip
_UNEVEN = 0.5  # share of a frame's duration that a frame may be early or late at a constant rate

# The first bytes of the containers. FFmpeg would also open playlists, which name other files and servers.
_BOXES = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip")  # MP4, QuickTime: the type of the first box
_MATROSKA, _RIFF, _AVI = b"\x1a\x45\xdf\xa3", b"RIFF", b"AVI "


@dataclass(frozen=True)
class Timing:
    """How the frames of a clip become a clip of a constant rate."""

    fps: Fraction
    repeats: NDArray[np.int64]  # (frames,) how often each frame is shown: 1, where the clip has a constant rate itself

    @property
    def is_constant(self) -> bool:
        """Whether each frame is shown once."""
        return bool((self.repeats == 1).all())


def is_clip_name(name: str) -> bool:
    """Whether a file of this name is taken for a clip."""
    return Path(name).suffix.lower() in CLIP_SUFFIXES


def read_frames(path: Path) -> Iterator[tuple[NDArray[np.uint8], float]]:
    """Yield the frames (H, W, 3) RGB of a clip, all of one size, and their times in seconds.

    Raises FacemaskError for a file that is no clip, is damaged, is too large or is too long.
    """
    capture = _open(path)
    try:
        declared = capture.get(cv2.CAP_PROP_FRAME_COUNT)
        shape, number = None, 0
        while True:
            decoded, frame = capture.read()
            if not decoded:
                break
            if frame.shape != (shape := shape or frame.shape):
                raise FacemaskError(f"{path} changes the size of its picture: convert it with ffmpeg first")
            number += 1
            if number > MAX_FRAMES:
                raise FacemaskError(f"{path} has more than {MAX_FRAMES:,} frames: cut it into shorter clips")
            yield (
                np.asarray(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB), np.uint8),
                capture.get(cv2.CAP_PROP_POS_MSEC) / 1000,
            )
    finally:
        capture.release()
    if number == 0:
        raise FacemaskError(f"{path} has no frame that can be read: name a clip with pictures")
    if declared - number > max(_LOST_FRAMES, _LOST_SHARE * declared):
        raise FacemaskError(f"{path} ends after {number:,} of {declared:,.0f} frames: it is damaged; replace it")


def declared_rate(path: Path) -> tuple[float, int]:
    """Frames a second, and the number of frames, as the container states them; both may be wrong. Raises as above."""
    capture = _open(path)
    try:
        return capture.get(cv2.CAP_PROP_FPS), max(0, int(min(capture.get(cv2.CAP_PROP_FRAME_COUNT), MAX_FRAMES)))
    finally:
        capture.release()


def constant_timing(times: list[float], declared_fps: float, path: Path) -> Timing:
    """The timing of frames that are at `times` (s): that of the container if they follow it, else of the fastest tenth.

    Raises FacemaskError for times by which the clip would be too long.
    """
    at = np.asarray(times, np.float64) - times[0]
    steps = np.diff(at)
    usable = _MIN_FPS <= declared_fps <= _MAX_FPS
    if len(at) < 2 or not (steps > 0).all():  # no times: some containers have none
        return Timing(_as_fraction(declared_fps if usable else 25.0), np.ones(len(at), np.int64))
    if usable and float(np.abs(at - np.arange(len(at)) / declared_fps).max()) < _UNEVEN / declared_fps:
        return Timing(_as_fraction(declared_fps), np.ones(len(at), np.int64))
    fps = _as_fraction(float(np.clip(1 / np.quantile(steps, 0.1), _MIN_FPS, _MAX_FPS)))
    if at[-1] * fps > MAX_FRAMES:
        raise FacemaskError(f"{path} lasts longer than {MAX_FRAMES:,} frames: cut it into shorter clips")
    first = np.rint(at * float(fps)).astype(np.int64)
    return Timing(fps, np.diff(np.append(first, first[-1] + 1)))


def _as_fraction(fps: float) -> Fraction:
    """29.97 -> 30000/1001."""
    return Fraction(fps).limit_denominator(1001)


def _open(path: Path) -> cv2.VideoCapture:
    """Open a clip. Raises FacemaskError for what is none, and for one that is too large."""
    _require_container(path)
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # FFmpeg writes many lines about a damaged file
    before = cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        # Absolute: FFmpeg would take a name such as concat:a for a protocol.
        capture = cv2.VideoCapture(str(real_path(path)), cv2.CAP_FFMPEG)
    finally:
        cv2.utils.logging.setLogLevel(before)
    if not capture.isOpened():
        raise FacemaskError(f"{path} cannot be read as a clip: it is damaged or cut off; replace it")
    width, height = (int(capture.get(side)) for side in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT))
    if max(width, height) > MAX_SIDE_PX or width * height > MAX_FRAME_PX:
        capture.release()
        raise FacemaskError(f"{path} has frames of {width} x {height} px, more than 4k: scale it down first")
    return capture


def _require_container(path: Path) -> None:
    """Raise FacemaskError for a file that does not begin as a clip does."""
    try:
        with open_regular(path) as file:
            head = file.read(16)
    except OSError as error:
        raise FacemaskError(f"{path}: {error.strerror}: name a clip") from error
    if not (head[4:8] in _BOXES or head[:4] == _MATROSKA or (head[:4] == _RIFF and head[8:12] == _AVI)):
        raise FacemaskError(f"{path} is not a clip: name {', '.join(sorted(CLIP_SUFFIXES))} files")
