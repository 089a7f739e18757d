import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import FacemaskError
from pipeline.storage.manifest import MANIFEST_SCHEMA, read_manifest, to_frame, write_manifest

VALUES = {
    pa.string(): st.text(),
    pa.int8(): st.integers(-128, 127),
    pa.int32(): st.integers(-(2**31), 2**31 - 1),
    pa.int64(): st.integers(-(2**63), 2**63 - 1),
    pa.uint64(): st.integers(0, 2**64 - 1),
    pa.float32(): st.floats(width=32, allow_nan=False),
    pa.bool_(): st.booleans(),
    pa.dictionary(pa.int16(), pa.string()): st.sampled_from(["one", "two"]),
    pa.binary(96): st.binary(min_size=96, max_size=96),
    pa.list_(pa.string()): st.lists(st.text(), max_size=3),
}


def value(field):
    return st.none() | VALUES[field.type] if field.nullable else VALUES[field.type]


rows = st.lists(st.fixed_dictionaries({field.name: value(field) for field in MANIFEST_SCHEMA}), max_size=5)


@given(rows)
def test_a_written_manifest_is_read_back_unchanged(tmp_path_factory, values):
    path = tmp_path_factory.mktemp("manifest") / "manifest.parquet"
    columns = {f.name: pd.Series([row[f.name] for row in values], dtype=object) for f in MANIFEST_SCHEMA}
    write_manifest(pd.DataFrame(columns), path, {})
    assert read_manifest(path).to_pylist() == values


def test_each_column_has_a_meaning():
    assert all(field.metadata[b"meaning"] for field in MANIFEST_SCHEMA)


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"facemask_schema": "0"}, "schema 0"),
        ({"facemask_schema": "1"}, "schema 1, and this facemask reads 3"),
        ({}, "schema none"),
    ],
)
def test_another_schema_version_is_refused_with_the_command_to_run(tmp_path, metadata, message):
    path = tmp_path / "manifest.parquet"
    pq.write_table(pa.table({"a": [1]}).replace_schema_metadata(metadata), path)
    with pytest.raises(FacemaskError, match=message) as error:
        read_manifest(path)
    assert "dvc repro curate" in str(error.value)


@pytest.mark.parametrize("content", [None, b"", b"text"])
def test_a_missing_or_broken_manifest_is_refused_with_the_command_to_run(tmp_path, content):
    path = tmp_path / "manifest.parquet"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(FacemaskError, match="dvc repro curate"):
        read_manifest(path)


def test_hashes_keep_all_bits_in_pandas_beside_nulls():
    frame = to_frame(pa.table({"phash": pa.array([2**64 - 1, None], pa.uint64())}))
    assert frame["phash"][0] == 2**64 - 1
