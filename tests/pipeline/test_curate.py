import json
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import yaml

from pipeline import params
from pipeline.curation.reviews import Review
from pipeline.curation.rules import CurateParams, SelectParams, SplitParams
from pipeline.curation.splits import split_of
from pipeline.curation.verdicts import (
    MeasuredImages,
    manifest_rows,
    refuse_empty_domain,
    refuse_too_many_duplicates,
)
from pipeline.errors import FacemaskError
from pipeline.sources.config import load_sources, of_ffhq
from pipeline.storage.manifest import read_manifest
from pipeline.synthetic.layout import SampleParams, sample_files
from tests.conftest import FACES, ROOT, curate_here, inside, write_params
from tests.pipeline.test_rules import UNMASKED, UNREADABLE, WELL_MASKED
from tests.pipeline.test_similarity import patch, picture

LIMITS = params.load("curate", CurateParams, ROOT / "flows/demo_params.yaml")


def images(*rows):
    """Measured images, which are of different photos unless a row has the fingerprint of another one."""
    blank = dict.fromkeys(("skin_tone", "mask_lightness", "mask_a", "mask_b", "face_grid"))
    blank |= {"archive": None, "bytes": 1, "sha256": "", "author": None, "url": None, "source": "s", "of_ffhq": True}
    blank |= {"kind": "folder", "licence": None}
    made = [blank | {"path": f"{number:05d}.png"} | photo(number) | row for number, row in enumerate(rows)]
    patches = np.stack([patch(picture(row.pop("shows"))) for row in made])
    return MeasuredImages(pd.DataFrame(made).astype({"phash": "UInt64"}), patches)


def limits_that_select(masked=None, unmasked=None):
    return replace(LIMITS, select=SelectParams(masked=masked, unmasked=unmasked))


def photo(seed):
    """Fingerprint columns of a photo of its own."""
    noise = np.random.default_rng(seed).bytes(136)
    names = ("fine_hash", "fine_hash_mirrored", "face_hash", "face_hash_mirrored")
    return {
        "phash": int.from_bytes(noise[:8], "big"),
        **{name: noise[8 + 32 * place : 40 + 32 * place] for place, name in enumerate(names)},
        "patch_frame": np.eye(2, 3, dtype="<f4").tobytes(),
        "shows": seed,
    }


def rows_of(*rows, review=None, limits=LIMITS):
    """The manifest's rows by path; `review` is image_id -> keep or drop."""
    reviews = {image_id: Review(value) for image_id, value in (review or {}).items()}
    return manifest_rows(images(*rows), limits, reviews).set_index("path")


def test_an_accepted_row_has_no_reason_and_a_rejected_one_has_some():
    rows = rows_of(UNMASKED, UNMASKED | UNREADABLE, WELL_MASKED, WELL_MASKED | {"cover_nose": 0.0})
    assert rows["accepted"].tolist() == [True, False, True, False]
    assert (rows["accepted"] == (rows["reasons"].str.len() == 0)).all()


SAME = photo(777)


def kept_of(one, other):
    """Which of two copies is kept: 0 or 1."""
    return rows_of(UNMASKED | SAME | one, UNMASKED | SAME | other)["accepted"].tolist().index(True)


def test_a_copy_points_at_the_kept_image_with_its_similarity():
    rows = rows_of(UNMASKED | SAME, UNMASKED | SAME | {"face_px": 900.0}, UNMASKED, UNMASKED)
    assert rows["dup_of"].fillna("").tolist() == ["s/00001.png", "", "", ""]
    assert rows.at["00000.png", "reasons"] == ["duplicate"]
    assert rows.at["00000.png", "dup_similarity"] == pytest.approx(1, abs=1e-3)
    assert rows["dup_similarity"].notna().tolist() == [True, False, False, False]


def test_the_copy_with_the_most_pixels_is_kept_though_another_is_sharper():
    assert kept_of({"face_px": 100.0, "sharpness": 90.0}, {"face_px": 400.0}) == 1


def test_a_difference_of_the_landmarker_is_no_difference_in_size():
    assert kept_of({"face_px": 410.0, "quality": 60}, {"face_px": 400.0, "quality": 95}) == 1


def test_of_copies_of_one_size_the_best_file_is_kept():
    assert kept_of({"quality": 60, "sharpness": 90.0}, {"quality": 95}) == 1


def test_of_equal_files_the_sharper_one_is_kept():
    assert kept_of({}, {"sharpness": 30.0}) == 1


def test_noise_does_not_count_as_sharpness():
    assert kept_of({"sharpness": 40.0, "noise": 8.0}, {"sharpness": 20.0, "noise": 1.0}) == 1


