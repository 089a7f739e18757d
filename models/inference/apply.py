"""`facemask apply`: put a mask on every face of photos, or take masks off; all other pixels stay as they are."""

import filecmp
import hashlib
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from models.inference.output_file import write_marked_png
from models.inference.painter import paint_photo
from models.params import Direction
from models.training import checkpoint
from pipeline.errors import FacemaskError
from pipeline.progress import Progress
from pipeline.storage.files import read_image_file, replacing, sha256
from pipeline.storage.images import decode
from pipeline.storage.worker_pool import IMAGE_CPU_S, WorkerPool, cpu_limit
from pipeline.tools.photos import Photo, list_photos
from pipeline.tools.provenance import Provenance, read_provenance

_PIECE = 4  # photos that a worker process gets at a time


@dataclass(frozen=True)
class Task:
    """What to do with every photo."""

    checkpoint: Path
    digest: str  # of the checkpoint, as in Provenance
    direction: Direction
    side_by_side: bool  # write the photo and the painted photo as one image


@dataclass(frozen=True)
class Outcome:
    """The result for one photo."""

    photo: Photo
    state: Literal["painted", "copied", "present", "unreadable"]  # present: an earlier run has written it
    faces: int = 0


def make_task(folder: Path, direction: Direction, *, side_by_side: bool = False) -> Task:
    """The task for the checkpoint in `folder`. Raises FacemaskError if there is none."""
    checkpoint.read_info(folder)
    return Task(folder.resolve(), sha256(folder / checkpoint.JSON_NAME)[:12], direction, side_by_side)


def apply(folder: Path, images: list[Path], out: Path, *, unmask: bool, side_by_side: bool) -> None:
    """Write OUT/NAME.png for every photo of `images`, with each face painted by the checkpoint in `folder`.

    A photo without a face is copied unchanged. A result of an earlier run with the same checkpoint is kept.
    Raises FacemaskError if there is no checkpoint or no photo; and, after all other photos are done, for photos that
    cannot be read.
    """
    task = make_task(folder, "unmask" if unmask else "mask", side_by_side=side_by_side)
    photos = list_photos(images, out)
    _refuse_to_overwrite(photos)
    progress = Progress("apply", len(photos), unit="photo")
    outcomes: list[Outcome] = []
    for batch in _process(photos, task):
        for outcome in batch:
            _report(outcome)
        outcomes += batch
        progress.add(len(batch))
    count = Counter(outcome.state for outcome in outcomes)
    faces = sum(outcome.faces for outcome in outcomes)
    print(
        f"apply: {faces:,} faces painted in {count['painted']:,} photos, {count['copied']:,} without a face copied, "
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
    torch.set_num_threads(1)  # there is one process per core
    return [paint_file(photo, task) for photo in photos]


def _lost(photo: Photo) -> list[Outcome]:
    """The outcome of a photo that crashes the process which reads it."""
    return [Outcome(photo, "unreadable")]


def paint_file(photo: Photo, task: Task) -> Outcome:
    """Process one photo: write the painted photo, marked as synthetic, or a copy if it shows no face."""
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
    painted, faces = paint_photo(pixels, task.checkpoint, task.direction)
    if not faces:
        with replacing(photo.copied) as beside:
            beside.write_bytes(content)
        return Outcome(photo, "copied")
    tool = f"facemask {version('facemask')}"
    provenance = Provenance(tool, task.digest, task.direction, faces, task.side_by_side, digest)
    result = np.hstack([pixels, painted]) if task.side_by_side else painted
    write_marked_png(photo.painted, result, provenance, content)
    return Outcome(photo, "painted", faces)


def _is_present(photo: Photo, digest: str, content: bytes, task: Task) -> bool:
    """Whether an earlier run has written this result: from the same photo, by the same task."""
    if mark := read_provenance(photo.painted):
        made_from = mark.checkpoint, mark.painted, mark.side_by_side, mark.source_sha256
        return made_from == (task.digest, task.direction, task.side_by_side, digest)
    try:
        return photo.copied.stat().st_size == len(content) and read_image_file(photo.copied) == content
    except OSError:
        return False


def _report(outcome: Outcome) -> None:
    """Print a line for a photo that was not painted."""
    match outcome.state:
        case "copied":
            print(f"apply: no face in {outcome.photo.source}: copied unchanged", flush=True)
        case "unreadable":
            print(f"apply: {outcome.photo.source} cannot be read as an image", flush=True)
