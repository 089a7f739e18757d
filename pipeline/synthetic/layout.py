"""The embedded sample: files named and arranged as in FFHQ and MaskedFace-Net, each with its ground truth."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import Literal

import numpy as np
import pydantic
from pydantic import Field

from pipeline.masks.compositing import CompositeStyle, compose, render_mask
from pipeline.masks.fit import FitKind, draw_fit
from pipeline.masks.records import ByteImage, UnmaskedFace
from pipeline.masks.surgical import draw_surgical_mask, surgical_design
from pipeline.params import STRICT
from pipeline.synthetic.corruptions import JPEG, PNG, encode, near_duplicate, unreadable_files
from pipeline.synthetic.portraits import Portrait, Source, load_portraits
from pipeline.synthetic.variations import Variation, draw_variation, render

Domain = Literal["unmasked", "masked"]
CmfdKind = Literal["correct", "eyes_covered", "shifted", "none"]
Kind = Literal[
    "unmasked", "correct", "nose_out", "chin_out", "chin_only", "eyes_covered", "shifted", "none", "broken", "other"
]

IMFD_SUFFIX: dict[FitKind, str] = {
    "nose_out": "_Mask_Mouth_Chin",
    "chin_out": "_Mask_Nose_Mouth",
    "chin_only": "_Mask_Chin",
}
"""MaskedFace-Net names an incorrectly masked face after what the mask covers (Cabani et al. 2021)."""

_WRONG_IN_CMFD: tuple[CmfdKind, ...] = ("eyes_covered", "shifted", "none")
_STYLE = CompositeStyle(light=1.0, shadow=0.42, pasted=False, opacity=1.0)
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
    """A file of the sample, and its ground truth."""

    path: str  # relative, as the original collection would name it
    content: bytes
    kind: Kind
    copy_of: str | None  # path of the file of which this one is a near-duplicate
    licence: str
    author: str
    url: str | None


class _Purpose(IntEnum):
    """Each draw has a separate random generator, so that a file does not depend on which other files are made."""

    VARIATION = 0
    PICTURE = 1
    MASK = 2
    FIT = 3
    PLAN = 4


@dataclass(frozen=True)
class _Plan:
    """The kinds of the masked files; depends on the number of faces and the seed alone."""

    cmfd: dict[int, CmfdKind]  # face id -> kind, for every face
    imfd: dict[int, FitKind]  # face id -> kind, for some faces
    copies: tuple[int, ...]  # face ids of which a near-duplicate is made; its id follows the last face's


def sample_files(domain: Domain, params: SampleParams) -> Iterator[SampleFile]:
    """Make the files of one domain one at a time: faces by id, near-duplicates, unreadable files and a licence note.

    The same params give the same bytes. A masked image shows the face of the unmasked image with its id. About a
    twentieth of the faces have a near-duplicate (`copy_of`), with ids after the last face's. Raises FacemaskError
    where the packages with the portraits are missing.
    """
    studio = _Studio(params, load_portraits(params.image_px))
    plan = _plan(params)
    yield from _unmasked_files(studio, plan) if domain == "unmasked" else _masked_files(studio, plan)
    yield _other_file("LICENSE.txt", _LICENCE_NOTE, "other")


@dataclass(frozen=True)
class _Studio:
    """Makes each face from its id alone."""

    params: SampleParams
    portraits: tuple[Portrait, ...]

    def rng(self, face_id: int, purpose: _Purpose) -> np.random.Generator:
        return np.random.default_rng([self.params.seed, face_id, purpose])

    def variation(self, face_id: int) -> Variation:
        return draw_variation(self.rng(face_id, _Purpose.VARIATION), len(self.portraits))

    def source(self, face_id: int) -> Source:
        return self.portraits[self.variation(face_id).portrait].source

    def face(self, face_id: int) -> UnmaskedFace:
        rng = self.rng(face_id, _Purpose.PICTURE)
        return render(self.portraits, self.variation(face_id), rng, self.params.image_px)

    def masked(self, face: UnmaskedFace, face_id: int, kind: FitKind) -> ByteImage:
        design = surgical_design(draw_surgical_mask(self.rng(face_id, _Purpose.MASK)))
        fit = draw_fit(kind, self.rng(face_id, _Purpose.FIT))
        return compose(face.image, render_mask(face, design, fit, _STYLE))


def _plan(params: SampleParams) -> _Plan:
    count = params.faces
    rng = np.random.default_rng([params.seed, count, _Purpose.PLAN])
    per_wrong_kind, per_imfd_kind = max(1, round(count / 16)), max(1, round(count / 8))
    shuffled = [int(number) for number in rng.permutation(count)]
    cmfd: dict[int, CmfdKind] = dict.fromkeys(range(count), "correct")
    for index, kind in enumerate(_WRONG_IN_CMFD):
        cmfd.update(dict.fromkeys(shuffled[index * per_wrong_kind : (index + 1) * per_wrong_kind], kind))
    correct = shuffled[len(_WRONG_IN_CMFD) * per_wrong_kind :]
    copies = tuple(correct[: max(4, round(count / 20))])

    shuffled = [int(number) for number in rng.permutation(count)]
    imfd: dict[int, FitKind] = {}
    for index, fit_kind in enumerate(IMFD_SUFFIX):
        imfd.update(dict.fromkeys(shuffled[index * per_imfd_kind : (index + 1) * per_imfd_kind], fit_kind))
    return _Plan(cmfd, imfd, copies)


def _unmasked_path(face_id: int) -> str:
    return f"{_folder(face_id)}/{face_id:05d}{PNG}"


def _masked_path(face_id: int, imfd_kind: FitKind | None = None) -> str:
    """A path in IMFD for its three kinds, else in CMFD."""
    root, suffix = ("IMFD", IMFD_SUFFIX[imfd_kind]) if imfd_kind else ("CMFD", "_Mask")
    return f"{root}/{_folder(face_id)}/{face_id:05d}{suffix}{JPEG}"


def _folder(face_id: int) -> str:
    return f"{face_id // 1000 * 1000:05d}"


def _unmasked_files(studio: _Studio, plan: _Plan) -> Iterator[SampleFile]:
    for face_id in plan.cmfd:
        content = encode(studio.face(face_id).image, PNG)
        yield _face_file(studio.source(face_id), _unmasked_path(face_id), content, "unmasked")
    for copy_id, original in enumerate(plan.copies, studio.params.faces):
        image = near_duplicate(studio.face(original).image, copy_id - studio.params.faces)
        path, copy_of = _unmasked_path(copy_id), _unmasked_path(original)
        yield _face_file(studio.source(original), path, encode(image, PNG), "unmasked", copy_of)
    intact = encode(studio.face(0).image, PNG)
    for file_id, content in enumerate(unreadable_files(intact), studio.params.faces + len(plan.copies)):
        yield _other_file(_unmasked_path(file_id), content, "broken")


def _masked_files(studio: _Studio, plan: _Plan) -> Iterator[SampleFile]:
    for face_id, kind in plan.cmfd.items():
        face, source = studio.face(face_id), studio.source(face_id)
        image = face.image if kind == "none" else studio.masked(face, face_id, kind)
        yield _face_file(source, _masked_path(face_id), encode(image, JPEG), kind)
        if imfd_kind := plan.imfd.get(face_id):
            content = encode(studio.masked(face, face_id, imfd_kind), JPEG)
            yield _face_file(source, _masked_path(face_id, imfd_kind), content, imfd_kind)
    for copy_id, original in enumerate(plan.copies, studio.params.faces):
        image = studio.masked(studio.face(original), original, "correct")
        content = encode(near_duplicate(image, copy_id - studio.params.faces), JPEG)
        path, copy_of = _masked_path(copy_id), _masked_path(original)
        yield _face_file(studio.source(original), path, content, "correct", copy_of)
    intact = encode(studio.masked(studio.face(0), 0, "correct"), JPEG)
    for file_id, content in enumerate(unreadable_files(intact), studio.params.faces + len(plan.copies)):
        yield _other_file(_masked_path(file_id), content, "broken")


def _face_file(source: Source, path: str, content: bytes, kind: Kind, copy_of: str | None = None) -> SampleFile:
    return SampleFile(path, content, kind, copy_of, source.licence, source.author, source.url)


def _other_file(path: str, content: bytes, kind: Kind) -> SampleFile:
    return SampleFile(path, content, kind, None, "Public domain", "facemask", None)
