"""The pictures of `facemask survey`: test faces as they are, as methods change them, and attention checks.

Made pictures are those of stage `evaluate`: the same test faces, and for each the same mask to draw. All pictures have
the size of the smallest generator, and the same encoding.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from models.drawings import put_on
from models.evaluation.face_images import SPLIT
from models.evaluation.survey_faces import Dealt, Task, deal_faces
from models.evaluation.translation import FaceSet
from models.face_regions import lower_face_region
from models.methods.method import Faces
from models.params import Direction, EvaluateParams
from models.registry import DRAWING
from models.training import checkpoint
from models.training.checkpoint_info import refuse_new_faces
from models.training.data import evenly_spaced, to_pixels
from models.training.drawn_inputs import WholeDrawings
from pipeline.errors import FacemaskError
from pipeline.masks.mask_set import LiftedMask
from pipeline.paths import Paths
from pipeline.report.survey.deck import SurveyPicture, neutral_png
from pipeline.storage.code_digest import closure_digest
from pipeline.storage.files import digest_of, replacing, sha256
from pipeline.storage.packed_arrays import DOMAINS, PackedSet, read_set
from pipeline.unmasking.lower_face_model import WEIGHTS

Images = NDArray[np.uint8]
_Paint = Callable[[Faces], Tensor]  # faces -> images (B, 3, H, W) in [-1, 1]


@dataclass(frozen=True)
class SurveyMethod:
    """One of the methods that a survey compares."""

    name: str
    checkpoint: str  # 12 hex digits, as in a survey's votes
    image_px: int | None  # None: any
    masks: list[LiftedMask] | None  # that it draws; None: its generators take no drawings
    paint: dict[Direction, _Paint]


def open_method(folder: Path) -> SurveyMethod:
    """The method that a checkpoint is of, named as its folder; `drawing` needs none."""
    generators, info = checkpoint.load_generators(folder)
    refuse_new_faces(folder, info)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return SurveyMethod(
        name=folder.resolve().name,
        checkpoint=sha256(folder / checkpoint.JSON_NAME)[:12],
        image_px=int(info.params["image_px"]),
        masks=checkpoint.load_masks(folder, info) if info.generator == "guided" else None,
        paint={
            direction: partial(_generate, generators[f"generator_{direction}"].to(device), device, direction)
            for direction in checkpoint.directions(info)
        },
    )


def drawing_method() -> SurveyMethod:
    """The method that only draws masks and lower faces, as `facemask apply` without a model."""
    modules = ("pipeline.masks.mask_set", "pipeline.unmasking.bare_face", "pipeline.unmasking.mask_area")
    digest = digest_of(*map(closure_digest, modules), sha256(WEIGHTS))[:12]
    return SurveyMethod(DRAWING, digest, None, [], {"mask": _draw_mask, "unmask": _draw_bare})


def _draw_mask(faces: Faces) -> Tensor:
    assert faces.drawing is not None
    return put_on(faces.images, faces.drawing)


def _draw_bare(faces: Faces) -> Tensor:
    assert faces.bare is not None
    return 2 * faces.bare[:, :3] - 1


def _generate(generator: torch.nn.Module, device: torch.device, direction: Direction, faces: Faces) -> Tensor:
    faces = faces.on(device)
    fakes: Tensor = generator(faces.images, faces.conditioning, faces.drawing_for(direction))[0]
    return fakes


def survey_pictures(
    methods: Sequence[SurveyMethod], params: EvaluateParams, paths: Paths, count: int, seed: int
) -> list[SurveyPicture]:
    """The pictures of a survey, in random order by the seed: `count` of each method and direction, or fewer.

    The faces are those that stage `evaluate` uses, with landmarks. Made pictures are kept in work/survey: the same
    survey starts again in seconds, and shows the same pixels. Raises FacemaskError if there are too few.
    """
    tests = {domain: read_set(paths.pack, domain, SPLIT) for domain in DOMAINS}
    eligible = {domain: _with_landmarks(packed, params.images) for domain, packed in tests.items()}
    tasks = [Task(place, direction) for place, method in enumerate(methods) for direction in method.paint]
    dealt = deal_faces(tests, eligible, tasks, count, seed)
    sizes = [method.image_px for method in methods if method.image_px]
    px = min(sizes) if sizes else min(packed.images.shape[1] for packed in tests.values())
    found = []
    for group in _alike(dealt):
        first, method = group[0], None if group[0].method is None else methods[group[0].method]
        faces = FaceSet(tests[first.domain], first.domain, [one.index for one in group], px, params.batch_size, None)
        digests = [_face_digest(faces.packed, index) for index in faces.indices]
        if method is None:
            images = _unmade(first, faces)
        else:
            key = (method.checkpoint, first.direction, px, digests, closure_digest(__name__))
            images = _kept(paths.work("survey") / f"{digest_of(*key)}.npy", partial(_made, first, method, faces))
        found += [_picture(first, method, *part) for part in zip(images, digests, strict=True)]
    _report(methods, dealt, count, px)
    return [found[place] for place in np.random.default_rng(seed).permutation(len(found))]


def _with_landmarks(packed: PackedSet, most: int) -> list[int]:
    """Indices of the faces that are evaluated, without those on which no mask can be drawn."""
    indices = evenly_spaced(len(packed), most) if len(packed) else []
    return [index for index in indices if not np.isnan(packed.landmarks[index]).any()]


def _alike(dealt: Sequence[Dealt]) -> Iterator[list[Dealt]]:
    """The faces in groups of the same kind, direction and method."""
    groups: dict[Dealt, list[Dealt]] = {}
    for one in dealt:
        groups.setdefault(replace(one, index=-1), []).append(one)
    yield from groups.values()


def _kept(path: Path, make: Callable[[], Images]) -> Images:
    """The images in `path`; where there is no such file, those that `make` returns, which are then kept there."""
    if path.is_file():
        kept: Images = np.load(path, allow_pickle=False)
        return kept
    images = make()
    with replacing(path) as beside, beside.open("wb") as file:
        np.save(file, images)
    return images


def _unmade(what: Dealt, faces: FaceSet) -> Images:
    """Real pictures and attention checks, (N, px, px, 3)."""
    show = _patched if what.kind == "check" else _as_they_are
    return np.concatenate([show(batch) for batch in faces.batches()])


@torch.inference_mode()
def _made(what: Dealt, method: SurveyMethod, faces: FaceSet) -> Images:
    """The faces as the method changes them, (N, px, px, 3)."""
    own_px = method.image_px or faces.image_px
    print(f"facemask: {method.name} makes {len(faces.indices)} pictures ({what.direction})", flush=True)
    paint = method.paint[what.direction]
    drawn = None if method.masks is None else WholeDrawings(method.masks, (what.direction,))
    made = [to_pixels(paint(batch)) for batch in replace(faces, image_px=own_px, drawn=drawn).batches()]
    return np.stack([_reduced(image, faces.image_px) for images in made for image in images])


def _as_they_are(faces: Faces) -> Images:
    """The images of the faces, (B, H, W, 3)."""
    return to_pixels(faces.images)


def _reduced(image: Images, px: int) -> Images:
    if image.shape[0] == px:
        return image
    return np.asarray(Image.fromarray(image).resize((px, px), Image.Resampling.BILINEAR))


def _patched(faces: Faces) -> Images:
    """Attention checks, (B, H, W, 3): a flat rectangle over the lower face, in the opposite of its mean colour."""
    images, regions = to_pixels(faces.images), lower_face_region(faces.conditioning)[:, 0].numpy() > 0
    for image, region in zip(images, regions, strict=True):
        rows, columns = np.nonzero(region)
        inside = image[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
        inside[:] = 255 - inside.mean(axis=(0, 1)).round().astype(np.uint8)
    return images


def _face_digest(packed: PackedSet, index: int) -> str:
    return hashlib.sha256(packed.image_ids[index].encode() + packed.images[index].tobytes()).hexdigest()


def _picture(what: Dealt, method: SurveyMethod | None, image: Images, face: str) -> SurveyPicture:
    made_by = method.checkpoint if method else ""
    parts = (what.kind, what.direction, made_by, face, str(image.shape[0]))
    return SurveyPicture(
        picture_id=hashlib.sha256(" ".join(parts).encode()).hexdigest()[:16],
        kind=what.kind,
        direction=what.direction,
        method=method.name if method else "",
        checkpoint=made_by,
        png=neutral_png(image),
    )


def _report(methods: Sequence[SurveyMethod], dealt: Sequence[Dealt], count: int, px: int) -> None:
    """Print what the survey shows."""
    number = {kind: sum(one.kind == kind for one in dealt) for kind in ("made", "real", "check")}
    each = number["made"] // sum(len(method.paint) for method in methods)
    print(
        f"facemask: {len(dealt)} pictures of {px} px: {number['made']} made, {each} by each method and direction; "
        f"{number['real']} real; {number['check']} attention checks",
        flush=True,
    )
    if each < count:
        print(
            f"facemask: {each} instead of {count}: the test set has no more persons, and none is shown twice",
            flush=True,
        )


def refuse_same_names(methods: Sequence[SurveyMethod]) -> None:
    """Raise FacemaskError where two methods have one name, or are one checkpoint: their votes would be mixed up."""
    for part, what in (("name", "have the name"), ("checkpoint", "are the checkpoint")):
        values = [getattr(method, part) for method in methods]
        if again := next((value for value in values if values.count(value) > 1), None):
            raise FacemaskError(f"two of the checkpoints {what} {again}: leave one out, or rename its folder")
