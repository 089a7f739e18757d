"""Sprite sheets: 16 thumbnails in one JPEG, so that the page's folder holds few files."""

from pathlib import Path

import pyarrow as pa
from PIL import Image

from pipeline.faces import regions
from pipeline.faces.landmarks import decode_counts
from pipeline.storage.images import open_image
from pipeline.storage.thumbnails import THUMB_PX

COLUMNS = 4  # and as many rows: few, because in a sorted gallery each thumbnail comes from another sheet
PER_SHEET = COLUMNS * COLUMNS
_PER_FOLDER = 1000  # sheets
_BACKGROUND = (128, 128, 128)

REGIONS = {
    "lower face": regions.LOWER_FACE,
    "nose": regions.NOSE,
    "mouth": regions.MOUTH,
    "chin": regions.CHIN,
    "left cheek": regions.LEFT_CHEEK,
    "right cheek": regions.RIGHT_CHEEK,
    "between the eyes": regions.BETWEEN_EYES,
}
POINTS = tuple(sorted({landmark for polygon in REGIONS.values() for landmark in polygon}))
"""The landmarks that are corners of a region: the page draws only these."""


class SpriteSheets:
    """Writes thumbnails into sprite sheets, and collects ids, sizes and landmarks of their images for columns.py."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.image_ids: list[str] = []
        self.sizes: list[tuple[int, int]] = []  # width, height of each thumbnail, px; (0, 0): the image is unreadable
        self.points: list[bytes | None] = []  # int16 (len(POINTS), 2), in units of landmarks.LANDMARK_SCALE
        self._waiting: list[Image.Image | None] = []

    def add(self, source: str, table: pa.Table) -> None:
        """Add the images of a table with columns path, thumb and landmarks."""
        columns = (table.column(name).to_pylist() for name in ("path", "thumb", "landmarks"))
        for path, thumb, landmarks in zip(*columns, strict=True):
            thumbnail = open_image(thumb) if thumb else None
            self.image_ids.append(f"{source}/{path}")
            self.sizes.append(thumbnail.size if thumbnail else (0, 0))
            self.points.append(_region_points(landmarks) if landmarks else None)
            self._waiting.append(thumbnail)
            if len(self._waiting) == PER_SHEET:
                self._write()

    def close(self) -> None:
        """Write the last sheet."""
        if self._waiting:
            self._write()

    def _write(self) -> None:
        rows = -(-len(self._waiting) // COLUMNS)
        sheet = Image.new("RGB", (COLUMNS * THUMB_PX, rows * THUMB_PX), _BACKGROUND)
        for position, thumbnail in enumerate(self._waiting):
            row, column = divmod(position, COLUMNS)
            if thumbnail:
                left, top = (THUMB_PX - thumbnail.width) // 2, (THUMB_PX - thumbnail.height) // 2
                sheet.paste(thumbnail, (column * THUMB_PX + left, row * THUMB_PX + top))
        path = self.folder / sheet_path((len(self.image_ids) - 1) // PER_SHEET)
        path.parent.mkdir(parents=True, exist_ok=True)
        sheet.save(path, "JPEG", quality=85)
        self._waiting = []


def sheet_path(number: int) -> str:
    """The path of a sheet in the page's data folder; script/thumbnails.js builds the same."""
    return f"sheets/{number // _PER_FOLDER:03d}/{number:06d}.jpg"


def region_places() -> dict[str, list[int]]:
    """The corners of each region, as positions in POINTS."""
    return {name: [POINTS.index(landmark) for landmark in polygon] for name, polygon in REGIONS.items()}


def _region_points(landmarks: bytes) -> bytes:
    return decode_counts(landmarks)[list(POINTS)].tobytes()
