"""`facemask apply CLIP`: draws a mask on every bare face of a clip, steady over its frames.

The clip is read twice. First its faces are followed (pipeline/faces/face_tracking.py), and it is decided who wears a
mask and when; then the masks are drawn at the smoothed landmarks. Each person has one mask for the whole clip.
"""

import filecmp
import os
import shutil
from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.errors import FacemaskError
from pipeline.faces.face_tracking import FaceTracker, Landmarks
from pipeline.masks.compositing import compose, render_mask
from pipeline.masks.conditions import Conditions, mean_conditions, measure_conditions
from pipeline.masks.fit import face_width
from pipeline.masks.records import ByteImage, cut_face
from pipeline.masks.worn import PHOTOGRAPHED, WornMask, design_worn, kind_of_colour
from pipeline.progress import Progress
from pipeline.storage.clips import Timing, constant_timing, declared_rate, read_frames
from pipeline.storage.files import flush_to_disk, fresh_folder, real_path, replacing, require_no_file, sha256
from pipeline.tools.clip_provenance import append_mark, read_clip_mark, read_clip_xmp
from pipeline.tools.clip_writer import add_sound, open_silent_clip
from pipeline.tools.draw_masks import MIN_CROP_PX, MaskChoice, bare_faces, crop_box, describe_choice
from pipeline.tools.paint_photos import counted, faces_are
from pipeline.tools.provenance import Provenance
from pipeline.version import VERSION

_CHECK_S = 0.5  # between two checks of whether a face is bare
_STEADY_CHECKS = 5  # a state lasts for more than half of as many checks: a hand before the mouth is shorter
_LIGHT_S = 0.4  # over which light, blur and grain are averaged
_AHEAD = 2  # frames for each thread that are drawn before they are written


@dataclass(frozen=True)
class ClipPlan:
    """What is drawn on each frame of a clip, and how its frames are timed."""

    size: tuple[int, int]  # width, height
    timing: Timing
    faces: list[list[tuple[int, Landmarks]]]  # of each frame: person, and where the face is; the largest first
    widths: dict[int, float]  # of each person's face, px, at its largest
    left: int  # people whose face is masked or covered in all frames


def draw_clips(clips: list[Path], out: Path, choice: MaskChoice) -> None:
    """Write OUT/NAME.mp4 for every clip, with a mask on each bare face.

    A clip without such a face is copied unchanged, under its own name. A result of an earlier run with the same choices
    is kept. Raises FacemaskError for a target that facemask did not write, and, after all others are done, for clips
    that cannot be read.
    """
    require_no_file(out)
    targets = [out / f"{clip.stem}.mp4" for clip in clips]
    for clip, target in zip(clips, targets, strict=True):
        _refuse(clip, target, targets.count(target) > 1)
    failed: list[FacemaskError] = []
    for clip, target in zip(clips, targets, strict=True):
        try:
            _draw_clip(clip, target, choice)
        except FacemaskError as error:
            if len(clips) == 1:
                raise
            print(f"apply: {error}", flush=True)
            failed.append(error)
    if failed:
        raise FacemaskError(f"{len(failed):,} of {len(clips):,} clips are not done, the first because: {failed[0]}")


def _refuse(clip: Path, target: Path, shared: bool) -> None:
    """Raise FacemaskError if the result of a clip would replace what is not facemask's."""
    if real_path(clip) in (real_path(target), real_path(target.with_name(clip.name))):
        raise FacemaskError(
            f"{target.with_name(clip.name)} is the clip itself and would be overwritten: choose another --out"
        )
    if shared:
        raise FacemaskError(f"two clips would be written to {target}: run the command for each, with different --out")
    for path in {target, target.with_name(clip.name)}:
        if path.exists() and not read_clip_mark(path) and not filecmp.cmp(path, clip, shallow=False):
            raise FacemaskError(
                f"{path} already exists and was not created by facemask: choose another --out, or move it away"
            )


def _draw_clip(clip: Path, target: Path, choice: MaskChoice) -> None:
    digest, drawing = sha256(clip), describe_choice(choice)
    mark = read_clip_mark(target) if target.exists() else None
    if mark and (mark.source_sha256, mark.drawing) == (digest, drawing):
        print(f"apply: {target} is already present", flush=True)
        return
    declared_fps, declared_frames = declared_rate(clip)
    progress = Progress("apply", max(1, 2 * declared_frames), unit="frame")
    plan = plan_clip(clip, declared_fps, progress)
    progress.total = 2 * len(plan.faces)
    frames = sum(bool(faces) for faces in plan.faces)
    if not frames:
        with replacing(target.with_name(clip.name)) as beside:
            shutil.copyfile(clip, beside)
        why = f"{clip}: {faces_are(plan.left)} masked or covered already" if plan.left else f"no face in {clip}"
        print(f"apply: {why}: copied unchanged", flush=True)
        return
    if not plan.timing.is_constant:
        print(f"apply: {clip} has a variable frame rate: {target} has {float(plan.timing.fps):.4g}/s", flush=True)
    seed = int(digest[:16], 16) if choice.seed is None else choice.seed
    masks = {
        person: _worn(width, choice, np.random.default_rng([seed, person])) for person, width in plan.widths.items()
    }
    tool = f"facemask {VERSION}"
    made = Provenance(tool, "", "mask", len(masks), False, digest, drawing)
    if lost := _write(drawn_frames(clip, plan, masks, progress), clip, target, plan, made):
        print(f"apply: {target}: {lost}", flush=True)
    print(
        f"apply: {counted(len(masks), 'face')} drawn on in {frames:,} of {len(plan.faces):,} frames: {target}",
        flush=True,
    )
    if plan.left:
        print(f"apply: {clip}: {faces_are(plan.left)} masked or covered already: left unchanged", flush=True)


