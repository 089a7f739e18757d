import json
import re
import shutil

import pandas as pd
import pytest
from PIL import Image

from pipeline.errors import FacemaskError
from pipeline.report import report
from tests.conftest import inside


@pytest.fixture(scope="module")
def page(sample_workspace, tmp_path_factory):
    folder = tmp_path_factory.mktemp("report") / "w"
    shutil.copytree(sample_workspace, folder)
    (folder / "reports/evaluation.json").write_text(json.dumps({"masking": {"gate_pass_share": 0.875}, "images": 16}))
    (folder / "reports/samples").mkdir()
    Image.new("RGB", (8, 8)).save(folder / "reports/samples/grid.png")
    with inside(folder):
        report()
    return (folder / "reports/index.html").read_text()


def test_the_page_asks_nothing_of_any_address(page):
    assert re.findall(r'(?:src|href)="(?!data:|#)[^"]*"', page) == []
    assert "http" not in page


def test_the_page_counts_what_the_manifest_counts(page, sample_workspace):
    rows = pd.read_parquet(sample_workspace / "data/manifest.parquet")
    for verdict, count in rows["reasons"].explode().value_counts().items():
        counted = [int(n) for n in re.findall(rf"<summary>{verdict} · \w+ · (\d+)</summary>", page)]
        assert sum(counted) == count


def test_the_page_shows_the_model(page):
    assert "masking · gate pass share" in page and "0.875" in page
    assert page.count("data:image/png;base64,") == 1


def test_an_unreadable_image_is_shown_as_such(page):
    assert '<div class="none">unreadable</div>' in page


def test_the_page_says_the_data_s_licence(page):
    assert "CC BY-NC-SA 4.0" in page


def test_a_missing_evaluation_says_what_to_run(sample_workspace):
    with inside(sample_workspace), pytest.raises(FacemaskError, match="dvc repro evaluate"):
        report()
