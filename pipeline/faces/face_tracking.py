"""Follows the faces of a clip from frame to frame.

MediaPipe's landmarker says in every frame where the large faces are. A face that it does not see is looked for around
its last place; small ones are found once a second, by the search that photos get, and are followed back to where they
came. The landmarks of a face that was seen in the frame before are then placed anew, by the landmarker's network in a
square of the size and the turn that they had. MediaPipe cuts its square by the detection, which jumps; its VIDEO mode
does the same with more than one face (docs/drawing.md has the figures).
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.faces.face_mesh import place_landmarks, square_around
from pipeline.faces.landmark_smoothing import smooth_landmarks
from pipeline.faces.landmarker import get_landmarker
from pipeline.faces.tiled_detection import find_all_faces

_MAX_FACES = 4  # that are looked for in the whole of each frame; more are followed one by one
_SEARCH_S = 1.0  # between two searches of the whole frame for small faces
_PATIENCE_S = 0.5  # a face that is not seen for longer has left
_GAP_S = 0.1  # up to which a face that is not seen is taken to be there: a blink of the detector
_LEAST_S = 0.1  # a face that is seen for a shorter time is a false detection
_SAME_FACE = 0.5  # of a face's height: how far its middle moves between two frames at most
_AGREED = 0.15  # of a face's height: how far the landmarks that are placed anew may be from the detected ones
_SAME_SIZE = 0.6  # the smaller height over the larger, of one face in two frames
_SURROUNDINGS = 2.4  # side of the square in which a face is looked for, in its heights
_RECENT_BYTES = 200_000_000  # of frames that are kept to follow a new face back
_CUT_PX = (32, 18)  # frames are compared at this size
_CUT = 28.0  # grey levels by which a frame differs from the one before at a cut, in the mean

Landmarks = NDArray[np.float32]
"""(478, 2) px of a frame."""


@dataclass
class Track:
    """One face in the frames in which it is seen, between two cuts."""

    person: int  # the same number for a face that left and came back
    frames: list[int] = field(default_factory=list)
    points: list[Landmarks] = field(default_factory=list)

    def add(self, frame: int, points: Landmarks) -> None:
        """Append a frame in which it is seen."""
        self.frames.append(frame)
        self.points.append(points)

    def add_before(self, frame: int, points: Landmarks) -> None:
        """Insert a frame before all others."""
        self.frames.insert(0, frame)
        self.points.insert(0, points)


@dataclass(frozen=True)
class Segment:
    """The smoothed landmarks of one face in consecutive frames."""

    person: int
    first: int  # frame
    points: NDArray[np.float32]  # (frames, 478, 2) px


class FaceTracker:
    """Takes the frames of a clip in their order, and collects the tracks of its faces."""

    def __init__(self, fps: float) -> None:
        self.tracks: list[Track] = []
        self._fps = fps
        self._open: list[Track] = []  # of faces that may be in the next frame
        self._number = -1
        self._thumbnail: NDArray[np.uint8] | None = None
        self._recent: deque[tuple[NDArray[np.uint8], list[Landmarks]]] = deque()  # frames, and the faces in them
        self._people = 0

    def add(self, pixels: NDArray[np.uint8]) -> list[tuple[Track, Landmarks]]:
        """Follow the faces into the next frame (H, W, 3) RGB; return the faces that are seen in it."""
        self._number += 1
        cut = self._is_cut(pixels)
        patience = self._fps * _PATIENCE_S
        self._open = [track for track in self._open if not cut and self._number - track.frames[-1] <= patience]
        size = np.array(pixels.shape[1::-1], np.float32)
        seen = [face.points * size for face in get_landmarker(_MAX_FACES)(pixels)]
        if cut or self._number % max(1, round(_SEARCH_S * self._fps)) == 0:
            seen = _without_repeats(seen + find_all_faces(pixels))
        found = [
            (track, _placed(pixels, track.points[-1], points) if track.points else points)
            for track, points in self._continue(pixels, seen)
        ]
        if cut:
            self._recent.clear()
        for track, points in found:
            is_new = not track.frames
            track.add(self._number, points)
            if is_new:
                self._follow_back(track)
        self._recent.append((pixels, [points for _, points in found]))
        if len(self._recent) > min(_SEARCH_S * self._fps, _RECENT_BYTES / pixels.nbytes):
            self._recent.popleft()
        return found

    def segments(self) -> list[Segment]:
        """The faces of all frames so far, smoothed, without short gaps and without what was seen only for a moment."""
        gap, least = round(_GAP_S * self._fps), min(round(_LEAST_S * self._fps), self._number + 1)
        found = [piece for track in self.tracks for piece in _pieces(track, gap) if len(piece.points) >= least]
        return [Segment(one.person, one.first, smooth_landmarks(one.points, self._fps)) for one in found]

    def _continue(self, pixels: NDArray[np.uint8], seen: list[Landmarks]) -> list[tuple[Track, Landmarks]]:
        """Assign the faces seen in a frame to the tracks, nearest first; the others are looked for, or are new."""
        found: list[tuple[Track, Landmarks]] = []
        distances = [
            (_distance(track.points[-1], points), number, index)
            for number, track in enumerate(self._open)
            for index, points in enumerate(seen)
        ]
        taken_tracks: set[int] = set()
        taken: set[int] = set()
        for distance, number, index in sorted(distances):
            if distance <= _SAME_FACE and number not in taken_tracks and index not in taken:
                taken_tracks.add(number)
                taken.add(index)
                found.append((self._open[number], seen[index]))
        places = [points for _, points in found]
        for number, track in enumerate(self._open):
            again = None if number in taken_tracks else _look_around(pixels, track.points[-1])
            if again is not None and all(_distance(again, other) > _SAME_FACE for other in places):
                found.append((track, again))
                places.append(again)
        for index, points in enumerate(seen):
            if index not in taken and all(_distance(points, other) > _SAME_FACE for other in places):
                found.append((self._new_track(points), points))
                places.append(points)
        return found

    def _follow_back(self, track: Track) -> None:
        """Add to a new track the frames before, as far as its face is seen there: a small one is found late."""
        for number, (pixels, others) in zip(range(self._number - 1, -1, -1), reversed(self._recent), strict=False):
            points = _look_around(pixels, track.points[0])
            if points is None or any(_distance(points, other) <= _SAME_FACE for other in others):
                return
            points = _placed(pixels, track.points[0], points)
            track.add_before(number, points)
            others.append(points)

    def _new_track(self, points: Landmarks) -> Track:
        """A track of a person who is not in sight: of those, whoever was last seen nearest; else a new one."""
        in_sight = {track.person for track in self._open}
        gone = {track.person: track.points[-1] for track in self.tracks if track.person not in in_sight}
        person = min(gone, key=lambda one: _distance(gone[one], points), default=self._people)
        self._people = max(self._people, person + 1)
        track = Track(person)
        self.tracks.append(track)
        self._open.append(track)
        return track

    def _is_cut(self, pixels: NDArray[np.uint8]) -> bool:
        small = np.asarray(cv2.resize(pixels, _CUT_PX, interpolation=cv2.INTER_AREA), np.uint8)
        before, self._thumbnail = self._thumbnail, small
        return before is None or float(cv2.absdiff(before, small).mean()) > _CUT


def _pieces(track: Track, gap: int) -> Iterator[Segment]:
    """The parts of a track between gaps of more than `gap` frames; shorter gaps are filled linearly."""
    frames, start = np.array(track.frames), 0
    for end in range(1, len(frames) + 1):
        if end < len(frames) and frames[end] - frames[end - 1] - 1 <= gap:
            continue
        seen, points = frames[start:end], np.stack(track.points[start:end])
        wanted = np.arange(seen[0], seen[-1] + 1)
        if len(wanted) > len(seen):
            after = np.searchsorted(seen, wanted).clip(1)
            share = ((wanted - seen[after - 1]) / (seen[after] - seen[after - 1])).astype(np.float32)[:, None, None]
            points = points[after - 1] + share * (points[after] - points[after - 1])
        yield Segment(track.person, int(seen[0]), points)
        start = end


def _placed(pixels: NDArray[np.uint8], near: Landmarks, detected: Landmarks) -> Landmarks:
    """The landmarks of a detected face, placed as `near`, in the next frame; if that fails, as they are detected."""
    moved = near + (detected.mean(axis=0) - near.mean(axis=0))
    points = place_landmarks(pixels, square_around(moved.astype(np.float64)))[:, :2].astype(np.float32)
    return points if _distance(points, detected) <= _AGREED else detected


def _look_around(pixels: NDArray[np.uint8], last: Landmarks) -> Landmarks | None:
    """The landmarks of the face whose last ones these are, looked for around them; None where it is not seen."""
    side = _SURROUNDINGS * float(np.ptp(last[:, 1]))
    middle = (last.min(axis=0) + last.max(axis=0)) / 2
    left, top = np.clip(np.floor(middle - side / 2), 0, pixels.shape[1::-1]).astype(int).tolist()
    right, bottom = np.clip(np.ceil(middle + side / 2), 0, pixels.shape[1::-1]).astype(int).tolist()
    if min(right - left, bottom - top) < 16:
        return None
    faces = get_landmarker(1)(pixels[top:bottom, left:right])
    if not faces:
        return None
    points = np.asarray(faces[0].points * (right - left, bottom - top) + (left, top), np.float32)
    return points if _distance(last, points) <= _SAME_FACE else None


def _without_repeats(faces: list[Landmarks]) -> list[Landmarks]:
    """The faces without those that are found a second time."""
    kept: list[Landmarks] = []
    for points in faces:
        if all(_distance(points, other) > _SAME_FACE for other in kept):
            kept.append(points)
    return kept


def _distance(one: Landmarks, other: Landmarks) -> float:
    """How far apart two faces are, in heights of the larger; infinite where their sizes differ too much."""
    heights = float(np.ptp(one[:, 1])), float(np.ptp(other[:, 1]))
    if min(heights) < _SAME_SIZE * max(heights):
        return float("inf")
    return float(np.hypot(*(one.mean(axis=0) - other.mean(axis=0)))) / max(heights)
