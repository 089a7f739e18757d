"""How many frames a second `facemask apply CLIP` draws, how steady the mask is, and how far it lags.

    python -m benchmarks.video

Clips of 1280 x 720 px that are made of one face of the sample: at rest with noise, and moving (pan, zoom and turn) on a
known path. `cpu_ms` is the whole command's processor time a frame, FFmpeg's included, without its start. Steadiness is
measured on the corners of the mask, in px: `jitter_px` is the root mean square of their movement from frame to frame
while the face is at rest, and `lag_px` that of their distance from where the known path has them. Prints JSON last.
"""

import json
import os
import resource
import tempfile
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipeline.faces.face_tracking import FaceTracker
from pipeline.faces.landmarker import get_landmarker
from pipeline.faces.tiled_detection import find_all_faces
from pipeline.masks.compositing import sheet_places
from pipeline.masks.fit import MaskFit, face_width, place_mask
from pipeline.masks.records import UnmaskedFace
from pipeline.storage.clips import read_frames
from pipeline.storage.images import open_image
from pipeline.synthetic.layout import SampleParams, sample_files
from pipeline.tools.clip_writer import open_silent_clip
from pipeline.tools.draw_clip import draw_clips
from pipeline.tools.draw_masks import MaskChoice

WIDTH, HEIGHT, FPS, FRAMES, NOISE = 1280, 720, 30, 120, 5.0
TARGET_PER_S = 10  # on two idle cores
Motion = Callable[[int], NDArray[np.float64]]
"""The matrix (2, 3) from the face's picture to a frame, given its number."""

_FIT = MaskFit(0.86, 4.28, -0.97, 0.97, 0.0, 0.16)


def face_picture() -> NDArray[np.uint8]:
    """An unmasked face of the sample, (720, 720, 3)."""
    for file in sample_files("unmasked", SampleParams(faces=20, image_px=512, seed=1)):
        if file.kind == "unmasked":
            return np.asarray(
                open_image(file.content).convert("RGB").resize((HEIGHT, HEIGHT), Image.Resampling.LANCZOS)
            )
    raise AssertionError("the sample has unmasked faces")


def at_rest(_frame: int) -> NDArray[np.float64]:
    """A face that does not move."""
    return np.array([[0.8, 0, 350], [0, 0.8, 70]], np.float64)


def moving(frame: int) -> NDArray[np.float64]:
    """A face that passes through the picture, nears and turns."""
    phase = 2 * np.pi * frame / FRAMES
    matrix = cv2.getRotationMatrix2D((360, 360), 15 * np.sin(1.5 * phase), 0.6 - 0.2 * np.cos(phase))
    matrix[:, 2] += (280 + 300 * np.sin(phase), 40 * np.cos(2 * phase))
    return np.asarray(matrix, np.float64)


def write_clip(path: Path, face: NDArray[np.uint8], moved: Motion) -> None:
    """Write a clip of the face on a path, with new noise in each frame."""
    rng = np.random.default_rng(0)
    with open_silent_clip(path, (WIDTH, HEIGHT), Fraction(FPS), path) as write:
        for frame in range(FRAMES):
            plain = cv2.warpAffine(face, moved(frame), (WIDTH, HEIGHT), borderValue=(90, 90, 90), flags=cv2.INTER_AREA)
            write(np.clip(plain + rng.normal(0, NOISE, plain.shape), 0, 255).astype(np.uint8))


def corners(points: NDArray[np.float32]) -> NDArray[np.float64]:
    """The mask's upper corners and the middle of its lower edge (3, 2), px, on a face with landmarks (478, 2) px."""
    size = np.array((WIDTH, HEIGHT), np.float32)
    face = UnmaskedFace(np.zeros((HEIGHT, WIDTH, 3), np.uint8), (points / size).astype(np.float32))
    places = sheet_places(place_mask(face, _FIT))
    return np.stack([places[0, 0], places[0, -1], places[-1, places.shape[1] // 2]])


def rms(values: NDArray[np.float64]) -> float:
    """The root mean square of vectors (..., 2)."""
    return float(np.sqrt((values**2).sum(axis=-1).mean()))


def steadiness(clip: Path, truth: NDArray[np.float32], moved: Motion) -> dict[str, float]:
    """Jitter and lag of the landmarks as they are detected, as they are tracked, and smoothed.

    `truth` (478, 2) are those in the face's picture.
    """
    tracker, detected = FaceTracker(FPS), []
    for pixels, _ in read_frames(clip):
        tracker.add(pixels)
        detected.append(get_landmarker(1)(pixels)[0].points * np.float32((WIDTH, HEIGHT)))
    segments, raw, tracked = tracker.segments(), np.stack(detected), np.stack(tracker.tracks[0].points)
    assert len(segments) == 1 and len(segments[0].points) == FRAMES, "the face is followed through the clip"
    expected = np.stack([corners((truth @ m[:, :2].T + m[:, 2]).astype(np.float32)) for m in map(moved, range(FRAMES))])
    found: dict[str, float] = {"face_px": round(face_width(raw[0].astype(np.float64)))}
    for name, points in (("detected", raw), ("tracked", tracked), ("smoothed", segments[0].points)):
        at = np.stack([corners(one) for one in points])
        steps = np.diff(at, axis=0) - np.diff(expected, axis=0)
        offset = (at - expected).mean(axis=0)  # of the detection in another size of the picture: no lag
        found |= {f"{name}_jitter_px": round(rms(steps), 3), f"{name}_lag_px": round(rms(at - expected - offset), 3)}
    return found


def speed(clip: Path, out: Path) -> dict[str, float]:
    """Frames a second of the whole command, and CPU milliseconds a frame."""

    def cpu() -> float:
        return sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))

    started, used = time.perf_counter(), cpu()
    draw_clips([clip], out, MaskChoice("surgical", seed=1))
    elapsed, used = time.perf_counter() - started, cpu() - used
    return {"frames_per_s": round(FRAMES / elapsed, 1), "cpu_ms": round(1000 * used / FRAMES, 1)}


def main() -> None:
    """Print the figures."""
    face = face_picture()
    truth = find_all_faces(face)[0]
    with tempfile.TemporaryDirectory() as folder:
        rest, move = Path(folder) / "rest.mp4", Path(folder) / "move.mp4"
        write_clip(rest, face, at_rest)
        write_clip(move, face, moving)
        speeds = {clip.stem: speed(clip, Path(folder) / "out") for clip in (rest, move)}
        steady = {"rest": steadiness(rest, truth, at_rest), "move": steadiness(move, truth, moving)}
    slowest = max(one["cpu_ms"] for one in speeds.values())
    figures = {
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1),
        "frame_px": [WIDTH, HEIGHT],
        "speed": speeds,
        "by_cpu_time_on_two_free_cores_per_s": round(2000 / slowest, 1),
        "target_per_s": TARGET_PER_S,
        "steadiness": steady,
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
