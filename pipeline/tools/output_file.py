"""Writes the PNG that `facemask apply` makes of a photo, with the photo's metadata and a provenance mark."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipeline.errors import one_line
from pipeline.storage.files import replacing
from pipeline.storage.images import open_image
from pipeline.storage.worker_pool import IMAGE_CPU_S, cpu_limit
from pipeline.tools.provenance import XMP_KEY, Provenance, is_xmp, png_info

_ORIENTATION = 0x0112  # the EXIF tag
_MAX_PROFILE_BYTES = 1_000_000  # Pillow reads no PNG with a larger one; those of cameras have 500 bytes to 500 kB


def write_marked_png(path: Path, pixels: NDArray[np.uint8], provenance: Provenance, photo: bytes) -> None:
    """Write pixels (H, W, 3) RGB, or (H, W, 4) with alpha, to `path`, with the metadata of `photo`, a file's content.

    Colour profile, EXIF and XMP are kept. The file is written whole or not at all. PNG, because it is lossless.
    """
    metadata, xmp = _metadata(photo, path)
    with replacing(path) as beside:
        Image.fromarray(pixels).save(
            beside,
            "PNG",
            compress_level=1,  # three times as fast as the default 6, for files a tenth larger
            pnginfo=png_info(provenance, xmp),
            **metadata,
        )


def _metadata(photo: bytes, path: Path) -> tuple[dict[str, bytes], bytes | None]:
    """EXIF and colour profile as arguments of Pillow's `save`, and the XMP packet; what the photo lacks is left out.

    So is what cannot be read, and what is too large, with a printed line that names the output's `path`.
    """
    metadata: dict[str, bytes] = {}
    try:
        with cpu_limit(IMAGE_CPU_S), open_image(photo) as image:
            profile, xmp = image.info.get("icc_profile"), image.info.get("xmp") or image.info.get(XMP_KEY)
            if not image.mode.startswith("RGB"):  # a profile of another mode does not fit
                profile = None
            exif = _exif(image, path)
    except Exception as error:  # noqa: BLE001 - Pillow's metadata readers raise any exception; the pixels are readable
        _print_left_out(path, "metadata", one_line(error))
        return metadata, None
    xmp = xmp.encode() if isinstance(xmp, str) else xmp
    if exif:
        metadata["exif"] = exif
    if profile and len(profile) > _MAX_PROFILE_BYTES:
        _print_left_out(path, "colour profile", f"{len(profile):,} bytes")
    elif profile:
        metadata["icc_profile"] = profile
    if xmp and not is_xmp(xmp):
        _print_left_out(path, "XMP", f"no XMP, or too large or too deep: {len(xmp):,} bytes")
    return metadata, xmp


def _exif(image: Image.Image, path: Path) -> bytes | None:
    """The EXIF without the orientation, because the pixels are upright now; None if there is none or it is damaged."""
    try:
        exif = image.getexif()
        exif.pop(_ORIENTATION, None)
        return exif.tobytes() if exif else None
    except Exception as error:  # noqa: BLE001 - as above
        _print_left_out(path, "EXIF", one_line(error))
        return None


def _print_left_out(path: Path, what: str, why: str) -> None:
    print(f"apply: {path} is without the photo's {what} ({why})", flush=True)
