"""Exported data is read by the libraries that it is made for, where these are installed."""

import io
import json
import shutil
import unicodedata
import zipfile

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from flows.cli import main
from pipeline.storage.packed_arrays import read_set
from pipeline.storage.shards import write_shard
from pipeline.tools.export_data import _converted, _named
from tests.conftest import pack_here
from tests.pipeline.test_pack import move_face


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


def test_folders_have_the_names_that_cyclegan_code_reads(workspace, kept):
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


def test_the_stylegan_zip_has_labelled_squares_of_a_power_of_two(workspace, kept):
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


def read_as_stylegan(path):
    """Images (N, 3, S, S) and labels (N,) in the layout that StyleGAN2-ADA's and StyleGAN3's dataset reader documents.

    Its images are all PNG files, in the order of their names; dataset.json, at the top, has {"labels": [[name, class],
    ...]} with a class, from 0 on, for each of them, by the same names with forward slashes.
    """
    with zipfile.ZipFile(path) as archive:
        names = sorted(name for name in archive.namelist() if name.lower().endswith(".png"))
        labels = dict(json.loads(archive.read("dataset.json"))["labels"])
        images = [np.array(Image.open(io.BytesIO(archive.read(name)), formats=["PNG"])) for name in names]
    return np.stack(images).transpose(0, 3, 1, 2), np.array([labels[name] for name in names])


def test_stylegans_reader_finds_the_domain_of_each_square_as_its_class(workspace, kept, monkeypatch):
    monkeypatch.setattr("pipeline.tools.export_data._SIDE", 64)
    run("stylegan")
    images, labels = read_as_stylegan("out/train.zip")
    assert images.shape == (len(labels), 3, 64, 64) and images.dtype == np.uint8
    assert labels.dtype == np.int64 and set(labels.tolist()) == {0, 1}
    attribution = pd.read_csv("out/attribution.csv")
    train = attribution[attribution["split"] == "train"]["image_id"]  # in the order of the squares
    domains = kept.set_index("image_id").loc[train, "domain"]
    assert labels.tolist() == (domains == "masked").astype(int).tolist()


def test_the_stylegan_squares_are_the_packed_images(workspace, kept, monkeypatch):
    packed = read_set(workspace / "data/train", "masked", "train")
    move_face(workspace, packed.image_ids[0])
    pack_here()
    packed = read_set(workspace / "data/train", "masked", "train")
    monkeypatch.setattr("pipeline.tools.export_data._SIDE", packed.images.shape[1])
    run("stylegan")
    with zipfile.ZipFile("out/train.zip") as archive:
        labels = json.loads(archive.read("dataset.json"))["labels"]
        masked = [np.asarray(Image.open(io.BytesIO(archive.read(name)))) for name, label in labels if label]
    assert {square.tobytes() for square in masked} == {image.tobytes() for image in packed.images}


@pytest.mark.parametrize("form", ["folders", "webdataset", "parquet", "stylegan"])
def test_every_export_has_the_licence_of_the_data(workspace, form):
    run(form)
    assert (workspace / "out/LICENCE.txt").read_text() == "The embedded sample is in the public domain.\n"


@pytest.mark.parametrize("form", ["folders", "webdataset", "parquet", "stylegan"])
def test_every_export_names_licence_and_author_of_each_image(workspace, kept, form):
    run(form)
    found = pd.read_csv("out/attribution.csv").set_index("image_id").sort_index()
    expected = kept.set_index("image_id").sort_index()
    for column in ("licence", "author", "url", "split"):
        assert found[column].tolist() == expected[column].tolist()


def test_an_existing_folder_is_not_overwritten(workspace):
    (workspace / "out").mkdir()
    (workspace / "out/mine").write_text("mine")
    with pytest.raises(SystemExit, match="out already exists"):
        run("folders")
    assert [path.name for path in (workspace / "out").iterdir()] == ["mine"]


