"""`facemask export-data`: the accepted images in formats that other training code reads.

    folders      trainA/ trainB/ testA/ ...: A unmasked, B masked, as the CycleGAN authors' code reads them
    webdataset   SPLIT-DOMAIN-000000.tar ...: a sample is KEY.jpg or .png and KEY.json (Aizman et al. 2019)
    parquet      SPLIT-00000.parquet ...: a column `image` of {bytes, path}, as Hugging Face `datasets` decodes it
    stylegan     SPLIT.zip: square PNGs and dataset.json with labels (1 masked), as StyleGAN2-ADA's dataset tool

`stylegan` cuts each face out in FFHQ's frame, as stage `pack` does. All others contain the original files unchanged,
with the whole photo where an image is not in FFHQ's frame: the CycleGAN authors' code squeezes what is not square, so
`stylegan`, with both domains in one file and their labels, is the one to take for photos of other framings.
"""

import io
import json
import tarfile
import unicodedata
import zipfile
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from PIL import Image

from pipeline.errors import FacemaskError
from pipeline.paths import Paths
from pipeline.progress import Progress
from pipeline.storage.files import digest_of, replacing_folder, require_no_file
from pipeline.storage.images import decode
from pipeline.storage.licences import read_licence
from pipeline.storage.manifest import read_manifest
from pipeline.storage.packed_arrays import DOMAINS, SPLITS
from pipeline.storage.shards import read_members

_SIDE = 256  # px of StyleGAN's squares, which must be a power of 2
_NAME_BYTES = 200  # of an exported file's name, without digest and suffix: file systems take 255
_JPEG_SUFFIXES = ["jpe", "jif", "jfif", "mpo"]  # which few readers know
_KNOWN_SUFFIXES = ["jpg", "jpeg", "png", "webp", "bmp", "tif", "tiff"]  # which readers know; others become PNGs
_PER_FILE = 1000  # images of a tar or Parquet file
_DESCRIPTION = ["image_id", "domain", "split", "licence", "author", "url", "sha256"]
_ATTRIBUTION = ["split", "name", "image_id", "licence", "author", "url"]  # columns of attribution.csv
_COLUMNS = [*_DESCRIPTION, "source", "archive", "path", "accepted"]

Samples = Iterator[tuple[dict[str, Any], bytes]]
"""Rows of the manifest with `name`, unique, and `suffix` for the exported file, each with the file's content."""


def export_data(out: Path, form: str) -> None:
    """Write all accepted images to the folder `out`, whole or not at all; `form` is a key of FORMATS.

    Raises FacemaskError if `out` exists or there is no manifest.
    """
    require_no_file(out.parent)
    if out.exists():
        raise FacemaskError(f"{out} already exists: choose another --out, or move it away")
    rows = read_manifest(Paths().manifest, _COLUMNS).to_pandas()
    rows = _named(rows[rows["accepted"]].sort_values(["source", "archive", "path"], ignore_index=True))
    progress = Progress("export-data", len(rows))
    write = FORMATS[form]
    with replacing_folder(out) as made:
        for split in SPLITS:
            part = rows[rows["split"] == split]
            if len(part):
                write(made, split, part, progress)
        (made / "LICENCE.txt").write_text(f"{read_licence(Paths().manifest)}\n", encoding="utf-8")
        rows[_ATTRIBUTION].to_csv(made / "attribution.csv", index=False)
    print(f"export-data: {len(rows):,} images as {form}: {out}", flush=True)


def _named(rows: pd.DataFrame) -> pd.DataFrame:
    """Add `name` and `suffix` of the exported file; image ids of long or equal names get a digest of the id.

    Names are equal that some file system or Unicode normalization takes for one.
    """
    parts = rows["image_id"].str.rpartition(".")
    names = parts[0].str.replace(r"[/.]", "_", regex=True)
    alike = names.map(lambda name: unicodedata.normalize("NFKC", name).casefold())
    short = names.map(lambda name: name.encode()[:_NAME_BYTES].decode(errors="ignore"))
    marked = alike.duplicated(keep=False) | (short != names)
    names = short.where(~marked, short + "_" + rows["image_id"].map(digest_of))
    suffixes = parts[2].str.lower().replace(_JPEG_SUFFIXES, "jpg")
    is_known = suffixes.isin(_KNOWN_SUFFIXES)
    return rows.assign(name=names, suffix=suffixes.where(is_known, "png"), converted=~is_known)


