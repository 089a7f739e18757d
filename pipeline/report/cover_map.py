"""The cover map of one image, for `facemask review`: where the coverage network sees a mask, and where bare face.

The measured tables hold only shares of regions, so the map is computed again when somebody looks at it.
"""

import io
import threading

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipeline import params
from pipeline.curation.measure_params import MeasureParams
from pipeline.faces.alignment import align
from pipeline.faces.detection import find_faces
from pipeline.faces.mask_coverage import segment_crops
from pipeline.storage.images import decode

_MASK_COLOUR, _BARE_COLOUR = (214, 54, 178), (46, 170, 90)
_OPACITY = 0.6  # where the network is certain
_TO_MAP = np.array([[0.5, 0, -0.25], [0, 0.5, -0.25], [0, 0, 1]])  # from px of the crop, which has twice as many
_one_at_a_time = threading.Lock()  # the landmarker is not made for threads


def cover_map(content: bytes) -> bytes | None:
    """A PNG as large as the image's measured pixels, transparent outside the face; None where no face is found.

    Magenta: under the mask; green: bare lower face.
    """
    settings = params.load("measure", MeasureParams, params.default_file())
    picture = decode(content, settings.decode_px)
    if picture is None:
        return None
    pixels = picture.pixels()
    with _one_at_a_time:
        faces = find_faces(pixels, settings.max_faces)
        if not faces:
            return None
        aligned = align(pixels, faces[0].points)
        mask, bare = segment_crops([aligned.crop])[0]
    height, width = pixels.shape[:2]
    matrix = (_TO_MAP @ np.vstack([aligned.matrix, [0, 0, 1]]))[:2]
    places = [_in_image(one, matrix, width, height) for one in (mask, bare)]
    colours = np.where((places[0] >= places[1])[..., None], _MASK_COLOUR, _BARE_COLOUR)
    opacity = 255 * _OPACITY * np.maximum(*places)
    buffer = io.BytesIO()
    Image.fromarray(np.dstack([colours, opacity]).astype(np.uint8), "RGBA").save(buffer, "PNG")
    return buffer.getvalue()


def _in_image(one: NDArray[np.float32], matrix: NDArray[np.float64], width: int, height: int) -> NDArray[np.float32]:
    """A map, placed in the image by `matrix`, which leads from the image's px to the map's: (height, width), 0-1."""
    warped = cv2.warpAffine(one, matrix, (width, height), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
    return np.asarray(warped, np.float32)