def test_a_brightened_copy_is_no_sharper():
    bright = {"brightness": 120.0 * 1.5, "sharpness": 20.0 * 1.5**0.75 - 0.1, "noise": 1.5}
    assert kept_of({}, bright) == 0


def test_of_equal_copies_the_first_by_image_id_is_kept():
    assert kept_of({}, {}) == 0


def test_copies_that_a_person_keeps_all_stay_and_the_rest_point_at_one_of_them():
    rows = rows_of(*[UNMASKED | SAME] * 3, review={"s/00001.png": "keep", "s/00002.png": "keep"})
    assert rows["accepted"].tolist() == [False, True, True]
    assert rows.at["00000.png", "dup_of"] == "s/00001.png"


def test_copies_that_a_person_keeps_are_in_one_split():
    pairs = [UNMASKED | photo(1000 + number) for number in range(40) for _ in range(2)]
    named = [row | {"path": f"photo{number}.jpg"} for number, row in enumerate(pairs)]  # no FFHQ ids
    rows = rows_of(*named, review={f"s/photo{number}.jpg": "keep" for number in range(80)})
    splits = rows["split"].to_dict()
    assert all(splits[f"photo{2 * pair}.jpg"] == splits[f"photo{2 * pair + 1}.jpg"] for pair in range(40))
    assert len(set(splits.values())) > 1


def test_a_face_with_and_without_its_mask_is_in_one_split_though_no_id_says_so():
    made = [
        domain | photo(2000 + number) | {"path": f"{letter}{number}.jpg"}
        for number in range(40)
        for letter, domain in (("a", UNMASKED), ("b", WELL_MASKED))
    ]
    splits = rows_of(*made)["split"].to_dict()
    assert all(splits[f"a{number}.jpg"] == splits[f"b{number}.jpg"] for number in range(40))
    assert len(set(splits.values())) > 1


def test_copies_across_the_domains_are_both_kept():
    assert rows_of(UNMASKED | SAME, WELL_MASKED | SAME)["accepted"].all()


def test_a_copy_of_a_rejected_image_is_kept():
    rows = rows_of(UNMASKED | SAME | {"faces": 2, "sharpness": 90.0}, UNMASKED | SAME)
    assert rows.at["00001.png", "accepted"]


def test_too_many_duplicates_are_refused_with_their_count():
    same = UNMASKED | SAME
    rows = manifest_rows(images(same, same, same, same), LIMITS, {})
    with pytest.raises(FacemaskError, match=r"3 of 4 unmasked images would go as near-duplicates"):
        refuse_too_many_duplicates(rows, LIMITS)


def test_images_beyond_the_number_of_their_domain_are_not_selected():
    rows = rows_of(*[UNMASKED] * 5, *[WELL_MASKED] * 4, limits=limits_that_select(unmasked=2))
    left = rows[rows["reasons"].map(lambda reasons: reasons == ["not_selected"])]
    assert len(left) == 3
    assert set(left["domain"]) == {"unmasked"}
    assert not left["accepted"].any()
    assert left["split"].isna().all()
    assert rows["accepted"].sum() == 6


def test_rejected_images_and_duplicates_are_not_selected_and_keep_their_reasons():
    same = SAME
    rows = rows_of(
        UNMASKED | same, UNMASKED | same | {"sharpness": 90.0}, UNMASKED | {"faces": 2}, UNMASKED,
        limits=limits_that_select(unmasked=2),
    )  # fmt: skip
    assert rows["reasons"].tolist() == [["duplicate"], [], ["many_faces"], []]


def test_an_image_that_was_not_selected_is_kept_by_a_review():
    first = rows_of(*[UNMASKED] * 4, limits=limits_that_select(unmasked=1))
    left = first.loc[~first["accepted"], "image_id"].iloc[-1]
    second = rows_of(*[UNMASKED] * 4, limits=limits_that_select(unmasked=1), review={left: "keep"})
    assert second.loc[second["accepted"], "image_id"].tolist() == [left]


def test_images_that_are_not_selected_count_as_good_where_too_many_duplicates_are_refused():
    same = UNMASKED | SAME
    limits = limits_that_select(unmasked=1)
    refuse_too_many_duplicates(manifest_rows(images(same, same, UNMASKED, UNMASKED), limits, {}), limits)


def test_a_domain_left_empty_is_refused_with_its_most_frequent_reason():
    bare = WELL_MASKED | {"cover_total": 0.0}
    with pytest.raises(FacemaskError, match=r"none of 1 masked images was accepted \(most often: no_mask, 1\)"):
        refuse_empty_domain(manifest_rows(images(UNMASKED, bare), LIMITS, {}))