def _samples(rows: pd.DataFrame, progress: Progress) -> Samples:
    """Read the files of the rows, shard by shard; those of formats that few readers know become PNGs."""
    for (source, shard), part in rows.groupby(["source", "archive"], observed=True):
        contents = read_members(Paths().raw / str(source) / str(shard), part["path"])
        for row, content in zip(part.to_dict("records"), contents, strict=True):
            yield row, _converted(content, row["image_id"]) if row["converted"] else content
            progress.add(1)


def _folders(out: Path, split: str, rows: pd.DataFrame, progress: Progress) -> None:
    for letter, domain in zip("AB", DOMAINS, strict=True):
        folder = out / f"{split}{letter}"
        folder.mkdir()
        for row, content in _samples(rows[rows["domain"] == domain], progress):
            (folder / f"{row['name']}.{row['suffix']}").write_bytes(content)


def _webdataset(out: Path, split: str, rows: pd.DataFrame, progress: Progress) -> None:
    for domain in DOMAINS:
        samples = _samples(rows[rows["domain"] == domain], progress)
        for number, some in enumerate(_in_parts(samples)):
            with tarfile.open(out / f"{split}-{domain}-{number:06d}.tar", "w") as tar:
                for row, content in some:
                    description = json.dumps(_description(row), ensure_ascii=False).encode()
                    for suffix, data in ((row["suffix"], content), ("json", description)):
                        member = tarfile.TarInfo(f"{row['name']}.{suffix}")
                        member.size = len(data)
                        tar.addfile(member, io.BytesIO(data))


def _parquet(out: Path, split: str, rows: pd.DataFrame, progress: Progress) -> None:
    text = {"dtype": "string", "_type": "Value"}
    features = {"image": {"_type": "Image"}, **dict.fromkeys(_DESCRIPTION, text)}
    schema = pa.schema(
        [
            ("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
            *((name, pa.string()) for name in _DESCRIPTION),
        ],
        metadata={
            "huggingface": json.dumps({"info": {"features": features}}),
            "data_licence": read_licence(Paths().manifest),
        },
    )
    for number, some in enumerate(_in_parts(_samples(rows, progress))):
        records = [
            {"image": {"bytes": content, "path": f"{row['name']}.{row['suffix']}"}, **_description(row)}
            for row, content in some
        ]
        pq.write_table(pa.Table.from_pylist(records, schema), out / f"{split}-{number:05d}.parquet", row_group_size=100)


def _stylegan(out: Path, split: str, rows: pd.DataFrame, progress: Progress) -> None:
    # Loads OpenCV, which the other formats do not need.
    from pipeline.faces.training_crop import read_measured_faces, training_crop

    labels, shard, faces = [], None, {}
    with zipfile.ZipFile(out / f"{split}.zip", "w", zipfile.ZIP_STORED) as archive:
        for number, (row, content) in enumerate(_samples(rows, progress)):
            name = f"{number // 1000:05d}/img{number:08d}.png"
            if shard != (shard := (row["source"], row["archive"])):
                faces = read_measured_faces(Paths().measured, *shard)
            square, _ = training_crop(content, faces[row["path"]], _SIDE)
            archive.writestr(name, _png(square))
            labels.append([name, DOMAINS.index(row["domain"])])
        archive.writestr("dataset.json", json.dumps({"labels": labels}))


FORMATS: dict[str, Callable[[Path, str, pd.DataFrame, Progress], None]] = {
    "folders": _folders,
    "webdataset": _webdataset,
    "parquet": _parquet,
    "stylegan": _stylegan,
}


def _converted(content: bytes, image_id: str) -> bytes:
    """Return an image file as a PNG, upright. Raises FacemaskError for one that cannot be read."""
    if (picture := decode(content, None)) is None:
        raise FacemaskError(f"{image_id} cannot be read as an image: run 'dvc repro curate'")
    return _png(picture.pixels())


def _png(pixels: NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def _description(row: dict[str, Any]) -> dict[str, str | None]:
    return {name: None if pd.isna(row[name]) else str(row[name]) for name in _DESCRIPTION}


def _in_parts(samples: Samples) -> Iterator[list[tuple[dict[str, Any], bytes]]]:
    while some := list(islice(samples, _PER_FILE)):
        yield some
