"""The record of an evaluation: what stage `evaluate` writes to reports/evaluation.json, and the registry keeps."""

import json
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from models.params import Direction
from pipeline.errors import FacemaskError
from pipeline.params import STRICT
from pipeline.storage.files import write_json

DIRECTIONS: tuple[Direction, ...] = ("mask", "unmask")
NEW_FACES = ("new_unmasked", "new_masked")


@dataclass(frozen=True, config=STRICT)
class DirectionMetrics:
    """Metrics of one direction, over its test faces, or of new faces. None: not measured; JSON leaves the key out."""

    images: int | None = None  # test faces
    psnr_outside_db: float | None = None  # fake against photo outside the dilated region, median
    psnr_cycle_db: float | None = None  # reconstruction against photo, median
    matte_inside: float | None = None  # mean matte in the eroded region, 0-1
    matte_outside: float | None = None  # mean matte outside the dilated region, 0-1
    accepted: float | None = None  # mask: share of the fakes that curation accepts as masked faces
    still_masked: float | None = None  # unmask: the same share, which should be 0
    real_fake_auc: float | None = None  # fakes against real test faces of the other domain; 0.5: cannot be told apart
    real_fake_auc_interval: list[float] | None = None  # here and below: 95 %, [low, high]
    real_fake_dprime: float | None = None  # how far its scores lie apart, in standard deviations: has no upper end
    sharpness_ratio: float | None = None  # fakes to the same real faces in the eroded region, medians
    face_found: float | None = None  # new faces without a mask: share in which a face is found
    copies: float | None = None  # new faces: share that shows a training face
    kid: float | None = None  # to the same faces
    fid: float | None = None  # to the same faces
    precision: float | None = None
    recall: float | None = None
    fid_features: str | None = None  # the network that fid, precision and recall rest on
    fid_of_the_study: float | None = None  # the original study's FID, where the features are the same
    identity_distance: float | None = None  # photo to fake, median
    identity_distance_back: float | None = None  # photo to reconstruction, median
    true_pairs: int | None = None  # unmask: test faces of which the unmasked photo is known; the means below are theirs
    true_psnr_db: float | None = None  # fake against the true face within its lower-face region
    true_psnr_db_interval: list[float] | None = None
    true_ssim: float | None = None  # there
    true_ssim_interval: list[float] | None = None
    true_identity_distance: float | None = None  # true face to fake
    true_identity_distance_interval: list[float] | None = None

    def measured(self) -> dict[str, Any]:
        """The metrics that were measured, by name."""
        return {name: value for name, value in vars(self).items() if value is not None}


@dataclass(frozen=True, config=STRICT)
class Evaluation:
    """One evaluation of one checkpoint."""

    checkpoint: str = ""  # the first 12 hex digits of the sha256 of its checkpoint.json
    images_seen: int = 0  # by its training, a domain
    test_set: str = ""  # digest of the test faces: metrics of equal digests can be compared
    mask: DirectionMetrics = DirectionMetrics()
    unmask: DirectionMetrics = DirectionMetrics()
    new_unmasked: DirectionMetrics = DirectionMetrics()  # new faces, of a model that makes some
    new_masked: DirectionMetrics = DirectionMetrics()  # the same ones with their masks

    @property
    def makes_faces(self) -> bool:
        """Whether it is the evaluation of a model that makes new faces, and changes no photos."""
        return bool(self.new_unmasked.measured())

    def of(self, direction: Direction) -> DirectionMetrics:
        """The metrics of one direction."""
        return self.mask if direction == "mask" else self.unmask

    def blocks(self) -> dict[str, DirectionMetrics]:
        """The metrics by name: of both directions, or of the new faces of both classes."""
        names = NEW_FACES if self.makes_faces else DIRECTIONS
        return {name: getattr(self, name) for name in names}

    def as_json(self) -> dict[str, Any]:
        """The evaluation as the JSON file has it, without what was not measured."""
        values = {"images_seen": self.images_seen, "checkpoint": self.checkpoint, "test_set": self.test_set}
        return values | {name: metrics.measured() for name, metrics in self.blocks().items()}


def parse(values: Any) -> Evaluation:
    """An Evaluation from what JSON gives. Raises ValueError, in one line, for values that are not one."""
    try:
        return TypeAdapter(Evaluation).validate_python(values)
    except ValidationError as error:
        problem = error.errors()[0]
        raise ValueError(f"{'.'.join(map(str, problem['loc'])) or 'the file'}: {problem['msg'].lower()}") from error


def read(path: Path) -> Evaluation:
    """The evaluation in `path`. Raises FacemaskError for a file that is missing or not an evaluation."""
    try:
        return parse(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise FacemaskError(f"{path} cannot be read as an evaluation ({error}): run 'dvc repro evaluate'") from error


def write(path: Path, evaluation: Evaluation) -> None:
    """Write the evaluation to `path`."""
    write_json(path, evaluation.as_json())
