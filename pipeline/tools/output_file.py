"""Writes the PNG that `facemask apply` makes of a photo, with the photo's metadata and a provenance mark."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipeline.storage.files import replacing
from pipeline.storage.images import open_image
from pipeline.storage.worker_pool import IMAGE_CPU_S, cpu_limit
from pipeline.tools.provenance import XMP_KEY, Provenance, png_info

_ORIENTATION = 0x0112  # the EXIF tag


def write_marked_png(path: Path, pixels: NDArray[np.uint8], provenance: Provenance, photo: bytes) -> None:
    """Write pixels (H, W, 3) RGB to `path` with the colour profile, EXIF and XMP of `photo`, the content of its file.

    The file is written whole or not at all. PNG, because it is lossless.
    """
    metadata, xmp = _metadata(photo)
    with replacing(path) as beside:
        Image.fromarray(pixels).save(
            beside,
            "PNG",
            compress_level=1,  # three times as fast as the default 6, for files a tenth larger
            pnginfo=png_info(provenance, xmp),
            **metadata,
        )


def _metadata(photo: bytes) -> tuple[dict[str, bytes], bytes | None]:
    """EXIF and colour profile as arguments of Pillow's `save`, and the XMP packet; what the photo lacks is left out."""
    metadata: dict[str, bytes] = {}
    try:
        with cpu_limit(IMAGE_CPU_S), open_image(photo) as image:
            exif = image.getexif()
            exif.pop(_ORIENTATION, None)  # the pixels are upright now
            if exif:
                metadata["exif"] = exif.tobytes()
            if "icc_profile" in image.info and image.mode.startswith("RGB"):  # a profile of another mode does not fit
                metadata["icc_profile"] = image.info["icc_profile"]
            xmp = image.info.get("xmp") or image.info.get(XMP_KEY)
    except Exception as error:  # noqa: BLE001 - Pillow's metadata readers raise any exception; the pixels are readable
        print(f"apply: the photo's metadata cannot be read ({error}) and is left out", flush=True)
        return metadata, None
    return metadata, xmp.encode() if isinstance(xmp, str) else xmp
