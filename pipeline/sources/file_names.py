"""Labels in the file names of FFHQ and MaskedFace-Net.

FFHQ: `00000/00042.png`. MaskedFace-Net (Cabani et al. 2020): `CMFD/00000/00042_Mask.jpg` for a correctly worn mask;
`IMFD/00000/00042_Mask_Mouth_Chin.jpg` and similar for an incorrectly worn one, naming what it still covers.
"""

import re
from pathlib import PurePosixPath

_NAME = re.compile(r"^(?P<number>\d{5})(?P<mask>_Mask(?:_[A-Za-z_]+)?)?$")
_CLAIMS = {
    None: "unmasked",
    "_Mask": "correct",
    "_Mask_Mouth_Chin": "nose_out",
    "_Mask_Nose_Mouth": "chin_out",
    "_Mask_Chin": "chin_only",
}


def ffhq_id(path: str) -> int | None:
    """Return the number of the FFHQ photo, 0-69999; None if the name has none."""
    match = _NAME.match(PurePosixPath(path).stem)
    return int(match["number"]) if match else None


def claimed_placement(path: str) -> str | None:
    """Return unmasked, correct, nose_out, chin_out or chin_only; None for any other name."""
    match = _NAME.match(PurePosixPath(path).stem)
    return _CLAIMS.get(match["mask"]) if match else None