def test_a_failed_export_leaves_no_folder(workspace):
    archive = next((workspace / "data/raw/maskedface").glob("*.zip"))
    archive.write_bytes(b"damaged")
    with pytest.raises(SystemExit, match="is damaged"):
        run("folders")
    assert not (workspace / "out").exists()


def test_images_with_equal_names_are_exported_under_different_ones(workspace, kept):
    first, second = kept[(kept["split"] == "train") & (kept["domain"] == "masked")]["path"].head(2)
    for path, name in ((first, "a/b.png"), (second, "a_b.png")):
        rename(workspace, path, name)
    run("folders")
    files = [path.name for path in (workspace / "out/trainB").iterdir()]
    assert len(files) == ((kept["split"] == "train") & (kept["domain"] == "masked")).sum()
    assert sum(name.startswith("maskedface_a_b_") for name in files) == 2


def rename(workspace, path, name):
    """Rename an image in its shard and in the manifest."""
    manifest = workspace / "data/manifest.parquet"
    table = pq.read_table(manifest)
    rows = table.to_pylist()
    (row,) = [row for row in rows if row["source"] == "maskedface" and row["path"] == path]
    shard = workspace / "data/raw/maskedface" / row["archive"]
    with zipfile.ZipFile(shard) as archive:
        members = [(info.filename, archive.read(info)) for info in archive.infolist()]
    write_shard(shard, [(name if member == path else member, content) for member, content in members])
    row["path"], row["image_id"] = name, f"maskedface/{name}"
    pq.write_table(pa.Table.from_pylist(rows, table.schema), manifest)


@pytest.mark.parametrize(
    "ids",
    [
        ["s/a/b.jpg", "s/a_b.jpg", "s/a.b.jpg"],
        ["s/x.jpg", "s/x.JPG", "s/X.jpg"],
        ["s/c.jpg", "s/c.png"],
        ["s/caf\u00e9.jpg", "s/cafe\u0301.jpg"],
        ["s/\u017f.jpg", "s/s.jpg"],
        ["s/e.jpe", "s/e.jfif"],
        ["s/" + "folder/" * 40 + "a.jpg", "s/" + "folder/" * 40 + "b.jpg"],
        ["s/" + "\u00e9" * 120 + "a.jpg", "s/" + "\u00e9" * 120 + "b.jpg"],
    ],
    ids=["folders", "case", "formats", "normalization", "long s", "JPEGs", "long paths", "long names"],
)
def test_every_exported_name_is_unique_and_short_enough(ids):
    named = _named(pd.DataFrame({"image_id": ids}))
    keys = {unicodedata.normalize("NFKD", name).casefold() for name in named["name"]}
    assert len(keys) == len(ids)  # without the suffix: it is no part of a WebDataset key
    assert all(
        len(f"{name}.{suffix}".encode()) <= 255 for name, suffix in zip(named["name"], named["suffix"], strict=True)
    )
    assert not named["name"].str.contains(r"[./]").any()


@pytest.mark.parametrize(
    ("name", "suffix", "converted"),
    [("s/a.gif", "png", True), ("s/a.jp2", "png", True), ("s/a.MPO", "jpg", False), ("s/a.TIF", "tif", False)],
)
def test_a_format_that_few_readers_know_is_exported_as_another(name, suffix, converted):
    (row,) = _named(pd.DataFrame({"image_id": [name]})).to_dict("records")
    assert (row["suffix"], row["converted"]) == (suffix, converted)


@pytest.mark.parametrize("kind", ["GIF", "JPEG2000", "AVIF", "PPM"])
def test_a_converted_image_has_the_same_size_and_shade(kind):
    content = io.BytesIO()
    Image.new("RGB", (40, 30), (200, 10, 10)).save(content, kind)
    image = Image.open(io.BytesIO(_converted(content.getvalue(), "s/a")), formats=["PNG"])
    assert image.size == (40, 30)
    assert np.abs(np.asarray(image).astype(int) - (200, 10, 10)).max() <= 16
