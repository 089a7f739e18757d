"""`facemask apply`: put a mask on every face of photos, or take it off, and leave all else the same pixels."""

import filecmp
import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from models.inference.painter import paint_photo
from models.params import Direction
from models.training import checkpoint
from pipeline.errors import FacemaskError
from pipeline.progress import Progress
from pipeline.storage.files import read_image_file, replacing, sha256
from pipeline.storage.images import decode, open_image
from pipeline.storage.worker_pool import IMAGE_CPU_S, WorkerPool, cpu_limit
from pipeline.tools.photos import Photo, list_photos
from pipeline.tools.provenance import SOURCE_TYPE, XMP_KEY, Provenance, png_info, read_provenance

_ORIENTATION = 0x0112  # the EXIF tag
_PIECE = 4  # photos that a worker process gets at a time


@dataclass(frozen=True)
class Task:
    """What is done to every photo."""

    checkpoint: Path
    digest: str  # of the checkpoint, as marks name it
    direction: Direction
    side_by_side: bool


@dataclass(frozen=True)
class Outcome:
    """What became of one photo."""

    photo: Photo
    state: Literal["painted", "copied", "there", "unreadable"]
    faces: int = 0


def task_of(folder: Path, direction: Direction, *, side_by_side: bool = False) -> Task:
    """What the checkpoint in `folder` is to do. Raises FacemaskError where there is none."""
    checkpoint.read_info(folder)
    return Task(folder.resolve(), sha256(folder / checkpoint.JSON_NAME)[:12], direction, side_by_side)


def apply(folder: Path, images: list[Path], out: Path, *, unmask: bool, side_by_side: bool) -> None:
    """Write OUT/NAME.png for every photo of `images`, with each of its faces painted by the checkpoint in `folder`.

    Photos without a face are copied as they are. What an earlier run has written with the same checkpoint is left.
    Raises FacemaskError for no checkpoint or no photos; for photos that cannot be read, after all others are done.
    """
    task = task_of(folder, "unmask" if unmask else "mask", side_by_side=side_by_side)
    photos = list_photos(images, out)
    _refuse_strangers(photos)
    progress = Progress("apply", len(photos), unit="photo")
    outcomes = []
    for some in _worked_on(photos, task):
        for outcome in some:
            _tell(outcome)
        outcomes += some
        progress.add(len(some))
    count = {state: sum(outcome.state == state for outcome in outcomes) for state in ("painted", "copied", "there")}
    faces = sum(outcome.faces for outcome in outcomes)
    print(
        f"apply: {faces:,} faces painted in {count['painted']:,} photos, {count['copied']:,} without a face copied, "
        f"{count['there']:,} there already: {out}",
        flush=True,
    )
    unreadable = [outcome.photo.source for outcome in outcomes if outcome.state == "unreadable"]
    if unreadable:
        raise FacemaskError(
            f"{len(unreadable):,} of {len(photos):,} photos cannot be read, {unreadable[0]} the first: "
            "all others are done; replace or remove these"
        )


def _refuse_strangers(photos: list[Photo]) -> None:
    """What is in the way and not of this command's making stays."""
    for photo in photos:
        for path in {photo.painted, photo.copied}:
            if path.exists() and not read_provenance(path) and not filecmp.cmp(path, photo.source, shallow=False):
                raise FacemaskError(f"{path} is there and no work of facemask: choose another --out, or move it away")


def check(pictures: list[Path]) -> None:
    """Say of each picture what it says of itself. Raises FacemaskError where one is not marked as synthetic."""
    unmarked = []
    for picture in pictures:
        if not picture.is_file():
            raise FacemaskError(f"{picture} is not there: name the pictures to check")
        if mark := read_provenance(picture):
            kind = SOURCE_TYPE.rpartition("/")[2]
            print(
                f"{picture}: {kind}; {mark.painted} on {mark.faces} faces by {mark.tool}, checkpoint {mark.checkpoint}"
            )
        else:
            print(f"{picture}: not marked")
            unmarked.append(picture)
    if unmarked:
        raise FacemaskError(
            f"{len(unmarked):,} of {len(pictures):,} pictures are not marked as synthetic, {unmarked[0]} the first: "
            "they are no work of facemask, or their metadata was removed"
        )


