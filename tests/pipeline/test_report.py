"""The page and the files beside it, without a browser."""

import json
import re
from dataclasses import fields

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from models.evaluation_report import DirectionMetrics
from pipeline.curation.groups import acceptance_by_group
from pipeline.errors import FacemaskError
from pipeline.paths import Paths
from pipeline.report.groups import group_tables
from pipeline.report.headline import write_headline
from pipeline.report.sprite_sheets import COLUMNS, PER_SHEET
from pipeline.report.training import read_training
from pipeline.storage.files import write_json
from pipeline.storage.thumbnails import THUMB_PX
from tests.conftest import inside, report_here


@pytest.fixture(scope="module")
def page(report_workspace):
    return (report_workspace / "reports/index.html").read_text()


@pytest.fixture(scope="module")
def rows(report_workspace):
    return pd.read_parquet(report_workspace / "data/manifest.parquet")


def test_the_page_loads_nothing_but_its_own_data(page):
    assert set(re.findall(r'(?:src|href)="(?!data:|#)([^"]*)"', page)) == {"index.data/columns.js"}
    assert set(re.findall(r"https?://[^\s\"'<]*", page)) == {"http://www.w3.org/2000/svg"}  # a name, not an address


def test_the_page_has_the_counts_of_the_manifest(page, rows):
    for verdict, count in rows["reasons"].explode().value_counts().items():
        counted = re.findall(rf'>{verdict}</a><span.*?</span></td><td>\w+</td><td class="n">([\d,]+)</td>', page)
        assert sum(int(number.replace(",", "")) for number in counted) == count


def test_a_label_is_wrong_where_the_mask_was_a_reason_for_rejection(page, rows):
    claimed = dict(re.findall(r">(\w+)</a></td>(?:<td class=\"n\">[\d,]+</td>){2}<td class=\"n\">(\d+)</td>", page))
    wrong = rows[(rows["claimed"] == "correct") & rows["width"].notna()]
    placement = {"no_mask", "nose_uncovered", "mouth_uncovered", "chin_uncovered", "eyes_covered", "mask_misplaced"}
    assert int(claimed["correct"]) == sum(not placement.isdisjoint(reasons) for reasons in wrong["reasons"]) > 0


def test_each_group_has_its_number_of_images_and_its_interval_on_the_page(page, rows):
    cells = re.findall(r"data-show='([^']*\"group\"[^']*)'>([\d,]+)</a>|title=\"([\d.]+ to [\d.]+ %)\"", page)
    numbers = [(json.loads(show), number) for show, number, _ in cells if show]
    images = {(show["group"], show["domain"]): int(number) for show, number in numbers if "verdict" not in show}
    table = acceptance_by_group(rows)
    table = table[table.groupby("kind")["group"].transform("nunique") > 1]
    assert images == {(f"{row.kind}: {row.group}", row.domain): row.images for row in table.itertuples()}
    assert [title for *_, title in cells if title] == [
        f"{100 * row.low:.1f} to {100 * row.high:.1f} %" for row in table.itertuples()
    ]


def test_a_skin_tone_that_is_kept_less_often_is_marked(rows):
    skin_tone = np.where(np.arange(len(rows)) % 2, 0.0, 60.0).astype("float32")
    dark_dropped = rows.assign(skin_tone=skin_tone, domain="masked", accepted=skin_tone > 30)
    table = next(table for table in group_tables(dark_dropped) if table["name"] == "skin tone")
    assert [(row["label"], row["warned"]) for row in table["rows"]] == [("below 10°", True), ("55° and above", False)]


def test_a_kind_of_group_that_divides_nothing_is_left_out(rows):
    assert "mask lightness" in {table["name"] for table in group_tables(rows)}
    assert "mask lightness" not in {table["name"] for table in group_tables(rows.assign(mask_lightness=np.nan))}


def test_the_page_shows_the_evaluation_and_the_sample_images(page):
    assert '<td>accepted<span class="meaning">higher is better</span></td><td class="n">0.875</td>' in page
    assert page.count("data:image/png;base64,") == 2


INCEPTION = {"fid": 20.5, "fid_features": "inception-v3-compat", "fid_of_the_study": 17.07}
EFFICIENTNET = {"fid": 0.5, "fid_features": "efficientnet-lite0"}


def evaluation_rows(folder, **directions):
    """Name -> values of the rows that the page shows of an evaluation."""
    write_json(Paths(folder).evaluation, {"images_seen": 16, **directions})
    return {row["name"]: row["values"] for row in read_training(Paths(folder))["evaluation"]}


@pytest.mark.parametrize(
    ("metrics", "expected"),
    [(INCEPTION, "17.070"), (EFFICIENTNET, "not comparable: other features")],
    ids=["inception", "efficientnet"],
)
def test_the_study_s_fid_is_shown_beside_inception_features_only(tmp_path, metrics, expected):
    rows = evaluation_rows(tmp_path, mask=metrics, unmask=EFFICIENTNET)
    study = rows["fid of the original study (Inception features)"]
    assert study == [expected, "not comparable: other features"]
    assert "fid of the study" not in rows


def test_fids_of_different_features_are_in_rows_of_their_own(tmp_path):
    rows = evaluation_rows(tmp_path, mask=INCEPTION, unmask=EFFICIENTNET)
    assert rows["fid (inception-v3-compat features)"] == ["20.500", ""]
    assert rows["fid (efficientnet-lite0 features)"] == ["", "0.500"]
    assert "fid" not in rows


