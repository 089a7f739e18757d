import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.errors import FacemaskError
from pipeline.faces.conditioning import conditioning_maps
from pipeline.faces.landmarks import decode_landmarks, encode_landmarks
from pipeline.faces.training_crop import MeasuredFace, training_crop
from pipeline.stages import pack as pack_module
from pipeline.stages.pack import _create_set
from pipeline.storage import packed_arrays as packed
from pipeline.storage.packed_arrays import read_info, read_set
from pipeline.storage.shards import read_members
from tests.conftest import demo_params, inside, pack_here, write_params


def test_every_accepted_image_is_packed_once(sample_workspace):
    rows = pd.read_parquet(sample_workspace / "data/manifest.parquet")
    expected = rows[rows["accepted"]].groupby(["domain", "split"], observed=True)["image_id"].apply(list)
    for (domain, split), ids in expected.items():
        assert read_set(sample_workspace / "data/train", domain, split).image_ids == sorted(ids)


def test_the_arrays_have_their_space_on_disk_before_they_are_filled(tmp_path):
    rows = pd.DataFrame({"image_id": ["a"], "ffhq_id": [None], "yaw": [0.0]})
    _create_set(tmp_path, "unmasked_train", rows, 286)
    for path in tmp_path.glob("*.npy"):
        assert path.stat().st_blocks * 512 >= path.stat().st_size


def test_the_packed_yaws_are_those_of_the_manifest(sample_workspace):
    yaws = pd.read_parquet(sample_workspace / "data/manifest.parquet").set_index("image_id")["yaw"]
    faces = read_set(sample_workspace / "data/train", "unmasked", "train")
    assert faces.yaws.tolist() == yaws[faces.image_ids].tolist()


def test_the_packed_ffhq_ids_are_those_of_the_manifest(sample_workspace):
    expected = pd.read_parquet(sample_workspace / "data/manifest.parquet").set_index("image_id")["ffhq_id"]
    faces = read_set(sample_workspace / "data/train", "masked", "train")
    assert faces.ffhq_ids == expected[faces.image_ids].astype(int).tolist()


def test_an_unknown_ffhq_id_is_packed_as_none(tmp_path):
    rows = pd.DataFrame({"image_id": ["a", "b"], "ffhq_id": [None, 7], "yaw": [0.0, np.nan]})
    _create_set(tmp_path, "masked_test", rows, 32)
    assert read_set(tmp_path, "masked", "test").ffhq_ids == [None, 7]


def test_images_have_the_load_size_and_landmarks_are_shares_of_it(sample_workspace):
    px = read_info(sample_workspace / "data/train").load_px
    faces = read_set(sample_workspace / "data/train", "masked", "train")
    assert faces.images.shape == (len(faces), px, px, 3) and faces.landmarks.shape == (len(faces), 478, 2)
    assert 0.4 < np.median(faces.landmarks) < 0.7


def conditioning(workspace, domain):
    """The conditioning maps (N, 96, 96, 2) that training draws from the packed landmarks."""
    faces = read_set(workspace / "data/train", domain, "train")
    return np.stack([conditioning_maps(points, 96, 96) for points in faces.landmarks])


def test_the_region_covers_the_lower_face(sample_workspace):
    regions = conditioning(sample_workspace, "unmasked")[..., 0]
    upper, lower = np.split(regions, 2, axis=1)
    assert (lower > 0).mean() > 3 * (upper > 0).mean()
    assert (regions > 0).mean(axis=(1, 2)).min() > 0.05


def test_the_sketch_has_lips_within_the_region(sample_workspace):
    for domain in ("unmasked", "masked"):
        maps = conditioning(sample_workspace, domain)
        lips = maps[..., 1] > 130
        assert lips.any(axis=(1, 2)).all()
        assert (maps[..., 0][lips] == 255).mean() > 0.95


@pytest.mark.parametrize("split", packed.SPLITS)
def test_areas_are_packed_of_masked_faces_only(sample_workspace, split):
    folder = sample_workspace / "data/train"
    assert packed.areas_path(folder, packed.set_name("masked", split)).exists()
    assert not packed.areas_path(folder, packed.set_name("unmasked", split)).exists()
    assert read_set(folder, "masked", split).areas is not None
    assert read_set(folder, "unmasked", split).areas is None


