"""Licences, derived from the kinds of sources: of each image, of a set of images, and of what is made from it.

A source's kind says what its images are, except where a user provides files: in a source of kind `folder`, names in the
layout of FFHQ or MaskedFace-Net say so; all other files are the user's own, and facemask knows no licence of them.
"""

import json
from pathlib import Path

import pandas as pd

from pipeline.errors import FacemaskError
from pipeline.storage.manifest import read_manifest

NON_COMMERCIAL = "CC BY-NC-SA 4.0"
"""The licence of FFHQ and of MaskedFace-Net, as the manifest's column `licence` names it."""

_KINDS = "source_kinds"  # in the manifest's metadata: JSON, source -> kind
_PUBLIC_DATA_SETS = ("ffhq", "maskedface", "curated")  # kinds of sources; `curated` is a selection of the other two
_SENTENCES = {
    "ffhq": f"FFHQ and MaskedFace-Net are under {NON_COMMERCIAL}, without commercial use; each of FFHQ's photos has "
    "its own licence too (column licence), and FFHQ is not to be used for face recognition.",
    "portraits": "The portraits are under CC0 1.0.",
    "sample": "The embedded sample is in the public domain.",
    "own": "Images from your own folders are yours: facemask knows no licence of them.",
}


def data_licence(images: pd.DataFrame) -> str:
    """The licence of a set of images and of what is made from it, one sentence for each origin that occurs.

    `images` has the columns `kind` (of the source), `ffhq_id` and `licence`.
    """
    found = set(_origins(images))
    return " ".join(sentence for origin, sentence in _SENTENCES.items() if origin in found) or "There are no images."


def licence_metadata(images: pd.DataFrame) -> dict[str, str]:
    """The manifest's metadata on licences: the sentence on all its images, and the kind of each source.

    `images` has the columns of data_licence, and `source`.
    """
    kinds = images.drop_duplicates("source").set_index("source")["kind"]
    return {"data_licence": data_licence(images), _KINDS: json.dumps(kinds.to_dict())}


def read_licence(manifest: Path) -> str:
    """The licence of the accepted images of a manifest, and of the data set or model that is made from them.

    Raises FacemaskError as read_manifest does, and for a manifest without licence_metadata.
    """
    table = read_manifest(manifest, ["source", "ffhq_id", "licence", "accepted"])
    kinds = json.loads(table.schema.metadata.get(_KINDS.encode(), b"{}"))
    rows = table.to_pandas()
    if not kinds.keys() >= set(rows["source"]):
        raise FacemaskError(f"{manifest} does not say of what kinds its sources are: run 'dvc repro curate'")
    return data_licence(rows[rows["accepted"]].assign(kind=lambda images: images["source"].astype(object).map(kinds)))


def image_licences(images: pd.DataFrame) -> pd.Series:
    """The licence of each image: its source's, or that of the data set that it comes from; null for the user's own."""
    licences = images["licence"].astype(object).where(images["licence"].notna(), None)
    return licences.mask(licences.isna() & _origins(images).eq("ffhq"), NON_COMMERCIAL)


def hugging_face_licence(sentence: str) -> str:
    """The identifier, as model cards at Hugging Face have it, for a licence that data_licence returned."""
    if NON_COMMERCIAL in sentence:
        return "cc-by-nc-sa-4.0"
    free = {_SENTENCES["portraits"], _SENTENCES["sample"], " ".join([_SENTENCES["portraits"], _SENTENCES["sample"]])}
    return "cc0-1.0" if sentence in free else "other"


def _origins(images: pd.DataFrame) -> pd.Series:
    """The key of _SENTENCES for each image."""
    kind, licensed = images["kind"], images["licence"].notna()
    origins = pd.Series("own", images.index, dtype=object)
    origins[(kind == "folder") & images["ffhq_id"].notna()] = "ffhq"
    origins[kind.isin(_PUBLIC_DATA_SETS)] = "ffhq"
    for name in ("portraits", "sample"):
        origins[(kind == name) & licensed] = name  # a file from the inbox has none
    return origins
