"""Fit the model of the lower face to portraits: `python -m pipeline.unmasking.fit FOLDER OUT.npz`.

Every fifth portrait, in the order of their names, is left out, for tests.
"""

import argparse
from pathlib import Path

from PIL import Image

from pipeline.errors import FacemaskError
from pipeline.faces.alignment import training_frame
from pipeline.faces.face_crops import crop_frame, framed_points
from pipeline.faces.tiled_detection import find_all_faces
from pipeline.masks.records import UnmaskedFace
from pipeline.storage.files import read_image_file, replacing
from pipeline.storage.images import decode
from pipeline.unmasking.lower_face_model import SIDE, fit_model, write_model

TESTED = 5  # every so many portraits are left out
_ENDINGS = {".jpg", ".jpeg", ".png"}


def read_portrait(path: Path) -> UnmaskedFace | None:
    """The largest face of a photo, in FFHQ's frame of SIDE px; None if none is found."""
    picture = decode(read_image_file(path), None)
    if picture is None:
        raise FacemaskError(f"{path} cannot be read as an image: replace or remove it")
    pixels = picture.pixels()
    faces = find_all_faces(pixels)
    if not faces:
        return None
    frame = training_frame(faces[0], pixels.shape[1], pixels.shape[0])
    return UnmaskedFace(crop_frame(Image.fromarray(pixels), frame, SIDE), framed_points(faces[0], frame))


def main() -> None:
    parser = argparse.ArgumentParser(description="Fit the model of the lower face to portraits without masks.")
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="of portraits, and its folders")
    parser.add_argument("out", type=Path, metavar="OUT.npz")
    options = parser.parse_args()
    paths = sorted(path for path in options.folder.rglob("*") if path.suffix.lower() in _ENDINGS)
    taken = [path for number, path in enumerate(paths) if number % TESTED]
    faces = [face for path in taken if (face := read_portrait(path)) is not None]
    if not faces:
        raise SystemExit(f"fit: no portrait with a face in {options.folder}: name another folder")
    content = write_model(fit_model(faces))
    with replacing(options.out) as beside:
        beside.write_bytes(content)
    print(f"fit: {len(faces)} portraits of {len(paths)}, {len(content):,} bytes: {options.out}")


if __name__ == "__main__":
    main()