def test_the_packed_area_is_mostly_the_lower_face_and_leaves_the_upper_half_free(sample_workspace):
    faces = read_set(sample_workspace / "data/train", "masked", "train")
    px = faces.images.shape[1]
    areas = np.stack([packed.mask_area(faces, index) for index in range(len(faces))])
    assert areas.shape == (len(faces), px, px)
    regions = np.stack([conditioning_maps(points, px, px)[..., 0] > 0 for points in faces.landmarks])
    assert np.median((areas & regions).sum(axis=(1, 2)) / regions.sum(axis=(1, 2))) > 0.6
    assert areas[:, : px // 4].mean() < 0.01


@pytest.mark.parametrize("width", [8, 36, 61])
def test_an_area_of_any_width_survives_packing(tmp_path, width):
    areas = np.random.default_rng(0).random((2, width, width)) > 0.5
    rows = pd.DataFrame({"image_id": ["a", "b"], "ffhq_id": [None, None], "yaw": [0.0, 0.0]})
    arrays = _create_set(tmp_path, "masked_test", rows, width)
    for place, area in enumerate(areas):
        arrays.areas[place] = packed.packed_area(area)
    found = read_set(tmp_path, "masked", "test")
    assert all(np.array_equal(packed.mask_area(found, place), areas[place]) for place in (0, 1))


def test_packing_again_gives_the_same_bytes(sample_workspace, tmp_path):
    shutil.copytree(sample_workspace, tmp_path / "w")
    before = {path.name: path.read_bytes() for path in (tmp_path / "w/data/train").iterdir()}
    with inside(tmp_path / "w"):
        pack_here()
    assert {path.name: path.read_bytes() for path in (tmp_path / "w/data/train").iterdir()} == before


def test_the_content_digest_depends_on_the_landmarks(sample_workspace, tmp_path):
    shutil.copytree(sample_workspace, tmp_path / "w")
    before = read_info(tmp_path / "w/data/train").content
    move_face(tmp_path / "w", read_set(tmp_path / "w/data/train", "masked", "train").image_ids[0])
    with inside(tmp_path / "w"):
        pack_here()
    assert read_info(tmp_path / "w/data/train").content != before


def test_the_content_digest_depends_on_the_areas(sample_workspace, tmp_path, monkeypatch):
    shutil.copytree(sample_workspace, tmp_path / "w")
    monkeypatch.setattr(pack_module, "find_mask_area", lambda face: np.ones(face.image.shape[:2], np.bool_))
    with inside(tmp_path / "w"):
        pack_here()
    before, after = (folder / "data/train" for folder in (sample_workspace, tmp_path / "w"))
    assert read_info(after).content != read_info(before).content
    assert packed.mask_area(read_set(after, "masked", "train"), 0).all()


def test_a_masked_face_without_landmarks_has_an_empty_area(sample_workspace, monkeypatch):
    px = 32
    without = np.zeros((px, px, 3), np.uint8), np.full((478, 2), np.nan, np.float32)
    monkeypatch.setattr(pack_module, "training_crop", lambda *_: without)
    parts, _ = pack_module._packed_face(b"", None, px, True)
    assert parts.areas.shape == (px, px // 8) and not parts.areas.any()


def test_the_content_digest_depends_on_nothing_else_in_the_manifest(sample_workspace, tmp_path):
    shutil.copytree(sample_workspace, tmp_path / "w")
    manifest = tmp_path / "w/data/manifest.parquet"
    table = pq.read_table(manifest)
    position = table.schema.get_field_index("sharpness")
    changed = table.set_column(position, table.schema.field(position), pa.array([1.0] * len(table), pa.float32()))
    pq.write_table(changed, manifest)
    with inside(tmp_path / "w"):
        pack_here()
    before, after = (read_info(folder / "data/train").content for folder in (sample_workspace, tmp_path / "w"))
    assert after == before


def test_an_image_is_packed_as_its_landmarks_frame_it(sample_workspace, tmp_path):
    shutil.copytree(sample_workspace, tmp_path / "w")
    before = read_set(sample_workspace / "data/train", "masked", "train")
    face = move_face(tmp_path / "w", before.image_ids[0])
    with inside(tmp_path / "w"):
        pack_here()
    after = read_set(tmp_path / "w/data/train", "masked", "train")
    content = raw_file(tmp_path / "w", before.image_ids[0])
    image, points = training_crop(content, face, before.images.shape[1])
    assert np.array_equal(after.images[0], image) and np.array_equal(after.landmarks[0], points)
    assert not np.array_equal(after.images[0], before.images[0])
    assert np.array_equal(after.images[1:], before.images[1:])


def raw_file(folder, image_id):
    row = pd.read_parquet(folder / "data/manifest.parquet").set_index("image_id").loc[image_id]
    return next(read_members(folder / "data/raw" / row["source"] / row["archive"], [row["path"]]))


def move_face(folder, image_id):
    """Have the measured table say that the face of an image is half as large, in its upper left; return it."""
    row = pd.read_parquet(folder / "data/manifest.parquet").set_index("image_id").loc[image_id]
    (path,) = (folder / "data/measured" / row["source"]).glob(f"{Path(row['archive']).stem}.parquet")
    table = pq.read_table(path)
    rows = table.to_pylist()
    (measured,) = [entry for entry in rows if entry["path"] == row["path"]]
    measured["landmarks"] = encode_landmarks(decode_landmarks(measured["landmarks"]) / 2)
    path.unlink()  # not written through: it may be linked to the cache
    pq.write_table(pa.Table.from_pylist(rows, table.schema), path)
    return MeasuredFace(measured["width"], measured["height"], measured["landmarks"])


def test_a_pack_of_another_schema_is_refused(sample_workspace, tmp_path):
    shutil.copytree(sample_workspace / "data/train", tmp_path / "train")
    info = json.loads((tmp_path / "train/pack.json").read_text())
    (tmp_path / "train/pack.json").write_text(json.dumps(info | {"schema": 0}))
    with pytest.raises(FacemaskError, match="schema 0, not 6"):
        read_info(tmp_path / "train")


def test_missing_arrays_name_the_command_that_makes_them(tmp_path):
    with pytest.raises(FacemaskError, match="dvc repro pack"):
        read_set(tmp_path, "masked", "train")
    with pytest.raises(FacemaskError, match="dvc repro pack"):
        read_info(tmp_path)


def test_a_pack_without_areas_is_refused_in_one_line(sample_workspace, tmp_path):
    shutil.copytree(sample_workspace / "data/train", tmp_path / "train")
    packed.areas_path(tmp_path / "train", "masked_train").unlink()
    with pytest.raises(FacemaskError, match="dvc repro pack") as caught:
        read_set(tmp_path / "train", "masked", "train")
    assert "\n" not in str(caught.value)
    assert len(read_set(tmp_path / "train", "unmasked", "train"))


def test_fewer_areas_than_masked_faces_are_refused(sample_workspace, tmp_path):
    shutil.copytree(sample_workspace / "data/train", tmp_path / "train")
    path = packed.areas_path(tmp_path / "train", "masked_train")
    areas = np.load(path)
    path.unlink()
    np.save(path, areas[1:])
    with pytest.raises(FacemaskError, match="differ in length"):
        read_set(tmp_path / "train", "masked", "train")


def test_pack_json_has_the_licence_of_the_data(sample_workspace):
    assert read_info(sample_workspace / "data/train").data_licence == "The embedded sample is in the public domain."


def test_arrays_of_different_length_are_refused(sample_workspace, tmp_path):
    shutil.copytree(sample_workspace / "data/train", tmp_path / "train")
    packed.write_faces(packed.array_paths(tmp_path / "train", "masked_train")[2], ["one"], [None], [0.0])
    with pytest.raises(FacemaskError, match="differ in length"):
        read_set(tmp_path / "train", "masked", "train")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"masked": {"test": "train"}},
            r"masked images is in the split 'test', .* raise curate\.split\.test in params",
        ),
        (
            {"unmasked": {"test": "val"}},
            r"unmasked images is in the split 'test', .* raise curate\.split\.test in params",
        ),
        (
            {"masked": {"train": "test"}},
            r"masked images is in the split 'train', .* lower curate\.split\.test in params",
        ),
        ({"masked": None}, "no masked image was accepted, .* 'domain: masked' to params.yaml"),
        ({"unmasked": None}, "no unmasked image was accepted, .* 'domain: unmasked' to params.yaml"),
    ],
    ids=["no masked test", "no unmasked test", "no masked train", "no masked", "no unmasked"],
)
def test_an_empty_set_that_training_or_evaluation_needs_is_refused(sample_workspace, tmp_path, change, message):
    table = pq.read_table(sample_workspace / "data/manifest.parquet")
    rows = table.to_pylist()
    for row in rows:
        if row["domain"] in change:
            splits = change[row["domain"]]
            row["accepted"] = row["accepted"] and splits is not None
            row["split"] = (splits or {}).get(row["split"], row["split"])
    (tmp_path / "data").mkdir()
    pq.write_table(pa.Table.from_pylist(rows, table.schema), tmp_path / "data/manifest.parquet")
    write_params(tmp_path, demo_params())
    with inside(tmp_path), pytest.raises(FacemaskError, match=message):
        pack_here()
    assert not (tmp_path / "data/train").exists()
