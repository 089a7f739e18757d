"""The labelled real faces of ../shared, where present: curation must not become worse."""

import json
import subprocess
import sys

import pandas as pd
import pytest

from pipeline.tools.curate_folder import curate_folder

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
