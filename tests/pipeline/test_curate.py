import json
import shutil

import numpy as np
import pandas as pd
import pytest
import yaml

from pipeline import params
from pipeline.curation.reviews import Review, read_reviews
from pipeline.curation.rules import CurateParams, SplitParams
from pipeline.errors import FacemaskError
from pipeline.stages.curate import (
    curate,
    refuse_empty_domain,
    refuse_too_many_duplicates,
    split_of,
    verdicts,
)
from pipeline.storage.manifest import read_manifest
from pipeline.synthetic.layout import SampleParams, sample_files
from tests.conftest import FACES, ROOT, inside, write_params
from tests.pipeline.test_rules import PLAIN, UNREADABLE, WELL_MASKED

LIMITS = params.load("curate", CurateParams, ROOT / "flows/demo_params.yaml")


def images(*rows):
    """Measured images, each far from all others unless it says otherwise."""
    blank = {"archive": None, "bytes": 1, "sha256": "", "author": None, "url": None, "source": "s"}
    made = []
    for number, row in enumerate(rows):
        made.append(blank | {"path": f"{number:05d}.png"} | hashed(number) | row)
    return pd.DataFrame(made).astype({"phash": "UInt64", "phash_mirrored": "UInt64"})


def hashed(seed):
    """Hash columns far from those of any other seed."""
    noise = np.random.default_rng(seed).bytes(80)
    return {
        "phash": int.from_bytes(noise[:8], "big"),
        "phash_mirrored": int.from_bytes(noise[8:16], "big"),
        "fine_hash": noise[16:48],
        "fine_hash_mirrored": noise[48:],
    }


def judged(*rows, review=None):
    reviews = {image_id: Review(word) for image_id, word in (review or {}).items()}
    return verdicts(images(*rows), LIMITS, reviews).set_index("path")


def test_an_accepted_row_has_no_reason_and_a_rejected_one_has_some():
    rows = judged(PLAIN, PLAIN | UNREADABLE, WELL_MASKED, WELL_MASKED | {"cover_nose": 0.0})
    assert rows["accepted"].tolist() == [True, False, True, False]
    assert (rows["accepted"] == (rows["reasons"].str.len() == 0)).all()


def test_of_copies_the_sharpest_is_kept():
    same = hashed(777)
    rows = judged(PLAIN | same, PLAIN | same | {"sharpness": 90.0}, PLAIN, PLAIN)
    assert rows["dup_of"].fillna("").tolist() == ["s/00001.png", "", "", ""]
    assert rows.at["00000.png", "reasons"] == ["duplicate"]
    assert rows.at["00000.png", "dup_distance"] == 0


def test_copies_across_the_domains_are_both_kept():
    same = hashed(777)
    assert judged(PLAIN | same, WELL_MASKED | same)["accepted"].all()


def test_a_rejected_image_hides_no_good_one():
    same = hashed(777)
    rows = judged(PLAIN | same | {"faces": 2, "sharpness": 90.0}, PLAIN | same)
    assert rows.at["00001.png", "accepted"]


def test_too_many_duplicates_stop_with_the_count():
    same = PLAIN | hashed(777)
    rows = verdicts(images(same, same, same, same), LIMITS, {})
    with pytest.raises(FacemaskError, match=r"3 of 4 unmasked images would go as near-duplicates"):
        refuse_too_many_duplicates(rows, LIMITS)


def test_a_domain_left_empty_is_told_with_its_main_reason():
    bare = WELL_MASKED | {"cover_seen": 0.0}
    with pytest.raises(FacemaskError, match=r"none of 1 masked images was accepted \(most often: no_mask, 1\)"):
        refuse_empty_domain(verdicts(images(PLAIN, bare), LIMITS, {}))


