"""The labelled real faces of ../shared, where present: curation must not become worse."""

import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from pipeline.masks.fit import SIDES
from pipeline.masks.records import cut_face
from pipeline.masks.side_hair import hair_before
from pipeline.storage.images import open_image
from pipeline.tools.curate_folder import curate_folder
from pipeline.tools.draw_masks import bare_faces, crop_box, drawable_faces

# Pairs of files that show one photo, judged by eye: two crops of one photo, or one photo twice.
SAME_PHOTO = {
    frozenset(pair)
    for pair in [
        ("ffhq/00000/00017", "ffhq/00000/00111"), ("ffhq/00000/00045", "ffhq/00000/00090"),
        ("ffhq/00000/00057", "ffhq/00000/00174"), ("ffhq/00000/00070", "ffhq/00000/00177"),
        ("ffhq/00000/00076", "ffhq/00000/00159"), ("00045", "00090"), ("00017", "00111"), ("00057", "00174"),
        ("00070", "00177"), ("00076", "00159"), ("60065", "60159"), ("60136", "60188"), ("60171", "60184"),
    ]
}  # fmt: skip

# Sides of the first hundred faces of ffhq, by eye: number, and side of the picture (0 left, 1 right).
UNDER_HAIR = """
1.1 2.0 2.1 5.1 6.0 6.1 17.0 17.1 19.0 24.0 24.1 25.0 25.1 27.1 30.0 30.1 32.0 35.1 38.0 39.0 39.1 40.0 40.1 41.0 41.1
43.0 44.0 44.1 45.0 49.0 49.1 50.1 53.0 54.1 56.0 60.0 61.0 61.1 65.0 70.0 70.1 72.0 72.1 73.0 73.1 75.0 76.1 80.1 83.0
83.1 90.0 97.0 99.0
"""
EAR_SEEN = """
0.0 3.0 3.1 4.1 5.0 7.1 9.0 9.1 11.0 11.1 14.1 15.0 19.1 20.0 22.0 23.1 26.1 28.0 28.1 29.0 29.1 31.0 31.1 33.1 36.0
37.0 46.0 46.1 47.0 48.0 50.0 51.1 52.1 53.1 55.0 57.0 58.0 58.1 59.0 59.1 62.0 62.1 63.0 63.1 66.0 66.1 68.0 68.1 69.0
69.1 71.0 74.0 76.0 77.0 77.1 78.0 79.0 79.1 80.0 81.0 81.1 82.1 85.0 86.0 86.1 87.0 87.1 88.1 89.1 90.1 91.0 92.1 93.0
93.1 94.0 94.1 95.0 95.1 97.1 98.0 98.1 99.1
"""


@pytest.fixture(scope="module")
def manifest(shared_faces, tmp_path_factory):
    out = tmp_path_factory.mktemp("real")
    curate_folder(shared_faces, out, None, None)
    return pd.read_parquet(out / "manifest.parquet")


@pytest.fixture(scope="module")
def score(manifest, shared_faces, tmp_path_factory):
    """The score of the verdicts; `*_of_photos`: where a copy of a photo that is kept counts as kept."""
    folder = tmp_path_factory.mktemp("scored")

    def scored(rows):
        rows.to_parquet(folder / "manifest.parquet")
        command = [shared_faces.parent / "score_curation.py", "masks", folder / "manifest.parquet"]
        labels = shared_faces / "labels.csv"
        found = subprocess.run([sys.executable, *command, labels], capture_output=True, text=True, check=True)
        return json.loads(found.stdout.splitlines()[-1])

    with_copies = scored(manifest.assign(accepted=manifest["accepted"] | manifest["dup_of"].notna()))
    return {f"{figure}_of_photos": value for figure, value in with_copies.items()} | scored(manifest)


def test_every_real_image_has_a_row_and_every_rejected_row_a_reason(score):
    assert (score["rows_missing_from_manifest"], score["rejected_without_reason"]) == (0, 0)


@pytest.mark.parametrize(
    ("figure", "floor"),
    [
        ("precision", 0.99),
        ("recall_of_photos", 0.97),
        ("recall_real_maskedface_net_of_photos", 0.98),
        ("unmasked_kept_of_photos", 0.98),
    ],
)
def test_curation_of_real_faces_is_as_good_as_before(score, figure, floor):
    assert score[figure] >= floor


def test_only_copies_of_one_photo_are_joined(manifest):
    def photo(image_id):
        """The id of a file's photo: in FFHQ's layout with its folder, of a masked face the digits of its name."""
        name = image_id.rsplit(".", 1)[0]
        return name if name.startswith("ffhq") else name.rsplit("/", 1)[1][:5]

    joined = manifest[manifest["dup_of"].notna()]
    pairs = {
        frozenset((photo(one), photo(other))) for one, other in zip(joined["image_id"], joined["dup_of"], strict=True)
    }
    assert {pair for pair in pairs if len(pair) == 2} <= SAME_PHOTO


def sides_under_hair(path):
    """The sides of the largest face of a photo, 0 or 1, on which a mask is drawn under hair or cloth."""
    pixels = np.asarray(open_image(path.read_bytes()).convert("RGB"))
    face = cut_face(pixels, points := bare_faces(pixels, drawable_faces(pixels))[0], crop_box(points, pixels))
    columns = hair_before(face).any(axis=0)
    middle = round(float(face.landmarks[list(SIDES), 0].mean() * len(columns)))
    return {side for side, part in enumerate((columns[:middle], columns[middle:])) if part.any()}


def test_masks_are_drawn_under_most_hair_and_not_under_ears(shared_faces):
    hair, ears = set(UNDER_HAIR.split()), set(EAR_SEEN.split())
    found = set()
    for number in {side.split(".")[0] for side in hair | ears}:
        path = shared_faces / f"ffhq/00000/{int(number):05d}.png"
        found |= {f"{number}.{side}" for side in sides_under_hair(path)}
    assert len(found & hair) >= 0.7 * len(hair)
    assert len(found & ears) <= 0.01 * len(ears)
