"""Plain borders and caption bars around a photo: copies differ by them, so that they do not count in comparisons."""

import numpy as np
from numpy.typing import NDArray

_TOLERANCE = 6  # grey levels from the border's own level: what JPEG adds
_MIN_PLAIN = 0.7  # of a row's pixels at the border's level: a caption's letters are the rest
_MAX_PLAIN_AFTER = 0.4  # of the pixels two rows after the border: it ends at once, where a plain background fades out
_MAX_BORDER = 0.25  # of the photo's side

PhotoBox = tuple[int, int, int, int]
"""Left, top, right, bottom, px."""


def photo_box(grey: NDArray[np.uint8]) -> PhotoBox:
    """The box of the photo inside its plain borders; `grey` (H, W)."""
    top, bottom = _plain_rows(grey), _plain_rows(grey[::-1])
    left, right = _plain_rows(grey.T), _plain_rows(grey[:, ::-1].T)
    return left, top, grey.shape[1] - right, grey.shape[0] - bottom


def _plain_rows(grey: NDArray[np.uint8]) -> int:
    """How many of the first rows are a plain border."""
    rows = grey[: int(_MAX_BORDER * len(grey))].astype(np.int16)
    if not rows.size:
        return 0
    plain = (np.abs(rows - np.median(rows[0])) <= _TOLERANCE).mean(axis=1)
    end = int(np.argmin(plain >= _MIN_PLAIN))  # 0 where all rows are plain
    return end if plain[min(end + 2, len(plain) - 1)] < _MAX_PLAIN_AFTER else 0
