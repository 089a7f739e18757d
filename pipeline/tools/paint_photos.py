"""Runs a painter over photos and writes the results: with a generator (models/inference/apply) or with drawn masks.

A painter changes the faces of one photo and nothing else. This module reads the photos, runs one process per core,
writes marked PNGs, keeps results of earlier runs, and reports what was not painted.
"""

import filecmp
import hashlib
import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import FacemaskError
from pipeline.progress import Progress
from pipeline.storage.files import read_image_file, replacing
from pipeline.storage.images import OPAQUE, decode
from pipeline.storage.worker_pool import IMAGE_CPU_S, WorkerPool, cpu_limit
from pipeline.tools.output_file import write_marked_png
from pipeline.tools.photos import Photo, list_photos
from pipeline.tools.provenance import Provenance, read_provenance
from pipeline.version import VERSION

_WANTED = {"mask": "bare", "unmask": "masked"}  # the faces that are painted
_LEFT = {"mask": "masked or covered already", "unmask": "without a mask"}
_PIECE = 4  # photos that a worker process gets at a time


@dataclass(frozen=True)
class PaintedPhoto:
    """What a painter returns for a photo."""

    pixels: NDArray[np.uint8]  # (H, W, 3) RGB
    faces: int  # that were painted
    left: int = 0  # faces left as they are: masked already or hardly to be seen, or without a mask to take off
    note: str = ""  # what else to tell


@dataclass(frozen=True)
class Task:
    """What to do with every photo. It is pickled for worker processes, and so are its functions."""

    paint: Callable[[NDArray[np.uint8]], PaintedPhoto]
    use_one_thread: Callable[[], None]  # called in each worker process: there is one per core
    direction: Literal["mask", "unmask"]
    checkpoint: str  # as in Provenance
    drawing: str | None = None  # as in Provenance
    side_by_side: bool = False  # write the photo and the painted photo as one image


@dataclass(frozen=True)
class Outcome:
    """The result for one photo."""

    photo: Photo
    state: Literal["painted", "copied", "present", "unreadable"]  # present: an earlier run has written it
    faces: int = 0
    left: int = 0  # as in PaintedPhoto
    lost: tuple[str, ...] = ()  # as in storage.images.Picture
    note: str = ""  # as in PaintedPhoto


def paint_photos(images: list[Path], out: Path, task: Task) -> None:
    """Write OUT/NAME.png for every photo of `images`, with its faces painted by the task.

    A photo in which nothing is painted is copied unchanged. A result of an earlier run of the same task is kept.
    Raises FacemaskError if there is no photo; and, after all other photos are done, for photos that cannot be read.
    """
    photos = list_photos(images, out)
    _refuse_to_overwrite(photos)
    progress = Progress("apply", len(photos), unit="photo")
    outcomes: list[Outcome] = []
    for batch in _process(photos, task):
        for outcome in batch:
            _report(outcome, task)
        outcomes += batch
        progress.add(len(batch))
    count = Counter(outcome.state for outcome in outcomes)
    faces = sum(outcome.faces for outcome in outcomes)
    print(
        f"apply: {counted(faces, 'face')} {'painted' if task.drawing is None else 'drawn on'} "
        f"in {counted(count['painted'], 'photo')}, "
        f"{count['copied']:,} without a {_WANTED[task.direction]} face copied, "
        f"{count['present']:,} already present: {out}",
        flush=True,
    )
    if unreadable := [outcome.photo.source for outcome in outcomes if outcome.state == "unreadable"]:
        raise FacemaskError(
            f"{len(unreadable):,} of {len(photos):,} photos cannot be read, the first is {unreadable[0]}: "
            "all others are done; replace or remove these"
        )


def _refuse_to_overwrite(photos: list[Photo]) -> None:
    """Raise FacemaskError if a target exists that this command did not write."""
    for photo in photos:
        for path in {photo.painted, photo.copied}:
            if path.exists() and not read_provenance(path) and not filecmp.cmp(path, photo.source, shallow=False):
                raise FacemaskError(
                    f"{path} already exists and was not created by facemask: choose another --out, or move it away"
                )


def _process(photos: list[Photo], task: Task) -> Iterator[list[Outcome]]:
    """Yield lists of outcomes as they are ready: in this process for a few photos, else in one process per core."""
    if len(photos) <= _PIECE:
        yield from ([paint_file(photo, task)] for photo in photos)
        return
    pieces = [photos[start : start + _PIECE] for start in range(0, len(photos), _PIECE)]
    with WorkerPool(partial(_paint_piece, task=task), _lost, min(len(pieces), os.cpu_count() or 1)) as workers:
        for _, results in workers.run(pieces):
            yield [outcome for result in results for outcome in result]


