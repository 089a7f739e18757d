"""The sample as files, named and laid out as FFHQ and MaskedFace-Net are, each with its truth."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import Literal

import numpy as np
import pydantic
from numpy.typing import NDArray
from pydantic import Field

from pipeline.masks import surgical as mask
from pipeline.masks import surgical_fit as wear
from pipeline.params import STRICT
from pipeline.synthetic import corruptions as flaws
from pipeline.synthetic.corruptions import Image
from pipeline.synthetic.portraits import Portrait, Source, load_portraits
from pipeline.synthetic.variations import Variation, draw_variation, render

Domain = Literal["unmasked", "masked"]
CmfdKind = Literal["correct", "eyes_covered", "shifted", "none"]
Kind = Literal[
    "plain", "correct", "nose_out", "chin_out", "chin_only", "eyes_covered", "shifted", "none", "broken", "other"
]

IMFD_SUFFIX: dict[wear.Worn, str] = {
    "nose_out": "_Mask_Mouth_Chin",
    "chin_out": "_Mask_Nose_Mouth",
    "chin_only": "_Mask_Chin",
}
"""MaskedFace-Net names what the mask covers (Cabani et al. 2021)."""

_WRONG_IN_CMFD: tuple[CmfdKind, ...] = ("eyes_covered", "shifted", "none")
_LICENCE_NOTE = (
    b"Synthetic test faces made by facemask from two public-domain portraits:\n"
    b"Eileen Collins (NASA) and Grace Hopper (US Navy). They show nobody as they are.\n"
)


@pydantic.dataclasses.dataclass(frozen=True, config=STRICT)
class SampleParams:
    """The sample's block of params.yaml."""

    faces: int = Field(ge=20, le=10_000)
    image_px: int = Field(ge=128, le=1024)
    seed: int = Field(ge=0)


@dataclass(frozen=True)
class SampleFile:
    path: str  # relative, as the original collection would name it
    content: bytes
    kind: Kind  # the truth
    copy_of: str | None  # path of the file that this one nearly repeats
    licence: str
    author: str
    url: str | None


class _Purpose(IntEnum):
    """Each draw has its own generator, so that no file depends on which others are made."""

    VARIATION = 0
    PICTURE = 1
    CLOTH = 2
    FIT = 3
    PLAN = 4


@dataclass(frozen=True)
class _Plan:
    """Which ids become what; a function of faces and seed alone."""

    cmfd: dict[int, CmfdKind]
    imfd: dict[int, wear.Worn]  # a few of the ids
    copies: tuple[int, ...]  # the original of each copy, whose id follows the last face's


def sample_files(domain: Domain, params: SampleParams) -> Iterator[SampleFile]:
    """Make one domain's files, one at a time: the faces by id, then near-duplicates, broken files and a note.

    The same params give the same bytes. A masked image shows the same face as the plain image of its id. About a
    twentieth of the ids come again, slightly altered, under ids after the last (`copy_of`). Raises FacemaskError
    where the portraits' packages are missing.
    """
    studio = _Studio(params, load_portraits(params.image_px))
    plan = _plan(params)
    yield from _plain_files(studio, plan) if domain == "unmasked" else _masked_files(studio, plan)
    yield _made_up("LICENSE.txt", _LICENCE_NOTE, "other")


@dataclass(frozen=True)
class _Studio:
    """Makes each face by its id alone."""

    params: SampleParams
    portraits: tuple[Portrait, ...]

    def rng(self, face_id: int, purpose: _Purpose) -> np.random.Generator:
        return np.random.default_rng([self.params.seed, face_id, purpose])

    def variation(self, face_id: int) -> Variation:
        return draw_variation(self.rng(face_id, _Purpose.VARIATION), len(self.portraits))

    def source(self, face_id: int) -> Source:
        return self.portraits[self.variation(face_id).portrait].source

    def face(self, face_id: int) -> tuple[Image, NDArray[np.float32]]:
        rng = self.rng(face_id, _Purpose.PICTURE)
        return render(self.portraits, self.variation(face_id), rng, self.params.image_px)

    def masked(self, face: tuple[Image, NDArray[np.float32]], face_id: int, kind: wear.Worn) -> Image:
        cloth = mask.draw_cloth(self.rng(face_id, _Purpose.CLOTH))
        fit = wear.draw_fit(kind, self.rng(face_id, _Purpose.FIT))
        return wear.put_on(*face, cloth, fit)


