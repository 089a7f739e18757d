"""What near-duplicates are found by: hashes of the photo and of its face, and the face's patch."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipeline.curation.borders import photo_box
from pipeline.curation.face_patches import face_hashes, face_patch
from pipeline.curation.hashes import FINE_PX, fine_hashes, image_hash


@dataclass(frozen=True)
class Fingerprint:
    """Columns of the measured tables; their meanings are in manifest.MEASURED_SCHEMA."""

    phash: int
    fine_hash: bytes
    fine_hash_mirrored: bytes
    face_hash: bytes
    face_hash_mirrored: bytes
    face_patch: bytes
    patch_frame: bytes


def fingerprints(images: list[Image.Image], landmarks: list[NDArray[np.float32] | None]) -> list[Fingerprint]:
    """The fingerprints of RGB images; the same to the bit in any batch.

    `landmarks` (478, 2) are those of each image's largest face as shares of the image, or None. The fine hashes are of
    the photo without plain borders, scaled by area averaging, which takes a tenth of the time of Lanczos.
    """
    if not images:
        return []
    scaled, patches = [], []
    for image, points in zip(images, landmarks, strict=True):
        grey = np.asarray(image.convert("L"))
        box = photo_box(grey)
        left, top, right, bottom = box
        photo = grey[top:bottom, left:right]
        scaled.append(cv2.resize(photo, (FINE_PX, FINE_PX), interpolation=cv2.INTER_AREA))
        patches.append(face_patch(np.asarray(image), points, box))
    fine = fine_hashes(np.stack(scaled).astype(np.uint8))
    face = face_hashes([patch.pixels for patch in patches])
    columns = zip(
        map(image_hash, images),
        *fine,
        *face,
        [patch.pixels.tobytes() for patch in patches],
        [patch.frame.astype("<f4").tobytes() for patch in patches],
        strict=True,
    )
    return [Fingerprint(*values) for values in columns]
