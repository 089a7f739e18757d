"""The pictures of a survey, and the order in which a person sees them."""

import io
import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipeline.report.survey.votes import Direction, Kind


@dataclass(frozen=True)
class SurveyPicture:
    """One picture, and what it is, which the browser does not learn before the end."""

    picture_id: str  # 16 hex digits, the same for the same face, direction, checkpoint and size on any machine
    kind: Kind
    direction: Direction
    method: str  # that made it; empty for other kinds
    checkpoint: str  # as in Vote
    png: bytes


def neutral_png(pixels: NDArray[np.uint8]) -> bytes:
    """Pixels (H, W, 3) as PNG without compression or metadata: pictures of one size have files of one length."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", compress_level=0)
    return buffer.getvalue()


def order_for(voter: str, seed: int, pictures: Sequence[SurveyPicture]) -> list[int]:
    """The order, as indices of `pictures`, in which a person sees them: another one for each person, by the seed.

    The attention checks are spread: the pictures are cut into as many parts as there are checks, and each part has one
    of them at a random place. So whoever stops early has seen some.
    """
    rng = random.Random(f"{seed} {voter}")
    checks = [index for index, picture in enumerate(pictures) if picture.kind == "check"]
    others = [index for index, picture in enumerate(pictures) if picture.kind != "check"]
    rng.shuffle(checks)
    rng.shuffle(others)
    order: list[int] = []
    for place, check in enumerate(checks):
        part = others[place * len(others) // len(checks) : (place + 1) * len(others) // len(checks)]
        part.insert(rng.randint(0, len(part)), check)
        order += part
    return order or others