def _plan(params: SampleParams) -> _Plan:
    count = params.faces
    rng = np.random.default_rng([params.seed, count, _Purpose.PLAN])
    each_wrong, each_imfd = max(1, round(count / 16)), max(1, round(count / 8))
    shuffled = [int(number) for number in rng.permutation(count)]
    cmfd: dict[int, CmfdKind] = dict.fromkeys(range(count), "correct")
    for index, kind in enumerate(_WRONG_IN_CMFD):
        cmfd.update(dict.fromkeys(shuffled[index * each_wrong : (index + 1) * each_wrong], kind))
    right = shuffled[len(_WRONG_IN_CMFD) * each_wrong :]
    copies = tuple(right[: max(4, round(count / 20))])

    again = [int(number) for number in rng.permutation(count)]
    imfd: dict[int, wear.Worn] = {}
    for index, worn in enumerate(IMFD_SUFFIX):
        imfd.update(dict.fromkeys(again[index * each_imfd : (index + 1) * each_imfd], worn))
    return _Plan(cmfd, imfd, copies)


def _plain_path(face_id: int) -> str:
    return f"{_folder(face_id)}/{face_id:05d}{flaws.PNG}"


def _masked_path(face_id: int, worn: wear.Worn | None = None) -> str:
    """In IMFD for the three kinds of wrong that it knows, else in CMFD."""
    root, suffix = ("IMFD", IMFD_SUFFIX[worn]) if worn else ("CMFD", "_Mask")
    return f"{root}/{_folder(face_id)}/{face_id:05d}{suffix}{flaws.JPEG}"


def _folder(face_id: int) -> str:
    return f"{face_id // 1000 * 1000:05d}"


def _plain_files(studio: _Studio, plan: _Plan) -> Iterator[SampleFile]:
    for face_id in plan.cmfd:
        image, _ = studio.face(face_id)
        yield _of_face(studio, face_id, _plain_path(face_id), flaws.encode(image, flaws.PNG), "plain")
    for number, original in enumerate(plan.copies):
        image, _ = studio.face(original)
        data = flaws.encode(flaws.copied(image, number), flaws.PNG)
        path = _plain_path(studio.params.faces + number)
        yield _of_face(studio, original, path, data, "plain", copy_of=_plain_path(original))
    whole = flaws.encode(studio.face(0)[0], flaws.PNG)
    for number, data in enumerate(flaws.broken(whole), studio.params.faces + len(plan.copies)):
        yield _made_up(_plain_path(number), data, "broken")


def _masked_files(studio: _Studio, plan: _Plan) -> Iterator[SampleFile]:
    for face_id, kind in plan.cmfd.items():
        face = studio.face(face_id)
        image = face[0] if kind == "none" else studio.masked(face, face_id, kind)
        yield _of_face(studio, face_id, _masked_path(face_id), flaws.encode(image, flaws.JPEG), kind)
        if worn := plan.imfd.get(face_id):
            data = flaws.encode(studio.masked(face, face_id, worn), flaws.JPEG)
            yield _of_face(studio, face_id, _masked_path(face_id, worn), data, worn)
    for number, original in enumerate(plan.copies):
        image = studio.masked(studio.face(original), original, "correct")
        data = flaws.encode(flaws.copied(image, number), flaws.JPEG)
        path = _masked_path(studio.params.faces + number)
        yield _of_face(studio, original, path, data, "correct", copy_of=_masked_path(original))
    whole = flaws.encode(studio.masked(studio.face(0), 0, "correct"), flaws.JPEG)
    for number, data in enumerate(flaws.broken(whole), studio.params.faces + len(plan.copies)):
        yield _made_up(_masked_path(number), data, "broken")


def _of_face(
    studio: _Studio, face_id: int, path: str, content: bytes, kind: Kind, copy_of: str | None = None
) -> SampleFile:
    source = studio.source(face_id)
    return SampleFile(path, content, kind, copy_of, source.licence, source.author, source.url)


def _made_up(path: str, content: bytes, kind: Kind) -> SampleFile:
    return SampleFile(path, content, kind, None, "Public domain", "facemask", None)
