"""The page and what lies beside it, without a browser."""

import json
import re

import pandas as pd
import pytest
from PIL import Image

from pipeline.errors import FacemaskError
from pipeline.report.sprite_sheets import COLUMNS, PER_SHEET
from pipeline.stages.report import report
from pipeline.storage.thumbnails import THUMB_PX
from tests.conftest import inside


@pytest.fixture(scope="module")
def page(report_workspace):
    return (report_workspace / "reports/index.html").read_text()


@pytest.fixture(scope="module")
def rows(report_workspace):
    return pd.read_parquet(report_workspace / "data/manifest.parquet")


def test_the_page_asks_nothing_of_any_address(page):
    assert set(re.findall(r'(?:src|href)="(?!data:|#)([^"]*)"', page)) == {"index.data/columns.js"}
    assert set(re.findall(r"https?://[^\s\"'<]*", page)) == {"http://www.w3.org/2000/svg"}  # a name, not an address


def test_the_page_counts_what_the_manifest_counts(page, rows):
    for verdict, count in rows["reasons"].explode().value_counts().items():
        counted = re.findall(rf'>{verdict}</a></td><td>\w+</td><td class="n">([\d,]+)</td>', page)
        assert sum(int(number.replace(",", "")) for number in counted) == count


def test_a_wrong_claim_is_one_that_the_measurements_do_not_bear_out(page, rows):
    claimed = dict(re.findall(r">(\w+)</a></td>(?:<td class=\"n\">[\d,]+</td>){2}<td class=\"n\">(\d+)</td>", page))
    wrong = rows[(rows["claimed"] == "correct") & rows["width"].notna()]
    placement = {"no_mask", "nose_uncovered", "mouth_uncovered", "chin_uncovered", "eyes_covered", "mask_misplaced"}
    assert int(claimed["correct"]) == sum(not placement.isdisjoint(reasons) for reasons in wrong["reasons"]) > 0


def test_the_page_shows_the_model_beside_the_original_study(page):
    assert '<td>accepted</td><td class="n">0.875</td>' in page
    study = "fid of the original study (Inception features)"
    assert f'<td>{study}</td><td class="n">17.070</td><td class="n">48.390</td>' in page
    assert page.count("data:image/png;base64,") == 2


def test_the_page_says_the_data_s_licence(page):
    assert "CC BY-NC-SA 4.0" in page


def test_every_image_has_its_place_in_a_sheet(report_workspace, rows):
    data = report_workspace / "reports/index.data"
    image_ids = json.loads((data / "ids.json").read_text())
    assert sorted(image_ids) == sorted(rows["image_id"])
    sheets = sorted((data / "sheets").rglob("*.jpg"))
    assert len(sheets) == -(-len(image_ids) // PER_SHEET)
    with Image.open(sheets[0]) as sheet:
        assert sheet.size == (COLUMNS * THUMB_PX, COLUMNS * THUMB_PX)


def test_the_page_made_again_leaves_nothing_of_the_old_one(report_workspace):
    stale = report_workspace / "reports/index.data/sheets/000/999999.jpg"
    stale.write_bytes(b"old")
    with inside(report_workspace):
        report()
    assert not stale.exists()
    assert {path.name for path in (report_workspace / "reports").iterdir()} == {
        "curation.json", "evaluation.json", "index.data", "index.html", "reasons.csv", "samples", "training",
    }  # fmt: skip


def test_a_missing_evaluation_says_what_to_run(sample_workspace):
    with inside(sample_workspace), pytest.raises(FacemaskError, match="dvc repro evaluate"):
        report()
