"""Metrics of a model that makes new faces: how close they are to real test faces, and how many are copies."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from models.evaluation.face_images import digest_of_faces, evaluated_faces
from models.evaluation.realism import rounded, with_fidelity
from models.evaluation_report import DirectionMetrics, Evaluation
from models.params import EvaluateParams
from models.training.checkpoint import JSON_NAME, load_face_generator
from models.training.data import centre_crops
from models.training.new_faces import face_sheet, make_faces
from pipeline.curation.acceptance import acceptance_rate
from pipeline.curation.copies import face_landmarks, find_copies
from pipeline.curation.measure_params import MeasureParams
from pipeline.curation.rules import CurateParams
from pipeline.storage.files import sha256
from pipeline.storage.packed_arrays import DOMAINS, read_set

SEED = 0  # of the faces that are evaluated: those of `facemask sample --seed 0`
_IN_ROW = 4  # faces

Images = NDArray[np.uint8]


def evaluate_new_faces(
    folder: Path, params: EvaluateParams, limits: CurateParams, settings: MeasureParams, pack: Path
) -> tuple[Evaluation, Images]:
    """The evaluation of the checkpoint in `folder`, which makes faces, and a sheet of its first faces (H, W, 3).

    As many faces are made as there are test faces of the larger domain, at most params.images. Raises FacemaskError
    without test faces. The caller ensures that the checkpoint was not trained on these test faces.
    """
    generator, info = load_face_generator(folder)
    generator.to("cuda" if torch.cuda.is_available() else "cpu")
    tests = [evaluated_faces(pack, domain, params.images) for domain in DOMAINS]
    print(f"evaluating {folder}, new faces against up to {params.images} test faces a domain", flush=True)
    made = make_faces(generator, SEED, range(max(len(indices) for _, indices in tests)))
    known = [read_set(pack, domain, "train") for domain in DOMAINS]
    found = []
    for images, (packed, indices) in zip(made, tests, strict=True):
        landmarks = face_landmarks(images, settings)
        copies = find_copies(images, landmarks, known, limits.dedup)
        metrics = with_fidelity(
            DirectionMetrics(images=len(images), copies=rounded(copies.mean())),
            images,
            centre_crops(packed, indices, info.params["image_px"]),
        )
        faces = sum(points is not None for points in landmarks)
        found.append(replace(metrics, face_found=rounded(faces / len(images))))
    unmasked, masked = found
    masked = replace(masked, accepted=rounded(acceptance_rate(made[1], limits, settings)))
    evaluation = Evaluation(
        checkpoint=sha256(folder / JSON_NAME)[:12],
        images_seen=info.images_seen,
        test_set=digest_of_faces(*tests),
        new_unmasked=unmasked,
        new_masked=masked,
    )
    for name, metrics in evaluation.blocks().items():
        print(f"{name}: " + ", ".join(f"{key} {value}" for key, value in metrics.measured().items()), flush=True)
    shown = slice(None, _IN_ROW * params.grid_faces)
    return evaluation, face_sheet(made[0][shown], made[1][shown])
