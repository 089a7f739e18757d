"""Labels in the file names of FFHQ and MaskedFace-Net.

FFHQ: `00000/00042.png`. MaskedFace-Net (Cabani et al. 2020): `CMFD/00000/00042_Mask.jpg` for a correctly worn mask;
`IMFD/00000/00042_Mask_Mouth_Chin.jpg` and similar for an incorrectly worn one, naming what it still covers.

Any collection may have files named by five digits. They are FFHQ's numbers only if the source is known to be named
after FFHQ (`of_ffhq`), or if the path itself says so: by MaskedFace-Net's `_Mask`, or by FFHQ's folder of a thousand.
"""

import re
from pathlib import PurePosixPath

FFHQ_PHOTOS = 70_000

_NAME = re.compile(
    r"(?P<number>\d{5})(?P<mask>_mask(?:_[a-z_]+)?)?"
    r"(?:[ _]?\(\d+\)|[ _]-[ _]copy(?:[ _]?\(\d+\))?|[ _]copy(?:[ _]\d+)?)?",  # added by file managers to a copy's name
    re.IGNORECASE | re.ASCII,
)
_CLAIMS = {
    "": "unmasked",
    "_mask": "correct",
    "_mask_mouth_chin": "nose_out",
    "_mask_nose_mouth": "chin_out",
    "_mask_chin": "chin_only",
}


def ffhq_id(path: str, *, of_ffhq: bool = False) -> int | None:
    """Return the number of the FFHQ photo, 0-69999; None if the name has none.

    `of_ffhq` says that all files of the source are named after FFHQ's photos.
    """
    match = _match(path, of_ffhq)
    return int(match["number"]) if match else None


def claimed_placement(path: str, *, of_ffhq: bool = False) -> str | None:
    """Return unmasked, correct, nose_out, chin_out or chin_only; None for any other name."""
    match = _match(path, of_ffhq)
    return _CLAIMS.get((match["mask"] or "").lower()) if match else None


def _match(path: str, of_ffhq: bool) -> re.Match[str] | None:
    """The parts of a name after FFHQ's photos; None for any other name."""
    file = PurePosixPath(path)
    match = _NAME.fullmatch(file.stem)
    if match is None or int(match["number"]) >= FFHQ_PHOTOS:
        return None
    thousand = f"{match['number'][:2]}000"
    return match if of_ffhq or match["mask"] or file.parent.name == thousand else None
