"""The manifest: one row for every image ever seen. This module alone defines its schema.

Also the schemas of the tables that it is made from: the index of a source, and the measured tables (no verdicts).
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.errors import FacemaskError
from pipeline.storage.files import replacing

SCHEMA_VERSION = 3


def _field(name: str, kind: Any, meaning: str, *, null: bool = False) -> pa.Field:
    """A column with its meaning; `null`: values may be missing."""
    return pa.field(name, kind, nullable=null, metadata={"meaning": meaning})


_WHOLE_NUMBERS = {pa.int8(): pd.Int8Dtype(), pa.int32(): pd.Int32Dtype(), pa.uint64(): pd.UInt64Dtype()}
_WORD = pa.dictionary(pa.int16(), pa.string())

# Where an image comes from: columns of a source's index.parquet, and of all tables made from it.
_IDENTITY = [
    _field("path", pa.string(), "path in the source, with /"),
    _field("archive", pa.string(), "archive that contains it; null: a file in a folder", null=True),
    _field("bytes", pa.int64(), "size of the file, bytes"),
    _field("sha256", pa.string(), "of the file, hex"),
]
_ATTRIBUTION = [
    _field("licence", pa.string(), "of the photo; null: the user's own, or not known", null=True),
    _field("author", pa.string(), "of the photo", null=True),
    _field("url", pa.string(), "of the photo", null=True),
]
_MEASUREMENTS = [
    _field("width", pa.int32(), "of the whole image, px; null: unreadable", null=True),
    _field("height", pa.int32(), "of the whole image, px; null: unreadable", null=True),
    _field("quality", pa.int8(), "JPEG quality by its quantization table, 1-100; 100: lossless format", null=True),
    _field("faces", pa.int8(), "number of faces; one with under a fifth of the largest one's area is not counted"),
    _field("yaw", pa.float32(), "head turned to the image's right, degrees; null: no face", null=True),
    _field("pitch", pa.float32(), "head bent down, degrees; null: no face", null=True),
    _field("roll", pa.float32(), "head tilted clockwise in the image, degrees; null: no face", null=True),
    _field("cover_nose", pa.float32(), "share of the nose under a mask, 0-1; null: no face", null=True),
    _field("cover_mouth", pa.float32(), "share of the lips under a mask, 0-1; null: no face", null=True),
    _field("cover_chin", pa.float32(), "share of the chin not bare below the mask, 0-1; null: no face", null=True),
    _field("cover_eyes", pa.float32(), "covered share of the bridge between the eyes, or of one eye", null=True),
    _field("cover_face", pa.float32(), "share of the lower face under a mask, 0-1; null: no face", null=True),
    _field("cover_total", pa.float32(), "share of face and surroundings under a mask, 0-1; null: no face", null=True),
    _field("cover_symmetry", pa.float32(), "the less covered side over the other, 0-1; null: no face", null=True),
    _field("sharpness", pa.float32(), "Laplacian's deviation at one size and brightness; null: no face", null=True),
    _field("noise", pa.float32(), "deviation of the noise in the face's smooth regions, grey levels", null=True),
    _field("brightness", pa.float32(), "mean luma of the face, 0-255; null: no face", null=True),
    _field("face_px", pa.float32(), "height of the face's outline, px of the whole image; null: no face", null=True),
    _field("frame_px", pa.float32(), "side of the training crop (FFHQ's frame), px of the whole image", null=True),
    _field("frame_inside", pa.float32(), "share of the training crop within the image, 0-1; null: no face", null=True),
    _field("face_inside", pa.float32(), "share of the face's outline within the image, 0-1; null: no face", null=True),
    _field("glasses", pa.float32(), "strongest line across the bridge of the nose, 0-1; null: no face", null=True),
    _field("skin_tone", pa.float32(), "individual typology angle of bare skin, degrees; null: not seen", null=True),
    _field("mask_lightness", pa.float32(), "mean CIELAB L* of the mask, 0-100; null: no mask", null=True),
    _field("mask_a", pa.float32(), "mean CIELAB a* of the mask; null: no mask", null=True),
    _field("mask_b", pa.float32(), "mean CIELAB b* of the mask; null: no mask", null=True),
    _field("face_grid", pa.binary(96), "coarse aligned face: L* 8 x 8, a* and b* 4 x 4 each; null: no face", null=True),
    _field("phash", pa.uint64(), "64-bit perceptual hash as imagehash.phash computes it; null: unreadable", null=True),
]  # fmt: skip

INDEX_SCHEMA = pa.schema(
    [
        *_IDENTITY,
        *_ATTRIBUTION,
        _field("subset", pa.string(), "training or validation, as FFHQ's own index divides its photos", null=True),
    ]
)

MEASURED_SCHEMA = pa.schema(
    [
        *_IDENTITY,
        *_MEASUREMENTS,
        _field(
            "landmarks",
            pa.binary(478 * 2 * 2),
            "478 x (x, y), int16 little-endian, 1/16384 of width and height; null: no face",
            null=True,
        ),
        _field("thumb", pa.binary(), "JPEG, at most 96 px wide and high; null: unreadable", null=True),
        _field("fine_hash", pa.binary(32), "256-bit perceptual hash of the photo without plain borders", null=True),
        _field("fine_hash_mirrored", pa.binary(32), "the same of the mirrored image", null=True),
        _field("face_hash", pa.binary(32), "256-bit perceptual hash of face_patch above a mask", null=True),
        _field("face_hash_mirrored", pa.binary(32), "the same of the mirrored patch", null=True),
        _field(
            "face_patch",
            pa.binary(48 * 48),
            "48 x 48 uint8: the face in FFHQ's frame (without a face: the photo), grey, 1 to 255; 0: beyond the photo",
            null=True,
        ),
        _field(
            "patch_frame",
            pa.binary(2 * 3 * 4),
            "2 x 3 float32, little-endian: from shares of the photo, x and y, to shares of the patch",
            null=True,
        ),
    ]
)

COMPARED_SCHEMA = pa.schema([field for field in MEASURED_SCHEMA if field.name not in ("landmarks", "thumb")])
"""What curation reads: all but what is for people and for stage `pack`."""

NUMBERS_SCHEMA = pa.schema([field for field in COMPARED_SCHEMA if field.name != "face_patch"])
"""COMPARED_SCHEMA without its large column."""

MANIFEST_SCHEMA = pa.schema(
    [
        _field("image_id", pa.string(), "SOURCE/PATH, unique"),
        _field("source", _WORD, "name of the source in params.yaml"),
        _field("domain", _WORD, "unmasked or masked: what the source should contain"),
        *_IDENTITY[:2],
        _field("ffhq_id", pa.int32(), "from the file name; joins a masked image with its unmasked photo", null=True),
        _field("claimed", _WORD, "label in the file name: unmasked, correct, nose_out, chin_out, chin_only", null=True),
        *_IDENTITY[2:],
        *_MEASUREMENTS,
        _field("dup_of", pa.string(), "image_id of the kept image that it duplicates", null=True),
        _field("dup_similarity", pa.float32(), "correlation of the two faces' detail, 0-1 (similarity.py)", null=True),
        _field("accepted", pa.bool_(), "whether it is kept for training"),
        _field("reasons", pa.list_(pa.string()), "why it was rejected: one or more, none if accepted"),
        _field("split", _WORD, "train, val or test, by person; null: not accepted", null=True),
        *_ATTRIBUTION,
        _field("review", _WORD, "keep or drop, from review.csv; null: not reviewed", null=True),
    ],
    metadata={"facemask_schema": str(SCHEMA_VERSION)},
)  # fmt: skip


def write_manifest(rows: pd.DataFrame, path: Path, licences: Mapping[str, str]) -> None:
    """Write the manifest to `path`, whole or not at all. `rows` has at least MANIFEST_SCHEMA's columns.

    `licences`: licences.licence_metadata(rows), for the file's metadata.
    """
    columns = [pa.array(rows[field.name].tolist(), field.type, from_pandas=True) for field in MANIFEST_SCHEMA]
    schema = MANIFEST_SCHEMA.with_metadata({**MANIFEST_SCHEMA.metadata, **licences})
    table = pa.Table.from_arrays(columns, schema=schema)
    with replacing(path) as beside:
        pq.write_table(table, beside, compression="zstd")


def to_frame(table: pa.Table) -> pd.DataFrame:
    """A table as a data frame in which integers stay integers beside nulls: as floats, hashes would lose bits."""
    return table.to_pandas(types_mapper=_WHOLE_NUMBERS.get)


def read_manifest(path: Path, columns: list[str] | None = None) -> pa.Table:
    """Read the manifest. Raises FacemaskError for a missing one, and for one of another schema version."""
    try:
        found = (pq.read_schema(path).metadata or {}).get(b"facemask_schema", b"none").decode()
        if found == str(SCHEMA_VERSION):
            return pq.read_table(path, columns=columns)
    except (OSError, pa.ArrowInvalid) as error:
        raise FacemaskError(f"no manifest can be read at {path}: run 'dvc repro curate'") from error
    raise FacemaskError(
        f"{path} has manifest schema {found}, and this facemask reads {SCHEMA_VERSION}: run 'dvc repro curate'"
    )


def with_column(table: pa.Table, name: str, values: Sequence[str]) -> pa.Table:
    """A table of MEASURED_SCHEMA with other values in one column."""
    field = MEASURED_SCHEMA.field(name)
    return table.set_column(table.schema.get_field_index(name), field, pa.array(values, field.type))


def read_table(path: Path, schema: pa.Schema, again: str) -> pa.Table:
    """Read `schema`'s columns of a table.

    Raises FacemaskError where it has other columns; `again` is the command that makes it, for the message.
    """
    try:
        return pq.read_table(path, columns=schema.names).cast(schema)
    except (OSError, ValueError, pa.ArrowException) as error:
        raise FacemaskError(f"{path} is not a table with the expected columns: run '{again}'") from error