def _paint_piece(photos: list[Photo], task: Task) -> list[Outcome]:
    task.use_one_thread()
    return [paint_file(photo, task) for photo in photos]


def _lost(photo: Photo) -> list[Outcome]:
    """The outcome of a photo that crashes the process which reads it."""
    return [Outcome(photo, "unreadable")]


def paint_file(photo: Photo, task: Task) -> Outcome:
    """Process one photo: write the painted photo, marked as synthetic, or a copy if there is nothing to paint."""
    try:
        content = read_image_file(photo.source)
    except OSError as error:
        print(f"apply: {photo.source}: {error.strerror}", flush=True)
        return Outcome(photo, "unreadable")
    digest = hashlib.sha256(content).hexdigest()
    if _is_present(photo, digest, content, task):
        return Outcome(photo, "present")
    with cpu_limit(IMAGE_CPU_S):
        picture = decode(content, None)
    if picture is None:
        return Outcome(photo, "unreadable")
    pixels = picture.pixels()
    painted = task.paint(pixels)
    if not painted.faces:
        with replacing(photo.copied) as beside:
            beside.write_bytes(content)
        return Outcome(photo, "copied", 0, painted.left, note=painted.note)
    tool = f"facemask {VERSION}"
    provenance = Provenance(
        tool, task.checkpoint, task.direction, painted.faces, task.side_by_side, digest, task.drawing
    )
    before, after = pixels, painted.pixels
    if picture.layered is not None:
        before = np.asarray(picture.layered, np.uint8)
        after = on_layers(before, pixels, after)
    write_marked_png(photo.painted, np.hstack([before, after]) if task.side_by_side else after, provenance, content)
    return Outcome(photo, "painted", painted.faces, painted.left, picture.lost, painted.note)


def on_layers(layered: NDArray[np.uint8], on_white: NDArray[np.uint8], painted: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return a photo with alpha (H, W, 4) with what was painted on it; all other pixels stay the same, hidden ones too.

    `on_white` and `painted` (H, W, 3) are the photo on a white ground before and after. Painted pixels get the least
    alpha, not below their own, with which they look as painted on white: a shadow stays a shadow on any ground.
    """
    result = layered.copy()
    changed = (on_white != painted).any(axis=2)
    colour = painted[changed].astype(np.float32)
    alpha = np.maximum(layered[changed, 3], OPAQUE - colour.min(axis=1))[:, None]
    result[changed, :3] = np.rint(OPAQUE - (OPAQUE - colour) * OPAQUE / np.maximum(alpha, 1)).clip(0, OPAQUE)
    result[changed, 3] = alpha[:, 0]
    return result


def _is_present(photo: Photo, digest: str, content: bytes, task: Task) -> bool:
    """Whether an earlier run has written this result: from the same photo, by the same task."""
    if mark := read_provenance(photo.painted):
        made_from = mark.checkpoint, mark.painted, mark.side_by_side, mark.source_sha256, mark.drawing
        return made_from == (task.checkpoint, task.direction, task.side_by_side, digest, task.drawing)
    try:
        return photo.copied.stat().st_size == len(content) and read_image_file(photo.copied) == content
    except OSError:
        return False


def _report(outcome: Outcome, task: Task) -> None:
    """Print a line for a photo that was not painted, for faces that were left, and for what the result lacks."""
    source, left = outcome.photo.source, f"{faces_are(outcome.left)} {_LEFT[task.direction]}"
    if outcome.note:
        print(f"apply: {source}: {outcome.note}", flush=True)
    match outcome.state:
        case "copied":
            other = str(source) if outcome.note else f"no face in {source}"  # the note says what face there is
            why = f"{source}: {left}" if outcome.left else other
            print(f"apply: {why}: copied unchanged", flush=True)
        case "painted":
            if outcome.left:
                print(f"apply: {source}: {left}: left unchanged", flush=True)
            if outcome.lost:
                print(f"apply: {source}: the result {' and '.join(outcome.lost)}", flush=True)
        case "unreadable":
            print(f"apply: {source} cannot be read as an image", flush=True)


def faces_are(count: int) -> str:
    """`1 face is`, `2 faces are`."""
    return f"{counted(count, 'face')} {'is' if count == 1 else 'are'}"


def counted(count: int, noun: str) -> str:
    """`1 face`, `2 faces`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
