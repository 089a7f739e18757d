"""The raw numbers of an image: everything that curation knows of it. No verdicts.

Measured tables are cached by the digest of this module and of all that it imports: what changes no number (reading
archives, worker processes, progress) is in curation/measuring.py.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

from pipeline.curation.fingerprints import fingerprints
from pipeline.faces.detection import count_faces, find_faces
from pipeline.faces.landmarker import Face
from pipeline.faces.landmarks import encode_landmarks
from pipeline.faces.mask_coverage import eye_coverage_without_landmarks
from pipeline.faces.metrics import DetectedFace, measure_faces
from pipeline.storage.images import Picture, decode
from pipeline.storage.thumbnails import thumbnail

Row = dict[str, object]
"""Columns of manifest.MEASURED_SCHEMA, all but path and archive; a column that is missing is null."""

_BATCH_BYTES = 32 << 20  # of images in memory between the two passes


def measure_images(
    contents: Iterable[bytes],
    max_faces: int,
    decode_px: int,
    cpu_limit: Callable[[], AbstractContextManager[None]] = nullcontext,
) -> Iterator[Row]:
    """Measure image files, in their order; `cpu_limit` encloses the decoding and detection of each image.

    In two passes over batches: directly after the landmarker all other work takes twice as long (docs/curation.md),
    because the landmarker evicts the processor's caches.
    """
    batch: list[_DecodedImage] = []
    for content in contents:
        with cpu_limit():
            picture = decode(content, decode_px)
            faces = find_faces(picture.pixels(), max_faces) if picture else []
        batch.append(_DecodedImage(content, picture, faces))
        if sum(image.memory for image in batch) > _BATCH_BYTES:
            yield from _rows(batch)
            batch = []
    yield from _rows(batch)


def unreadable_row(content: bytes) -> Row:
    """The row of a file that cannot be decoded."""
    return {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest(), "faces": 0}


@dataclass(frozen=True)
class _DecodedImage:
    """An image after the first pass."""

    content: bytes
    picture: Picture | None
    faces: list[Face]  # the largest first

    @property
    def memory(self) -> int:
        """Bytes."""
        return len(self.content) + (3 * self.picture.image.width * self.picture.image.height if self.picture else 0)


def _rows(batch: list[_DecodedImage]) -> Iterator[Row]:
    """The second pass."""
    readable = [image for image in batch if image.picture]
    prints = iter(
        fingerprints(
            [image.picture.image for image in readable if image.picture],
            [image.faces[0].points if image.faces else None for image in readable],
        )
    )
    largest = [
        DetectedFace(image.picture.pixels(), image.faces[0], image.picture.width, image.picture.height)
        for image in batch
        if image.picture and image.faces
    ]
    metrics = iter(measure_faces(largest))
    for image in batch:
        row = unreadable_row(image.content)
        if picture := image.picture:
            row |= {"width": picture.width, "height": picture.height, "quality": picture.quality} | vars(next(prints))
            row["thumb"] = thumbnail(picture.image)
            if image.faces:
                row |= {"faces": count_faces(image.faces), "landmarks": encode_landmarks(image.faces[0].points)}
                row |= vars(next(metrics))
            else:
                row["cover_eyes"] = eye_coverage_without_landmarks(picture.pixels())
        yield row