def test_each_metric_says_which_values_are_good(tmp_path):
    measured = [field.name for field in fields(DirectionMetrics)]
    write_json(Paths(tmp_path).evaluation, {"mask": dict.fromkeys(measured, 0.5), "unmask": {}})
    better = {row["name"]: row["better"] for row in read_training(Paths(tmp_path))["evaluation"]}
    assert better["accepted"] == "higher is better" and better["kid"] == "lower is better"
    silent = {name for name, text in better.items() if not text}
    assert {name for name in silent if "interval" not in name} == {"images", "true pairs"}


def test_new_faces_are_shown_by_class_with_captions_of_their_own(tmp_path):
    rows = evaluation_rows(tmp_path, new_unmasked={"copies": 0.0}, new_masked={"copies": 0.25, "accepted": 0.5})
    assert rows["copies"] == ["0.000", "0.250"] and rows["accepted"] == ["", "0.500"]
    paths = Paths(tmp_path)
    for path in (paths.samples / "new_faces.png", paths.training_report / "progress.png"):
        path.parent.mkdir(parents=True)
        path.write_bytes(b"a picture")
    captions = [picture["caption"] for picture in read_training(paths)["pictures"]]
    assert captions[0].startswith("New faces") and captions[1].startswith("The same faces during training")
    assert not any("photos" in caption for caption in captions)


def test_the_headline_of_new_faces_has_their_figures(tmp_path):
    paths = Paths(tmp_path)
    write_json(paths.curation_report, {"domains": {"masked": {"accepted": 3}}})
    block = {"copies": 0.0, "kid": 0.2, "recall": 0.1}
    write_json(paths.evaluation, {"new_unmasked": block | {"face_found": 1.0}, "new_masked": block | {"accepted": 0.5}})
    write_headline(paths)
    numbers = json.loads(paths.headline.read_text())
    assert numbers["new_unmasked"] == {"face_found": 1.0, "kid": 0.2, "copies": 0.0}
    assert numbers["new_masked"] == {"accepted": 0.5, "kid": 0.2, "copies": 0.0} and "mask" not in numbers


def test_without_fid_there_is_no_row_of_the_study(tmp_path):
    rows = evaluation_rows(tmp_path, mask={"accepted": 0.5}, unmask={"still_masked": 0.5})
    assert list(rows) == ["accepted", "still masked"]


def test_an_interval_is_shown_by_its_two_ends(tmp_path):
    metrics = {"real_fake_auc": 0.7, "real_fake_auc_interval": [0.6, 0.8125]}
    assert evaluation_rows(tmp_path, mask=metrics, unmask={})["real fake auc interval"] == ["0.600 to 0.812", ""]


@pytest.mark.parametrize(
    ("promoted", "checkpoint", "said"),
    [
        ("v1", "aaaa", "This is v1, the promoted model: the first one."),
        ("v1", "bbbb", "Promoted: v1. This: v2, worse than v1: mask.kid 0.3 against 0.1."),
        ("v1", "cccc", "Promoted: v1. This model is not registered: a run of curate-and-train compares it."),
        (None, "cccc", ""),
    ],
)
def test_the_page_says_which_model_is_promoted_and_what_this_one_is(tmp_path, promoted, checkpoint, said):
    paths = Paths(tmp_path)
    models = [
        {"name": "v1", "checkpoint": "aaaa" * 16, "verdict": "the first one"},
        {"name": "v2", "checkpoint": "bbbb" * 16, "verdict": "worse than v1: mask.kid 0.3 against 0.1"},
    ]
    write_json(paths.registry / "models.json", {"schema": 2, "promoted": promoted, "models": models})
    write_json(paths.evaluation, {"checkpoint": checkpoint, "mask": {}, "unmask": {}})
    assert read_training(paths)["promotion"] == said


def test_without_a_registry_the_page_says_nothing_of_promotion(tmp_path):
    write_json(Paths(tmp_path).evaluation, {"mask": {}, "unmask": {}})
    assert read_training(Paths(tmp_path))["promotion"] == ""


def test_the_numbers_that_dvc_compares_are_few_and_those_of_the_reports(report_workspace, rows):
    shown = json.loads((report_workspace / "reports/metrics.json").read_text())
    counts = rows[rows["accepted"]]["domain"].value_counts()
    assert shown == {
        "masked_images": counts["masked"],
        "unmasked_images": counts["unmasked"],
        "mask": {"accepted": 0.875},
        "unmask": {"still_masked": 0.25},
    }


def test_the_page_contains_the_licence_of_its_data_and_no_other(page):
    assert "in the public domain" in page
    assert "CC BY-NC-SA" not in page


def test_each_image_is_in_a_sprite_sheet(report_workspace, rows):
    data = report_workspace / "reports/index.data"
    image_ids = json.loads((data / "ids.json").read_text())
    assert sorted(image_ids) == sorted(rows["image_id"])
    sheets = sorted((data / "sheets").rglob("*.jpg"))
    assert len(sheets) == -(-len(image_ids) // PER_SHEET)
    with Image.open(sheets[0]) as sheet:
        assert sheet.size == (COLUMNS * THUMB_PX, COLUMNS * THUMB_PX)


def test_a_page_made_again_leaves_no_old_files(report_workspace):
    stale = report_workspace / "reports/index.data/sheets/000/999999.jpg"
    stale.write_bytes(b"old")
    with inside(report_workspace):
        report_here()
    assert not stale.exists()
    assert {path.name for path in (report_workspace / "reports").iterdir()} == {
        "curation.json", "evaluation.json", "groups.csv", "index.data", "index.html", "metrics.json", "reasons.csv",
        "samples", "training",
    }  # fmt: skip


def test_a_missing_evaluation_is_refused_with_the_command_to_run(sample_workspace):
    with inside(sample_workspace), pytest.raises(FacemaskError, match="dvc repro evaluate"):
        report_here()
