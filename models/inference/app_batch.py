"""What `facemask app` does with files beside painting one: many photos at once, and pictures that browsers can show."""

import tempfile
import zipfile
from collections import Counter
from pathlib import Path

from PIL import Image

from pipeline.errors import FacemaskError
from pipeline.storage.files import read_image_file
from pipeline.storage.images import decode
from pipeline.tools.paint_photos import Task, counted, paint_file
from pipeline.tools.photos import Photo

MAX_PHOTOS = 50  # in one request: they are painted one after the other, and their results are kept for an hour
_SHOWN = {".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".avif"}  # by all browsers


def paint_batch(photos: list[Path], task: Task, scratch: Path) -> tuple[str | None, str]:
    """Paint photos; returns a ZIP of the results in `scratch`, if there are any, and a summary.

    Raises FacemaskError for too many photos.
    """
    if not photos:
        return None, "Add photos first."
    if len(photos) > MAX_PHOTOS:
        raise FacemaskError(f"{len(photos)} photos are too many at once, {MAX_PHOTOS} are the most: use facemask apply")
    out = Path(tempfile.mkdtemp(dir=scratch))
    archive, names = out / f"facemask-{task.direction}.zip", Counter[str]()
    states, faces, unreadable = Counter[str](), 0, []
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as zipped:  # PNGs do not get smaller
        for source in photos:
            names[source.stem] += 1
            again = f"-{names[source.stem]}" if names[source.stem] > 1 else ""
            result = out / f"{source.stem}{again}-{task.direction}.png"
            outcome = paint_file(Photo(source, result, out / "unchanged"), task)
            states[outcome.state] += 1
            faces += outcome.faces
            if outcome.state == "painted":
                zipped.write(result, result.name)
                result.unlink()
            elif outcome.state == "unreadable":
                unreadable.append(source.name)
    summary = [f"{counted(faces, 'face')} painted in {states['painted']} of {len(photos)} photos."]
    if states["copied"]:
        summary.append(f"{states['copied']} have no face to paint and are not in the ZIP.")
    if unreadable:
        summary.append(f"Not readable as images: {', '.join(unreadable)}.")
    return (str(archive) if states["painted"] else None), " ".join(summary)


def as_shown(photo: Path, out: Path) -> Path:
    """The photo in a format that every browser shows: itself, or a PNG in the folder `out`."""
    if photo.suffix.lower() in _SHOWN:
        return photo
    picture = decode(read_image_file(photo), None)
    if picture is None:
        raise FacemaskError(f"{photo.name} cannot be read as an image: drop a JPEG, PNG or WebP")
    shown = out / f"{photo.stem}-before.png"
    Image.fromarray(picture.pixels()).save(shown, compress_level=1)
    return shown
