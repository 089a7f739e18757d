"""Sprite sheets: many thumbnails in one JPEG, so that a browser opens a hundred files and not a hundred thousand."""

import io
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from PIL import Image

from pipeline import regions
from pipeline.thumbs import THUMB_PX

COLUMNS = 4  # a sheet holds COLUMNS x COLUMNS: small, as a sorted gallery takes its pictures from everywhere
PER_SHEET = COLUMNS * COLUMNS
_PER_FOLDER = 1000  # sheets
_GROUND = (128, 128, 128)

REGIONS = {
    "lower face": regions.LOWER_FACE,
    "nose": regions.NOSE,
    "mouth": regions.MOUTH,
    "chin": regions.CHIN,
    "left cheek": regions.LEFT_CHEEK,
    "right cheek": regions.RIGHT_CHEEK,
    "between the eyes": regions.BETWEEN_EYES,
}
POINTS = tuple(sorted({place for polygon in REGIONS.values() for place in polygon}))
"""Of the landmarks, those that regions are drawn by: the page has no use for others."""


class Sheets:
    """Writes the sheets of measured images, in the order in which they come, and keeps what the page needs of each."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.image_ids: list[str] = []
        self.sizes: list[tuple[int, int]] = []  # px of each thumbnail; 0, 0: unreadable
        self.points: list[bytes | None] = []  # int16 (len(POINTS), 2) as in manifest.LANDMARK_SCALE
        self._waiting: list[Image.Image | None] = []

    def add(self, source: str, table: pa.Table) -> None:
        """Rows with path, thumb and landmarks."""
        columns = (table.column(name).to_pylist() for name in ("path", "thumb", "landmarks"))
        for path, thumb, landmarks in zip(*columns, strict=True):
            picture = Image.open(io.BytesIO(thumb)) if thumb else None
            self.image_ids.append(f"{source}/{path}")
            self.sizes.append(picture.size if picture else (0, 0))
            self.points.append(_some(landmarks) if landmarks else None)
            self._waiting.append(picture)
            if len(self._waiting) == PER_SHEET:
                self._write()

    def close(self) -> None:
        """Write the last sheet."""
        if self._waiting:
            self._write()

    def _write(self) -> None:
        sheet = Image.new("RGB", (COLUMNS * THUMB_PX, -(-len(self._waiting) // COLUMNS) * THUMB_PX), _GROUND)
        for place, picture in enumerate(self._waiting):
            row, column = divmod(place, COLUMNS)
            if picture:
                left, top = (THUMB_PX - picture.width) // 2, (THUMB_PX - picture.height) // 2
                sheet.paste(picture, (column * THUMB_PX + left, row * THUMB_PX + top))
        path = self.folder / sheet_path((len(self.image_ids) - 1) // PER_SHEET)
        path.parent.mkdir(parents=True, exist_ok=True)
        sheet.save(path, "JPEG", quality=85)
        self._waiting = []


def sheet_path(number: int) -> str:
    return f"sheets/{number // _PER_FOLDER:03d}/{number:06d}.jpg"


def _some(landmarks: bytes) -> bytes:
    points: NDArray[np.int16] = np.frombuffer(landmarks, "<i2").reshape(-1, 2)
    return points[list(POINTS)].tobytes()


def region_places() -> dict[str, list[int]]:
    """Each region's polygon as places in POINTS."""
    return {name: [POINTS.index(place) for place in polygon] for name, polygon in REGIONS.items()}