def _worked_on(photos: list[Photo], task: Task) -> Iterator[list[Outcome]]:
    """Lists of outcomes, as they come: a few photos here, more in a process for each core."""
    if len(photos) <= _PIECE:
        yield from ([paint_file(photo, task)] for photo in photos)
        return
    pieces = [photos[start : start + _PIECE] for start in range(0, len(photos), _PIECE)]
    with WorkerPool(partial(_one_of_many, task=task), _lost, min(len(pieces), os.cpu_count() or 1)) as workers:
        for _, results in workers.run(pieces):
            yield [outcome for result in results for outcome in result]


def _one_of_many(photos: list[Photo], task: Task) -> list[Outcome]:
    torch.set_num_threads(1)  # there is a process for each core
    return [paint_file(photo, task) for photo in photos]


def _lost(photo: Photo) -> list[Outcome]:
    """A photo that kills whoever reads its pixels."""
    return [Outcome(photo, "unreadable")]


def paint_file(photo: Photo, task: Task) -> Outcome:
    """Write what `task` makes of one photo, marked as synthetic; one without a face is copied as it is."""
    try:
        content = read_image_file(photo.source)
    except OSError as error:
        print(f"apply: {photo.source}: {error.strerror}", flush=True)
        return Outcome(photo, "unreadable")
    digest = hashlib.sha256(content).hexdigest()
    if _is_there(photo, digest, content, task):
        return Outcome(photo, "there")
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
    mark = Provenance(tool, task.digest, task.direction, faces, task.side_by_side, digest)
    _write(photo.painted, np.hstack([pixels, painted]) if task.side_by_side else painted, mark, content)
    return Outcome(photo, "painted", faces)


def _is_there(photo: Photo, digest: str, content: bytes, task: Task) -> bool:
    mark = read_provenance(photo.painted)
    if mark:
        told = mark.checkpoint, mark.painted, mark.side_by_side, mark.source_sha256
        return told == (task.digest, task.direction, task.side_by_side, digest)
    try:
        return photo.copied.stat().st_size == len(content) and read_image_file(photo.copied) == content
    except OSError:
        return False


def _write(path: Path, pixels: NDArray[np.uint8], mark: Provenance, content: bytes) -> None:
    """A PNG, which loses no pixel, with the photo's colour profile, EXIF and XMP."""
    kept, xmp = _metadata(content)
    with replacing(path) as beside:
        Image.fromarray(pixels).save(
            beside,
            "PNG",
            compress_level=1,  # three times as fast as the usual 6, and a tenth larger
            pnginfo=png_info(mark, xmp),
            **kept,
        )


def _metadata(content: bytes) -> tuple[dict[str, bytes], bytes | None]:
    """EXIF and colour profile, as Pillow saves them, and the XMP packet, where the photo has them."""
    kept: dict[str, bytes] = {}
    try:
        with cpu_limit(IMAGE_CPU_S), open_image(content) as photo:
            exif = photo.getexif()
            exif.pop(_ORIENTATION, None)  # the pixels are upright now
            if exif:
                kept["exif"] = exif.tobytes()
            if "icc_profile" in photo.info and photo.mode.startswith("RGB"):  # another mode's does not fit RGB
                kept["icc_profile"] = photo.info["icc_profile"]
            xmp = photo.info.get("xmp") or photo.info.get(XMP_KEY)
    except Exception as error:  # noqa: BLE001 - readers of metadata raise of every kind; the pixels are what matters
        print(f"apply: metadata that cannot be read is left out ({error})", flush=True)
        return kept, None
    return kept, xmp.encode() if isinstance(xmp, str) else xmp


def _tell(outcome: Outcome) -> None:
    match outcome.state:
        case "copied":
            print(f"apply: no face in {outcome.photo.source}: copied as it is", flush=True)
        case "unreadable":
            print(f"apply: {outcome.photo.source} cannot be read as an image", flush=True)