def test_a_person_s_word_goes_before_the_rules():
    rows = judged(
        PLAIN, PLAIN, PLAIN | {"faces": 2}, PLAIN | UNREADABLE,
        review={"s/00001.png": "drop", "s/00002.png": "keep", "s/00003.png": "keep"},
    )  # fmt: skip
    assert rows["reasons"].tolist() == [[], ["dropped_in_review"], [], ["unreadable"]]
    assert rows["review"].fillna("").tolist() == ["", "drop", "keep", "keep"]


@pytest.mark.parametrize(
    ("text", "told"),
    [("image_id,review\ns/1.png,maybe\n", "line 2: review is 'maybe'"), ("a,b\n", "no columns image_id and review")],
)
def test_a_wrong_review_file_is_told_with_its_line(tmp_path, text, told):
    path = tmp_path / "review.csv"
    path.write_text(text)
    with pytest.raises(FacemaskError, match=told):
        read_reviews(path)


def test_a_person_is_in_one_split_masked_or_not():
    rows = judged(*([PLAIN] * 40), *[WELL_MASKED | {"path": f"{n:05d}_Mask.jpg"} for n in range(40)])
    rows = rows[rows["accepted"]]
    assert rows.groupby("ffhq_id")["split"].nunique().eq(1).all()
    assert set(rows["split"]) == {"train", "val", "test"}


def test_ffhq_s_own_line_sends_its_validation_photos_to_test():
    split = SplitParams(val=0.0, test=0.0, test_from_ffhq_id=60000)
    assert [split_of(str(number), number, split) for number in (59999, 60000)] == ["train", "test"]


@pytest.fixture
def workspace(sample_workspace, tmp_path):
    shutil.copytree(sample_workspace, tmp_path / "w")
    with inside(tmp_path / "w"):
        yield tmp_path / "w"


@pytest.fixture(scope="module")
def truth():
    """image_id -> kind, for the sample that the workspace is made of."""
    settings = SampleParams(faces=FACES, image_px=256, seed=7)
    return {
        f"{source}/{file.path}": file.kind
        for source, domain in (("ffhq", "unmasked"), ("maskedface", "masked"))
        for file in sample_files(domain, settings)
        if file.kind != "other"
    }


def test_the_sample_s_every_image_has_one_row(sample_workspace, truth):
    ids = read_manifest(sample_workspace / "data/manifest.parquet")["image_id"].to_pylist()
    assert sorted(ids) == sorted(truth)


def test_of_the_sample_mostly_the_right_ones_are_kept(sample_workspace, truth):
    rows = read_manifest(sample_workspace / "data/manifest.parquet").to_pandas()
    good = rows["image_id"].map(truth).isin(["plain", "correct"]) & rows["dup_of"].isna()
    assert rows.loc[good, "accepted"].mean() > 0.9
    assert rows.loc[~good, "accepted"].mean() < 0.05


def test_the_summary_adds_up(sample_workspace):
    summary = json.loads((sample_workspace / "reports/curation.json").read_text())
    assert summary["seen"] == summary["accepted"] + summary["rejected"]
    assert summary["accepted"] == sum(summary["splits"].values())


def test_the_same_input_gives_the_same_bytes(workspace):
    before = (workspace / "data/manifest.parquet").read_bytes()
    curate()
    assert (workspace / "data/manifest.parquet").read_bytes() == before


def test_a_failed_curate_leaves_the_earlier_manifest(workspace):
    before = (workspace / "data/manifest.parquet").read_bytes()
    values = yaml.safe_load((workspace / "params.yaml").read_text())
    values["curate"]["min_px"] = 5000
    write_params(workspace, values)
    with pytest.raises(FacemaskError, match="none of"):
        curate()
    assert (workspace / "data/manifest.parquet").read_bytes() == before


def test_measurements_of_other_archives_are_refused(workspace):
    for table in (workspace / "data/measured/ffhq").iterdir():
        table.unlink()
    with pytest.raises(FacemaskError, match="run 'dvc repro measure@ffhq'"):
        curate()
