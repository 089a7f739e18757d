"""What is exported is read back by those who are to read it: the real libraries where pip has them."""

import io
import json
import shutil
import zipfile

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from flows.cli import main


@pytest.fixture
def workspace(sample_workspace, tmp_path, monkeypatch):
    folder = tmp_path / "w"
    shutil.copytree(sample_workspace, folder)
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def kept(workspace):
    rows = pd.read_parquet("data/manifest.parquet")
    return rows[rows["accepted"]]


def run(form):
    main(["export-data", "--format", form, "--out", "out"])


def test_folders_are_those_that_cyclegan_codes_read(workspace, kept):
    run("folders")
    for split in kept["split"].unique():
        for letter, domain in (("A", "unmasked"), ("B", "masked")):
            part = kept[(kept["split"] == split) & (kept["domain"] == domain)]
            files = list((workspace / f"out/{split}{letter}").iterdir())
            assert sorted(file.stat().st_size for file in files) == sorted(part["bytes"])
            for file in files:
                Image.open(file).verify()


def test_webdataset_reads_its_tars(workspace, kept):
    import webdataset

    run("webdataset")
    tars = sorted(str(path) for path in (workspace / "out").glob("train-masked-*.tar"))
    samples = list(webdataset.WebDataset(tars, shardshuffle=False).decode("pil"))
    part = kept[(kept["split"] == "train") & (kept["domain"] == "masked")]
    assert sorted(sample["json"]["image_id"] for sample in samples) == sorted(part["image_id"])
    sizes = {sample["json"]["image_id"]: (sample.get("jpg") or sample["png"]).size for sample in samples}
    assert sizes == {row.image_id: (row.width, row.height) for row in part.itertuples()}


def test_hugging_face_datasets_reads_its_parquet(workspace, kept, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    import datasets

    run("parquet")
    files = {split: str(workspace / f"out/{split}-*.parquet") for split in kept["split"].unique()}
    found = datasets.load_dataset("parquet", data_files=files, cache_dir=str(tmp_path / "cache"))
    assert {split: len(part) for split, part in found.items()} == kept["split"].value_counts().to_dict()
    one = found["train"][0]
    row = kept.set_index("image_id").loc[one["image_id"]]
    assert one["image"].size == (row["width"], row["height"])
    assert (one["domain"], one["licence"]) == (row["domain"], row["licence"])


def test_stylegan_s_zip_has_squares_of_a_power_of_two_and_a_label_for_each(workspace, kept):
    run("stylegan")
    with zipfile.ZipFile("out/train.zip") as archive:
        labels = dict(json.loads(archive.read("dataset.json"))["labels"])
        names = [name for name in archive.namelist() if name != "dataset.json"]
        shapes = {np.asarray(Image.open(io.BytesIO(archive.read(name)))).shape for name in names}
    assert sorted(labels) == sorted(names)
    assert shapes == {(256, 256, 3)}
    train = kept[kept["split"] == "train"]
    assert sum(labels.values()) == (train["domain"] == "masked").sum()
    assert len(labels) == len(train)


@pytest.mark.parametrize("form", ["folders", "webdataset", "parquet", "stylegan"])
def test_the_data_s_licence_goes_along(workspace, form):
    run(form)
    assert "CC BY-NC-SA 4.0" in (workspace / "out/LICENCE.txt").read_text()


def test_what_is_there_is_not_written_over(workspace):
    (workspace / "out").mkdir()
    (workspace / "out/mine").write_text("mine")
    with pytest.raises(SystemExit, match="out is there already"):
        run("folders")
    assert [path.name for path in (workspace / "out").iterdir()] == ["mine"]


def test_an_export_that_breaks_off_leaves_nothing_at_its_place(workspace):
    archive = next((workspace / "data/raw/maskedface").glob("*.zip"))
    archive.write_bytes(b"damaged")
    with pytest.raises(SystemExit, match="is damaged"):
        run("folders")
    assert not (workspace / "out").exists()
