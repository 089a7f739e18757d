"""`facemask apply --check`: whether images and clips are marked as synthetic, and what made them."""

from pathlib import Path

from pipeline.errors import FacemaskError
from pipeline.sources.folders import why_no_file
from pipeline.tools.clip_provenance import read_clip_mark, read_clip_xmp
from pipeline.tools.paint_photos import counted
from pipeline.tools.provenance import SAMPLE, SOURCE_TYPES, read_provenance, read_source_type, source_type


def check_provenance(images: list[Path]) -> None:
    """Print the provenance mark of each image or clip.

    Raises FacemaskError for a file that does not exist, and, after all are printed, if one is not marked as synthetic.
    """
    unmarked = []
    for image in images:
        if not image.is_file():
            raise FacemaskError(f"{why_no_file(image)}: name the images to check")
        if mark := read_provenance(image) or read_clip_mark(image):
            made = f"checkpoint {mark.checkpoint}" if mark.drawing is None else f"drawn: {mark.drawing}"
            what = f"{mark.painted} {'of' if mark.painted == SAMPLE else 'on'} {counted(mark.faces, 'face')}"
            print(f"{image}: {_last(mark.source_type)}; {what} by {mark.tool}, {made}")
        elif kind := _synthetic(source_type(read_clip_xmp(image))) or _synthetic(read_source_type(image)):
            print(f"{image}: {_last(kind)}; what made it is not recorded in this file")
        else:
            print(f"{image}: not marked")
            unmarked.append(image)
    if unmarked:
        raise FacemaskError(
            f"{len(unmarked):,} of {len(images):,} images are not marked as synthetic, the first is {unmarked[0]}: "
            "facemask did not make them, or their metadata was removed"
        )


def _synthetic(kind: str | None) -> str | None:
    """`kind`, if it is that of a synthetic picture."""
    return kind if kind in SOURCE_TYPES else None


def _last(kind: str) -> str:
    """The term, the last part of its address."""
    return kind.rpartition("/")[2]
