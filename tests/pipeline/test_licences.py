"""The licence of images, of the manifest, of exports and of models follows from where the images are from."""

import pandas as pd
import pyarrow.parquet as pq
import pytest

from pipeline.errors import FacemaskError
from pipeline.storage.licences import data_licence, hugging_face_licence, image_licences, licence_metadata, read_licence
from pipeline.storage.manifest import write_manifest

FFHQ = ("CC BY-NC-SA 4.0", "not to be used for face recognition")


def images(*rows):
    """Rows of (kind, ffhq_id, licence); every other one is rejected by read_licence's test."""
    return pd.DataFrame(rows, columns=["kind", "ffhq_id", "licence"]).astype({"ffhq_id": "Int32", "licence": object})


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (("ffhq", 5, "CC BY 2.0"), FFHQ),
        (("maskedface", 5, None), FFHQ),
        (("curated", None, None), FFHQ),
        (("folder", 5, None), FFHQ),
        (("folder", None, None), ("are yours",)),
        (("portraits", None, "CC0 1.0"), ("CC0 1.0",)),
        (("portraits", None, None), ("are yours",)),
        (("sample", 5, "Public domain"), ("public domain",)),
        (("sample", 5, None), ("are yours",)),
    ],
)
def test_the_sentence_is_that_of_the_image_s_origin_and_no_other(row, said):
    sentence = data_licence(images(row))
    assert all(words in sentence for words in said)
    everything = ("CC BY-NC-SA 4.0", "FFHQ", "are yours", "CC0 1.0", "public domain")
    assert {words for words in everything if words in sentence} <= {*said, *(["FFHQ"] if said == FFHQ else [])}


def test_the_sentences_of_several_origins_are_joined():
    sentence = data_licence(images(("folder", None, None), ("portraits", None, "CC0 1.0")))
    assert "are yours" in sentence and "CC0 1.0" in sentence and "FFHQ" not in sentence


def test_an_image_of_a_public_data_set_without_a_licence_of_its_own_gets_that_of_the_set():
    rows = images(("maskedface", 5, None), ("ffhq", 6, "CC BY 2.0"), ("folder", None, None), ("folder", 7, None))
    assert image_licences(rows).tolist() == ["CC BY-NC-SA 4.0", "CC BY 2.0", None, "CC BY-NC-SA 4.0"]


@pytest.mark.parametrize(
    ("rows", "identifier"),
    [
        ([("ffhq", 5, "CC BY 2.0"), ("sample", 5, "Public domain")], "cc-by-nc-sa-4.0"),
        ([("portraits", None, "CC0 1.0"), ("sample", 5, "Public domain")], "cc0-1.0"),
        ([("sample", 5, "Public domain")], "cc0-1.0"),
        ([("portraits", None, "CC0 1.0"), ("folder", None, None)], "other"),
        ([("folder", None, None)], "other"),
    ],
)
def test_a_model_card_has_the_identifier_of_the_strictest_licence(rows, identifier):
    assert hugging_face_licence(data_licence(images(*rows))) == identifier


def test_the_manifest_tells_of_all_its_images_and_a_data_set_of_the_accepted_ones(sample_workspace, tmp_path):
    rows = pq.read_table(sample_workspace / "data/manifest.parquet").to_pandas()
    rows = rows.assign(kind="sample").astype({"source": object})
    rejected = rows.index[~rows["accepted"]][0]
    rows.loc[rejected, ["source", "kind", "ffhq_id", "licence"]] = ["mine", "folder", None, None]
    write_manifest(rows, tmp_path / "manifest.parquet", licence_metadata(rows))
    said = pq.read_schema(tmp_path / "manifest.parquet").metadata[b"data_licence"].decode()
    assert "public domain" in said and "are yours" in said
    assert read_licence(tmp_path / "manifest.parquet") == data_licence(images(("sample", 1, "Public domain")))


def test_a_manifest_that_does_not_say_where_its_images_are_from_is_refused(sample_workspace, tmp_path):
    rows = pq.read_table(sample_workspace / "data/manifest.parquet").to_pandas()
    write_manifest(rows, tmp_path / "manifest.parquet", {})
    with pytest.raises(FacemaskError, match="run 'dvc repro curate'"):
        read_licence(tmp_path / "manifest.parquet")