def test_a_review_overrules_the_rules():
    rows = rows_of(
        UNMASKED, UNMASKED, UNMASKED | {"faces": 2}, UNMASKED | UNREADABLE,
        review={"s/00001.png": "drop", "s/00002.png": "keep", "s/00003.png": "keep"},
    )  # fmt: skip
    assert rows["reasons"].tolist() == [[], ["dropped_in_review"], [], ["unreadable"]]
    assert rows["review"].fillna("").tolist() == ["", "drop", "keep", "keep"]


def test_masked_and_unmasked_images_of_a_person_are_in_one_split():
    rows = rows_of(*([UNMASKED] * 40), *[WELL_MASKED | {"path": f"{n:05d}_Mask.jpg"} for n in range(40)])
    rows = rows[rows["accepted"]]
    assert rows.groupby("ffhq_id")["split"].nunique().eq(1).all()
    assert set(rows["split"]) == {"train", "val", "test"}


def test_equal_numbers_are_one_person_only_in_sources_named_after_ffhq():
    names = [UNMASKED | {"path": f"{folder}/60001.jpg"} for folder in ("anna", "bob")]
    assert rows_of(*names)["ffhq_id"].tolist() == [60001, 60001]
    others = rows_of(*(row | {"of_ffhq": False} for row in names))
    assert others["ffhq_id"].isna().all() and others["claimed"].isna().all()


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ({"kind": "ffhq", "domain": "unmasked", "images": "thumbnails128x128", "ids": [0, 9]}, True),
        ({"kind": "maskedface", "domain": "masked"}, True),
        ({"kind": "curated", "domain": "masked"}, True),
        ({"kind": "sample", "domain": "masked"}, True),
        ({"kind": "portraits", "domain": "unmasked"}, False),
        ({"kind": "folder", "domain": "masked"}, False),
        ({"kind": "folder", "domain": "masked", "ffhq_names": True}, True),
    ],
)
def test_which_sources_are_named_after_ffhq(tmp_path, source, expected):
    write_params(tmp_path, {"sources": {"s": source}})
    assert of_ffhq(load_sources(tmp_path / "params.yaml")["s"]) is expected


def test_ffhq_s_validation_photos_are_test_images():
    split = SplitParams(val=0.0, test=0.0, test_from_ffhq_id=60000)
    assert [split_of(str(number), number, split) for number in (59999, 60000)] == ["train", "test"]


@pytest.fixture
def workspace(sample_workspace, tmp_path):
    shutil.copytree(sample_workspace, tmp_path / "w")
    with inside(tmp_path / "w"):
        yield tmp_path / "w"


@pytest.fixture(scope="module")
def truth():
    """image_id -> kind, for the images of the sample."""
    settings = SampleParams(faces=FACES, image_px=256, seed=7)
    return {
        f"{source}/{file.path}": file.kind
        for source, domain in (("ffhq", "unmasked"), ("maskedface", "masked"))
        for file in sample_files(domain, settings)
        if file.kind != "other"
    }


def test_each_image_of_the_sample_has_one_row(sample_workspace, truth):
    ids = read_manifest(sample_workspace / "data/manifest.parquet")["image_id"].to_pylist()
    assert sorted(ids) == sorted(truth)


def test_nearly_all_correct_images_of_the_sample_are_kept_and_few_others(sample_workspace, truth):
    rows = read_manifest(sample_workspace / "data/manifest.parquet").to_pandas()
    good = rows["image_id"].map(truth).isin(["unmasked", "correct"]) & rows["dup_of"].isna()
    assert rows.loc[good, "accepted"].mean() > 0.9
    assert rows.loc[~good, "accepted"].mean() < 0.05


def test_the_summary_adds_up(sample_workspace):
    summary = json.loads((sample_workspace / "reports/curation.json").read_text())
    assert summary["seen"] == summary["accepted"] + summary["rejected"]
    assert summary["accepted"] == sum(summary["splits"].values())


def test_the_same_input_gives_the_same_bytes(workspace):
    before = (workspace / "data/manifest.parquet").read_bytes()
    curate_here()
    assert (workspace / "data/manifest.parquet").read_bytes() == before


def test_a_failed_curate_leaves_the_earlier_manifest(workspace):
    before = (workspace / "data/manifest.parquet").read_bytes()
    values = yaml.safe_load((workspace / "params.yaml").read_text())
    values["curate"]["min_px"] = 5000
    write_params(workspace, values)
    with pytest.raises(FacemaskError, match="none of"):
        curate_here()
    assert (workspace / "data/manifest.parquet").read_bytes() == before


def test_measurements_of_other_archives_are_refused(workspace):
    for table in (workspace / "data/measured/ffhq").iterdir():
        table.unlink()
    with pytest.raises(FacemaskError, match="run 'dvc repro measure@ffhq'"):
        curate_here()
