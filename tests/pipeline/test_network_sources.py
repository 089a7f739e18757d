"""Network sources, with mirrors in local folders: their files, shards and index rows."""

import hashlib
import io
import json
import shutil
import zipfile

import fsspec
import pandas as pd
import pytest

from pipeline.errors import FacemaskError
from pipeline.paths import Paths
from pipeline.sources import addresses
from pipeline.sources import network_sources as network
from pipeline.sources.change_detection import record_change
from pipeline.sources.verify import verify
from tests.conftest import demo_params, fetch_here, inside, write_params

LAST = 5  # images in the small FFHQ


@pytest.fixture
def workspace(tmp_path):
    """An empty workspace with the folder `mirror` as its mirror and two images in each shard."""
    (tmp_path / "mirror").mkdir()
    with inside(tmp_path):
        yield tmp_path


def use(workspace, source, **more):
    values = demo_params()
    values["sources"] = {"own": {"domain": "unmasked", **source}}
    values["fetch"] |= {"archive_images": 2, "mirror": str(workspace / "mirror"), **more}
    write_params(workspace, values)


def put(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def zipped(*names):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name in names:
            archive.writestr(name, name.encode())
    return out.getvalue()


def index(workspace):
    return pd.read_parquet(workspace / "data/raw/own/index.parquet").set_index("path")


def shards(workspace):
    return {path.name: path.read_bytes() for path in (workspace / "data/raw/own").glob("*.zip")}


def entry(number, content):
    def file(size):
        path = f"{size}/00000/{number:05d}.png"
        url = f"https://drive.google.com/uc?id=id{number}"
        return {
            "file_path": path,
            "file_url": url,
            "file_size": len(content),
            "file_md5": hashlib.md5(content).hexdigest(),
            "pixel_size": [1024, 1024],
            "face_landmarks": [[1.5, 2.25]],
        }

    return {
        "category": "training" if number < 3 else "validation",
        "metadata": {"photo_url": f"https://photo/{number}", "author": "Ann Ö.", "license": "CC0", "country": ""},
        "image": file("images1024x1024"),
        "thumbnail": file("thumbnails128x128"),
        "in_the_wild": {},
    }


@pytest.fixture
def small_ffhq(workspace, monkeypatch):
    """A mirror of an FFHQ with LAST images; the digest of its index replaces the real one."""
    entries = {}
    for number in range(LAST):
        content = f"image {number}".encode()
        put(workspace / f"mirror/ffhq/images1024x1024/00000/{number:05d}.png", content)
        entries[str(number)] = entry(number, content)
    text = json.dumps(entries).encode()
    put(workspace / "mirror/ffhq/ffhq-dataset-v2.json", text)
    known = {"index": {"file": "ffhq-dataset-v2.json", "drive": "x", "bytes": len(text)}}
    known["index"]["md5"] = hashlib.md5(text).hexdigest()
    (workspace / "addresses.yaml").write_text(json.dumps({"ffhq": known}))
    monkeypatch.setattr(addresses, "ADDRESSES", workspace / "addresses.yaml")
    use(workspace, {"kind": "ffhq", "images": "images1024x1024", "ids": [0, LAST]})
    return workspace


def test_ffhq_rows_have_licence_author_photo_url_and_subset(small_ffhq):
    fetch_here("own")
    rows = index(small_ffhq)
    assert len(rows) == LAST
    about = rows.loc["images1024x1024/00000/00004.png", ["licence", "author", "url", "subset"]].tolist()
    assert about == ["CC0", "Ann Ö.", "https://photo/4", "validation"]


def test_ffhq_ids_select_a_range(small_ffhq):
    use(small_ffhq, {"kind": "ffhq", "images": "images1024x1024", "ids": [1, 3]})
    fetch_here("own")
    assert index(small_ffhq).index.tolist() == [f"images1024x1024/00000/0000{number}.png" for number in (1, 2)]


def test_a_wider_range_keeps_existing_shards(small_ffhq):
    use(small_ffhq, {"kind": "ffhq", "images": "images1024x1024", "ids": [0, 2]})
    fetch_here("own")
    before = shards(small_ffhq)
    use(small_ffhq, {"kind": "ffhq", "images": "images1024x1024", "ids": [0, LAST]})
    fetch_here("own")
    assert before.items() < shards(small_ffhq).items()
    assert len(index(small_ffhq)) == LAST


def test_a_narrower_range_downloads_nothing(small_ffhq):
    fetch_here("own")
    shutil.rmtree(small_ffhq / "mirror/ffhq/images1024x1024")
    use(small_ffhq, {"kind": "ffhq", "images": "images1024x1024", "ids": [0, 3]})
    fetch_here("own")
    assert len(index(small_ffhq)) == 3


def test_missing_files_are_named_and_only_they_are_downloaded_by_the_next_run(small_ffhq, capsys):
    gone = small_ffhq / "mirror/ffhq/images1024x1024/00000/00002.png"
    content = gone.read_bytes()
    gone.unlink()
    with pytest.raises(FacemaskError, match=r"1 of source 'own' missing, first images1024x1024/00000/00002"):
        fetch_here("own")
    assert "00002.png is missing" in capsys.readouterr().out
    before = shards(small_ffhq)
    assert before
    shutil.rmtree(small_ffhq / "mirror/ffhq/images1024x1024")
    put(gone, content)
    fetch_here("own")
    assert len(index(small_ffhq)) == LAST
    assert before.items() < shards(small_ffhq).items()


def test_a_file_in_the_inbox_replaces_one_that_cannot_be_downloaded(small_ffhq):
    path = "images1024x1024/00000/00002.png"
    shutil.move(small_ffhq / "mirror/ffhq" / path, small_ffhq / "kept.png")
    with pytest.raises(FacemaskError, match="missing"):
        fetch_here("own")
    put(small_ffhq / "data/inbox/own" / path, (small_ffhq / "kept.png").read_bytes())
    fetch_here("own")
    assert len(index(small_ffhq)) == LAST


def test_an_image_with_another_digest_than_in_the_index_is_refused(small_ffhq):
    put(small_ffhq / "mirror/ffhq/images1024x1024/00000/00001.png", b"IMAGE 1")
    with pytest.raises(FacemaskError, match=r"00001\.png"):
        fetch_here("own")


def test_json_that_is_not_the_index_is_refused(small_ffhq):
    from pipeline.sources import ffhq_index as ffhq

    put(small_ffhq / "list.json", b'{"0": {"category": "training"}}')
    with pytest.raises(FacemaskError, match="is not FFHQ's index"):
        ffhq.write_table(small_ffhq / "list.json", small_ffhq / "out.pq")
    assert not (small_ffhq / "out.pq").exists()


@pytest.fixture
def small_maskedface(workspace):
    for number, name in enumerate(("CMFD-1", "CMFD-2", "IMFD-1", "IMFD-2")):
        members = [f"{name[:4]}/0000{number}/{number}000{digit}_Mask.jpg" for digit in range(3)]
        put(workspace / f"mirror/maskedface/{name}.zip", zipped(*members, "read.me"))
    use(workspace, {"kind": "maskedface", "domain": "masked"})
    return workspace


def test_downloaded_zips_are_deleted_when_their_images_are_in_shards(small_maskedface):
    fetch_here("own")
    rows = index(small_maskedface)
    assert len(rows) == 12
    assert rows["archive"].nunique() == 8  # two for each zip: no shard holds images of two zips
    assert list((small_maskedface / "work/fetch/own").rglob("*MFD*.zip")) == []


def test_a_zip_whose_images_are_in_shards_is_not_downloaded_again(small_maskedface):
    fetch_here("own")
    before = shards(small_maskedface)
    shutil.rmtree(small_maskedface / "mirror")
    fetch_here("own")
    assert shards(small_maskedface) == before


def test_a_zip_in_the_inbox_is_not_downloaded(small_maskedface):
    (small_maskedface / "data/inbox/own").mkdir(parents=True)
    shutil.move(small_maskedface / "mirror/maskedface/IMFD-2.zip", small_maskedface / "data/inbox/own")
    fetch_here("own")
    assert len(index(small_maskedface)) == 12


def test_a_loose_image_does_not_take_the_name_of_one_in_a_downloaded_zip(small_maskedface):
    fetch_here("own")
    shutil.rmtree(small_maskedface / "mirror")
    first, second = index(small_maskedface).index[:2]
    put(small_maskedface / "data/inbox/own" / first, b"other content")
    put(small_maskedface / "data/inbox/own" / second, second.encode())
    fetch_here("own")
    assert len(index(small_maskedface)) == 13
    assert index(small_maskedface)["bytes"][f"inbox/{first}"] == len(b"other content")


def test_images_of_other_zips_are_fetched_when_one_is_missing(small_maskedface):
    (small_maskedface / "mirror/maskedface/CMFD-2.zip").unlink()
    with pytest.raises(FacemaskError, match=r"1 of source 'own' missing, first CMFD-2\.zip"):
        fetch_here("own")
    assert len(index(small_maskedface)) == 9


def test_fetch_continues_after_a_kill_without_a_second_download(small_maskedface, monkeypatch):
    from pipeline.sources import shard_store

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(shard_store, "_mark_complete", killed)
        with pytest.raises(KeyboardInterrupt):
            fetch_here("own")
    (small_maskedface / "mirror/maskedface/CMFD-1.zip").unlink()
    fetch_here("own")
    assert len(index(small_maskedface)) == 12


def test_a_zip_is_downloaded_again_when_a_change_of_its_remote_file_is_recorded(small_maskedface):
    fetch_here("own")
    put(small_maskedface / "mirror/maskedface/CMFD-1.zip", zipped("CMFD/00000/10000_Mask.jpg"))
    fetch_here("own")
    assert len(index(small_maskedface)) == 12
    record_change("own", "source", "another version", Paths())
    fetch_here("own")
    assert len(index(small_maskedface)) == 10
    assert "CMFD/00000/10000_Mask.jpg" in index(small_maskedface).index


def test_portraits_have_digest_and_licence(workspace, monkeypatch):
    put(workspace / "mirror/portraits/female/512/0.jpg", b"a portrait")
    digest = hashlib.sha256(b"a portrait").hexdigest()
    (workspace / "sums").write_text(f"{digest}  female/512/0.jpg\n")
    monkeypatch.setattr(addresses, "PORTRAITS", workspace / "sums")
    use(workspace, {"kind": "portraits"})
    fetch_here("own")
    assert index(workspace).loc["female/512/0.jpg", ["sha256", "licence"]].tolist() == [digest, "CC0 1.0"]


def test_two_hundred_portraits_are_listed():
    remotes, _ = addresses.portraits(None)
    assert len({remote.path for remote in remotes}) == 200
    assert all(remote.url.startswith("https://") and remote.url.endswith(remote.path) for remote in remotes)


@pytest.mark.parametrize(("domain", "path"), [("masked", "Masked/a.jpg"), ("unmasked", "Unmasked/b.jpg")])
def test_the_curated_batch_has_the_subfolder_of_its_domain(workspace, monkeypatch, domain, path):
    listed = [("Masked/a.jpg", "A"), ("Unmasked/b.jpg", "B")]
    monkeypatch.setattr(network, "_drive_listing", lambda folder: listed)
    (file,) = network.curated_batch(domain, None, workspace).open().__enter__()
    assert (file.path, file.remote.url) == (path, f"drive:{path[-5].upper()}")


def test_a_mirror_of_the_curated_folder_is_listed(workspace):
    put(workspace / "mirror/curated/Unmasked/b.jpg", b"b")
    use(workspace, {"kind": "curated"})
    fetch_here("own")
    assert index(workspace).index.tolist() == ["b.jpg"]


def test_a_folder_in_an_object_store_is_a_source(workspace):
    store = fsspec.filesystem("memory")
    store.pipe({"/bucket/faces/x/1.png": b"one", "/bucket/faces/2.png": b"two"})
    use(workspace, {"kind": "folder", "path": "memory://bucket/faces"}, mirror=None)
    fetch_here("own")
    assert index(workspace).index.tolist() == ["2.png", "x/1.png"]


def test_a_zip_in_an_object_store_is_a_source(workspace):
    fsspec.filesystem("memory").pipe({"/bucket/faces.zip": zipped("1.png", "2.png")})
    use(workspace, {"kind": "folder", "path": "memory://bucket/faces.zip"}, mirror=None)
    fetch_here("own")
    assert index(workspace).index.tolist() == ["1.png", "2.png"]


def test_a_local_zip_is_a_source(workspace):
    put(workspace / "faces.zip", zipped("1.png", "2.png"))
    use(workspace, {"kind": "folder", "path": str(workspace / "faces.zip")})
    fetch_here("own")
    assert index(workspace).index.tolist() == ["1.png", "2.png"]


def test_a_path_that_does_not_exist_is_an_error(workspace):
    use(workspace, {"kind": "folder", "path": str(workspace / "nowhere")})
    with pytest.raises(FacemaskError, match=r"'own' has no images in .*nowhere"):
        fetch_here("own")


def test_a_zip_added_to_the_inbox_becomes_new_shards(workspace):
    use(workspace, {"kind": "folder"})
    put(workspace / "data/inbox/own/a.png", b"a.png")
    fetch_here("own")
    before = shards(workspace)
    put(workspace / "data/inbox/own/more.zip", zipped("b.png", "c.png", "a.png"))
    fetch_here("own")
    assert before.items() < shards(workspace).items()
    assert index(workspace).index.tolist() == ["a.png", "b.png", "c.png"]


def test_a_damaged_zip_member_is_an_empty_row_until_the_zip_is_replaced(workspace):
    use(workspace, {"kind": "folder"})
    whole = zipped("a.png", "b.png", "c.png")
    broken = bytearray(whole)
    broken[whole.index(b"b.png") + len("b.png")] ^= 1  # the content follows the name
    put(workspace / "data/inbox/own/more.zip", bytes(broken))
    fetch_here("own")
    assert index(workspace)["bytes"].tolist() == [5, 0, 5]
    put(workspace / "data/inbox/own/more.zip", whole)
    fetch_here("own")
    assert index(workspace)["bytes"].tolist() == [5, 5, 5]


def test_verify_accepts_intact_shards(small_ffhq):
    fetch_here("own")
    verify(small_ffhq / "data/raw/own")


def test_verify_names_a_damaged_shard(small_ffhq):
    fetch_here("own")
    archive = small_ffhq / "data/raw/own/00001.zip"
    content = bytearray(archive.read_bytes())
    content[content.index(b"image 3")] ^= 1
    archive.unlink()
    archive.write_bytes(content)
    with pytest.raises(FacemaskError, match=r"1 archives of .* are damaged \(00001\.zip\): remove"):
        verify(small_ffhq / "data/raw/own")