def _write(frames: Iterator[ByteImage], clip: Path, target: Path, plan: ClipPlan, mark: Provenance) -> str:
    """Write the frames of a clip as `target`, whole or not at all, with its sound and the mark; return what is lost."""
    beside = fresh_folder(target.with_name(f".{target.name}.part"))
    try:
        silent, whole = beside / "silent.mp4", beside / "whole.mp4"
        with open_silent_clip(silent, plan.size, plan.timing.fps, clip) as write:
            for frame, repeats in zip(frames, plan.timing.repeats, strict=True):
                for _ in range(repeats):
                    write(frame)
        lost = add_sound(silent, clip, whole)
        append_mark(whole, mark, read_clip_xmp(clip))
        flush_to_disk(whole)
        whole.replace(target)
        flush_to_disk(target.parent)
        return lost
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def plan_clip(clip: Path, declared_fps: float, progress: Progress) -> ClipPlan:
    """Read a clip once, and decide where masks are drawn. Raises FacemaskError for a clip that cannot be read."""
    fps = declared_fps if 1 <= declared_fps <= 120 else 25.0
    times: list[float] = []
    checks: dict[int, dict[int, bool]] = defaultdict(dict)  # of each person: frame -> whether the face is bare
    last: dict[int, int] = {}  # frame of the last check of a track, by its identity
    size = (0, 0)
    tracker = FaceTracker(fps)
    for number, (pixels, time) in enumerate(read_frames(clip)):
        times.append(time)
        size = (pixels.shape[1], pixels.shape[0])
        for track, points in tracker.add(pixels):
            if number - last.get(id(track), -(10**9)) >= _CHECK_S * fps:
                last[id(track)] = number
                checks[track.person][number] = bool(bare_faces(pixels, [points]))
        progress.add(1)
    segments = tracker.segments()
    faces: list[list[tuple[int, Landmarks]]] = [[] for _ in times]
    widths: dict[int, float] = {}
    for segment in segments:
        bare = steady_state(checks[segment.person])
        for offset, points in enumerate(segment.points):
            number = segment.first + offset
            if bare(number) and _is_within(points, size):
                faces[number].append((segment.person, points))
                widths[segment.person] = max(widths.get(segment.person, 0.0), face_width(points.astype(np.float64)))
    for one in faces:
        one.sort(key=lambda pair: -float(np.ptp(pair[1][:, 1])))
    left = len({segment.person for segment in segments} - set(widths))
    return ClipPlan(size, constant_timing(times, declared_fps, clip), faces, widths, left)


def steady_state(checks: dict[int, bool]) -> Callable[[int], bool]:
    """A function that says of a frame whether a face is bare, from checks of some frames.

    Each check is replaced by the majority of those around it, so that a hand before the mouth does not take the mask
    away; a frame has the state of the check that is nearest.
    """
    if not checks:
        return lambda _frame: False
    frames = np.array(sorted(checks))
    reach = _STEADY_CHECKS // 2
    states = np.array([checks[frame] for frame in frames.tolist()], np.float64)
    padded = np.pad(states, reach, mode="reflect" if len(states) > reach else "edge")
    steady = np.convolve(padded, np.ones(_STEADY_CHECKS), "valid") > _STEADY_CHECKS / 2

    def is_bare(frame: int) -> bool:
        return bool(steady[np.abs(frames - frame).argmin()])

    return is_bare


def drawn_frames(clip: Path, plan: ClipPlan, masks: dict[int, WornMask], progress: Progress) -> Iterator[ByteImage]:
    """Yield the frames (H, W, 3) RGB of a clip with the planned masks; those without a face unchanged."""
    threads = os.cpu_count() or 1
    share = float(1 - np.exp(-1 / (_LIGHT_S * float(plan.timing.fps))))
    before: dict[int, Conditions] = {}
    waiting: deque[Future[ByteImage]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        for (pixels, _), faces in zip(read_frames(clip), plan.faces, strict=True):
            now = {
                person: measure_conditions(cut_face(pixels, points, crop_box(points, pixels)))
                for person, points in faces
            }
            before = {
                person: mean_conditions(before[person], seen, share) if person in before else seen
                for person, seen in now.items()
            }
            jobs = [(masks[person], before[person], points) for person, points in faces]
            waiting.append(pool.submit(_draw_frame, pixels, jobs))
            progress.add(1)
            if len(waiting) > _AHEAD * threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _draw_frame(pixels: ByteImage, jobs: list[tuple[WornMask, Conditions, Landmarks]]) -> ByteImage:
    """Draw masks on a frame, in place; the largest face, which comes first, is drawn last."""
    for worn, conditions, points in reversed(jobs):
        left, top, right, bottom = box = crop_box(points, pixels)
        face = cut_face(pixels, points, box)
        layers = render_mask(face, worn.design, worn.fit, PHOTOGRAPHED, conditions)
        pixels[top:bottom, left:right] = compose(face.image, layers)
    return pixels


def _worn(width: float, choice: MaskChoice, rng: np.random.Generator) -> WornMask:
    """The mask that a person wears in the whole clip; `width` of the face at its largest, px."""
    if choice.like is None:
        return design_worn(width, rng, choice.kind, choice.fabric)
    if choice.like.lifted is None:
        return design_worn(width, rng, kind_of_colour(choice.like.colour), choice.like.colour)
    return WornMask(choice.like.lifted.design, choice.like.lifted.fit)


def _is_within(points: Landmarks, size: tuple[int, int]) -> bool:
    """Whether enough of a face is within the frame to draw on."""
    low, high = points.min(axis=0).clip(0, size), points.max(axis=0).clip(0, size)
    return float((high - low).min()) >= MIN_CROP_PX
